"""Cold start: how long a user waits for the first answer of a fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness import units
from harness.page import charts, wording
from harness.page.report import Entry, Group, Report

ORDER = 70
TITLE = "Cold start"
PARTS: Final = ("process_start_s", "load_s", "first_inference_s")
RATIOS: Final = {"process_start_s": "", "load_s": "load_ratio", "first_inference_s": "first_inference_ratio"}


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart and a table for each group with cold starts."""
    figures = []
    for group in report.groups():
        entries = [entry for entry in group.measured if _numbers(entry)]
        if entries:
            rows = [_row(entry) for entry in entries]
            notes = wording.numbered(cell for row in rows for cell in row["cells"])
            caches = dict.fromkeys(str(one.run.notes.get("page_cache", "")) for one in entries if one.run)
            cache = ", ".join(text for text in caches if text)
            figures.append(
                {"group": group, "chart": _chart(entries, group), "rows": rows, "cache": cache, "notes": notes}
            )
    return {"figures": figures, "titles": [wording.title(part) for part in PARTS]} if figures else None


def _numbers(entry: Entry) -> dict[str, float]:
    found = {part: wording.cost(entry.run, part) for part in PARTS} if entry.run else {}
    return {part: number for part, number in found.items() if number is not None}


def _row(entry: Entry) -> Mapping[str, Any]:
    assert entry.run is not None  # an entry with numbers has a run
    numbers, cells = _numbers(entry), []
    for part in PARTS:
        cell = wording.Cell(part, wording.title(part), wording.value(part, numbers.get(part)))
        cells.append(wording.changed(cell, entry.comparisons.get(RATIOS[part])))
    starts = max(len(entry.run.measurements[part].values) for part in numbers)
    return {"entry": entry, "cells": cells, "starts": units.count(starts)}


def _chart(entries: list[Entry], group: Group) -> Any:
    largest = max(sum(_numbers(entry).values()) for entry in entries)
    divisor, unit = units.scale("s", largest)
    rows, parts = [], []
    for entry in entries:
        numbers = _numbers(entry)
        rows.append({"variant": entry.variant, "text": units.human(sum(numbers.values()), "s")})
        for order, (part, number) in enumerate(numbers.items()):
            name, text = wording.title(part), units.human(number, "s")
            piece = {"variant": entry.variant, "part": name, "order": order, "value": number / divisor}
            parts.append({**piece, "hover": f"{entry.variant}: {name.lower()} {text}"})
    draw = charts.stacked(rows, parts, title=f"time to the first answer, {unit} (sum of medians)")
    said = ". ".join(f"{row['variant']}: {row['text']}" for row in rows)
    return charts.figure(draw, alt=f"Time to the first answer, {group.title}. {said}")
