"""At which campaigns the level of a series changed for good: change points of a history.

As in Hunter, now Apache Otava (Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance
Regressions", ICPE 2023), a series is split liberally and the weakest changes are then dropped, one by one, by Student's
t-test between neighbouring levels. It differs in four things. The split is the optimal partition of Jackson et al. ("An
algorithm for optimal partitioning of data on an interval", IEEE Signal Processing Letters, 2005), which finds a level
between two others that a split in two does not see. A p-value counts every place at which the change could have been.
A value knows its own uncertainty: scatter that is smaller by chance than the intervals allow is not believed. And the
last level may be one value, last night's; `harness.compare.watching` judges what is made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.model import FloatArray, IntArray

#: How many values must stand before the first change: the scatter of fewer says nothing.
LEAST_BEFORE: Final = 5
#: From which p-value on a change is none. Hunter's own.
ALARM: Final = 0.001
#: The median of the difference of two independent normal values, in their standard deviation.
_MEDIAN_OF_DIFFERENCES: Final = 0.6745 * math.sqrt(2)
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
        errors: (N,) the standard error of each, 0 where it is not known.
        alarm: a change of a larger p-value is none.
        least: a change of this size or less is none.
    """
    found = _partition(values, errors)
    while found:
        ends = [0, *found, len(values)]
        tested = [_tested(values, errors, *ends[i : i + 3]) for i in range(len(found))]
        weakest = max(range(len(found)), key=lambda i: (tested[i].p >= alarm, _small(tested[i], least), tested[i].p))
        if tested[weakest].p < alarm and not _small(tested[weakest], least):
            return tested
        del found[weakest]  # its neighbours' sides grow: they are looked at again
    return []


def _small(shift: Shift, least: float) -> bool:
    return abs(shift.after - shift.before) <= least


def _partition(values: FloatArray, errors: FloatArray) -> list[int]:
    """Return where levels begin in the partition of least squares and a price for each level."""
    count = len(values)
    if count <= LEAST_BEFORE:
        return []
    # Neighbours differ by a change of level only where one is: their median difference knows the scatter alone.
    scatter = float(np.median(np.abs(np.diff(values)))) / _MEDIAN_OF_DIFFERENCES
    unit = max(scatter**2, float(np.mean(errors**2)), np.finfo(float).tiny)
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


def _changes(
    values: FloatArray, errors: FloatArray, start: int, places: IntArray, stop: int
) -> tuple[FloatArray, FloatArray]:
    """Return (P,) by how much the mean changes at each place, and the standard error of that, never 0."""
    sizes = places - start, stop - places
    # Around their mean, so that the difference of squares below loses no digits.
    centred = values[start:stop] - values[start:stop].mean()
    sums, squares, own = (
        np.concatenate([[0.0], np.cumsum(one)]) for one in (centred, centred**2, errors[start:stop] ** 2)
    )
    at = places - start
    lefts, rights = sums[at] / sizes[0], (sums[-1] - sums[at]) / sizes[1]
    scatter = squares[-1] - sizes[0] * lefts**2 - sizes[1] * rights**2
    found = np.maximum(scatter, 0.0) / (stop - start - 2) * (1 / sizes[0] + 1 / sizes[1])
    known = own[at] / sizes[0] ** 2 + (own[-1] - own[at]) / sizes[1] ** 2
    return rights - lefts, np.sqrt(np.maximum(np.maximum(found, known), np.finfo(float).tiny))


def _tested(values: FloatArray, errors: FloatArray, start: int, at: int, stop: int) -> Shift:
    """Return the change between two parts of the series, with Student's t-test of equal variances."""
    from scipy.stats import t as student

    (change,), (error,) = (one.tolist() for one in _changes(values, errors, start, np.array([at]), stop))
    freedom = stop - start - 2
    p = 2 * float(student.sf(abs(change) / error, freedom)) * (stop - start - 1)
    reach = float(student.ppf(0.975, freedom)) * error
    before, after = float(values[start:at].mean()), float(values[at:stop].mean())
    return Shift(at, before, after, change - reach, change + reach, min(p, 1.0))
