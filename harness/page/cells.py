"""A case as a row of a table: its costs and accuracies, each with its change against the baseline."""

from __future__ import annotations

from typing import Final

from harness.page import wording
from harness.page.report import Entry, Group

#: Costs of a row -> the ratio that compares each.
COSTS: Final = (("latency_p50_s", "latency_ratio"), ("peak_memory_bytes", "memory_ratio"), ("size_bytes", "size_ratio"))


def cells(entry: Entry, metrics: list[str], group: Group) -> list[wording.Cell]:
    """Return the cells of one row; a run that is invalid, or missing, has none.

    Args:
        entry: the row's case.
        metrics: accuracies to show.
        group: of the entry.
    """
    run = entry.run
    if run is None or not entry.usable:
        return []
    found = []
    for metric, ratio in COSTS:
        shown = wording.typical(run, metric)
        text, why = wording.value(shown, wording.cost(run, shown)), wording.absence(run, shown)
        within = wording.paths(run) if shown != metric else ""
        cell = wording.Cell(metric, wording.title(metric), text, within, reason=why, number=wording.cost(run, shown))
        found.append(wording.changed(cell, entry.comparisons.get(ratio)))
    for metric in metrics:
        level = run.accuracy.get(metric)
        number = level.point if wording.bounded(level) else None
        cell = wording.Cell(metric, group.called(metric), *wording.level(metric, level), number=number)
        found.append(wording.changed(cell, entry.comparisons.get(metric)))
    return found
