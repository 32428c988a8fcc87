"""Intervals that may be looked at any time: evidence against a centre, and every centre that it leaves standing."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from harness.model import FloatArray, IntArray

#: Prior variance of the standardised effect in the t e-process: 10 gave the smallest intervals for 4 to 12 launches.
_EFFECT_VARIANCE = 10.0
#: Beta(a, a) prior of the sign e-process: 1/4 lets six launches that all agree speak.
_SIGN_PRIOR = 0.25


def log_evidence(values: FloatArray, centre: float) -> float:
    """Return the log of the e-value against `centre` as the middle of independent `values`.

    The average of e-processes, hence one itself; by Ville's inequality it ever passes log(1/alpha) with probability at
    most alpha, however often one looks. Two for each way to see the values:

    * t: the scale-invariant Bayes factor of the t statistic, normal prior of variance g on the standardised effect,
      (1+ng)^(-1/2) [(1+t²/v) / (1+t²/(v(1+ng)))]^((v+1)/2), v = n-1 (Pérez-Ortiz, Lardy, de Heide and Grünwald 2024,
      "E-statistics, group invariance and anytime-valid testing"; Wang and Ramdas 2025, "Anytime-valid t-tests and
      confidence sequences for Gaussian means with unknown variance"). Exact for normal values; self-normalisation makes
      it conservative for symmetric heavy tails.
    * sign: the beta-binomial mixture for the median (Howard and Ramdas 2022, "Sequential estimation of quantiles"),
      exact for any values with that median.

    Args:
        values: (n,) independent values, e.g. one location per launch; or (n, k): k ways to locate each of them.
        centre: the hypothesis.
    """
    return float(log_evidence_at_each_look(values, centre)[-1]) if len(values) else 0.0


def log_evidence_at_each_look(values: FloatArray, centre: float) -> FloatArray:
    """Return (n,): `log_evidence` of the first 1, 2 ... n values.

    Args:
        values: (n,) or (n, k), in the order they came.
        centre: the hypothesis.
    """
    ways = _ways(values)
    return _evidence(ways)(np.full(ways.shape[-1], centre))


def _ways(values: FloatArray) -> FloatArray:
    """Return (k, n): each way to locate n values."""
    return np.ascontiguousarray(values.reshape(len(values), -1).T)


def _evidence(ways: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Return a function of (..., n) centres: the log of the e-value of the first 1 ... n values, each against its own.

    Args:
        ways: (..., k, n): k ways to locate each of n values.
    """
    parts = (_log_t_evidence(ways), _log_sign_evidence(ways))
    count = len(parts) * ways.shape[-2]

    def against(centres: FloatArray) -> FloatArray:
        found = np.stack([part(centres) for part in parts], axis=-2)
        return np.asarray(np.logaddexp.reduce(found, axis=(-3, -2))) - math.log(count)

    return against


def _log_t_evidence(ways: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Return a function of (..., n) centres: (..., k, n)."""
    n = np.arange(1, ways.shape[-1] + 1)
    # About the median of all, so that sums of squares do not drown a small spread.
    origin = np.median(ways, axis=-1, keepdims=True)
    sums = np.cumsum(ways - origin, axis=-1)
    spread = np.maximum(np.cumsum((ways - origin) ** 2, axis=-1) - sums**2 / n, 0)
    means, shrink = sums / n + origin, 1 + n * _EFFECT_VARIANCE
    start = np.where(n == 1, 0.0, -0.5 * np.log(shrink))
    weight = np.where(n == 1, 0.0, n / 2)
    # With r = t²/v = signal / spread, (1 + r) / (1 + r/shrink) needs no division by a spread that may be zero.
    tiny = np.finfo(np.float64).tiny

    def against(centres: FloatArray) -> FloatArray:
        signal = n * (means - centres[..., None, :]) ** 2
        gain = np.log(spread + signal + tiny) - np.log(spread + signal / shrink + tiny)
        return np.asarray(start + weight * gain)

    return against


def _log_sign_evidence(ways: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Return a function of (..., n) centres: (..., k, n)."""
    come, each = np.tri(ways.shape[-1], dtype=bool), ways[..., None, :]

    def against(centres: FloatArray) -> FloatArray:
        # A value on the centre speaks for neither side.
        own = centres[..., None, :, None]
        return _log_split_evidence((come & (each > own)).sum(axis=-1), (come & (each < own)).sum(axis=-1))

    return against


def _log_split_evidence(above: IntArray, below: IntArray) -> FloatArray:
    both = above + below
    one, two = _log_gammas(int(both.max()))
    beta = one[above] + one[below] - two[both]
    return np.asarray(both * math.log(2) + beta - (2 * one[0] - two[0]))


@lru_cache(maxsize=256)
def _log_gammas(most: int) -> tuple[FloatArray, FloatArray]:
    """Return the log gamma function of 0 ... `most` counts beside the prior of one side, and of both."""
    counts = range(most + 1)
    one, both = ([math.lgamma(count + sides * _SIGN_PRIOR) for count in counts] for sides in (1, 2))
    return np.array(one), np.array(both)


def confidence_sequence(
    values: FloatArray, confidence: float = 0.95, *, first_look: int | None = None
) -> tuple[float, float]:
    """Return the anytime-valid interval for the middle of values: every centre that the evidence leaves standing.

    Args:
        values: (n,) independent values in the order they came, or (n, k): k ways to locate each of them.
        confidence: that the interval holds the middle at all n at once.
        first_look: how many values there were when the interval was first looked at: what any look since then has ruled
            out stays so. None for the look at all n alone.

    Returns:
        Lower and upper end; infinite while there are too few values (fewer than four at 95 %). Where looks contradict
        one another, which a middle that moves may bring about, the last one counts.
    """
    if len(values) == 0:
        return -math.inf, math.inf
    limit = -math.log(1 - confidence)
    ways = _ways(values)
    # The lower end is the upper one of the values seen in a mirror.
    below, highs = _upper_ends(np.stack([-ways, ways]), limit)
    lows = -below
    looks = slice(-1 if first_look is None else min(first_look, len(values)) - 1, None)
    low, high = float(lows[looks].max()), float(highs[looks].min())
    return (low, high) if low <= high else (float(lows[-1]), float(highs[-1]))


def _upper_ends(ways: FloatArray, limit: float) -> FloatArray:
    """Return the upper end that each look at the first 1, 2 ... n values alone would give.

    Args:
        ways: (s, k, n): k ways to locate each of n values, seen from s sides.
        limit: log of the e-value that rules a centre out.

    Returns:
        (s, n).
    """
    n, against = np.arange(1, ways.shape[-1] + 1), _evidence(ways)
    # Beyond every mean and median the evidence only grows, so the end is found by doubling and bisection.
    middles = np.maximum(np.cumsum(ways, axis=-1) / n, [[_medians(way) for way in side] for side in ways])
    inside = middles.max(axis=-2)
    far = np.logaddexp((n - 1) / 2 * np.log(1 + n * _EFFECT_VARIANCE), _log_split_evidence(0 * n, n)) - math.log(2)
    high = np.full(inside.shape, max(float(np.ptp(ways[0])), 1e-12))
    for _ in range(200):
        short = (far > limit) & (against(inside + high) < limit)
        if not short.any():
            break
        high = np.where(short, 2 * high, high)
    low = np.zeros(inside.shape)
    for _ in range(60):
        middle = (low + high) / 2
        refused = against(inside + middle) >= limit
        low, high = np.where(refused, low, middle), np.where(refused, middle, high)
    beyond = np.where(against(inside) >= limit, inside, inside + high)
    return np.where(far > limit, beyond, np.inf)


def _medians(values: FloatArray) -> list[float]:
    """Return the median of the first 1, 2 ... n values."""
    ordered: list[float] = []
    medians = []
    for value in values.tolist():
        insort(ordered, value)
        half = len(ordered) // 2
        medians.append((ordered[half] + ordered[~half]) / 2)
    return medians


def median_sequence(values: FloatArray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the anytime-valid interval for the median of `values` by signs alone; infinite while there are too few.

    Args:
        values: (n,) independent values with a common median.
        confidence: that the interval holds the median at all n at once.
    """
    ordered = np.sort(values)
    n, limit = len(ordered), -math.log(1 - confidence)
    split = np.arange(-(-n // 2))
    # How many values may lie beyond a centre that is refused; evidence falls as the split evens out.
    beyond = int((_log_split_evidence(split, n - split) >= limit).sum()) if n else 0
    if beyond == 0:
        return -math.inf, math.inf
    return float(ordered[beyond - 1]), float(ordered[n - beyond])
