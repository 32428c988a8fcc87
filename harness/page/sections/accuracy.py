"""Accuracy: paired differences against the margin, every metric with its interval, and the confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import units
from harness.model import Estimate, Run, Subgroup
from harness.page import charts, wording
from harness.page.report import Group, Report
from harness.results.runs import accuracy_refused
from harness.results.subgroups import CLASS, LABEL
from harness.vocabulary import METRICS

ORDER = 80
TITLE = "Diagnostic accuracy"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("accuracy", "Diagnostic accuracy") }}
<p class="lead">On the whole test split, on the device, with the very files that were timed. Differences are paired on the same images: a variant is non-inferior if the worse end of its interval stays within the margin.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
{% if one.samples %}<p class="note">Test split: {{ one.samples }}.</p>{% endif %}
{% for remark in one.remarks %}<p class="note">Remark: {{ remark }}.</p>{% endfor %}
{% for chart in one.charts %}
<figure><h4>Change in {{ chart.title[0]|lower }}{{ chart.title[1:] }}{{ parts.synthetic(one.group) }}</h4>
{{ chart.chart }}
<figcaption>Variant minus baseline, with its interval; {{ chart.side }} is worse.{% if chart.bound %} The dashed line is the suite's margin of {{ chart.bound }}. {{ chart.said }}{% else %} The suite sets no margin for it.{% endif %}</figcaption></figure>
{% endfor %}
<div class="scroll" tabindex="0" role="region" aria-label="Accuracies{% if several %}, {{ one.group.title }}{% endif %}">
<table class="dense"><caption><span>Every metric with its interval{{ parts.synthetic(one.group) }}{% if one.methods %} <span class="interval">intervals: {{ one.methods|join(", ") }}</span>{% endif %}</span></caption>
<thead><tr><th scope="col">Metric</th>{% for variant, _ in one.rows %}<th scope="col" class="head">{{ variant }}</th>{% endfor %}</tr></thead>
<tbody>{% for title in one.titles %}{% set at = loop.index0 %}<tr><th scope="row">{{ title }}</th>{% for _, cells in one.rows %}<td><div class="cell"><span class="value">{{ cells[at][0] }}</span><span class="interval">{{ cells[at][1] }}</span></div></td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{% if one.differences.rows %}
<div class="scroll" tabindex="0" role="region" aria-label="Paired differences{% if several %}, {{ one.group.title }}{% endif %}">
<table class="dense"><caption><span>Paired differences against the baseline{{ parts.synthetic(one.group) }}</span></caption>
<thead><tr><th scope="col">Metric</th>{% for variant, _ in one.differences.rows %}<th scope="col" class="head">{{ variant }}</th>{% endfor %}</tr></thead>
<tbody>{% for title in one.differences.titles %}{% set at = loop.index0 %}<tr><th scope="row">{{ title }}</th>{% for _, cells in one.differences.rows %}<td><div class="cell">{{ parts.cell(cells[at], one.differences.notes) }}</div></td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{{ parts.notes(one.differences.notes) }}
{% endif %}
{% for table in one.subgroups %}
<div class="scroll" tabindex="0" role="region" aria-label="{{ table.title }} by {{ table.by }}{% if several %}, {{ one.group.title }}{% endif %}">
<table class="dense"><caption><span>{{ table.title }} by {{ table.by }}, the smallest first{{ parts.synthetic(one.group) }}</span></caption>
<thead><tr><th scope="col">{{ table.by|capitalize }}</th><th scope="col">Images</th>{% for variant in table.variants %}<th scope="col" class="head">{{ variant }}</th>{% endfor %}</tr></thead>
<tbody>{% for name, images, cells in table.rows %}<tr><th scope="row">{{ name }}</th><td>{{ images }}</td>{% for cell in cells %}<td><div class="cell"><span class="value">{{ cell[0] }}</span><span class="interval">{{ cell[1] }}</span></div></td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{% endfor %}
{% if one.matrices %}
<h4>Confusion matrices{{ parts.synthetic(one.group) }}</h4>
<p class="note">Rows are the truth, columns what the model said. The tint is the share of the row; the diagonal is right.</p>
<div class="matrices">
{% for matrix in one.matrices %}
<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix of {{ matrix.variant }}{% if several %}, {{ one.group.title }}{% endif %}"><table class="matrix"><caption><span>{{ matrix.variant }}</span></caption>
<thead><tr><td></td>{% for text in matrix.names %}<th scope="col">{{ text }}</th>{% endfor %}</tr></thead>
<tbody>{% for text, cells in matrix.rows %}<tr><th scope="row">{{ text }}</th>{% for cell in cells %}<td class="{{ "right" if cell.right else "wrong" }} t{{ cell.tint }}"><span class="value">{{ cell.count }}</span><span class="interval">{{ cell.share }}</span></td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{% endfor %}
</div>
{% endif %}
{% endcall %}
{% endfor %}
"""
#: Metrics drawn when the suite bounds none.
USUAL: Final = ("sensitivity", "specificity", "dice", "accuracy")
#: Of these, neither is read without the other: what one gains by another threshold, the other one loses.
_PAIR: Final = ("sensitivity", "specificity")


