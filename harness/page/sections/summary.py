"""Variants against their baseline: every metric with change, interval and verdict, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import compare, units
from harness.model import Reason
from harness.page import wording
from harness.page.cells import COSTS, cells
from harness.page.report import Entry, Group, Report
from harness.vocabulary import METRICS

ORDER = 20
TITLE = "Summary"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("summary", "Variants against their baseline") }}
<p class="lead">Times, bytes and joules are compared as ratios (0.50× is half), accuracies as differences in percentage points (pp), paired on the same images. {% if confidence %}The small figures below a number are its {{ confidence }} interval. {% endif %} A verdict of <em>inconclusive</em> is an answer: the data does not decide.</p>
{% for table in tables %}
{% call parts.place(table.group, opened=table.group.failing) %}
<div class="scroll cards" tabindex="0" role="region" aria-label="Summary{% if several %}, {{ table.group.title }}{% endif %}">
<table class="summary" role="table">
<caption><span>Every case{% if several %} on {{ table.group.title }}{% endif %}, with its change against the baseline{{ parts.synthetic(table.group) }}</span></caption>
<thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Variant</th>{% for one in table.columns %}<th scope="col" role="columnheader" data-metric="{{ one.metric }}"{% if one.unit %} data-unit="{{ one.unit }}"{% endif %}>{{ one.title }}</th>{% endfor %}<th scope="col" role="columnheader">Outcome</th></tr></thead>
<tbody role="rowgroup">
{% for row in table.rows %}
<tr role="row" id="{{ row.entry.anchor }}" data-variant="{{ row.entry.variant }}" data-case="{{ row.entry.marks|join(" ") }}"{% if row.entry.is_baseline %} class="baseline"{% endif %}>
<th scope="row" role="rowheader">{{ parts.name(row.entry, link=true) }}</th>
{% for one in row.cells %}
<td role="cell" data-title="{{ one.title }}" data-metric="{{ one.metric }}"{{ parts.raw(one) }}><div class="cell">{{ parts.cell(one, table.notes) }}</div></td>
{% else %}
<td role="cell" class="nothing" colspan="{{ table.columns|length }}"><div class="cell">{% if row.entry.run %}Its numbers may not be used: {{ row.entry.run.reasons|join("; ") or "the run is invalid" }}.{% else %}No result. {{ row.message }}{% endif %}</div></td>
{% endfor %}
<td role="cell" data-title="Outcome"><div class="cell">{% if row.entry.outcome %}{{ parts.badge(row.entry.outcome.status, outcome_words[row.entry.outcome.status]) }}{% else %}<span class="muted">not judged</span>{% endif %}</div></td>
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if table.margins %}<p class="note">Margins, up to which a change does not matter: {{ table.margins }}.</p>{% endif %}
{{ parts.notes(table.notes) }}
<details class="accept"{% if table.rows|selectattr("entry.outcome")|rejectattr("entry.outcome.status", "equalto", "passed")|list %} open{% endif %}>
<summary>What was asked of each case, and by how much it was met</summary>
<dl>
{% for row in table.rows if row.entry.outcome %}
<div><dt>{{ row.entry.variant }} {{ parts.badge(row.entry.outcome.status, outcome_words[row.entry.outcome.status]) }}</dt>
<dd>{% if row.entry.outcome.taken_over %}<p class="message">Taken over from {{ row.entry.outcome.taken_over|moment }}.</p>{% endif %}
{% if row.message %}<p class="message">{{ row.message }}</p>{% endif %}
{% if row.entry.outcome.judgements %}<ul class="judgements">{% for one in row.entry.outcome.judgements %}<li class="{{ "held" if one.passed else "broken" }}"><span class="glyph" aria-hidden="true">{{ {"met": "✓", "broken": "✕", "undecided": "?"}[one.word] }}</span><span class="quiet">{{ one.word }}: </span>{{ one.message }}</li>{% endfor %}</ul>{% endif %}</dd></div>
{% endfor %}
</dl>
</details>
{% endcall %}
{% endfor %}
"""
ACCURACIES = ("sensitivity", "specificity", "accuracy", "dice", "iou", "hausdorff")


def context(report: Report) -> Mapping[str, Any]:
    """Return a table for each device and runtime."""
    tables = []
    for group in report.groups():
        metrics = accuracies(group)
        titles = [(cost, wording.title(cost)) for cost, _ in COSTS] + [(name, group.called(name)) for name in metrics]
        columns = [{"metric": name, "title": title, "unit": _unit(name)} for name, title in titles]
        rows: list[dict[str, Any]]
        rows = [{"entry": one, "cells": cells(one, metrics, group), "message": message(one)} for one in group.entries]
        notes = wording.numbered(cell for row in rows for cell in row["cells"])
        said = margins(group, metrics)
        tables.append({"group": group, "columns": columns, "rows": rows, "notes": notes, "margins": said})
    return {"tables": tables, "confidence": confidence(report)}


def _unit(metric: str) -> str:
    """Return the unit of a column's plain numbers: a share 0..1 has none, though people read percent."""
    unit = wording.info(metric).unit
    return "" if unit == "%" else unit


def margins(group: Group, metrics: list[str]) -> str:
    """Return the margin of every compared column, "" where nothing is known of the suite."""
    if not group.settings.get("load"):
        return ""
    allowed: dict[str, list[str]] = {}
    columns = [(ratio, wording.title(cost).lower().partition(",")[0]) for cost, ratio in COSTS]
    for name, title in (*columns, *((metric, group.called(metric)) for metric in metrics)):
        if name not in METRICS:
            continue
        described, amount = METRICS[name], compare.margin(METRICS[name], group.settings)
        own = described.kind == "accuracy"
        text = units.gap(described.unit, amount) if own else units.whole_percent(amount)
        allowed.setdefault(units.bound(amount) if own and described.unit == "%" else text, []).append(title)
    return "; ".join(f"{text} of {', '.join(names)}" for text, names in allowed.items())


def confidence(report: Report) -> str:
    """Return the confidence of the intervals, all of them if they differ."""
    changes = [one.change for one in report.comparisons if one.change and one.change.low < one.change.high]
    levels = [estimate for run in report.runs for estimate in run.accuracy.values()]
    return " or ".join(units.whole_percent(level) for level in sorted({one.confidence for one in (*changes, *levels)}))


def message(entry: Entry) -> str:
    """Return how the case ended in words, "" where the lines of its judgement say so already."""
    if entry.outcome is None:
        return ""
    broken = [Reason(judgement.message) for judgement in entry.outcome.judgements if not judgement.passed]
    repeats = entry.outcome.status == "failed" and broken and all(one in entry.outcome.reasons for one in broken)
    return "" if repeats else entry.outcome.message


def accuracies(group: Group) -> list[str]:
    """Return up to three accuracies for the table: those the suite bounds, then the usual ones."""
    bounded = [str(line["metric"]) for line in group.settings.get("accept", ())]
    have = {name for entry in group.measured if entry.run for name in entry.run.accuracy}
    wanted = [name for name in (*bounded, *ACCURACIES) if name in have]
    return list(dict.fromkeys(wanted))[:3]
