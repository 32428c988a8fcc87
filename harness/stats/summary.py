"""One number of a run, or the reason why there is none: what tables, exports, judgements and reports all show."""

from __future__ import annotations

import numpy as np

from harness.model import Measurement, Run
from harness.stats.quantiles import percentile, samples_needed
from harness.vocabulary import MEAN_IMAGE, METRICS, PATHS, WORST_IMAGE, MetricInfo

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def statistic(run: Run, metric: str) -> tuple[float | None, str, str]:
    """Return one number of a run: the value or None, its unit, and why there is none.

    Args:
        run: the run.
        metric: a cost or an accuracy of `harness.vocabulary.METRICS`; costs are SI, accuracies 0..1 or pixels.
    """
    info = METRICS.get(metric)
    if info is None:
        return None, "", f"there is no metric {metric!r}"
    if info.kind == "ratio":
        return None, info.unit, "a ratio belongs to a comparison, not to one run"
    if info.kind == "accuracy":
        estimate = run.accuracy.get(metric)
        return (estimate.point, info.unit, "") if estimate else (None, info.unit, _no_accuracy(run, metric))
    if metric == "size_bytes":
        size = run.variant.size_bytes
        return (float(size), info.unit, "") if size else (None, info.unit, "the size of the model file is not recorded")
    if info.measurement in (MEAN_IMAGE, WORST_IMAGE) and PATHS not in run.notes:
        info = METRICS["latency_p50_s"]  # every image takes the same
    value, reason = _reduced(run, info)
    return value, info.unit, reason


def _no_accuracy(run: Run, metric: str) -> str:
    if metric == "reference_agreement":
        return absence(run.measurements.get("reference_difference")) or "not measured"
    if run.labels is not None and not len(run.labels):
        return "the images have no labels"
    return "the test split has no case of its kind" if run.accuracy else "the accuracy pass gave nothing"


def _reduced(run: Run, info: MetricInfo) -> tuple[float | None, str]:
    measurement = run.measurements.get(info.measurement)
    reason = absence(measurement)
    if measurement is None or reason:
        return None, reason
    if measurement.estimate is not None:
        return measurement.estimate.point, ""
    values = measurement.values
    if info.reduce in _QUANTILES:
        q = _QUANTILES[info.reduce]
        value = percentile(values, q)
        return value, "" if value is not None else f"{len(values)} samples, {samples_needed(q)} are needed"
    if info.reduce == "mean":
        return float(np.mean(values)), ""
    return float(np.max(values) if info.reduce == "max" else np.median(values)), ""


def absence(measurement: Measurement | None) -> str:
    """Return why a measurement has no number, "" if it has one."""
    if measurement is None:
        return "not measured"
    if measurement.absent_reason:
        return measurement.absent_reason
    if len(measurement.values) == 0:
        return "not measured"
    broken = int((~np.isfinite(measurement.values)).sum())
    return f"{broken} of {len(measurement.values)} values are not numbers" if broken else ""
