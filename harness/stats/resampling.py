"""Intervals by resampling, for what has no formula: seeded, so that the same data give the same interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.model import Estimate, FloatArray, IntArray

_DRAWS = 2000
_SEED = 20261121
_WEIGHTS_AT_ONCE = 1_000_000
#: Pseudo-observations spread evenly over all cells of a table; with four cells this is Jeffreys' prior.
_PRIOR_MASS = 2.0


def table_interval(
    counts: npt.NDArray[np.int64], statistic: Callable[[FloatArray], FloatArray], confidence: float = 0.95
) -> Estimate:
    """Return a statistic of a table of counts, with its interval over tables drawn from the Dirichlet posterior.

    A bootstrap of images that got no error would never draw one and claim certainty; two pseudo-observations spread
    over the cells keep the interval open (the Beta intervals of Goutte and Gaussier 2005, "A probabilistic
    interpretation of precision, recall and F-score", extended to whole tables).

    Args:
        counts: a table of any shape, e.g. (K, K) truth by prediction.
        statistic: takes (B, *shape) tables of weights, gives (B,) values.
        confidence: of the interval.
    """
    prior = np.full(counts.size, 1 / counts.size)
    return cells_interval(
        counts.ravel(), prior, lambda draws: statistic(draws.reshape(len(draws), *counts.shape)), confidence
    )


def cells_interval(
    counts: npt.NDArray[np.int64],
    prior: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    confidence: float = 0.95,
) -> Estimate:
    """Return the same of a table that is given by some of its cells, where all of them would not fit into memory.

    Args:
        counts: (C,) images in each cell.
        prior: (C,) what share of the pseudo-observations each cell gets; they sum to 1.
        statistic: takes (B, C) weights, gives (B,) values.
        confidence: of the interval.
    """
    point = float(statistic(counts[np.newaxis].astype(np.float64))[0])
    shape, rng = counts + _PRIOR_MASS * prior, np.random.default_rng(_SEED)
    batches = _batches(counts.size)
    values = np.concatenate([statistic(rng.standard_gamma(shape, size=(draws, counts.size))) for draws in batches])
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    method = f"Dirichlet resampling of {int(counts.sum())} images"
    # At the edge of what is possible (no error at all) the pseudo-observations pull the draws off the point.
    return Estimate(point, min(float(low), point), max(float(high), point), confidence, method)


def deviation_interval(
    units: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    below: float,
    above: float,
    unseen: float,
    confidence: float = 0.95,
    method: str,
) -> Estimate:
    """Return a statistic of sums over units that chance alone makes larger, such as a sum of absolute deviations.

    The truth may lie below or above the point by what chance has added to it, which nobody knows but can bound; to
    that come the quantiles of the Bayesian bootstrap, centred because draws add once more, and beyond them one
    pseudo-unit that was not seen and changes the statistic by as much as one can.

    Args:
        units: (U, F) what each unit adds to the sums.
        statistic: takes (B, F) sums, gives (B,) values.
        below: by how much chance may have raised the point at most.
        above: by how much chance may have lowered it.
        unseen: by how much one pseudo-unit can change the statistic at most.
        confidence: of the interval.
        method: what is said of it.
    """
    count = units.shape[0]
    point = float(statistic(units.sum(axis=0)[np.newaxis])[0])
    rng = np.random.default_rng(_SEED)
    drawn, more = [], []
    for draws in _batches(count):
        weights = rng.standard_exponential((draws, count))
        drawn.append(statistic(weights * (count / weights.sum(axis=1, keepdims=True)) @ units))
        more.append(rng.standard_exponential(draws) * unseen)
    values, one = np.concatenate(drawn), np.concatenate(more)
    values -= values.mean()
    low = point - below + float(np.quantile(values - one, (1 - confidence) / 2))
    high = point + above + float(np.quantile(values + one, (1 + confidence) / 2))
    return Estimate(point, min(low, point), max(high, point), confidence, method)


def mean_interval(
    values: FloatArray, *, least: float, most: float, confidence: float = 0.95, groups: IntArray | None = None
) -> Estimate:
    """Return the mean of one number an image, with its interval by the Bayesian bootstrap with a pseudo-image.

    A bootstrap of images knows nothing of a kind that it has not seen: one lesion in thirty that is missed as a whole
    is absent from one in three samples of thirty. A pseudo-image at the end of what is possible keeps the interval open
    to it on that side (`units_interval`).

    Args:
        values: (N,) one an image.
        least: the smallest value that an image can have.
        most: the largest.
        confidence: of the interval.
        groups: (N,) the patient of each image, whose images are then drawn together; None where each image is a patient
            of its own.
    """
    sums, size, what = np.column_stack([values, np.ones(len(values))]), 1.0, "image"
    if groups is not None:
        sums, size, what = group_sums(sums, groups), group_size(groups), "patient"
    return units_interval(
        sums,
        lambda totals: np.asarray(totals[:, 0] / totals[:, 1]),
        worst=np.array([[least * size, size]]),
        best=np.array([[most * size, size]]),
        confidence=confidence,
        method=f"Bayesian bootstrap of {len(sums)} {what}s and one pseudo-{what} at each end",
    )


def group_sums(features: Any, groups: IntArray) -> Any:
    """Return (M, F): the sums of (N, F) features, dense or sparse, over the images of each of the M groups there are.

    Args:
        features: a row an image.
        groups: (N,) the group of each image, any whole numbers.
    """
    from scipy.sparse import csr_matrix

    own = np.unique(groups, return_inverse=True)[1].reshape(-1)
    members = csr_matrix((np.ones(len(own)), (own, np.arange(len(own)))), shape=(int(own.max()) + 1, len(own)))
    return members @ features


def group_size(groups: IntArray) -> float:
    """Return how many images a pseudo-patient has: on average, those of the patient of an image drawn at random.

    The mean number of images over patients would take it for too small where few patients have most of the images
    (Kish 1965, "Survey sampling", section 8.2).

    Args:
        groups: (N,) the patient of each image, any whole numbers.
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float((sizes**2).sum() / sizes.sum())


def units_interval(
    units: Any,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    worst: Any,
    best: Any,
    counts: FloatArray | None = None,
    prior: FloatArray | None = None,
    confidence: float = 0.95,
    method: str,
) -> Estimate:
    """Return a statistic of sums over units, with its interval by the Bayesian bootstrap with pseudo-units at each end.

    What was not seen is not ruled out: the lower end is a quantile over draws that hold the worst units there can be
    beside those that were seen, the upper end one over draws with the best. Of one proportion these are the ends of
    Clopper and Pearson 1934, "The use of confidence or fiducial limits", as quantiles of Beta distributions; of sums
    in general Rubin 1981, "The Bayesian bootstrap". A unit is what may be drawn on its own: an image, or a patient with
    all its images, which say much the same (Davison and Hinkley 1997, "Bootstrap methods and their application",
    section 3.8).

    Args:
        units: (U, F) what each unit, or each kind of units, adds to the sums; dense or sparse.
        statistic: takes (B, F) sums, gives (B,) values, the higher the better.
        worst: (P, F) the pseudo-units of the lower end.
        best: (P, F) those of the upper end.
        counts: (U,) how many units there are of each kind; None for one.
        prior: (P,) how many pseudo-units there are of each kind; None for one.
        confidence: of the interval.
        method: what is said of it.
    """
    count = units.shape[0]
    seen = np.ones(count) if counts is None else counts.astype(np.float64)
    unseen = np.ones(worst.shape[0]) if prior is None else prior
    point = float(statistic(np.asarray(seen[np.newaxis] @ units))[0])
    rng = np.random.default_rng(_SEED)
    lows, highs = [], []
    for draws in _batches(max(units.shape)):
        # The same distribution where there is one unit of each kind, and three times as fast.
        size = (draws, count)
        drawn = rng.standard_exponential(size) if counts is None else rng.standard_gamma(seen, size)
        sums = drawn @ units
        more = rng.standard_gamma(unseen, size=(draws, len(unseen)))
        lows.append(statistic(np.asarray(sums + more @ worst)))
        highs.append(statistic(np.asarray(sums + more @ best)))
    return _between(point, lows, highs, confidence, method)


def weights_interval(
    point: float,
    *,
    worst: Callable[[FloatArray], FloatArray],
    best: Callable[[FloatArray], FloatArray],
    sizes: Sequence[float],
    images: int,
    groups: IntArray | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the interval of `units_interval` for a statistic that is none of sums, such as one of ranks.

    Args:
        point: the statistic of the images that were seen.
        worst: takes (B, N + P) weights of the images and of the P pseudo-images of the lower end, gives (B,) values.
        best: the same with those of the upper end.
        sizes: (P,) how many images each pseudo-image stands for: `group_size` where patients are drawn, else 1.
        images: N.
        groups: (N,) the patient of each image, whose images are then drawn together; None where each is its own.
        confidence: of the interval.
    """
    own = np.arange(images) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    count, rng = int(own.max()) + 1, np.random.default_rng(_SEED)
    lows, highs = [], []
    for draws in _batches(images):
        drawn = rng.standard_exponential((draws, count + len(sizes)))
        weights = np.concatenate([drawn[:, own], drawn[:, count:] * sizes], axis=1)
        lows.append(worst(weights))
        highs.append(best(weights))
    what, kinds = "image" if groups is None else "patient", " of each kind" if len(sizes) > 1 else ""
    method = f"Bayesian bootstrap of {count} {what}s and one pseudo-{what}{kinds} at each end"
    return _between(point, lows, highs, confidence, method)


def _between(
    point: float, lows: Sequence[FloatArray], highs: Sequence[FloatArray], confidence: float, method: str
) -> Estimate:
    """Return an estimate whose lower end is a quantile of some draws, and whose upper end is one of others."""
    low = float(np.quantile(np.concatenate(lows), (1 - confidence) / 2))
    high = float(np.quantile(np.concatenate(highs), (1 + confidence) / 2))
    return Estimate(point, min(low, point), max(high, point), confidence, method)


def _batches(width: int) -> list[int]:
    """Return how many draws are held at once, one number a batch: bounded memory, however wide a draw is."""
    step = max(1, _WEIGHTS_AT_ONCE // width)
    return [min(step, _DRAWS - start) for start in range(0, _DRAWS, step)]
