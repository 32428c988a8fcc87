"""Every place at a glance: one row a device and runtime, one column a variant, where there is more than one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from harness.model import Validity, Verdict
from harness.page import evidence, headline, wording
from harness.page.report import Entry, Group, Report

ORDER = 15
TITLE = "Every place"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("places", "Every place at a glance") }}
<p class="lead">How long each variant takes relative to the baseline of the same device and runtime, what became of the accuracy about which the worst must be said, and what stands against the measurement; the variant that the verdict of a device names is framed. Each cell leads to its evidence{% if addresses %}, on the page of its device{% endif %}.</p>
{% for table in tables %}
<div class="scroll tall{{ " many" if table.short }}" tabindex="0" role="region" aria-label="Every place, {{ table.title }}">
<table class="dense">
<caption><span>{{ table.title }}: latency relative to the baseline of the place{% if not table.short %}, with its interval, and accuracy{% endif %}</span></caption>
<thead><tr><th scope="col">Device and runtime</th><th scope="col" class="head">Baseline</th>{% for name in table.variants %}<th scope="col" class="head" data-variant="{{ name }}">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
{% set page = addresses[row.group.place] if addresses else "" %}
<tr data-device="{{ row.group.device }}" data-marks="{{ row.marks }}" data-worst="{{ row.worst }}"><th scope="row">{% if page %}<a href="{{ page }}">{{ row.group.device or "no device" }}</a>{% else %}{{ row.group.device or "no device" }}{% endif %} <span class="tag">{{ row.group.software }}</span></th><td data-sort="{{ row.seconds }}"><span class="value">{{ row.baseline }}</span></td>
{% for cell in row.cells %}
{% if cell is none %}
<td><span class="muted">{{ "–" if table.short else "not measured" }}</span></td>
{% elif table.short %}
<td{% if cell.best %} class="best"{% endif %}{% if cell.ratio %} data-sort="{{ cell.ratio }}"{% endif %}><a href="{{ page }}#{{ cell.anchor }}">{% if cell.change.change %}<span class="badge {{ cell.change.verdict }}">{{ glyphs[cell.change.verdict] }} {{ cell.change.change }}</span>{% else %}{{ cell.missing }}{% endif %}</a>{% if cell.lost %} <span class="badge {{ cell.accuracy.verdict }}">{{ glyphs[cell.accuracy.verdict] }} {{ cell.accuracy.title }}</span>{% endif %}{% if cell.validity %} <span class="badge {{ cell.validity }}">{{ glyphs[cell.validity] }}</span>{% endif %}{% if cell.status and cell.status != "passed" %} <span class="badge {{ cell.status }}">{{ outcome_words[cell.status] }}</span>{% endif %}</td>
{% else %}
<td{% if cell.best %} class="best"{% endif %}{{ parts.raw(cell.change) }}><div class="cell"><a href="{{ page }}#{{ cell.anchor }}"><span class="value">{{ cell.change.change or cell.missing }}</span></a>{% if cell.change.change %}<span class="interval">{{ cell.change.change_interval }}</span>{{ parts.badge(cell.change.verdict, cell.change.verdict) }}{% endif %}{% if cell.accuracy %}<span class="second">{{ cell.accuracy.title }} {{ cell.accuracy.change }}</span>{{ parts.badge(cell.accuracy.verdict, cell.accuracy.verdict) }}{% endif %}{% if cell.best %}<span class="choice">named by the verdict</span>{% endif %}{% if cell.validity %} {{ parts.badge(cell.validity) }}{% endif %}{% if cell.status and cell.status != "passed" %} {{ parts.badge(cell.status, outcome_words[cell.status]) }}{% endif %}</div></td>
{% endif %}
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if table.short %}<p class="note">{% for word in ("improved", "regressed", "better", "worse", "equivalent", "inconclusive", "incomparable", "degraded", "invalid") %}{{ parts.badge(word) }} {% endfor %} Of so many cases only an accuracy that was lost is named here; intervals and the others stand on the page of each place.</p>{% endif %}
{% endfor %}
"""
#: Of more cells a table says in short what it says in full of fewer: the browser needs seconds for so much text.
_FULL: Final = 1500


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a table for each suite that was measured in several places or has a page of its own, None without any."""
    suites: dict[str, list[Group]] = {}
    for group in report.groups():
        suites.setdefault(group.suite, []).append(group)
    count = len(report.outcomes) or len(report.runs)
    tables = [
        _table(name, groups, short=count > _FULL)
        for name, groups in suites.items()
        if report.divided or len(groups) > 1
    ]
    return {"tables": tables} if tables else None


def _table(suite: str, groups: list[Group], *, short: bool) -> dict[str, Any]:
    # A baseline that gave no run has no run to say so.
    heads = {one.variant for group in groups for one in group.entries if one.is_baseline}
    variants = list(dict.fromkeys(one.variant for group in groups for one in group.entries if one.variant not in heads))
    members: dict[str, list[Group]] = {}
    for group in groups:
        members.setdefault(group.device, []).append(group)
    chosen = {device: headline.verdict(found).chosen for device, found in members.items()}
    rows = []
    for group in groups:
        own = {entry.variant: entry for entry in group.entries if not entry.is_baseline}
        cells = [
            _cell(own[name], group, best=own[name] is chosen[group.device]) if name in own else None
            for name in variants
        ]
        marks = dict.fromkeys(mark for entry in group.entries for mark in entry.marks)
        severe = sorted((severity(entry) for entry in group.entries), reverse=True)
        # The worst case decides; the sum of all orders rows whose worst cases are alike.
        worst = (severe[0] if severe else 0) * 10_000 + sum(severe)
        head = group.baseline
        run = head.run if head is not None and head.usable else None
        # Its own median latency, for ratios of different devices say nothing of their speeds.
        metric = wording.typical(run, "latency_p50_s") if run else "latency_p50_s"
        seconds = wording.cost(run, metric) if run else None
        shown = {"baseline": wording.value(metric, seconds), "seconds": "" if seconds is None else seconds}
        rows.append({"group": group, "cells": cells, "marks": " ".join(marks), "worst": worst, **shown})
    title = str(groups[0].settings.get("title") or suite)
    return {"title": title, "variants": variants, "rows": rows, "short": short}


def severity(entry: Entry) -> int:
    """Return how much a case asks for somebody's eyes: 0 for nothing, 6 for an error."""
    if entry.status in ("error", "failed"):
        return 6 if entry.status == "error" else 5
    if entry.run is not None and not entry.usable:
        return 4
    if evidence.regressed(entry):
        return 3
    found = entry.comparisons.get("latency_ratio")
    if found is not None and found.verdict is Verdict.REGRESSED:
        return 2
    return 1 if entry.run is not None and entry.run.validity is Validity.DEGRADED else 0


def _cell(entry: Entry, group: Group, *, best: bool) -> dict[str, Any]:
    found = entry.comparisons.get("latency_ratio") if entry.usable else None
    cell = wording.changed(wording.Cell("latency_ratio", "Latency", ""), found)
    if cell.ends:
        cell = replace(cell, number=cell.ends[0])
    judged = evidence.accuracy(entry, group) if entry.usable else None
    accuracy = None
    if judged is not None:
        name = evidence.inside(judged.metric)
        accuracy = wording.changed(wording.Cell(judged.metric, name, ""), judged)
    valid = entry.run is None or entry.run.validity is Validity.VALID
    return {
        "best": best, "change": cell, "anchor": entry.anchor, "status": entry.status, "accuracy": accuracy,
        "ratio": cell.number, "lost": accuracy is not None and accuracy.verdict in ("regressed", "worse"),
        "validity": "" if valid or entry.run is None else str(entry.run.validity),
        "missing": "no comparison" if entry.usable else "no result",
    }  # fmt: skip