def context(report: Report) -> Mapping[str, Any] | None:
    """Return charts of differences, a table of levels and the confusion matrices for each group with accuracies."""
    figures = []
    for group in report.groups():
        runs = [(entry.variant, entry.run) for entry in group.measured if entry.run and entry.run.accuracy]
        if not runs:
            continue
        metrics = [name for name in METRICS if any(name in run.accuracy for _, run in runs)]
        figures.append({
            "group": group, "samples": _samples(group), "remarks": _remarks(group), "charts": [_chart(group, metric) for metric in _drawn(group)],
            "titles": [group.called(metric) for metric in metrics],
            "rows": [(variant, [wording.level(metric, run.accuracy.get(metric)) for metric in metrics]) for variant, run in runs],
            "methods": _methods([run for _, run in runs]),
            "subgroups": list(_subgroups(group, runs)), "differences": _differences(group), "matrices": [one for name, run in runs if (one := _matrix(name, run))],
        })  # fmt: skip
    return {"figures": figures} if figures else None


def _subgroups(group: Group, runs: Sequence[tuple[str, Run]]) -> Iterator[Mapping[str, Any]]:
    """Yield a table for each metric that is given apart: parts of the split by variants."""
    parts = {(one.by, one.name): one for _, run in runs for one in run.subgroups}
    for by in dict.fromkeys(by for by, _ in parts):
        have = {metric for one in parts.values() if one.by == by for metric in one.estimates}
        metrics = [name for name in METRICS if name in have]
        wanted = (
            metrics
            if by == LABEL
            else [name for name in metrics if group.margin(name) is not None or name in USUAL] or metrics[:1]
        )
        for metric in wanted:
            rows = []
            for one in (one for one in parts.values() if one.by == by):
                estimates = [_estimate_of(run, one, metric) for _, run in runs]
                cells = [wording.level(metric, found) for found in estimates]
                of = f" of {units.count(one.patients)} patients" if one.patients is not None else ""
                rows.append((one.name, f"{units.count(one.images)}{of}", cells))
            # What one class is called correctly is its own sensitivity, and not that of the positive class.
            title = wording.title(metric) if by in (CLASS, LABEL) else group.called(metric)
            yield {"by": by, "title": title, "variants": [variant for variant, _ in runs], "rows": rows}


def _estimate_of(run: Run, part: Subgroup, metric: str) -> Estimate | None:
    same = (one for one in run.subgroups if (one.by, one.name) == (part.by, part.name))
    return next((one.estimates[metric] for one in same if metric in one.estimates), None)


def _methods(runs: list[Run]) -> list[str]:
    """Return how the intervals were made, without the counts that stand behind the method's name."""
    found = {estimate.method.partition(",")[0] for run in runs for estimate in run.accuracy.values()}
    return sorted(found - {""}, key=str.lower)


def _samples(group: Group) -> str:
    data = group.settings.get("data", {})
    described = f"{units.count(int(data['samples']))} samples" if data.get("samples") else ""
    ratio = data.get("positive_ratio")
    share = f"{units.whole_percent(float(ratio))} of them {group.positive}" if ratio and group.positive else ""
    return ", ".join(part for part in (described, share) if part)


