"""Every place at a glance: one row a device and runtime, one column a variant, where there is more than one device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.page import wording
from harness.page.report import Entry, Group, Report

ORDER = 15
TITLE = "Places"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("places", "Every place at a glance") }}
<p class="lead">The latency of each variant relative to the baseline of the same device and runtime, and how its case ended{% if addresses %}. Details of each device stand on pages of their own, which the names in the first column lead to.{% else %}; the rest of this page goes through the places one by one.{% endif %}</p>
{% for table in tables %}
<div class="scroll{{ " many" if addresses }}" tabindex="0" role="region" aria-label="Latency by place">
<table class="dense">
<caption><span>{{ table.title }}: latency relative to the baseline of the place</span></caption>
<thead><tr><th scope="col">Device and runtime</th><th scope="col">Baseline</th>{% for name in table.variants %}<th scope="col" class="head">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr><th scope="row">{% if addresses %}<a href="{{ addresses[row.group.place] }}">{{ row.group.device or "no device" }}</a>{% else %}{{ row.group.device }}{% endif %} <span class="tag">{{ row.group.software }}</span></th><td><span class="value">{{ row.baseline }}</span></td>
{% for cell in row.cells %}
{% if addresses %}
<td>{% if cell is none %}–{% elif cell.change.change %}<span class="badge {{ cell.change.verdict }}">{{ glyphs[cell.change.verdict] }} {{ cell.change.change }}</span>{% else %}{{ "no comparison" if cell.usable else "no result" }}{% endif %}{% if cell and cell.status and cell.status != "passed" %} <span class="badge {{ cell.status }}">{{ outcome_words[cell.status] }}</span>{% endif %}</td>
{% else %}
<td>{% if cell is none %}<span class="muted">not measured</span>{% else %}<div class="cell">{% if cell.change.change %}<span class="value">{{ cell.change.change }}</span><span class="interval">{{ cell.change.change_interval }}</span>{{ parts.badge(cell.change.verdict, cell.change.verdict) }}{% else %}<span class="muted">{{ "no comparison" if cell.usable else "no result" }}</span>{% endif %}{% if cell.status and cell.status != "passed" %} {{ parts.badge(cell.status, outcome_words[cell.status]) }}{% endif %}</div>{% endif %}</td>
{% endif %}
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if addresses %}<p class="note">{% for word in ("improved", "regressed", "equivalent", "inconclusive", "incomparable") %}{{ parts.badge(word) }} {% endfor %} The intervals stand on the page of each place.</p>{% endif %}
{% endfor %}
"""


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a table for each suite that was measured on several devices or has a page of its own, None without any."""
    suites: dict[str, list[Group]] = {}
    for group in report.groups():
        suites.setdefault(group.suite, []).append(group)
    tables = [
        _table(name, groups)
        for name, groups in suites.items()
        if report.divided or len({group.device for group in groups}) > 1
    ]
    return {"tables": tables} if tables else None


def _table(suite: str, groups: list[Group]) -> dict[str, Any]:
    variants = list(dict.fromkeys(one.variant for group in groups for one in group.entries if not one.is_baseline))
    rows = []
    for group in groups:
        own = {entry.variant: entry for entry in group.entries if not entry.is_baseline}
        cells = [_cell(own[name]) if name in own else None for name in variants]
        rows.append({"group": group, "baseline": _baseline(group), "cells": cells})
    title = str(groups[0].settings.get("title") or suite)
    return {"title": title, "variants": variants, "rows": rows}


def _baseline(group: Group) -> str:
    """Return the baseline's own median latency, for ratios of different devices say nothing of their speeds."""
    head = group.baseline
    run = head.run if head is not None and head.usable else None
    metric = wording.typical(run, "latency_p50_s") if run else "latency_p50_s"
    return wording.value(metric, wording.cost(run, metric) if run else None)


def _cell(entry: Entry) -> dict[str, Any]:
    status = entry.outcome.status if entry.outcome else ""
    found = entry.comparisons.get("latency_ratio") if entry.usable else None
    cell = wording.changed(wording.Cell("latency_ratio", "Latency", ""), found)
    return {"change": cell, "status": status, "usable": entry.usable}
