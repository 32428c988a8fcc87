"""Numbers and verdicts as the report says them: the metric's unit comes from the vocabulary, the text from units."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeGuard

import numpy as np

from harness import stats, units
from harness.model import Comparison, Estimate, Run, sentence
from harness.vocabulary import METRICS, PATHS, MetricInfo

GLYPHS: Final[Mapping[str, str]] = {
    "improved": "✓", "regressed": "✕", "better": "▴", "worse": "▾", "equivalent": "=", "inconclusive": "?",
    "incomparable": "∅",
    "passed": "✓", "failed": "✕", "error": "!", "xfailed": "≈", "xpassed": "?",
    "valid": "✓", "degraded": "△", "invalid": "✕", "baseline": "●",
}  # fmt: skip
OUTCOMES: Final[Mapping[str, str]] = {
    "passed": "passed", "failed": "failed", "error": "error", "xfailed": "known failure",
    "xpassed": "unexpected pass",
}  # fmt: skip


#: What has no place in a page: control characters, those that turn the direction of what follows, halves of surrogate
#: pairs and code points that are no characters. Some of them end the whole process that draws a chart.
_UNREADABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
    + "]"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of one run as it stands in a table: its own value and how it changed against the baseline.

    `reason` says why there is no value; `note` is what must be known of the comparison and stands below the table.
    `number` is the value in SI, `ends` are point, low and high of the change: what a spreadsheet gets.
    """

    metric: str
    title: str
    value: str
    interval: str = ""
    change: str = ""
    change_interval: str = ""
    verdict: str = ""
    reason: str = ""
    note: str = ""
    number: float | None = None
    ends: tuple[float, float, float] | None = None


def readable(text: str) -> str:
    """Return a text with U+FFFD in place of what no page and no chart can hold: people may write anything."""
    # Of a whole page only its letters are looked at first, which takes a fifth of the time.
    return _UNREADABLE.sub("\ufffd", text) if _UNREADABLE.search("".join(set(text))) else text


def isolated(text: str) -> str:
    """Return a name that turns nothing around it: one with letters that run from right to left is set apart by marks.

    In U+2068 and U+2069 it has a direction of its own (Unicode Standard Annex #9), also inside a sentence or a drawing.
    """
    turns = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)
    return f"\u2068{text}\u2069" if turns else text


def info(metric: str) -> MetricInfo:
    """Return what the vocabulary says of a metric; one it does not know is shown under its own name."""
    known = METRICS.get(metric)
    return known or MetricInfo(metric, metric.replace("_", " "), "", "accuracy", False)


#: Metrics that speak of the positive class.
_OF_ONE_CLASS: Final = (
    "sensitivity", "specificity", "precision", "f1", "sensitivity_at_specificity", "specificity_at_sensitivity",
)  # fmt: skip


def title(metric: str, positive: str = "", at: float | None = None) -> str:
    """Return a metric's title; sensitivity and specificity name the class they speak of.

    Args:
        metric: its name.
        positive: the class that the suite names, "" for none.
        at: the number of the suite that the metric depends on, None for one that depends on none.
    """
    text = info(metric).title
    if at is not None:
        text = text.replace("the given", units.human(at, "%"))
    return f"{text} ({positive})" if positive and metric in _OF_ONE_CLASS else text


def cost(run: Run, metric: str) -> float | None:
    """Return one cost of a run (SI), or None if it is absent or has too few samples for its percentile."""
    return _statistic(_Same(run), metric)[0]


class _Same:
    """A run as a key: equal to itself alone, for comparing arrays would take longer than what is looked up."""

    __slots__ = ("run",)

    def __init__(self, run: Run) -> None:
        self.run = run

    def __hash__(self) -> int:
        return id(self.run)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.run is self.run


@lru_cache(maxsize=2048)  # all numbers of some hundred runs; each is asked for by several sections
def _statistic(key: _Same, metric: str) -> tuple[float | None, str, str]:
    return stats.statistic(key.run, metric)


