"""Intervals by resampling, for what has no formula: seeded, so that the same data give the same interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.model import Estimate, FloatArray

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


def bootstrap_interval(
    images: int, statistic: Callable[[FloatArray], FloatArray], confidence: float = 0.95
) -> Estimate:
    """Return a statistic of weighted images, with its interval over images drawn with replacement.

    The draws are centred on the point, because absolute deviations such as the calibration error grow by resampling.

    Args:
        images: how many there are.
        statistic: takes (B, images) weights that sum to `images`, gives (B,) values.
        confidence: of the interval.
    """
    point = float(statistic(np.ones((1, images)))[0])
    rng = np.random.default_rng(_SEED)
    values = np.concatenate([statistic(_weights(rng, draws, images)) for draws in _batches(images)])
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]) - values.mean() + point
    method = f"bootstrap of {images} images"
    return Estimate(point, min(float(low), point), max(float(high), point), confidence, method)


def mean_interval(values: FloatArray, *, least: float, most: float, confidence: float = 0.95) -> Estimate:
    """Return the mean of one number an image, with its interval by the Bayesian bootstrap with two pseudo-images.

    A bootstrap of images knows nothing of a kind that it has not seen: one lesion in thirty that is missed as a whole
    is absent from one in three samples of thirty. A pseudo-image at either end of what is possible keeps the interval
    open to it (Rubin 1981, "The Bayesian bootstrap", with a proper prior).

    Args:
        values: (N,) one an image.
        least: the smallest value that an image can have.
        most: the largest.
        confidence: of the interval.
    """
    point, padded = float(values.mean()), np.append(values, (least, most))
    rng = np.random.default_rng(_SEED)
    drawn = []
    for draws in _batches(len(padded)):
        weights = rng.standard_exponential((draws, len(padded)))
        drawn.append(weights @ padded / weights.sum(axis=1))
    low, high = np.quantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
    method = f"Bayesian bootstrap of {len(values)} images and two pseudo-images"
    return Estimate(point, min(float(low), point), max(float(high), point), confidence, method)


def _batches(width: int) -> list[int]:
    """Return how many draws are held at once, one number a batch: bounded memory, however wide a draw is."""
    step = max(1, _WEIGHTS_AT_ONCE // width)
    return [min(step, _DRAWS - start) for start in range(0, _DRAWS, step)]


def _weights(rng: np.random.Generator, draws: int, images: int) -> FloatArray:
    # How often each image is drawn; counting flat indices is three times as fast as NumPy's multinomial.
    chosen = rng.integers(0, images, (draws, images)) + images * np.arange(draws)[:, np.newaxis]
    return np.bincount(chosen.ravel(), minlength=draws * images).reshape(draws, images).astype(np.float64)