def _remarks(group: Group) -> list[str]:
    """Return what must be doubted of the data or of the baseline, or could not be shown from the start."""
    own = [remark for entry in group.measured if entry.run for remark in entry.run.notes.get("remarks", ())]
    refused = [reason for entry in group.measured if entry.run and (reason := accuracy_refused(entry.run))]
    own += [f"no accuracy of {reason.text}" for reason in refused]
    return [*group.settings.get("data", {}).get("remarks", ()), *own]


def _compared(group: Group) -> list[str]:
    return [
        name
        for name, described in METRICS.items()
        if described.kind == "accuracy" and any(name in entry.comparisons for entry in group.measured)
    ]


def _drawn(group: Group) -> list[str]:
    have = [
        name
        for name in _compared(group)
        if any((one := entry.comparisons.get(name)) and wording.bounded(one.change) for entry in group.measured)
    ]
    bounded = [name for name in have if group.margin(name) is not None]
    bounded += [name for name in _PAIR if name in have and name not in bounded and set(_PAIR) & set(bounded)]
    return (bounded or [name for name in USUAL if name in have])[:4]


def _differences(group: Group) -> Mapping[str, Any]:
    metrics = _compared(group)
    rows = []
    for entry in group.measured:
        if entry.comparisons:
            cells = [
                wording.changed(wording.Cell(name, group.called(name), ""), entry.comparisons.get(name))
                for name in metrics
            ]
            rows.append((entry.variant, cells))
    notes = wording.numbered(cell for _, cells in rows for cell in cells)
    return {"titles": [group.called(name) for name in metrics], "rows": rows, "notes": notes}


def _chart(group: Group, metric: str) -> Mapping[str, Any]:
    described, name, margin = wording.info(metric), group.called(metric), group.margin(metric)
    factor, unit = (100, "percentage points") if described.unit == "%" else (1, described.unit or "difference")
    worse = 1 if described.lower_is_better else -1
    rows = []
    for entry in group.measured:
        found = entry.comparisons.get(metric)
        if found is None or not wording.bounded(found.change):
            continue
        point, low, high = (factor * number for number in (found.change.point, found.change.low, found.change.high))
        text = wording.full_change(found)
        row = {"variant": entry.variant, "point": point, "low": low, "high": high, "state": str(found.verdict)}
        rows.append({**row, "text": text, "hover": f"{entry.variant}: {text}, {found.verdict}"})
    limit = None if margin is None else worse * factor * margin
    side = "left" if worse < 0 else "right"
    draw = charts.intervals(rows, title=f"difference, {unit}", aside=f"{side} is worse", reference=0, limit=limit)
    said = ". ".join(str(row["hover"]) for row in rows)
    bound = (
        "" if margin is None else units.bound(margin) if described.unit == "%" else units.gap(described.unit, margin)
    )
    chart = charts.figure(draw, alt=f"Differences in {name} against the baseline, {group.title}. {said}")
    held = [row["variant"] for row in rows if limit is not None and _holds(row, limit, worse)]
    return {"title": name, "bound": bound, "side": side, "chart": chart, "said": _sorted(rows, held)}


def _holds(row: charts.Row, limit: float, worse: int) -> bool:
    """Return whether all of an interval stays on the good side of a margin; `worse` is 1 where more is worse."""
    return bool(row["high"] <= limit if worse > 0 else row["low"] >= limit)


def _sorted(rows: Sequence[charts.Row], held: Sequence[object]) -> str:
    """Return in a sentence which variants hold a margin with all of their interval, and which do not."""
    others = [str(row["variant"]) for row in rows if row["variant"] not in held]
    said = f"Within it with the whole interval: {', '.join(map(str, held)) or 'none'}."
    return f"{said} Not: {', '.join(others)}." if others else said


def _matrix(variant: str, run: Run) -> Mapping[str, Any] | None:
    """Return a confusion matrix as a table; a cell's tint is its share of the true class, in tenths."""
    if run.confusion is None:
        return None
    names = run.classes or tuple(str(i) for i in range(len(run.confusion)))
    rows = []
    for i, counts in enumerate(run.confusion.tolist()):
        total = sum(counts)
        cells = [
            {
                "count": units.count(number), "share": units.whole_percent(number / total) if total else units.ABSENT,
                "tint": round(10 * number / total) if total else 0, "right": i == j,
            }
            for j, number in enumerate(counts)
        ]  # fmt: skip
        rows.append((names[i], cells))
    return {"variant": variant, "names": names, "rows": rows}