def typical(run: Run, metric: str) -> str:
    """Return the metric that stands for another one: a median is half of the story where time depends on the image."""
    return "latency_mean_s" if metric == "latency_p50_s" and PATHS in run.notes else metric


def paths(run: Run) -> str:
    """Return what a run's latency is of where its time depends on the image, "" for any other."""
    if PATHS not in run.notes or absence(run, "latency_mean_s"):
        return ""
    if len(run.notes[PATHS]["shares"]) == 1:
        return "every image goes the same way through it"
    shares = " and ".join(units.whole_percent(share) for share in run.notes[PATHS]["shares"].values())
    worst = value("latency_worst_s", cost(run, "latency_worst_s"))
    return f"mean image; the slowest way takes {worst}, and {shares} of the images take each"


def absence(run: Run, metric: str) -> str:
    """Return why a run has no such cost, "" if it has one."""
    return _statistic(_Same(run), metric)[2]


def reading(run: Run, name: str) -> str:
    """Return the median of a measurement that the vocabulary does not hold, with its unit."""
    found = run.measurements.get(name)
    if found is None or found.absent_reason or not len(found.values):
        return units.ABSENT
    return units.human(float(np.median(found.values)), found.unit)


def methods(runs: Iterable[Run], name: str) -> str:
    """Return by what clocks or meters a measurement was read."""
    found = dict.fromkeys(run.measurements[name].method for run in runs if name in run.measurements)
    return ", ".join(method for method in found if method)


def remark(comparison: Comparison) -> str:
    """Return what must be known of a comparison; what the page says elsewhere (quick, why degraded) is left out."""
    degraded = [one.name for one in comparison.circumstances if one.detail]
    return sentence((*comparison.reasons, *degraded))


def bounded(estimate: Estimate | None) -> TypeGuard[Estimate]:
    """Return True if there is an estimate, and it and both ends of its interval are finite."""
    return estimate is not None and units.bounded(estimate)


def factor(estimate: Estimate | None) -> TypeGuard[Estimate]:
    """Return True if an estimate is bounded and above zero, so that a logarithmic axis has a place for all of it."""
    return bounded(estimate) and min(estimate.low, estimate.point) > 0


def value(metric: str, number: float | None) -> str:
    """Return a metric's value with its unit."""
    return units.human(number, info(metric).unit)


def level(metric: str, estimate: Estimate | None) -> tuple[str, str]:
    """Return a metric's value and its interval, which are read together: in one unit, with the same decimals."""
    return units.level(info(metric).unit, estimate)


def change(metric: str, number: float | None) -> str:
    """Return a change against the baseline: a ratio for costs, points or a plain difference for accuracies."""
    return units.change(info(metric).kind, info(metric).unit, number)


def full_change(comparison: Comparison) -> str:
    """Return a change with its interval in one line: `0.47× (0.45–0.49×)`."""
    if comparison.change is None:
        return comparison.reason or units.ABSENT
    described = info(comparison.metric)
    return units.full_change(described.kind, described.unit, comparison.change)


def changed(cell: Cell, comparison: Comparison | None) -> Cell:
    """Return a cell that also says how it changed, and what must be known of that."""
    if comparison is None:
        return cell
    described, note = info(comparison.metric), remark(comparison)
    point, within = units.change_with_interval(described.kind, described.unit, comparison.change)
    return replace(
        cell,
        change=point if comparison.change else "",
        change_interval=within,
        ends=(one.point, one.low, one.high) if bounded(one := comparison.change) else None,
        verdict=str(comparison.verdict),
        note="" if note == cell.reason or (cell.reason in note and cell.reason) else note,
    )


def numbered(cells: Iterable[Cell]) -> Mapping[str, int]:
    """Return the notes of a table's cells with their numbers, in the order in which they come."""
    notes = dict.fromkeys(cell.note for cell in cells if cell.note)
    return {note: number for number, note in enumerate(notes, 1)}
