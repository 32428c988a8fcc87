"""Estimates and intervals: pure functions of arrays. SciPy is imported where it is used, so importing this is cheap."""

from __future__ import annotations

from harness.stats.quantiles import mean_ratio, percentile, quantile_interval, rank_ratio, samples_needed
from harness.stats.rounds import (
    ONE_LAUNCH,
    confidence_sequence,
    launch_locations,
    log_evidence,
    median_sequence,
    ratio_estimate,
    round_log_ratios,
)

__all__ = [
    "ONE_LAUNCH",
    "confidence_sequence",
    "launch_locations",
    "log_evidence",
    "mean_ratio",
    "median_sequence",
    "percentile",
    "quantile_interval",
    "rank_ratio",
    "ratio_estimate",
    "round_log_ratios",
    "samples_needed",
]
