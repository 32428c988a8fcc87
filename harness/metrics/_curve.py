"""Points of the ROC curve that `[task]` asks for, of one model and of two compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy.typing as npt

from harness import stats
from harness.metrics._answers import Read, scores
from harness.model import Estimate, IntArray, Task

#: Metrics, each with the name of the key of `[task]` that says which point it is.
POINTS: Final = ("sensitivity_at_specificity", "specificity_at_sensitivity")


def point(
    models: Sequence[Read],
    labels: npt.NDArray[Any],
    positive: int | None,
    metric: str,
    task: Task,
    *,
    groups: IntArray | None,
) -> Estimate | None:
    """Return a point of the curve of one model, or the second's minus the first's; None where nobody asks for it.

    Args:
        models: answers of one model, or of two; each with probabilities.
        labels: (N,) the truth.
        positive: the class that sensitivity speaks of; without one there is no curve.
        metric: one of `POINTS`.
        task: says the share that must be reached.
        groups: (N,) the patient of each image, drawn as one; None where each image is a patient of its own.
    """
    at: float | None = getattr(task, metric)
    if at is None or positive is None:
        return None
    there, curves = labels == positive, [scores(one, positive) for one in models]
    if metric == "specificity_at_sensitivity":  # the sensitivity to the other classes, by the same scores turned round
        there, curves = ~there, [-curve for curve in curves]
    return stats.sensitivity_at(curves, there, at, groups=groups)
