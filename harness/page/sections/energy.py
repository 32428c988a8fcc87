"""Energy per inference, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import units
from harness.page import charts, wording
from harness.page.report import Entry, Group, Report

ORDER = 90
TITLE = "Energy"


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart and a table for each group with joules, and each reason for absence once."""
    figures = []
    reasons: dict[str, list[str]] = {}
    for group in report.groups():
        known = [entry for entry in group.measured if entry.run and wording.cost(entry.run, "energy_j") is not None]
        for entry in group.measured:
            if entry.run and entry not in known:
                places = reasons.setdefault(wording.absence(entry.run, "energy_j"), [])
                places.append(group.title)
        if known:
            rows = [_row(entry) for entry in known]
            notes = wording.numbered(row["cell"] for row in rows)
            figures.append({"group": group, "rows": rows, "notes": notes, "chart": _chart(known, group)})
    absent = [(reason, ", ".join(dict.fromkeys(places))) for reason, places in reasons.items()]
    return {"figures": figures, "absent": absent} if figures or absent else None


def _row(entry: Entry) -> Mapping[str, Any]:
    assert entry.run is not None  # known entries have a run
    measurement = entry.run.measurements["energy_j"]
    cell = wording.Cell(
        "energy_j", wording.title("energy_j"), wording.value("energy_j", wording.cost(entry.run, "energy_j"))
    )
    return {
        "entry": entry, "cell": wording.changed(cell, entry.comparisons.get("energy_ratio")),
        "net": wording.reading(entry.run, "energy_net_j"), "method": measurement.method,
        "estimated": measurement.estimated,
    }  # fmt: skip


def _chart(entries: list[Entry], group: Group) -> Any:
    numbers = [wording.cost(entry.run, "energy_j") or 0.0 for entry in entries if entry.run]
    divisor, unit = units.scale("J", max(numbers))
    rows = []
    for entry, number in zip(entries, numbers, strict=True):
        found, text = entry.comparisons.get("energy_ratio"), units.human(number, "J")
        state = "baseline" if entry.is_baseline else str(found.verdict) if found else "incomparable"
        row = {"variant": entry.variant, "value": number / divisor, "state": state, "text": text}
        rows.append({**row, "hover": f"{entry.variant}: {text}"})
    draw = charts.bars(rows, title=f"energy of one inference, {unit}")
    return charts.figure(draw, alt=f"Energy per inference, {group.title}. " + ". ".join(str(r["hover"]) for r in rows))
