"""Accuracy against latency: what a variant's speed costs, against the limit that the suite sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import units
from harness.model import Estimate
from harness.page import charts, plots, wording
from harness.page.evidence import inside, latency
from harness.page.report import Entry, Group, Report

ORDER = 30
TITLE = "Accuracy against latency"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("tradeoff", "Accuracy against latency") }}
<p class="lead">What speed costs. Bars are the intervals of both numbers; the vertical line is the baseline's latency.{% if shared %} All drawings of one device have the same scale.{% endif %}</p>
{% for one in figures %}
{% call parts.place(one.group) %}
<figure>{{ one.chart }}
<ol class="key narrow">{% for row in one.rows %}<li>{{ row.hover }}</li>{% endfor %}</ol>
<figcaption>{{ one.metric }} on the test split against latency relative to the baseline; {{ one.better }} is better{{ parts.synthetic(one.group) }}.{% for text in one.limits %} Dashed: {{ text }}.{% endfor %} {{ one.front }}</figcaption>
{{ parts.numbers(one.titles, one.table, "The numbers of this chart") }}
</figure>
{% for variant, reason in one.without %}<p class="note">Not drawn, {{ variant }}: {{ reason }}.</p>{% endfor %}
{% endcall %}
{% endfor %}
"""


@dataclass(frozen=True, slots=True)
class _Plot:
    """What is drawn of one group: its metric, a row for each point, and the lines of the suite."""

    group: Group
    metric: str
    rows: list[charts.Row]
    limits: list[charts.Row]


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart for each group in which at least one variant has both numbers."""
    plotted = [found for group in report.groups() if (found := _plot(group))]
    figures = []
    for one in plotted:
        # Of one device, so that what is further left on one drawing is faster on another one too.
        alike = [other for other in plotted if other.group.device == one.group.device and other.metric == one.metric]
        extent = plots.frame(
            [row for other in alike for row in other.rows], [line["y"] for other in alike for line in other.limits]
        )
        figures.append({"group": one.group, **_figure(one, extent)})
    return (
        {"figures": figures, "shared": len(figures) > len({one.group.device for one in plotted})} if figures else None
    )


def _plot(group: Group) -> _Plot | None:
    metric = bounded_metric(group)
    rows = [row for entry in group.measured if metric and (row := _row(entry, metric, group))]
    rows = [{**row, "number": str(number)} for number, row in enumerate(rows, 1)]
    return _Plot(group, metric, rows, _limits(group, metric)) if len(rows) > 1 else None


def bounded_metric(group: Group) -> str:
    """Return the accuracy that the suite limits first of those that were measured, or else the usual one; "" for none."""
    asked = [str(line["metric"]) for line in group.settings.get("accept", ())]
    names = [name for name in asked if wording.info(name).kind == "accuracy"]
    return next((name for name in (*names, "accuracy", "dice") if _has(group, name)), "")


def _has(group: Group, metric: str) -> bool:
    return any(entry.run is not None and metric in entry.run.accuracy for entry in group.measured)


def _factor(metric: str) -> float:
    """Return what a level is multiplied with on the axis: shares are drawn in percent."""
    return 100.0 if wording.info(metric).unit == "%" else 1.0


def _row(entry: Entry, metric: str, group: Group) -> charts.Row | None:
    level = entry.run.accuracy.get(metric) if entry.run else None
    change = Estimate(1.0, 1.0, 1.0) if entry.is_baseline else latency(entry)
    if not wording.bounded(level) or not wording.factor(change):
        return None
    factor, text = _factor(metric), "{} ({})".format(*wording.level(metric, level))
    ratio = "baseline" if entry.is_baseline else wording.full_change(entry.comparisons["latency_ratio"])
    return {
        "variant": entry.variant, "x": change.point, "x_low": change.low, "x_high": change.high,
        "y": factor * level.point, "y_low": factor * level.low, "y_high": factor * level.high,
        "state": "baseline" if entry.is_baseline else str(entry.comparisons["latency_ratio"].verdict),
        "ratio": ratio, "level": text, "hover": f"{entry.variant}: latency {ratio}, {_inside(group, metric)} {text}",
    }  # fmt: skip


def _inside(group: Group, metric: str) -> str:
    return group.called(metric).replace(wording.info(metric).title, inside(metric), 1)


def _limits(group: Group, metric: str) -> list[charts.Row]:
    """Return each line of `[accept]` on a metric: where it is drawn (y), its name there (text), and a sentence (said)."""
    head = group.baseline
    level = head.run.accuracy.get(metric) if head and head.run and head.usable else None
    described, name = wording.info(metric), _inside(group, metric)
    found: list[charts.Row] = []
    for line in group.settings.get("accept", ()):
        if line["metric"] != metric:
            continue
        amount = float(line["bound"])
        if line["rule"] != "non_inferior_by":
            at = wording.value(metric, amount)
            most = "at most" if line["rule"] == "max" else "at least"
            said = f"the suite asks for {name} of {most} {at}"
            found.append({"y": _factor(metric) * amount, "text": f"limit: {most} {at}", "said": said})
        elif wording.bounded(level):
            y = level.point + (amount if described.lower_is_better else -amount)
            margin = units.bound(amount) if described.unit == "%" else units.gap(described.unit, amount)
            less = "plus" if described.lower_is_better else "less"
            at = wording.value(metric, y)
            said = f"the baseline's {name} {less} the suite's margin of {margin}, {at}; what decides is the interval "
            said += "of the paired difference, not the bar beside this line"
            sign = "+" if described.lower_is_better else "−"
            found.append({"y": _factor(metric) * y, "text": f"limit: baseline {sign} {margin}", "said": said})
    return found


def front(rows: Sequence[charts.Row], lower: bool) -> list[charts.Row]:
    """Return the rows that no other one beats in latency or accuracy without losing in the other, the fastest first.

    By the point values alone: of variants, only the difference to the baseline has an interval.
    """
    sign = -1 if lower else 1
    kept: list[charts.Row] = []
    for row in sorted(rows, key=lambda one: (one["x"], -sign * one["y"])):
        if not kept or sign * row["y"] > sign * kept[-1]["y"]:
            kept.append(row)
    return kept


def _figure(one: _Plot, extent: plots.Frame) -> Mapping[str, Any]:
    group, metric, described = one.group, one.metric, wording.info(one.metric)
    name, best = group.called(metric), front(one.rows, described.lower_is_better)
    members = [str(row["variant"]) for row in best]
    drawn = {row["variant"] for row in one.rows}
    draw = plots.tradeoff(
        one.rows, x_title="latency relative to the baseline", x_aside="logarithmic, left is faster",
        y_title=f"{name}, {described.unit}" if described.unit else name, extent=extent, limits=one.limits,
        front=[(row["x"], row["y"]) for row in best],
    )  # fmt: skip
    said = f"Dotted: the Pareto front of the points, {', '.join(members)}; every other variant is neither faster nor "
    said += "better than one of these. Where intervals overlap, measuring again may give another front."
    alt = [f"{name} against latency, {group.title}", *(str(row["hover"]) for row in one.rows)]
    alt += [f"On the Pareto front: {', '.join(members)}", *(str(line["text"]) for line in one.limits)]
    table = [
        (row["variant"], row["ratio"], row["level"], "yes" if row["variant"] in members else "no") for row in one.rows
    ]
    return {
        "metric": name, "rows": one.rows, "chart": charts.figure(draw, alt=". ".join(alt)), "front": said,
        "better": "down and to the left" if described.lower_is_better else "up and to the left",
        "limits": [line["said"] for line in one.limits], "table": table,
        "titles": ["Variant", "Latency relative to the baseline", name, "On the front"],
        "without": [(entry.variant, _absence(entry, metric)) for entry in group.measured if entry.variant not in drawn],
    }  # fmt: skip


def _absence(entry: Entry, metric: str) -> str:
    """Return why a case that was measured has no place in the drawing."""
    level = entry.run.accuracy.get(metric) if entry.run else None
    if not wording.bounded(level):
        return f"no {inside(metric)} with a bounded interval"
    found = entry.comparisons.get("latency_ratio")
    if found is None:
        return "no latency relative to the baseline"
    return found.reason or f"latency {wording.full_change(found)}, which has no place on a logarithmic axis"
