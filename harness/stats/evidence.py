"""Intervals that may be looked at any time: evidence against a centre, and every centre that it leaves standing."""

from __future__ import annotations

import math

import numpy as np

from harness.model import FloatArray

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
    ways = _ways(values)
    parts = [part(way, centre) for way in ways for part in (_log_t_evidence, _log_sign_evidence)]
    return float(np.logaddexp.reduce(parts)) - math.log(len(parts))


def _ways(values: FloatArray) -> list[FloatArray]:
    return [values] if values.ndim == 1 else list(values.T)


def _log_t_evidence(values: FloatArray, centre: float) -> float:
    n = len(values)
    if n < 2:
        return 0.0
    shift = float(values.mean()) - centre
    squares = float(((values - values.mean()) ** 2).sum())
    shrink = 1 + n * _EFFECT_VARIANCE
    if shift == 0:
        return -0.5 * math.log(shrink)
    # With r = t²/v = n shift² / squares, (1 + r) / (1 + r/shrink) needs no division by squares, which may be zero.
    signal = n * shift * shift
    return -0.5 * math.log(shrink) + n / 2 * (math.log(squares + signal) - math.log(squares + signal / shrink))


def _log_sign_evidence(values: FloatArray, centre: float) -> float:
    # A value on the centre speaks for neither side.
    return _log_split_evidence(int((values > centre).sum()), int((values < centre).sum()))


def _log_split_evidence(above: int, below: int) -> float:
    a = _SIGN_PRIOR
    return (above + below) * math.log(2) + _log_beta(above + a, below + a) - _log_beta(a, a)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def confidence_sequence(values: FloatArray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the anytime-valid interval for the middle of values: every centre that `log_evidence` leaves standing.

    Args:
        values: (n,) independent values, or (n, k): k ways to locate each of them.
        confidence: that the interval holds the middle at all n at once.

    Returns:
        Lower and upper end; infinite while there are too few values (fewer than four at 95 %).
    """
    if len(values) == 0:
        return -math.inf, math.inf
    limit = -math.log(1 - confidence)
    return -_upper_end(-values, limit), _upper_end(values, limit)


def _upper_end(values: FloatArray, limit: float) -> float:
    # Beyond every mean and median the evidence only grows, so the end is found by doubling and bisection.
    inside = max(max(float(way.mean()), float(np.median(way))) for way in _ways(values))
    if log_evidence(values, inside) >= limit:
        return inside
    n, shrink = len(values), 1 + len(values) * _EFFECT_VARIANCE
    far = np.logaddexp((n - 1) / 2 * math.log(shrink), _log_split_evidence(0, n)) - math.log(2)
    if far <= limit:
        return math.inf
    step = max(float(np.ptp(values)), 1e-12)
    while log_evidence(values, inside + step) < limit:
        step *= 2
    low, high = 0.0, step
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if log_evidence(values, inside + middle) < limit else (low, middle)
    return inside + high


def median_sequence(values: FloatArray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the anytime-valid interval for the median of `values` by signs alone; infinite while there are too few.

    Args:
        values: (n,) independent values with a common median.
        confidence: that the interval holds the median at all n at once.
    """
    ordered = np.sort(values)
    n, limit = len(ordered), -math.log(1 - confidence)
    beyond = 0  # how many values may lie beyond a centre that is refused
    while beyond < n / 2 and _log_split_evidence(beyond, n - beyond) >= limit:
        beyond += 1
    if beyond == 0:
        return -math.inf, math.inf
    return float(ordered[beyond - 1]), float(ordered[n - beyond])
