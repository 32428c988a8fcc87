"""The mean over folds, each with a model of its own, with the variance between them."""

from __future__ import annotations

import math

import numpy as np

from harness.model import Estimate, FloatArray


def mean_over_folds(values: FloatArray, tested: float, confidence: float = 0.95) -> Estimate | None:
    """Return the mean of one number a fold, with the interval of the corrected resampled t-test; None for one fold.

    Nadeau and Bengio 2003, "Inference for the generalization error", Machine Learning 52, 239-281: the training sets of
    two folds share most images, so their numbers are alike, and the variance of the mean is not s^2 / k but
    (1 / k + n_test / n_train) s^2, with k - 1 degrees of freedom.

    Args:
        values: (k,) of the folds, such as the difference of two models in each.
        tested: images that are tested over images that are trained on.
        confidence: of the interval.
    """
    from scipy.stats import t

    k = len(values)
    if k < 2:
        return None
    half = float(t.ppf(0.5 + confidence / 2, k - 1)) * math.sqrt((1 / k + tested) * float(np.var(values, ddof=1)))
    point = float(np.mean(values))
    return Estimate(point, point - half, point + half, confidence, f"corrected resampled t of {k} folds")
