"""Estimates and intervals: pure functions of arrays. SciPy is imported where it is used, so importing this is cheap."""

from __future__ import annotations

from harness.stats.discrimination import auroc, auroc_difference, mean_auroc, roc, structural_components
from harness.stats.evidence import confidence_sequence, log_evidence, log_evidence_at_each_look, median_sequence
from harness.stats.folds import mean_over_folds
from harness.stats.pace import SLOWED, launch_slowdowns, marked_rounds, usual
from harness.stats.proportions import (
    mcnemar,
    paired_difference,
    pairs_for_margin,
    patients_for_margin,
    smallest_margin,
    smallest_margin_of_patients,
    unpaired_difference,
    wilson,
)
from harness.stats.quantiles import (
    mean_ratio,
    percentile,
    percentile_bound,
    quantile_interval,
    rank_ratio,
    samples_needed,
)
from harness.stats.resampling import (
    cells_interval,
    deviation_interval,
    group_size,
    group_sums,
    mean_interval,
    table_interval,
    units_interval,
)
from harness.stats.roc_points import sensitivity_at
from harness.stats.rounds import (
    MIN_LAUNCHES,
    ONE_LAUNCH,
    launch_locations,
    quiet_rounds,
    ratio_estimate,
    round_log_levels,
    round_quantile,
)
from harness.stats.shifts import ALARM, Shift, shifts
from harness.stats.similarity import Overlap, common_groups, overlap, repeats
from harness.stats.summary import absence, statistic
from harness.stats.varying import of_path, path_medians, shares

__all__ = [
    "ALARM",
    "MIN_LAUNCHES",
    "ONE_LAUNCH",
    "SLOWED",
    "Overlap",
    "Shift",
    "absence",
    "auroc",
    "auroc_difference",
    "cells_interval",
    "common_groups",
    "confidence_sequence",
    "deviation_interval",
    "group_size",
    "group_sums",
    "launch_locations",
    "launch_slowdowns",
    "log_evidence",
    "log_evidence_at_each_look",
    "marked_rounds",
    "mcnemar",
    "mean_auroc",
    "mean_interval",
    "mean_over_folds",
    "mean_ratio",
    "median_sequence",
    "of_path",
    "overlap",
    "paired_difference",
    "pairs_for_margin",
    "path_medians",
    "patients_for_margin",
    "percentile",
    "percentile_bound",
    "quantile_interval",
    "quiet_rounds",
    "rank_ratio",
    "ratio_estimate",
    "repeats",
    "roc",
    "round_log_levels",
    "round_quantile",
    "samples_needed",
    "sensitivity_at",
    "shares",
    "shifts",
    "smallest_margin",
    "smallest_margin_of_patients",
    "statistic",
    "structural_components",
    "table_interval",
    "units_interval",
    "unpaired_difference",
    "usual",
    "wilson",
]
