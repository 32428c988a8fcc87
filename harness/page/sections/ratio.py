"""How much faster: the ratio of latencies with its interval, against the margin that does not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness import units
from harness.compare import Control
from harness.model import Comparison
from harness.page import charts, wording
from harness.page.evidence import latency
from harness.page.report import Entry, Group, Report

ORDER = 25
TITLE = "How much faster"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("ratio", "How much faster") }}
<p class="lead">Where baseline and variants take turns in short rounds, drift hits both alike and cancels in the ratio. The control is the baseline's own file: what it shows is what this device could tell.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
{% if one.chart %}
<figure>{{ one.chart }}
<figcaption>Latency relative to the baseline with its interval.{% if one.margin %} The shaded band, ±{{ one.margin }}, holds changes too small to matter.{% endif %}{% if one.methods %} Intervals: {{ one.methods|join("; ") }}.{% endif %} {{ parts.badge("improved") }} {{ parts.badge("regressed") }} {{ parts.badge("better", "better, within the margin or not surely beyond it") }} {{ parts.badge("worse", "worse, likewise") }} {{ parts.badge("equivalent") }} {{ parts.badge("inconclusive") }}</figcaption>
{{ parts.numbers(["Variant", "Latency relative to the baseline", "Verdict"], one.table, "The numbers of this chart") }}
</figure>
{% endif %}
{% if one.control %}<p class="note">{{ one.control }}</p>{% endif %}
{% for variant, remark in one.remarks %}<p class="note">{{ variant }}: {{ remark }}.</p>{% endfor %}
{% for variant, reason in one.without %}<p class="note">Not drawn, {{ variant }}: {{ reason }}.</p>{% endfor %}
{% endcall %}
{% endfor %}
"""


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart for each group with compared variants, and what must be known of each comparison."""
    figures = []
    for group in report.groups():
        margin = group.settings.get("load", {}).get("margin")
        rows = [row for entry in group.measured if (row := _row(entry))]
        compared = [entry for entry in group.measured if "latency_ratio" in entry.comparisons]
        control = group.control
        if compared or control:
            rows = [*([_control_row(control)] if control and wording.factor(control.change) else []), *rows]
            chart = _chart(rows, group, margin) if rows else ""
            said = control.sentence if control else ""
            table = [(row["variant"], row["text"], row["state"]) for row in rows]
            figures.append(
                {"group": group, "chart": chart, "margin": _margin(margin), "control": said, "table": table}
                | _said(compared)
            )
    return {"figures": figures} if figures else None


def _said(compared: Sequence[Entry]) -> dict[str, Any]:
    found = [(entry.variant, entry.comparisons["latency_ratio"]) for entry in compared]
    drawn = [(name, one, one.change) for name, one in found if wording.factor(one.change)]
    return {
        "without": [(name, _undrawn(one)) for name, one in found if not wording.factor(one.change)],
        "remarks": [(name, wording.remark(one)) for name, one, _ in drawn if wording.remark(one)],
        "methods": list(dict.fromkeys(change.method for _, _, change in drawn if change.method)),
    }


def _undrawn(one: Comparison) -> str:
    """Return why a ratio has no place on the axis."""
    if wording.bounded(one.change):
        return f"{wording.full_change(one)}, and a logarithmic axis begins above zero"
    return one.reason or units.UNBOUNDED


def _margin(margin: float | None) -> str:
    return "" if margin is None else units.human(margin, "%")


def _row(entry: Entry) -> charts.Row | None:
    change = latency(entry)
    if not wording.factor(change):
        return None
    comparison = entry.comparisons["latency_ratio"]
    text = wording.full_change(comparison)
    return {
        "variant": entry.variant, "point": change.point, "low": change.low, "high": change.high, "text": text,
        "state": str(comparison.verdict), "hover": f"{entry.variant}: {text}, {comparison.verdict}",
    }  # fmt: skip


def _control_row(control: Control) -> charts.Row:
    change = control.change
    assert change is not None  # the caller has looked
    text = units.full_change("ratio", "", change)
    return {
        "variant": "control", "point": change.point, "low": change.low, "high": change.high, "text": text,
        "state": str(control.verdict), "hover": f"control, the baseline's own file: {text}",
    }  # fmt: skip


def _chart(rows: list[charts.Row], group: Group, margin: float | None) -> Any:
    draw = charts.intervals(
        rows, title="latency relative to the baseline", aside="logarithmic, left is faster", reference=1.0, log=True,
        band=None if margin is None or not 0 <= margin < 1 else (1 - margin, 1 + margin),
    )  # fmt: skip
    return charts.figure(draw, alt=f"Latency ratios, {group.title}. " + ". ".join(str(row["hover"]) for row in rows))
