"""The ratio of two latencies measured in rounds that took turns, with an interval that may be looked at any time.

What was chosen, and what it gave on the recorded noise of this project (400 rounds of 0.15 s on a shared two-core
machine; launches of 6 rounds cut from the record at random; a false alarm is any look at which the interval excludes a
true ratio of 1, power is finding a true change of 3 % by the 12th launch; tests/unit/test_stats.py prints them anew):

* The low quartile within a round, not the median: in raw samples recorded beside other work, 12 launches of 6 rounds
  found a change of 1 % in 30 % against 16 % (5 inferences a round) and 50 % against 24 % (10 inferences). The minimum
  finds more still, but the faster of two models gets more inferences into a round and so a lower minimum: a bias. The
  median-unbiased quartile (Hyndman and Fan 1996, type 8) has next to none: 0.1 % between 5 and 40 inferences on that
  record, 0.5 % where inferences vary by a third. It must not hide that most inferences are slow: where the interval of
  round medians lies wholly elsewhere, that one is given. A slow tail shows in p90 and p99 of the raw samples.
* The median of a launch's rounds: power 0.67 on round medians of the quiet record; Hodges-Lehmann 0.52, mean 0.33.
* Launches as the unit, so that the interval carries the variance between launches (Kalibera and Jones 2013).
* The average of two e-processes over launches, one efficient (t), one robust (sign). On round medians 0.68 quiet and
  0.27 busy, on round minima 0.76 and 0.48; the t alone 0.63, 0.17, 0.76 and 0.40. False alarms at most 2.4 %.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.errors import MeasurementError
from harness.model import Estimate, FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

#: Quantile of a round that stands for it.
ROUND_QUANTILE = 0.25
#: How it is taken from few samples, in NumPy's words.
QUANTILE_METHOD: Final = "median_unbiased"
#: How `Estimate.method` begins where rounds had to stand in for launches.
ONE_LAUNCH = "variance between launches not included"
#: Prior variance of the standardised effect in the t e-process: 10 gave the smallest intervals for 4 to 12 launches.
_EFFECT_VARIANCE = 10.0
#: Beta(a, a) prior of the sign e-process: 1/4 lets six launches that all agree speak.
_SIGN_PRIOR = 0.25


def round_log_ratios(
    base_values: FloatArray,
    base_rounds: IntArray,
    values: FloatArray,
    rounds: IntArray,
    *,
    base_keep: BoolArray | None = None,
    keep: BoolArray | None = None,
    quantile: float = ROUND_QUANTILE,
) -> tuple[IntArray, FloatArray]:
    """Return the launch and the log ratio (variant over baseline) of every pair of rounds.

    The k-th round of launch l of the one pairs with the k-th round of launch l of the other: the conductor lets every
    model take it before the next begins. A round that only one of them took is left out.

    Args:
        base_values: (N,) latencies of the baseline, in seconds, all above zero.
        base_rounds: (R, 3) launch, start and stop index into `base_values`.
        values: (M,) latencies of the variant, in seconds, all above zero.
        rounds: (S, 3) the same for `values`.
        base_keep: (R,) False for rounds of the baseline to leave out, e.g. marked by the sentinel.
        keep: (S,) the same for the variant's rounds.
        quantile: what of a round stands for it.

    Returns:
        (P,) launch numbers and (P,) natural logarithms of the ratio of the rounds' quantiles.

    Raises:
        MeasurementError: if a round is empty, lies outside the values, or a latency is not a positive number.
    """
    base = _round_levels(base_values, base_rounds, base_keep, quantile)
    own = _round_levels(values, rounds, keep, quantile)
    shared = [key for key in own if key in base]
    launches = np.array([launch for launch, _ in shared], np.int64)
    ratios = np.array([math.log(own[key] / base[key]) for key in shared], np.float64)
    return launches, ratios


def _round_levels(
    values: FloatArray, rounds: IntArray, keep: BoolArray | None, quantile: float
) -> dict[tuple[int, int], float]:
    levels: dict[tuple[int, int], float] = {}
    position: dict[int, int] = {}
    for index, (launch, start, stop) in enumerate(rounds.tolist()):
        place = position.get(launch, 0)
        position[launch] = place + 1
        if keep is not None and not keep[index]:
            continue
        if not 0 <= start < stop <= len(values):
            raise MeasurementError(
                f"round {index} spans {start}..{stop} of {len(values)} latencies: measure the case again"
            )
        chunk = values[start:stop]
        if not (np.isfinite(chunk).all() and chunk.min() > 0):
            raise MeasurementError(
                f"round {index} holds a latency that is not a positive number: measure the case again"
            )
        levels[launch, place] = float(np.quantile(chunk, quantile, method=QUANTILE_METHOD))
    return levels


def launch_locations(launches: IntArray, ratios: FloatArray) -> FloatArray:
    """Return the median of each launch's round log ratios, (L,) in the order of launch numbers."""
    return np.array([np.median(ratios[launches == launch]) for launch in np.unique(launches)], np.float64)


