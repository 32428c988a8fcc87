"""How a bar for a measured ratio is judged, the same for every benchmark: by the ratio's interval, as verdicts are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec

import numpy as np

from harness.model import Estimate

#: An undecided ratio has to lie this near to its bar all the same: what is farther off has not been measured.
NEAR = 0.05

P = ParamSpec("P")


def measured_again(test: Callable[P, None]) -> Callable[P, None]:
    """Let a comparison of speeds be measured a second time before it fails; both figures are printed.

    An interval of 95 % lies beyond its bar now and then, and other work on a shared machine may take most of one
    measurement. What is slower in truth is slower in both.
    """

    @functools.wraps(test)
    def twice(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            return test(*args, **kwargs)
        except AssertionError as first:
            print(f"\nmeasured again, for the first time this did not hold: {str(first).splitlines()[0]}")
        return test(*args, **kwargs)

    return twice


def ratio_of_quickest(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the ratio of the quickest launches of two instruments, with a bootstrap interval of 95 %.

    Which pages of memory a process happens to get decides on some machines, virtual ones above all, whether each of its
    inferences takes half as long again: of one model and runner one launch in seven was quick, an hour before it was
    one in two. The quickest launch had none of that, in either instrument.

    Args:
        ours: a time of each launch of the one, (L,).
        theirs: of the other, (L,), which took turns with it.
    """
    pairs = np.column_stack([ours, theirs])
    rows = np.random.default_rng(3).integers(0, len(pairs), (4000, len(pairs)))
    mine, other = pairs[rows].min(axis=1).T
    low, high = np.quantile(mine / other, [0.025, 0.975])
    point = float(np.divide(*pairs.min(axis=0)))
    return Estimate(point, float(low), float(high), 0.95, f"bootstrap of the quickest of {len(pairs)} launches")


def decided(found: Estimate, low: float, high: float) -> bool:
    """Return whether the whole interval lies within the bar, or the whole of it beyond one end."""
    return (low <= found.low and found.high <= high) or found.high < low or found.low > high


def verdict(found: Estimate, low: float, high: float) -> str:
    """Return "within", "beyond" or "undecided"; an undecided one that is far from the bar counts as beyond it.

    A point inside or outside of a bar says nothing where the interval holds the bar's end: the next run would say the
    other thing. It is beyond when the interval is.
    """
    if low <= found.low and found.high <= high:
        return "within"
    if decided(found, low, high) or not low - NEAR <= found.point <= high + NEAR:
        return "beyond"
    return "undecided"


def said(found: Estimate, low: float, high: float) -> str:
    """Return the ratio, its interval, its bar and the verdict, as they are printed."""
    interval = f"{found.point:.4f} [{found.low:.4f}, {found.high:.4f}]"
    return f"{interval} (bar: {low:g} to {high:g}): {verdict(found, low, high)}"
