"""Quantiles of raw samples, reported only where the samples carry them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from harness.model import Estimate, FloatArray
from harness.stats.distributions import binomial_quantile, normal_quantile, t_quantile


@cache
def samples_needed(q: float, confidence: float = 0.99) -> int:
    """Return how many samples a quantile needs: 64 for p90 and 662 for p99 at 99 %.

    The smallest n for which one sample may lie beyond the (n-1)-th order statistic and that statistic still bounds the
    quantile: P(Binomial(n, 1-q) <= 1) <= 1 - confidence. This is the smallest count that the early stopping rule of
    MLPerf LoadGen accepts. For q < 0.5 the rule is that of 1-q.

    Args:
        q: the quantile, strictly between 0 and 1.
        confidence: of the bound.

    Raises:
        ValueError: if `q` or `confidence` is not strictly between 0 and 1.
    """
    if not (0 < q < 1 and 0 < confidence < 1):
        raise ValueError(f"quantile {q} and confidence {confidence} must lie strictly between 0 and 1")
    tail = min(q, 1 - q)
    n = 2
    while (1 - tail) ** n + n * tail * (1 - tail) ** (n - 1) > 1 - confidence + 1e-12:
        n += 1
    return n


def percentile(values: FloatArray, q: float, confidence: float = 0.99) -> float | None:
    """Return the empirical quantile of `values`, or None when there are fewer than `samples_needed`.

    Between two samples the value is interpolated, as numpy does; LoadGen's line of that name takes the upper of them.

    Args:
        values: (N,) raw samples in SI.
        q: the quantile, strictly between 0 and 1.
        confidence: of the bound that decides how many samples are enough.
    """
    if len(values) < samples_needed(q, confidence):
        return None
    return float(np.quantile(values, q))


def percentile_bound(values: FloatArray, q: float, confidence: float = 0.99) -> float | None:
    """Return the order statistic that MLPerf LoadGen's early stopping reports for a percentile: a cautious one.

    With t the largest count for which P(Binomial(n, 1-q) <= t) < 1 - confidence, it is the t-th highest sample: at most
    t-1 lie above it, so that it bounds the quantile from above with one sample to spare. `percentile` is the plain
    estimate; the two draw nearer as samples come in.

    Args:
        values: (N,) raw samples in SI.
        q: the quantile, at least 0.5 and below 1.
        confidence: of the bound.

    Returns:
        The bound, or None when there are fewer than `samples_needed`.

    Raises:
        ValueError: if `q` is below 0.5: of a low quantile a bound from above says nothing.
    """
    if not 0.5 <= q < 1:
        raise ValueError(f"a bound from above is for quantiles from 0.5 to below 1, not {q}")
    n = len(values)
    if n < samples_needed(q, confidence):
        return None
    at = n - _allowed(n, q, confidence)
    return float(np.partition(np.asarray(values, float), at)[at])


@cache
def _allowed(n: int, q: float, confidence: float) -> int:
    """Return the t of `percentile_bound`; many runs have as many samples, and scipy takes its time.

    Args:
        n: how many samples there are.
        q: the quantile.
        confidence: of the bound.
    """
    return binomial_quantile(1 - confidence, n, 1 - q) - 1


def quantile_interval(values: FloatArray, q: float, confidence: float = 0.95) -> Estimate | None:
    """Return a quantile with its distribution-free interval, or None when no order statistics enclose it.

    The interval is (x_(j), x_(k)) with P(j <= Binomial(n, q) < k) >= confidence (David and Nagaraja, "Order
    statistics", 2003, section 7.1). It takes the samples as independent: for inferences of one process it is a lower
    limit of the uncertainty, which is why ratios are made of launches instead (`ratio_estimate`).

    Args:
        values: (N,) raw samples in SI.
        q: the quantile, strictly between 0 and 1.
        confidence: of the interval.
    """
    n = len(values)
    if n == 0:
        return None
    alpha = 1 - confidence
    lower = binomial_quantile(alpha / 2, n, q)
    upper = binomial_quantile(1 - alpha / 2, n, q) + 1
    if lower < 1 or upper > n:
        return None
    ordered = np.sort(np.asarray(values, float))
    return Estimate(
        point=float(np.quantile(ordered, q)),
        low=float(ordered[lower - 1]),
        high=float(ordered[upper - 1]),
        confidence=confidence,
        method=f"order statistics of {n} samples",
    )


def mean_ratio(baseline: FloatArray, values: FloatArray, confidence: float = 0.95) -> Estimate | None:
    """Return the ratio of two unpaired positive quantities by Welch's t-interval on logarithms.

    Args:
        baseline: (N,) repeated readings of the baseline, all above zero.
        values: (M,) repeated readings of the variant, all above zero.
        confidence: of the interval.

    Returns:
        The ratio of geometric means, or None with fewer than two readings of either.
    """
    if min(len(baseline), len(values)) < 2:
        return None
    logs = [np.log(np.asarray(x, float)) for x in (baseline, values)]
    point = float(logs[1].mean() - logs[0].mean())
    parts = [float(x.var(ddof=1)) / len(x) for x in logs]
    method = f"Welch t of logarithms, {len(baseline)} and {len(values)} readings"
    variance = sum(parts)
    if variance == 0:
        return Estimate(math.exp(point), math.exp(point), math.exp(point), confidence, f"{method}, all alike")
    freedom = variance**2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, logs, strict=True))
    half = t_quantile(0.5 + confidence / 2, freedom) * math.sqrt(variance)
    return Estimate(math.exp(point), math.exp(point - half), math.exp(point + half), confidence, method)


def rank_ratio(baseline: FloatArray, values: FloatArray, confidence: float = 0.95) -> Estimate | None:
    """Return the ratio of two unpaired positive quantities by ranks, for heavy-tailed readings such as cold starts.

    Hodges-Lehmann shift of the logarithms; the interval inverts the Mann-Whitney test in its normal approximation,
    rounded outwards (Hollander, Wolfe and Chicken, "Nonparametric statistical methods", 2014, section 4.3).

    Args:
        baseline: (N,) repeated readings of the baseline, all above zero.
        values: (M,) repeated readings of the variant, all above zero.
        confidence: of the interval.

    Returns:
        The estimate, or None with fewer than four readings of either: three and three cannot reach 95 %.
    """
    n, m = len(baseline), len(values)
    if min(n, m) < 4:
        return None
    shifts = np.sort(
        np.subtract.outer(np.log(np.asarray(values, float)), np.log(np.asarray(baseline, float))), axis=None
    )
    spread = normal_quantile(0.5 + confidence / 2) * math.sqrt(n * m * (n + m + 1) / 12)
    index = max(0, math.floor(n * m / 2 - spread) - 1)
    return Estimate(
        point=math.exp(float(np.median(shifts))),
        low=math.exp(float(shifts[index])),
        high=math.exp(float(shifts[n * m - 1 - index])),
        confidence=confidence,
        method=f"Mann-Whitney ranks of logarithms, {n} and {m} readings",
    )
