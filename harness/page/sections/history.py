"""Each case in the last campaigns: its ratio with its interval, how it ended, what moved and what was changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness import units
from harness.compare import CaseHistory, Point
from harness.compare.history import RATIO
from harness.model import Validity
from harness.page import charts, wording
from harness.page.report import Group, Report

ORDER = 105
TITLE = "History"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("history", "History") }}
<p class="lead">Each case in the last campaigns of the same suite on the same device. A ratio is marked (▲ slower, ▼ faster) when its interval and that of the campaign before lie apart by more than the margin; one night alone may be chance, so the next campaign confirms it. Accuracies are marked by their difference on the same images.</p>
{% for one in groups %}
{% call parts.place(one.group) %}
{% for case in one.cases %}
<details class="place"{% if case.opened %} open{% endif %}><summary>{{ case.name }}: {{ case.said }}</summary>
{% if case.chart %}
<figure>{{ case.chart }}
<figcaption>Latency relative to the baseline of the same campaign, with its interval.{% if case.margin %} The shaded band is the campaign before this one ± the margin of {{ case.margin }}.{% endif %}</figcaption></figure>
{% endif %}
<div class="scroll" tabindex="0" role="region" aria-label="History of {{ case.name }}">
<table><caption><span>{{ case.name }}, the newest campaign last</span></caption>
<thead><tr><th scope="col">Campaign</th><th scope="col">Latency ratio</th>{% for title in case.titles %}<th scope="col">{{ title }}</th>{% endfor %}<th scope="col" class="text">Outcome</th><th scope="col" class="text">What moved, and what was set up otherwise</th></tr></thead>
<tbody>
{% for row in case.rows %}
<tr><th scope="row">{{ row.at }} <span class="tag">{{ row.campaign }}{{ " quick" if row.quick }}</span></th>
<td><div class="cell"><span class="value">{{ row.ratio }}</span>{% if row.verdict %}{{ parts.badge(row.verdict) }}{% endif %}{% if row.validity %}{{ parts.badge(row.validity) }}{% endif %}</div></td>
{% for point, within in row.levels %}<td><div class="cell"><span class="value">{{ point }}</span>{% if within %}<span class="interval">{{ within }}</span>{% endif %}</div></td>{% endfor %}
<td class="text">{{ parts.badge(row.status, row.ended) if row.status in glyphs else row.ended }}</td>
<td class="text said">{% for text in row.moves %}<strong>{{ text|replace(" -> ", " → ") }}.</strong><br>{% endfor %}{% for text in row.changed %}{{ text|replace(" -> ", " → ") }}<br>{% endfor %}</td></tr>
{% endfor %}
</tbody></table></div>
</details>
{% endfor %}
{% endcall %}
{% endfor %}
"""
_DATE = "%Y-%m-%d %H:%M"
#: The mark of a move of a ratio: a shape, and on the chart a word beside it.
_MARKS: Final = {"improved": "▼ faster", "regressed": "▲ slower"}


def context(report: Report) -> Mapping[str, Any] | None:
    """Return the cases of each group that an earlier campaign had too, None where there is none."""
    known = {one.case: one for one in report.earlier if len(one.points) > 1}
    groups = []
    for group in report.groups():
        cases = [
            _case(known[name], group)
            for entry in group.entries
            for name in ([entry.run.case.id] if entry.run else [entry.outcome.case] if entry.outcome else [])
            if name in known
        ]
        if cases:
            groups.append({"group": group, "cases": cases})
    return {"groups": groups} if groups else None


def _case(one: CaseHistory, group: Group) -> Mapping[str, Any]:
    moved = sum(len(point.moves) for point in one.points)
    said = f"{units.counted(len(one.points), 'campaign')}, {units.counted(moved, 'move') if moved else 'nothing moved'}"
    margin = one.margin
    return {
        "name": one.variant,
        "said": said,
        "opened": bool(moved),
        "titles": [group.called(metric) for metric in one.metrics],
        "rows": [_row(point, one.metrics) for point in one.points],
        "chart": _chart(one),
        "margin": "" if margin is None else units.human(margin, "%"),
    }


def _row(point: Point, metrics: tuple[str, ...]) -> Mapping[str, Any]:
    run = point.run if point.run is not None and point.run.validity is not Validity.INVALID else None
    change = point.ratio if run else None
    ratio = "baseline" if run and run.is_baseline else wording.full_change(change) if change else units.ABSENT
    return {
        "at": format(point.at, _DATE),
        "campaign": point.campaign.id[:8],
        "quick": point.campaign.quick,
        "ratio": ratio,
        "verdict": str(change.verdict) if change else "",
        # Of the comparison, by its control: that a run's times are degraded does not touch its ratio.
        "validity": _validity(point),
        "levels": [wording.level(metric, run.accuracy.get(metric) if run else None) for metric in metrics],
        "status": point.status,
        "ended": wording.OUTCOMES.get(point.status, point.status),
        "moves": [move.sentence for move in point.moves],
        "changed": [cause.sentence for cause in point.changed],
    }


def _validity(point: Point) -> str:
    """Return what lessens the ratio of a point, "" for nothing."""
    if point.run is not None and point.run.validity is Validity.INVALID:
        return str(point.run.validity)
    return str(point.ratio.validity) if point.ratio and point.ratio.validity is not Validity.VALID else ""


def _chart(one: CaseHistory) -> Any:
    drawn = [(point, point.ratio) for point in one.points if point.run and point.run.validity is not Validity.INVALID]
    shown = [(point, ratio, ratio.change) for point, ratio in drawn if ratio and wording.factor(ratio.change)]
    if len(shown) < 2:
        return ""
    rows = []
    for point, ratio, change in shown:
        assert change is not None
        mark = " ".join(_MARKS.get(move.verdict, "") for move in point.moves if move.metric == RATIO)
        said = next((f", {move.standing}" for move in point.moves if move.metric == RATIO), "")
        text = wording.full_change(ratio)
        rows.append(
            {
                "variant": f"{format(point.at, _DATE)} {mark}".strip(), "point": change.point, "low": change.low,
                "high": change.high, "text": text, "state": str(ratio.verdict),
                "hover": f"{format(point.at, _DATE)}: {text}, {ratio.verdict}{said}",
            }
        )  # fmt: skip
    before = shown[-2][2]
    assert before is not None
    band = (before.point * (1 - one.margin), before.point * (1 + one.margin)) if one.margin else None
    draw = charts.intervals(
        rows, title="latency relative to the baseline", aside="logarithmic, left is faster", reference=before.point,
        band=band, log=True,
    )  # fmt: skip
    alt = "; ".join(str(row["hover"]) for row in rows)
    return charts.figure(draw, alt=f"Latency of {one.name} relative to the baseline, by campaign: {alt}")
