"""At which campaigns the level of a series changed for good: change points of a history.

As in Hunter, now Apache Otava (Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance
Regressions", ICPE 2023), a series is split liberally and the weakest changes are then dropped, one by one, by Student's
t-test between neighbouring levels. It differs in five things. The split is the optimal partition of Jackson et al. ("An
algorithm for optimal partitioning of data on an interval", IEEE Signal Processing Letters, 2005), which finds a level
between two others that a split in two does not see. A p-value counts every place at which the change could have been.
A value that is less certain than usual counts for less, and one far from its level no more than four standard
deviations. And the last level may be one value, last night's; `harness.compare.watching` judges what is made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.model import FloatArray
from harness.stats.distributions import t_beyond, t_quantile

#: How many values must stand before the first change: the scatter of fewer says nothing.
LEAST_BEFORE: Final = 5
#: From which p-value on a change is none. Hunter's own.
ALARM: Final = 0.001
#: The median of the difference of two independent normal values, in their standard deviation.
_MEDIAN_OF_DIFFERENCES: Final = 0.6745 * math.sqrt(2)
#: Up to how many standard deviations from the middle of its level a value counts in full.
_FURTHEST: Final = 4.0
#: What a level costs, in squared standard deviations times the logarithm of the count: little, for a test comes after.
_PRICE: Final = 2.0
#: How many values any level but the last has at least.
_LEAST: Final = 2


@dataclass(frozen=True, slots=True)
class Shift:
    """A level that changed.

    Attributes:
        at: place of the first value of the new level.
        before, after: the mean of each level, up to the changes next to this one.
        low, high: of `after - before`, an interval of 95 %.
        p: how often chance alone would show such a change anywhere in the values looked at.
    """

    at: int
    before: float
    after: float
    low: float
    high: float
    p: float


def shifts(values: FloatArray, errors: FloatArray, *, alarm: float = ALARM, least: float = 0.0) -> list[Shift]:
    """Return where the level of a series changed, in its order.

    Args:
        values: (N,) one a campaign, the oldest first; logarithms for ratios.
        errors: (N,) the standard error of each, 0 where it is not known; one above the median counts for less.
        alarm: a change of a larger p-value is none.
        least: a change of this size or less is none.
    """
    if len(values) <= LEAST_BEFORE:
        return []
    # Neighbours differ by a change of level only where one is: their median difference knows the scatter alone.
    usual = float(np.median(np.abs(np.diff(values)))) / _MEDIAN_OF_DIFFERENCES
    found, weights = _partition(values, usual), _weights(errors)
    while found:
        ends = [0, *found, len(values)]
        tested = [_tested(values, weights, *ends[i : i + 3], usual=usual) for i in range(len(found))]
        weakest = max(range(len(found)), key=lambda i: (tested[i].p >= alarm, _small(tested[i], least), tested[i].p))
        if tested[weakest].p < alarm and not _small(tested[weakest], least):
            return tested
        del found[weakest]  # its neighbours' sides grow: they are looked at again
    return []


def _small(shift: Shift, least: float) -> bool:
    return abs(shift.after - shift.before) <= least


def _partition(values: FloatArray, usual: float) -> list[int]:
    """Return where levels begin in the partition of least squares and a price for each level."""
    count = len(values)
    unit = max(usual**2, np.finfo(float).tiny)
    centred = values - values.mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(one)]) for one in (centred, centred**2))
    price = _PRICE * math.log(count)
    best, begin = np.full(count + 1, np.inf), np.zeros(count + 1, np.intp)
    best[0] = -price
    for stop in range(LEAST_BEFORE, count + 1):
        # The last level may be one value; any other has two, so that one accident is no level.
        shortest = 1 if stop == count else _LEAST
        starts = np.arange(0, stop - shortest + 1)
        sizes = stop - starts
        within = squares[stop] - squares[starts] - (sums[stop] - sums[starts]) ** 2 / sizes
        costs = best[starts] + np.maximum(within, 0.0) / unit + price
        begin[stop] = int(np.argmin(costs))
        best[stop] = costs[begin[stop]]
    found, at = [], int(begin[count])
    while at > 0:
        found.append(at)
        at = int(begin[at])
    return found[::-1]


def _tested(values: FloatArray, weights: FloatArray, start: int, at: int, stop: int, *, usual: float) -> Shift:
    """Return the change between two parts of the series, with Student's t-test of equal variances.

    Args:
        values: the whole series.
        weights: (N,) how many times as large as usual the variance of each value is.
        start: where the first part begins.
        at: where the second one does.
        stop: where it ends.
        usual: the standard deviation of neighbours.
    """
    parts = [_clipped(part, usual) for part in (values[start:at], values[at:stop])]
    before, after = (float(part.mean()) for part in parts)
    freedom = stop - start - 2
    scatter = sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / freedom
    shares = sum(float(part.sum()) / len(part) ** 2 for part in (weights[start:at], weights[at:stop]))
    error = math.sqrt(max(scatter * shares, np.finfo(float).tiny))
    p = 2 * t_beyond(abs(after - before) / error, freedom) * (stop - start - 1)
    reach = t_quantile(0.975, freedom) * error
    return Shift(at, before, after, after - before - reach, after - before + reach, min(p, 1.0))


def _clipped(part: FloatArray, usual: float) -> FloatArray:
    """Return a level whose accidents reach no further than is usual at most; one of few values as it is."""
    if len(part) < LEAST_BEFORE:
        return part
    middle = float(np.median(part))
    return np.clip(part, middle - _FURTHEST * usual, middle + _FURTHEST * usual)


def _weights(errors: FloatArray) -> FloatArray:
    """Return (N,) how many times as large as usual the variance of each value is, at least 1."""
    known = errors[errors > 0]
    usual = float(np.median(known)) if len(known) else 1.0
    return np.maximum(1.0, (errors / usual) ** 2)
