"""What intervals take from the normal, Student's t and the binomial distribution, and the ranks of values.

From `scipy.special`, whose import takes a quarter of the time of that of `scipy.stats`: each campaign and each command
is a process of its own.
"""

from __future__ import annotations

import math

import numpy as np

from harness.model import FloatArray


def normal_quantile(p: float) -> float:
    """Return the standard normal distribution's quantile."""
    from scipy.special import ndtri

    return float(ndtri(p))


def t_quantile(p: float, freedom: float) -> float:
    """Return the quantile of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))


def t_beyond(value: float, freedom: float) -> float:
    """Return the probability that Student's t with so many degrees of freedom is above `value`."""
    from scipy.special import stdtr

    return float(stdtr(freedom, -value))


def binomial_quantile(p: float, trials: int, chance: float) -> int:
    """Return the smallest number of successes that is not exceeded with a probability of at least `p`.

    Args:
        p: the probability, above 0 and below 1.
        trials: how many there are.
        chance: that one succeeds.
    """
    from scipy.special import bdtr, bdtrik

    found = min(max(math.ceil(float(bdtrik(p, trials, chance))), 0), trials)
    # The inverse is a real number, which may be rounded to either side of a whole one; so may what it is asked for.
    enough = p * (1 - 1e-12)
    while found > 0 and bdtr(found - 1, trials, chance) >= enough:
        found -= 1
    while found < trials and bdtr(found, trials, chance) < enough:
        found += 1
    return found


def binomial_two_sided(successes: int, trials: int) -> float:
    """Return the exact two-sided p-value of so many successes where each trial succeeds with a chance of one half."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(successes, trials - successes), trials, 0.5)))


def midranks(values: FloatArray) -> FloatArray:
    """Return (N,) the rank of each value from 1 on; values that are alike share the middle of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place], np.float64)
