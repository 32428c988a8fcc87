"""Metrics of `[task] kind = "grading"`: the share of images that are given their own grade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.model import Estimate, Evaluation, Samples, Task

Outputs = npt.NDArray[np.float32]


def evaluate(outputs: Outputs, samples: Samples, task: Task) -> Evaluation:
    """Return the accuracy of (N, K) outputs."""
    del task
    found = stats.wilson(int((outputs.argmax(axis=1) == samples.labels).sum()), len(samples.labels))
    return Evaluation({} if found is None else {"accuracy": found})


def compare(
    baseline: Outputs, run: Outputs, truth: npt.NDArray[Any], classes: Sequence[str], task: Task, metric: str
) -> Estimate | None:
    """Return the difference in accuracy, paired on the same images; None for any other metric.

    Args:
        baseline: (N, K) outputs of the baseline.
        run: (N, K) outputs of the run.
        truth: (N,) grades.
        classes: unused.
        task: unused.
        metric: "accuracy".
    """
    del classes, task
    if metric != "accuracy":
        return None
    before, after = (outputs.argmax(axis=1) == truth for outputs in (baseline, run))
    return stats.paired_difference(int((after & ~before).sum()), int((before & ~after).sum()), len(truth))


def agreement(baseline: Outputs, run: Outputs) -> Estimate:
    """Return the share of images that both give the same grade."""
    found = stats.wilson(int((baseline.argmax(axis=1) == run.argmax(axis=1)).sum()), len(run))
    if found is None:
        raise MeasurementError("there are no outputs to compare", remedy="check the data's split")
    return found