def log_evidence(values: FloatArray, centre: float) -> float:
    """Return the log of the e-value against `centre` as the middle of independent `values`.

    The average of two e-processes, hence one itself; by Ville's inequality it ever passes log(1/alpha) with probability
    at most alpha, however often one looks.

    * t: the scale-invariant Bayes factor of the t statistic, normal prior of variance g on the standardised effect,
      (1+ng)^(-1/2) [(1+t²/v) / (1+t²/(v(1+ng)))]^((v+1)/2), v = n-1 (Pérez-Ortiz, Lardy, de Heide and Grünwald 2024,
      "E-statistics, group invariance and anytime-valid testing"; Wang and Ramdas 2025, "Anytime-valid t-tests and
      confidence sequences for Gaussian means with unknown variance"). Exact for normal values; self-normalisation makes
      it conservative for symmetric heavy tails.
    * sign: the beta-binomial mixture for the median (Howard and Ramdas 2022, "Sequential estimation of quantiles"),
      exact for any values with that median.

    Args:
        values: (n,) independent values, e.g. one location per launch.
        centre: the hypothesis.
    """
    return float(np.logaddexp(_log_t_evidence(values, centre), _log_sign_evidence(values, centre)) - math.log(2))


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
        values: (n,) independent values.
        confidence: that the interval holds the middle at all n at once.

    Returns:
        Lower and upper end; infinite while there are too few values (fewer than four at 95 %).
    """
    if len(values) == 0:
        return -math.inf, math.inf
    limit = -math.log(1 - confidence)
    return -_upper_end(-values, limit), _upper_end(values, limit)


def _upper_end(values: FloatArray, limit: float) -> float:
    # Beyond both mean and median the evidence only grows, so the end is found by doubling and bisection.
    inside = max(float(values.mean()), float(np.median(values)))
    if log_evidence(values, inside) >= limit:
        return inside
    n, shrink = len(values), 1 + len(values) * _EFFECT_VARIANCE
    far = np.logaddexp((n - 1) / 2 * math.log(shrink), _log_sign_evidence(values, math.inf)) - math.log(2)
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


def ratio_estimate(
    base_values: FloatArray,
    base_rounds: IntArray,
    values: FloatArray,
    rounds: IntArray,
    *,
    base_keep: BoolArray | None = None,
    keep: BoolArray | None = None,
    confidence: float = 0.95,
) -> Estimate | None:
    """Return the latency ratio variant / baseline with an interval that is valid at every look.

    With too few launches for an interval (fewer than four at 95 %) the rounds stand in for them, by signs alone;
    `method` then says that the variance between launches is not included. Where round medians contradict the low
    quartiles, they are what is given.

    Args:
        base_values: see `round_log_ratios`, as all arrays here.
        base_rounds: (R, 3).
        values: (M,).
        rounds: (S, 3).
        base_keep: (R,) or None.
        keep: (S,) or None.
        confidence: of the interval, at all looks at once.

    Returns:
        The estimate, or None while neither launches nor rounds suffice for an interval.

    Raises:
        MeasurementError: as `round_log_ratios`.
    """
    masks = {"base_keep": base_keep, "keep": keep}
    quiet, typical = (
        _estimate(*round_log_ratios(base_values, base_rounds, values, rounds, **masks, quantile=q), confidence)
        for q in (ROUND_QUANTILE, 0.5)
    )
    if quiet is not None and typical is not None and (typical.low > quiet.high or typical.high < quiet.low):
        method = f"{typical.method}, by medians since low quartiles say {quiet.point:.2f}"
        return Estimate(typical.point, typical.low, typical.high, confidence, method)
    return quiet


def _estimate(launches: IntArray, ratios: FloatArray, confidence: float) -> Estimate | None:
    if len(ratios) == 0:
        return None
    locations = launch_locations(launches, ratios)
    low, high = confidence_sequence(locations, confidence)
    method = f"confidence sequence over {len(locations)} launches, {len(ratios)} paired rounds"
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = median_sequence(ratios, confidence)
        method = f"{ONE_LAUNCH}: confidence sequence over {len(ratios)} paired rounds of {len(locations)} launches"
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    # The median of the locations always lies inside; the median of medians may not when rounds stand in.
    point = min(max(float(np.median(locations)), low), high)
    return Estimate(math.exp(point), math.exp(low), math.exp(high), confidence, method)
