"""Quadratically weighted kappa of classes that are in order, with `[task] ordinal = true`; of one model, and of two.

Cohen 1968, "Weighted kappa: nominal scale agreement with provision for scaled disagreement or partial credit": one
minus the disagreement that is seen over that of answers drawn without regard to the image. With quadratic weights both
are made of sums over images (t the truth's place in the order, a the answer's):

    kappa = 1 - sum (t - a)^2 / (sum t^2 + sum a^2 - 2 sum t sum a / n)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness import stats
from harness.model import Estimate, FloatArray, IntArray


def interval(
    k: int, truth: IntArray, answers: Sequence[IntArray], *, groups: IntArray | None = None
) -> Estimate | None:
    """Return the kappa of one model, or the second's minus the first's, with its interval by `stats.units_interval`.

    The pseudo-image of the lower end, half of it at each end of the order, is one that the last model takes for the
    other end, and of two the first has right: what one more image can cost.

    Args:
        k: how many classes there are.
        truth: (N,) labels, at their places in the order.
        answers: (N,) of each model.
        groups: (N,) the patient of each image, drawn as one; None where each image is a patient of its own.

    Returns:
        The estimate, None where all images are of one class: nothing can then be said about an order.
    """
    if len(np.unique(truth)) < 2:
        return None
    models = len(answers)
    own, other = np.array([0, k - 1]), np.array([k - 1, 0])
    size, what, count, seen = 1.0, "image", len(truth), None
    if groups is None:
        # Of most kinds of images there are many: fewer numbers to draw.
        kinds, often = np.unique(np.stack([truth, *answers], axis=1), axis=0, return_counts=True)
        units, seen = _features(kinds[:, 0], list(kinds.T[1:])), often.astype(np.float64)
    else:
        size, what, units = stats.group_size(groups), "patient", stats.group_sums(_features(truth, answers), groups)
        count = len(units)

    def statistic(sums: FloatArray) -> FloatArray:
        values = [_kappa(sums[:, :3], sums[:, 3 * number + 3 :][:, :3]) for number in range(models)]
        return values[0] if models == 1 else np.asarray(values[1] - values[0])

    return stats.units_interval(
        units,
        statistic,
        worst=_features(own, [own, other][-models:]) * size,
        best=_features(own, [other, own][-models:]) * size,
        counts=seen,
        prior=np.array([0.5, 0.5]),
        method=f"Bayesian bootstrap of {count} {what}s and one pseudo-{what} at each end",
    )


def _features(truth: IntArray, answers: Sequence[IntArray]) -> FloatArray:
    """Return (N, 3 + 3 models): one, the truth and its square; of each model the answer, its square and the product."""
    t = truth.astype(np.float64)
    columns = [np.ones(len(t)), t, t * t]
    for own in answers:
        a = own.astype(np.float64)
        columns += [a, a * a, t * a]
    return np.stack(columns, axis=1)


def _kappa(truth: FloatArray, own: FloatArray) -> FloatArray:
    """Return (B,) kappas of sums: (B, 3) count, truth and its square; (B, 3) answer, its square and the product."""
    seen = truth[:, 2] + own[:, 1] - 2 * own[:, 2]
    by_chance = truth[:, 2] + own[:, 1] - 2 * truth[:, 1] * own[:, 0] / truth[:, 0]
    # Without any disagreement by chance, truth and answers are all of one class: a draw may be of one image alone.
    return np.asarray(1 - np.divide(seen, by_chance, out=np.zeros_like(seen), where=by_chance > 1e-12 * truth[:, 0]))
