"""The mean over folds, each with a model of its own, with the variance between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.model import Estimate
from harness.stats.distributions import t_quantile


def mean_over_folds(folds: Sequence[Estimate], tested: float, confidence: float = 0.95) -> Estimate | None:
    """Return the mean of one number a fold, with the interval of the corrected resampled t-test; None for one fold.

    Nadeau and Bengio 2003, "Inference for the generalization error", Machine Learning 52, 239-281: the training sets of
    two folds share most images, so their numbers are alike, and the variance of the mean is not s^2 / k but
    (1 / k + n_test / n_train) s^2, with k - 1 degrees of freedom. Folds that happen to be equal are no certainty: at
    neither end is the interval narrower than the one of the images alone, the folds' own intervals added in squares.

    Args:
        folds: the number of each, such as the difference of two models, with its interval by the images of the fold.
        tested: images that are tested over images that are trained on.
        confidence: of the interval.
    """
    k, points = len(folds), np.array([one.point for one in folds])
    if k < 2:
        return None
    half = t_quantile(0.5 + confidence / 2, k - 1) * math.sqrt((1 / k + tested) * float(np.var(points, ddof=1)))
    below, above = (
        math.sqrt(sum(side * side for side in sides)) / k
        for sides in ([one.point - one.low for one in folds], [one.high - one.point for one in folds])
    )
    point = float(np.mean(points))
    method = f"corrected resampled t of {k} folds, no narrower than of their images"
    return Estimate(point, point - max(half, below), point + max(half, above), confidence, method)
