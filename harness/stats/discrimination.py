"""The area under the ROC curve, alone and paired on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.model import Estimate, FloatArray, IntArray
from harness.stats.distributions import midranks, normal_quantile
from harness.stats.resampling import group_size, weights_interval

BoolArray = npt.NDArray[np.bool_]


def structural_components(scores: FloatArray, positive: BoolArray) -> tuple[float, FloatArray, FloatArray]:
    """Return the AUROC and its structural components (DeLong, DeLong and Clarke-Pearson 1988).

    By midranks, in O(n log n) (Sun and Xu 2014, "Fast implementation of DeLong's algorithm").

    Args:
        scores: (N,) the higher, the more positive.
        positive: (N,) the truth; both kinds must occur.

    Returns:
        The area, (M,) components of the positives and (N-M,) of the negatives.
    """
    high, low = scores[positive], scores[~positive]
    m, n = len(high), len(low)
    ranks = midranks(np.concatenate([high, low]))
    of_high = (ranks[:m] - midranks(high)) / n
    of_low = 1 - (ranks[m:] - midranks(low)) / m
    return float(of_high.mean()), np.asarray(of_high, np.float64), np.asarray(of_low, np.float64)


def auroc(
    scores: FloatArray, positive: BoolArray, confidence: float = 0.95, groups: IntArray | None = None
) -> Estimate | None:
    """Return the area under the ROC curve, or None unless both kinds occur.

    The interval is method 5 of Newcombe 2006, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic. Part 2", Statistics in Medicine 25, 559-573: unlike DeLong's it keeps a width at an area
    of 1.

    Args:
        scores: (N,) the higher, the more positive.
        positive: (N,) the truth.
        confidence: of the interval.
        groups: (N,) the patient of each image, whose images are then drawn together; None where each is its own.
    """
    m = int(positive.sum())
    n = len(positive) - m
    if m == 0 or n == 0:
        return None
    if groups is not None:
        return _area_of_groups((scores,), positive, groups, confidence)
    area = structural_components(scores, positive)[0]
    z = normal_quantile(0.5 + confidence / 2)
    low, high = 1 - _newcombe_end(1 - area, m, n, z), _newcombe_end(area, m, n, z)
    return Estimate(area, low, high, confidence, f"Newcombe, {m} positive and {n} negative")


def _newcombe_end(area: float, m: int, n: int, z: float) -> float:
    # The upper end: the largest area whose own standard error still reaches down to the one observed.
    inside, outside = area, 1.0
    half = (m + n) / 2 - 1
    for _ in range(60):
        t = (inside + outside) / 2
        variance = t * (1 - t) * (1 + half * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n)
        inside, outside = (t, outside) if t - area <= z * math.sqrt(variance) else (inside, t)
    return inside


def roc(scores: FloatArray, positive: BoolArray) -> FloatArray | None:
    """Return the corners of the ROC curve, or None unless both kinds occur.

    Images of one score are called together: where both kinds have it, the curve rises on a slant between two corners,
    so that straight lines between the corners enclose the area that `auroc` gives.

    Args:
        scores: (N,) the higher, the more positive.
        positive: (N,) the truth.

    Returns:
        (M, 2), from (0, 0) to (1, 1): the shares of the negatives and of the positives that are called.
    """
    m = int(positive.sum())
    n = len(positive) - m
    if m == 0 or n == 0:
        return None
    _, same = np.unique(-scores, return_inverse=True)
    each = np.stack([np.bincount(same, ~positive), np.bincount(same, positive)], axis=1)
    counts = np.concatenate([np.zeros((1, 2)), each.cumsum(axis=0)])
    steps = np.diff(counts, axis=0)
    turns = steps[:-1, 0] * steps[1:, 1] != steps[:-1, 1] * steps[1:, 0]
    return np.asarray(counts[np.concatenate([[True], turns, [True]])] / (n, m), np.float64)


def auroc_difference(
    baseline: FloatArray,
    run: FloatArray,
    positive: BoolArray,
    confidence: float = 0.95,
    groups: IntArray | None = None,
) -> Estimate | None:
    """Return the difference of two areas on the same images, run minus baseline, or None unless both kinds occur.

    The two single intervals are combined with the correlation of the areas (method of variance estimates recovery: Zou
    and Donner 2008, "Construction of confidence limits about effect measures", Statistics in Medicine 27, 1693-1702);
    the correlation is DeLong's, 0 where an area is at its limit. DeLong's own interval, symmetric and without a width
    at an area of 1, claims too much near it: 10 % false non-inferior with 42 positives.

    Args:
        baseline: (N,) scores of the baseline.
        run: (N,) scores of the run, on the same images.
        positive: (N,) the truth.
        confidence: of the interval.
        groups: (N,) the patient of each image, whose images are then drawn together; None where each is its own.
    """
    if groups is not None and positive.any() and not positive.all():
        return _area_of_groups((baseline, run), positive, groups, confidence)
    alone = [auroc(scores, positive, confidence) for scores in (baseline, run)]
    if alone[0] is None or alone[1] is None:
        return None
    parts = [structural_components(scores, positive) for scores in (baseline, run)]
    point, together = parts[1][0] - parts[0][0], _correlation(parts[0][1:], parts[1][1:])
    low = point - _combined(alone[1].point - alone[1].low, alone[0].high - alone[0].point, together)
    high = point + _combined(alone[1].high - alone[1].point, alone[0].point - alone[0].low, together)
    method = f"Newcombe's intervals with DeLong's correlation, n={len(positive)}"
    return Estimate(point, low, high, confidence, method)


def _combined(own: float, other: float, correlation: float) -> float:
    return math.sqrt(max(own * own - 2 * correlation * own * other + other * other, 0.0))


def _correlation(baseline: Sequence[FloatArray], run: Sequence[FloatArray]) -> float:
    """Return the correlation of two areas by their components, 0 where one has no variance or one image alone."""
    if min(map(len, baseline)) < 2:
        return 0.0
    pairs = zip(baseline, run, strict=True)
    covariances = np.sum([np.cov(before, after) / len(before) for before, after in pairs], axis=0)
    spread = math.sqrt(covariances[0, 0] * covariances[1, 1])
    # More than one is never meant: scores that fall as the others rise do not make a difference surer.
    return min(max(float(covariances[0, 1]) / spread, 0.0), 1.0) if spread > 0 else 0.0


def _area_of_groups(
    scores: tuple[FloatArray, ...], positive: BoolArray, groups: IntArray, confidence: float
) -> Estimate:
    """Return one area, or the second minus the first, with its interval by drawing patients.

    As `stats.units_interval` does it: the lower end knows one patient more, whose images the last model takes for the
    other kind and the first of two models does not; the upper end the reverse. That patient is of the kind of which one
    counts for more, usually the rarer: a patient of the other kind could not change the area by as much.
    """
    shares = [group_size(groups[kind]) / kind.sum() for kind in (positive, ~positive)]
    rarer = shares[0] >= shares[1]
    truth, size = np.append(positive, rarer), group_size(groups[positive == rarer])
    signs = (-1,) if len(scores) == 1 else (1, -1)
    ends = [np.inf if (sign > 0) == rarer else -np.inf for sign in signs]
    pairs = list(zip(scores, ends, strict=True))
    worst, best = ([np.append(own, side * end) for own, end in pairs] for side in (1, -1))
    return weights_interval(
        float(_difference(scores, positive, np.ones((1, len(positive))))[0]),
        worst=lambda weights: _difference(worst, truth, weights),
        best=lambda weights: _difference(best, truth, weights),
        sizes=[size],
        images=len(positive),
        groups=groups,
        confidence=confidence,
    )


def mean_auroc(
    models: Sequence[FloatArray],
    positive: BoolArray,
    known: BoolArray,
    confidence: float = 0.95,
    groups: IntArray | None = None,
) -> Estimate | None:
    """Return the mean of the areas of K labels, or the second model's minus the first's.

    An image is drawn with all its labels; at either end there is one more, as in `_area_of_groups`, that has the rarer
    answer to every label.

    Args:
        models: (N, K) scores of one model, or of two on the same images; the higher, the more positive.
        positive: (N, K) the truth.
        known: (N, K) whether it is known; what is not counts for nothing.
        confidence: of the interval.
        groups: (N,) the patient of each image, whose images are then drawn together; None where each is its own.

    Returns:
        The estimate, or None unless both kinds occur of every label.
    """
    there, counted = (positive & known).sum(axis=0), known.sum(axis=0)
    if not ((there > 0) & (there < counted)).all():
        return None
    signs = (-1,) if len(models) == 1 else (1, -1)
    rarer = 2 * there <= counted
    toward = np.where(rarer, np.inf, -np.inf)  # for the answer that is right
    truth, seen = np.vstack([positive, rarer]), np.vstack([known, np.ones_like(rarer)])
    worst, best = (
        [np.vstack([own, side * sign * toward]) for own, sign in zip(models, signs, strict=True)] for side in (1, -1)
    )
    return weights_interval(
        float(_mean_difference(models, positive, known, np.ones((1, len(positive))))[0]),
        worst=lambda weights: _mean_difference(worst, truth, seen, weights),
        best=lambda weights: _mean_difference(best, truth, seen, weights),
        sizes=[1.0 if groups is None else group_size(groups)],
        images=len(positive),
        groups=groups,
        confidence=confidence,
    )


def _mean_difference(
    models: Sequence[FloatArray], positive: BoolArray, known: BoolArray, weights: FloatArray
) -> FloatArray:
    total = np.zeros(len(weights))
    for label in range(positive.shape[1]):
        chosen = known[:, label]
        columns = [scores[chosen, label] for scores in models]
        total += _difference(columns, positive[chosen, label], weights[:, chosen])
    return np.asarray(total / positive.shape[1])


def _difference(scores: Sequence[FloatArray], positive: BoolArray, weights: FloatArray) -> FloatArray:
    areas = [_weighted_area(one, positive, weights) for one in scores]
    return areas[0] if len(areas) == 1 else np.asarray(areas[1] - areas[0])


def _weighted_area(scores: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Return (B,) areas under the ROC curve of images that count as often as (B, N) weights say."""
    order = np.argsort(scores, kind="stable")
    ranked, truth, weights = scores[order], positive[order], weights[:, order]
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights * ~truth, axis=1)], axis=1)
    first, last = (np.searchsorted(ranked, ranked[truth], side=side) for side in ("left", "right"))
    own = weights[:, truth]
    won = (own * (below[:, first] + below[:, last])).sum(axis=1) / 2
    return np.asarray(won / (own.sum(axis=1) * below[:, -1]))
