"""Cold start: how long a user waits for the first answer of a fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from harness import units
from harness.model import FloatArray, Run
from harness.page import charts, wording
from harness.page.report import Entry, Group, Report

ORDER = 70
TITLE = "Cold start"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("cold", "Cold start") }}
<p class="lead">What a user waits for the first answer of a fresh process.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
<figure>{{ one.chart }}
<figcaption>Medians over fresh processes; the line spans the fastest and the slowest start, all parts together.{% if one.cache %} Page cache: {{ one.cache }}{% if one.titles|length > 3 %}; evicted: the model's file was dropped from it just before, the runtime was not{% endif %}.{% endif %}{% if one.reasons %} No evicted starts: {{ one.reasons }}.{% endif %}</figcaption></figure>
<div class="scroll" tabindex="0" role="region" aria-label="Cold start{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>Cold start, with the change against the baseline; small figures: the fastest and the slowest start</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Starts</th>{% for title in one.titles %}<th scope="col">{{ title }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th><td>{{ row.starts }}</td>{% for cell in row.cells %}<td><div class="cell">{{ parts.cell(cell, one.notes) }}</div></td>{% endfor %}{% for text in row.others %}<td>{{ text }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{{ parts.notes(one.notes) }}
{% endcall %}
{% endfor %}
"""
PARTS: Final = ("process_start_s", "load_s", "first_inference_s")
#: The same with the model's file dropped from the page cache just before -> its title.
EVICTED: Final = {"load_evicted_s": "Model load, evicted", "first_inference_evicted_s": "First inference, evicted"}
RATIOS: Final = {"process_start_s": "", "load_s": "load_ratio", "first_inference_s": "first_inference_ratio"}


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart and a table for each group with cold starts."""
    figures = []
    for group in report.groups():
        entries = [entry for entry in group.measured if _numbers(entry)]
        if entries:
            runs = [entry.run for entry in entries if entry.run]
            evicted = [name for name in EVICTED if any(name in run.measurements for run in runs)]
            rows = [_row(entry, evicted) for entry in entries]
            titles = [*(wording.title(part) for part in PARTS), *(EVICTED[name] for name in evicted)]
            figures.append({
                "group": group, "chart": _chart(entries, group), "rows": rows, "titles": titles, "cache": _cache(runs),
                "notes": wording.numbered(cell for row in rows for cell in row["cells"]),
                "reasons": _reasons(runs, evicted),
            })  # fmt: skip
    return {"figures": figures} if figures else None


def _cache(runs: list[Run]) -> str:
    """Return what the page cache held while the times of the first three columns were taken."""
    states = dict.fromkeys(state for run in runs for state in str(run.notes.get("page_cache", "")).split(", "))
    return ", ".join(state for state in states if state not in ("", "evicted"))


def _reasons(runs: list[Run], evicted: list[str]) -> str:
    """Return why there are no evicted starts where there are none."""
    found = dict.fromkeys(
        run.measurements[name].absent_reason for run in runs for name in evicted if name in run.measurements
    )
    return "; ".join(reason for reason in found if reason)


def _numbers(entry: Entry) -> dict[str, float]:
    found = {part: wording.cost(entry.run, part) for part in PARTS} if entry.run else {}
    return {part: number for part, number in found.items() if number is not None}


def _row(entry: Entry, evicted: list[str]) -> Mapping[str, Any]:
    assert entry.run is not None  # an entry with numbers has a run
    numbers, cells = _numbers(entry), []
    for part in PARTS:
        cell = wording.Cell(part, wording.title(part), wording.value(part, numbers.get(part)), _span(entry.run, part))
        cells.append(wording.changed(cell, entry.comparisons.get(RATIOS[part])))
    starts = max(len(entry.run.measurements[part].values) for part in numbers)
    others = [wording.reading(entry.run, name) for name in evicted]
    return {"entry": entry, "cells": cells, "others": others, "starts": units.count(starts)}


def _span(run: Run, part: str) -> str:
    """Return the fastest and the slowest start of a part, "" where there is one alone."""
    found = run.measurements.get(part)
    if found is None or found.absent_reason or len(found.values) < 2 or not np.isfinite(found.values).all():
        return ""
    return units.span(float(found.values.min()), float(found.values.max()), "s")


def _totals(run: Run) -> FloatArray:
    """Return how long each start took with all its parts, s; none where not every start has every part."""
    found = [run.measurements[part].values for part in PARTS if part in run.measurements]
    alike = len(found) == len(PARTS) and len({len(values) for values in found}) == 1
    return np.sum(found, axis=0) if alike and np.isfinite(found).all() else np.empty(0)


def _chart(entries: list[Entry], group: Group) -> Any:
    totals = {entry.variant: _totals(entry.run) for entry in entries if entry.run}
    largest = max(max([sum(_numbers(entry).values()), *totals[entry.variant]]) for entry in entries)
    divisor, unit = units.scale("s", largest)
    rows, parts = [], []
    for entry in entries:
        numbers = _numbers(entry)
        own, text = totals[entry.variant], units.human(sum(numbers.values()), "s")
        if len(own) > 1:
            low, high = float(own.min()), float(own.max())
            spread = {"low": low / divisor, "high": high / divisor}
            rows.append({"variant": entry.variant, "text": f"{text} ({units.span(low, high, 's')})", **spread})
        else:
            rows.append({"variant": entry.variant, "text": text})
        for order, (part, number) in enumerate(numbers.items()):
            name, text = wording.title(part), units.human(number, "s")
            piece = {"variant": entry.variant, "part": name, "order": order, "value": number / divisor}
            parts.append({**piece, "hover": f"{entry.variant}: {name.lower()} {text}"})
    draw = charts.stacked(rows, parts, title=f"time to the first answer, {unit}", aside="sum of medians")
    said = ". ".join(f"{row['variant']}: {row['text']}" for row in rows)
    return charts.figure(draw, alt=f"Time to the first answer, {group.title}. {said}")
