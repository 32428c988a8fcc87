"""Accuracy against latency: what a variant's speed costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.model import Estimate
from harness.page import charts, plots, wording
from harness.page.evidence import latency
from harness.page.report import Entry, Group, Report

ORDER = 30
TITLE = "Accuracy against latency"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("tradeoff", "Accuracy against latency") }}
<p class="lead">Up and to the left is better. Bars are the intervals of both numbers; the vertical line is the baseline's latency.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
<figure>{{ one.chart }}
<ol class="key narrow">{% for row in one.rows %}<li>{{ row.hover }}</li>{% endfor %}</ol>
<figcaption>{{ one.metric }} on the test split against latency relative to the baseline{{ parts.synthetic(one.group) }}.</figcaption></figure>
{% endcall %}
{% endfor %}
"""


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart for each group in which at least one variant has both numbers."""
    figures = []
    for group in report.groups():
        metric = next((name for name in ("accuracy", "dice") if _has(group, name)), "")
        rows = [row for entry in group.measured if metric and (row := _row(entry, metric))]
        rows = [{**row, "number": str(number)} for number, row in enumerate(rows, 1)]
        if len(rows) > 1:
            figures.append(
                {"group": group, "metric": wording.title(metric), "rows": rows, "chart": _chart(rows, metric, group)}
            )
    return {"figures": figures} if figures else None


def _has(group: Group, metric: str) -> bool:
    return any(entry.run is not None and metric in entry.run.accuracy for entry in group.measured)


def _row(entry: Entry, metric: str) -> charts.Row | None:
    level = entry.run.accuracy.get(metric) if entry.run else None
    change = Estimate(1.0, 1.0, 1.0) if entry.is_baseline else latency(entry)
    if not wording.bounded(level) or not wording.factor(change):
        return None
    text = "{} ({})".format(*wording.level(metric, level))
    ratio = "baseline" if entry.is_baseline else wording.full_change(entry.comparisons["latency_ratio"])
    return {
        "variant": entry.variant, "x": change.point, "x_low": change.low, "x_high": change.high,
        "y": 100 * level.point, "y_low": 100 * level.low, "y_high": 100 * level.high,
        "state": "baseline" if entry.is_baseline else str(entry.comparisons["latency_ratio"].verdict),
        "hover": f"{entry.variant}: latency {ratio}, {wording.title(metric).lower()} {text}",
    }  # fmt: skip


def _chart(rows: list[charts.Row], metric: str, group: Group) -> Any:
    name = wording.title(metric)
    draw = plots.tradeoff(
        rows, x_title="latency relative to the baseline", x_aside="left is faster", y_title=f"{name}, %"
    )
    return charts.figure(
        draw, alt=f"{name} against latency, {group.title}. " + ". ".join(str(r["hover"]) for r in rows)
    )
