"""Metrics of `[task] kind = "grading"`: the share of images that are given their own grade."""

from __future__ import annotations

import numpy as np

from harness import stats
from harness.errors import MeasurementError
from harness.model import Answers, Estimate, Evaluation, Samples, Task, Truth

#: Its intervals are of patients where the samples have groups.
PATIENTS = True


def evaluate(answers: Answers, samples: Samples, task: Task) -> Evaluation:
    """Return the accuracy of (N, K) outputs."""
    del task
    found = stats.wilson(int((answers.values.argmax(axis=1) == samples.labels).sum()), len(samples.labels))
    return Evaluation({} if found is None else {"accuracy": found})


def compare(
    baseline: Answers,
    run: Answers,
    truth: Truth,
    task: Task,
    metric: str,
) -> Estimate | None:
    """Return the difference in accuracy, paired on the same images; None for any other metric.

    Args:
        baseline: what the baseline gave, (N, K).
        run: what the run gave, (N, K).
        truth: of these images: grades (N,).
        task: unused.
        metric: "accuracy".
    """
    del task
    if metric != "accuracy":
        return None
    before, after = (answers.values.argmax(axis=1) == truth.labels for answers in (baseline, run))
    if truth.groups is not None:
        return stats.mean_interval(after.astype(np.float64) - before, least=-1, most=1, groups=truth.groups)
    return stats.paired_difference(int((after & ~before).sum()), int((before & ~after).sum()), len(truth.labels))


def agreement(baseline: Answers, run: Answers) -> Estimate:
    """Return the share of images that both give the same grade."""
    found = stats.wilson(int((baseline.values.argmax(axis=1) == run.values.argmax(axis=1)).sum()), len(run.values))
    if found is None:
        raise MeasurementError("there are no outputs to compare", remedy="check the data's split")
    return found
