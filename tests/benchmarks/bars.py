"""How a bar for a measured ratio is judged, the same for every benchmark: by the ratio's interval, as verdicts are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

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
