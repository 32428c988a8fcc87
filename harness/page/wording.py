"""Numbers and verdicts as the report says them: the metric's unit comes from the vocabulary, the text from units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness import units
from harness.model import Comparison, Estimate, Measurement, Run
from harness.vocabulary import METRICS, MetricInfo

#: Percentiles are shown only with enough samples for a 99 % bound (LoadGen's early stopping).
ENOUGH: Final[Mapping[str, int]] = {"p50": 1, "p90": 64, "p99": 662}
GLYPHS: Final[Mapping[str, str]] = {
    "improved": "✓", "regressed": "✕", "equivalent": "=", "inconclusive": "?", "incomparable": "∅",
    "passed": "✓", "failed": "✕", "error": "!", "xfailed": "≈", "xpassed": "?",
    "valid": "✓", "degraded": "△", "invalid": "✕", "baseline": "●",
}  # fmt: skip
OUTCOMES: Final[Mapping[str, str]] = {
    "passed": "passed", "failed": "failed", "error": "error", "xfailed": "known failure",
    "xpassed": "unexpected pass",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of one run as it stands in a table: its own value and how it changed against the baseline."""

    metric: str
    title: str
    value: str
    interval: str = ""
    change: str = ""
    change_interval: str = ""
    verdict: str = ""
    reason: str = ""


def info(metric: str) -> MetricInfo:
    """Return what the vocabulary says of a metric; one it does not know is shown under its own name."""
    known = METRICS.get(metric)
    return known or MetricInfo(metric, metric.replace("_", " "), "", "accuracy", False)


def title(metric: str, positive: str = "") -> str:
    """Return a metric's title; sensitivity and specificity name the class they speak of."""
    text = info(metric).title
    return f"{text} ({positive})" if positive and metric in ("sensitivity", "specificity", "precision", "f1") else text


def cost(run: Run, metric: str) -> float | None:
    """Return one cost of a run (SI), or None if it is absent or has too few samples for its percentile."""
    if metric == "size_bytes":
        size = run.variant.get("size_bytes")
        return None if size is None else float(size)
    described = info(metric)
    measurement = run.measurements.get(described.measurement)
    return None if measurement is None else reduced(measurement, described.reduce)


def reduced(measurement: Measurement, how: str) -> float | None:
    """Return raw values as one number, `how` as in `MetricInfo.reduce`."""
    values = measurement.values
    if not len(values) or measurement.absent_reason or len(values) < ENOUGH.get(how, 1):
        return None
    if how == "max":
        return float(values.max())
    share = {"p90": 0.9, "p99": 0.99}.get(how, 0.5)
    return float(np.quantile(values, share))


def absence(run: Run, metric: str) -> str:
    """Return why a run has no such cost, "" if it has one."""
    if cost(run, metric) is not None:
        return ""
    measurement = run.measurements.get(info(metric).measurement)
    if measurement is None:
        return "not measured"
    few = f"too few samples ({units.count(len(measurement.values))})"
    return measurement.absent_reason or (few if len(measurement.values) else "no samples")


def value(metric: str, number: float | None) -> str:
    """Return a metric's value with its unit."""
    return units.human(number, info(metric).unit)


def spread(metric: str, estimate: Estimate | None) -> str:
    """Return the interval of a metric's value."""
    return "" if estimate is None else units.span(estimate.low, estimate.high, info(metric).unit)


def change(metric: str, number: float | None) -> str:
    """Return a change against the baseline: a ratio for costs, points or a plain difference for accuracies."""
    described = info(metric)
    if described.kind == "ratio":
        return units.times(number)
    return units.points(number) if described.unit == "%" else units.index_change(number)


def change_spread(metric: str, estimate: Estimate | None) -> str:
    """Return the interval of a change against the baseline, "" where the change is known exactly."""
    if estimate is None or estimate.low == estimate.high:
        return ""
    described = info(metric)
    if described.kind == "ratio":
        return units.times_span(estimate.low, estimate.high)
    if described.unit == "%":
        return units.points_span(estimate.low, estimate.high)
    return units.index_span(estimate.low, estimate.high)


def full_change(comparison: Comparison) -> str:
    """Return a change with its interval in one line: `0.47× (0.45–0.49×)`."""
    if comparison.change is None:
        return comparison.reason or units.ABSENT
    within = change_spread(comparison.metric, comparison.change)
    point = change(comparison.metric, comparison.change.point)
    return f"{point} ({within})" if within else point


def changed(cell: Cell, comparison: Comparison | None) -> Cell:
    """Return a cell that also says how it changed."""
    if comparison is None:
        return cell
    estimate = comparison.change
    return Cell(
        cell.metric, cell.title, cell.value, cell.interval,
        change(comparison.metric, estimate.point) if estimate else "",
        change_spread(comparison.metric, estimate), str(comparison.verdict), comparison.reason,
    )  # fmt: skip
