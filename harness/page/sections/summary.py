"""Variants against their baseline: every metric with change, interval and verdict, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import units
from harness.page import wording
from harness.page.report import Entry, Group, Report

ORDER = 20
TITLE = "Summary"
COSTS = (("latency_p50_s", "latency_ratio"), ("peak_memory_bytes", "memory_ratio"), ("size_bytes", "size_ratio"))
ACCURACIES = ("sensitivity", "specificity", "accuracy", "dice", "iou", "hausdorff")


def context(report: Report) -> Mapping[str, Any]:
    """Return a table for each device and runtime."""
    tables = []
    for group in report.groups():
        metrics = accuracies(group)
        titles = [wording.title(cost) for cost, _ in COSTS] + [wording.title(name, group.positive) for name in metrics]
        rows: list[dict[str, Any]]
        rows = [{"entry": one, "cells": cells(one, metrics, group), "message": message(one)} for one in group.entries]
        notes = wording.numbered(cell for row in rows for cell in row["cells"])
        tables.append({"group": group, "titles": titles, "rows": rows, "notes": notes})
    return {"tables": tables, "confidence": confidence(report)}


def confidence(report: Report) -> str:
    """Return the confidence of the intervals, all of them if they differ."""
    changes = [one.change for one in report.comparisons if one.change and one.change.low < one.change.high]
    levels = [estimate for run in report.runs for estimate in run.accuracy.values()]
    return " or ".join(units.whole_percent(level) for level in sorted({one.confidence for one in (*changes, *levels)}))


def message(entry: Entry) -> str:
    """Return how the case ended in words, "" where the lines of its judgement say so already."""
    if entry.outcome is None:
        return ""
    broken = [judgement.message for judgement in entry.outcome.judgements if not judgement.passed]
    repeats = entry.outcome.status == "failed" and broken and all(text in entry.outcome.message for text in broken)
    return "" if repeats else entry.outcome.message


def accuracies(group: Group) -> list[str]:
    """Return up to three accuracies for the table: those the suite bounds, then the usual ones."""
    bounded = [str(line["metric"]) for line in group.settings.get("accept", ())]
    have = {name for entry in group.measured if entry.run for name in entry.run.accuracy}
    wanted = [name for name in (*bounded, *ACCURACIES) if name in have]
    return list(dict.fromkeys(wanted))[:3]


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
        text = wording.value(metric, wording.cost(run, metric))
        cell = wording.Cell(metric, wording.title(metric), text, reason=wording.absence(run, metric))
        found.append(wording.changed(cell, entry.comparisons.get(ratio)))
    for metric in metrics:
        estimate = run.accuracy.get(metric)
        text = wording.value(metric, estimate.point if estimate else None)
        cell = wording.Cell(metric, wording.title(metric, group.positive), text, wording.spread(metric, estimate))
        found.append(wording.changed(cell, entry.comparisons.get(metric)))
    return found
