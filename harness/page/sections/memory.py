"""Memory and size: what a variant takes on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from harness import units
from harness.model import Run
from harness.page import charts, wording
from harness.page.report import Entry, Group, Report

ORDER = 60
TITLE = "Memory and size"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("memory", "Memory and size") }}
{% for one in figures %}
{% call parts.place(one.group) %}
<figure class="pair">{% for chart in one.charts %}<div>{{ chart }}</div>{% endfor %}
<figcaption>Peak memory is the largest of fresh processes that loaded the model and ran it{% if one.methods %} ({{ one.methods }}){% endif %}{% if one.shares %}; proportional memory ({{ one.shares }}) counts what processes share by its part{% endif %}{% if one.growths %}; growth is that of {{ one.growths }}{% endif %}; size is that of the model's file.{% if one.parted %} What the peak is made of: the medians of both growths, and the rest: the process with its runtime before the model was loaded and what was held for a short time.{% endif %} Small figures in the table are the least and the most of the processes.</figcaption></figure>
<div class="scroll" tabindex="0" role="region" aria-label="Memory and size{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>Memory and size, with the change against the baseline</span></caption>
<thead><tr><th scope="col">Variant</th>{% for title in one.titles %}<th scope="col">{{ title }}</th>{% endfor %}</tr></thead>
<tbody>{% for entry, cells, others in one.rows %}<tr{% if entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ entry.variant }}</th>{% for cell in cells %}<td><div class="cell">{{ parts.cell(cell, one.notes) }}</div></td>{% endfor %}{% for text in others %}<td>{{ text }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{{ parts.notes(one.notes) }}
{% endcall %}
{% endfor %}
"""
#: What else was read of a process' memory -> its title.
OTHER: Final = {
    "load_growth_bytes": "Growth from loading", "inference_growth_bytes": "Growth from inference", "swap_bytes": "Swap"
}  # fmt: skip
RATIOS: Final = {"peak_memory_bytes": "memory_ratio", "size_bytes": "size_ratio", "peak_pss_bytes": ""}


def context(report: Report) -> Mapping[str, Any] | None:
    """Return two charts and a table for each group with sizes or memory."""
    figures = []
    for group in report.groups():
        runs = [entry.run for entry in group.measured if entry.run]
        if not runs:
            continue
        others = [name for name in OTHER if any(wording.reading(run, name) != units.ABSENT for run in runs)]
        rows = [
            (entry, [_cell(entry, metric) for metric in RATIOS], _others(entry, others)) for entry in group.measured
        ]
        parted = all(_parts(run) for run in runs)
        peak = _anatomy(group) if parted else _chart(group, "peak_memory_bytes")
        drawn = [peak, _chart(group, "size_bytes")]
        figures.append({
            "group": group, "parted": parted, "charts": [one for one in drawn if one], "rows": rows,
            "notes": wording.numbered(cell for _, cells, _ in rows for cell in cells),
            "titles": [*(wording.title(metric) for metric in RATIOS), *(OTHER[name] for name in others)],
            "methods": wording.methods(runs, "peak_memory_bytes"),
            "growths": wording.methods(runs, "load_growth_bytes"),
            "shares": wording.methods(runs, "peak_pss_bytes"),
        })  # fmt: skip
    return {"figures": figures} if figures else None


def _others(entry: Entry, names: list[str]) -> list[str]:
    return [wording.reading(entry.run, name) for name in names] if entry.run else []


def _cell(entry: Entry, metric: str) -> wording.Cell:
    assert entry.run is not None  # measured entries have a run
    text = wording.value(metric, wording.cost(entry.run, metric))
    cell = wording.Cell(
        metric, wording.title(metric), text, _span(entry.run, metric), reason=wording.absence(entry.run, metric)
    )
    return wording.changed(cell, entry.comparisons.get(RATIOS[metric]))


def _span(run: Run, metric: str) -> str:
    """Return the least and the most of the processes that were measured, "" where they are the same or there is one."""
    found = run.measurements.get(metric)
    if found is None or found.absent_reason or not len(found.values) or not np.isfinite(found.values).all():
        return ""
    low, high = float(found.values.min()), float(found.values.max())
    return units.span(low, high, "B") if low < high else ""


def _parts(run: Run) -> list[tuple[str, float]]:
    """Return what the peak of a process is made of, in bytes; nothing where it was not measured or does not add up."""
    found = [run.measurements.get(name) for name in ("load_growth_bytes", "inference_growth_bytes")]
    growths = [float(np.median(one.values)) for one in found if one and not one.absent_reason and len(one.values)]
    peak = wording.cost(run, "peak_memory_bytes")
    if peak is None or len(growths) < len(found) or min(growths) < 0 or not sum(growths) <= peak:
        return []
    return [
        ("process and rest", peak - sum(growths)),
        ("model load", growths[0]),
        ("inference", growths[1]),
    ]


def _anatomy(group: Group) -> Any:
    entries = [(entry, _parts(entry.run)) for entry in group.measured if entry.run]
    divisor, unit = units.scale("B", max(sum(size for _, size in parts) for _, parts in entries))
    rows, pieces = [], []
    for entry, parts in entries:
        found = entry.comparisons.get(RATIOS["peak_memory_bytes"])
        relative = f" · {units.times(found.change.point)}" if found and found.change else ""
        text = wording.value("peak_memory_bytes", sum(size for _, size in parts))
        rows.append({"variant": entry.variant, "text": f"{text}{relative}"})
        for order, (name, size) in enumerate(parts):
            piece = {"variant": entry.variant, "part": name, "order": order, "value": size / divisor}
            pieces.append({**piece, "hover": f"{entry.variant}: {name} {units.human(size, 'B')}"})
    name = wording.title("peak_memory_bytes")
    draw = charts.stacked(rows, pieces, title=f"{name.lower()}, {unit}")
    said = ". ".join([*(f"{row['variant']}: {row['text']}" for row in rows), *(str(one["hover"]) for one in pieces)])
    return charts.figure(draw, alt=f"{name}, {group.title}. {said}")


def _chart(group: Group, metric: str) -> Any:
    numbers = [(entry, wording.cost(entry.run, metric)) for entry in group.measured if entry.run]
    known = [(entry, number) for entry, number in numbers if number is not None]
    if not known:
        return ""
    divisor, unit = units.scale("B", max(number for _, number in known))
    name = wording.title(metric)
    rows = []
    for entry, number in known:
        found = entry.comparisons.get(RATIOS[metric])
        state = "baseline" if entry.is_baseline else str(found.verdict) if found else "incomparable"
        text = wording.value(metric, number)
        relative = f" · {units.times(found.change.point)}" if found and found.change else ""
        hover = f"{entry.variant}: {text}{relative}"
        shown = {"variant": entry.variant, "value": number / divisor, "state": state}
        rows.append({**shown, "text": f"{text}{relative}", "hover": hover})
    draw = charts.bars(rows, title=f"{name.lower()}, {unit}", heading=name)
    return charts.figure(draw, alt=f"{name}, {group.title}. " + ". ".join(str(row["hover"]) for row in rows))
