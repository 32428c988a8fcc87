"""Proportions of images, alone and paired on the same images."""

from __future__ import annotations

import math

from harness.model import Estimate
from harness.stats.distributions import binomial_two_sided, normal_quantile


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Estimate | None:
    """Return a proportion with Wilson's score interval (Wilson 1927), or None without a trial.

    Args:
        successes: how many trials succeeded.
        trials: how many there were.
        confidence: of the interval.
    """
    if trials == 0:
        return None
    point, z = successes / trials, normal_quantile(0.5 + confidence / 2)
    # In the order in which scipy.stats adds it up: stored intervals are the same to the last digit.
    whole = 2 * (trials + z**2)
    middle = (2 * trials * point + z**2) / whole
    half = z / whole * math.sqrt(4 * trials * point * (1 - point) + z**2)
    # At either end the formula gives the proportion itself, but for the last digit.
    low = middle - half if successes else 0.0
    high = middle + half if successes < trials else 1.0
    return Estimate(point, low, high, confidence, f"Wilson, n={trials}")


def unpaired_difference(
    successes: int, trials: int, base_successes: int, base_trials: int, confidence: float = 0.95
) -> Estimate | None:
    """Return the difference of two independent proportions, run minus baseline, with Newcombe's hybrid score interval.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17,
    873-890, method 10: the two Wilson intervals, combined. None without a trial of either.

    Args:
        successes: how many trials of the run succeeded.
        trials: how many there were.
        base_successes: the same of the baseline.
        base_trials: the same of the baseline.
        confidence: of the interval.
    """
    own, base = wilson(successes, trials, confidence), wilson(base_successes, base_trials, confidence)
    if own is None or base is None:
        return None
    point = own.point - base.point
    below = math.hypot(own.point - own.low, base.high - base.point)
    above = math.hypot(own.high - own.point, base.point - base.low)
    method = f"Newcombe score, {trials} and {base_trials}"
    return Estimate(point, point - below, point + above, confidence, method)


def mcnemar(only_run: int, only_baseline: int) -> float:
    """Return McNemar's exact conditional two-sided p-value for "both are right equally often".

    Args:
        only_run: images that only the run got right.
        only_baseline: images that only the baseline got right.
    """
    discordant = only_run + only_baseline
    return binomial_two_sided(only_run, discordant) if discordant else 1.0


def paired_difference(only_run: int, only_baseline: int, pairs: int, confidence: float = 0.95) -> Estimate | None:
    """Return the difference of two paired proportions, run minus baseline, with Tango's score interval.

    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, 891-908. It keeps a width when no pair is discordant, where Wald's has none.

    Args:
        only_run: pairs in which only the run succeeded.
        only_baseline: pairs in which only the baseline succeeded.
        pairs: all pairs, concordant ones included.
        confidence: of the interval.

    Returns:
        The estimate, its method naming McNemar's exact p-value; None without a pair.
    """
    if pairs == 0:
        return None
    z = normal_quantile(0.5 + confidence / 2)
    return Estimate(
        point=(only_run - only_baseline) / pairs,
        low=-_tango_end(only_baseline, only_run, pairs, z),
        high=_tango_end(only_run, only_baseline, pairs, z),
        confidence=confidence,
        method=f"Tango score, n={pairs}, McNemar exact p={mcnemar(only_run, only_baseline):.3g}",
    )


def smallest_margin(pairs: int, confidence: float = 0.95) -> float:
    """Return the smallest margin that `paired_difference` can show: its interval's end when no pair is discordant.

    Tango's score interval is then z^2 / (n + z^2) wide to each side.

    Args:
        pairs: how many there are, at least one.
        confidence: of the interval.
    """
    square = normal_quantile(0.5 + confidence / 2) ** 2
    return square / (pairs + square)


def pairs_for_margin(margin: float, confidence: float = 0.95) -> int:
    """Return how many pairs are needed at least to show a margin, the inverse of `smallest_margin`.

    Args:
        margin: above 0 and below 1.
        confidence: of the interval.
    """
    square = normal_quantile(0.5 + confidence / 2) ** 2
    return math.ceil(square * (1 - margin) / margin - 1e-9)


def smallest_margin_of_patients(patients: float, confidence: float = 0.95) -> float:
    """Return the smallest margin that patients with as many images each can show: none of them is answered otherwise.

    The end is then that of Clopper and Pearson for no failure, as `units_interval` has it with one pseudo-patient.

    Args:
        patients: how many there are, above 0; where they have unlike numbers of images, images over `group_size`.
        confidence: of the interval.
    """
    return float(1 - ((1 - confidence) / 2) ** (1 / patients))


def patients_for_margin(margin: float, confidence: float = 0.95) -> int:
    """Return how many patients are needed at least to show a margin, the inverse of `smallest_margin_of_patients`.

    Args:
        margin: above 0 and below 1.
        confidence: of the interval.
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(1 - margin) - 1e-9)


def _tango_end(b: int, c: int, n: int, z: float) -> float:
    # The upper end: the largest difference whose score statistic stays within -z. It falls as the difference grows.
    inside, outside = (b - c) / n, 1.0
    if inside >= 1:
        return 1.0
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if _tango_score(b, c, n, middle) > -z else (inside, middle)
    return inside


def _tango_score(b: int, c: int, n: int, difference: float) -> float:
    # q is the maximum likelihood estimate of the probability of the second kind of discordance, given the difference.
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    q = (math.sqrt(max(linear * linear - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + difference * (1 - difference))
    return (b - c - n * difference) / math.sqrt(variance) if variance > 0 else -math.inf
