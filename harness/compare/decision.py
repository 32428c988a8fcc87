"""What an estimated change says: the one place where a verdict is made."""

from __future__ import annotations

import math

from harness.model import Estimate, Verdict


def verdict(change: Estimate | None, *, neutral: float, margin: float, higher_is_better: bool) -> Verdict:
    """Return what an estimated change says; the six verdicts of runs that may be compared (reports/METHOD.md).

    Args:
        change: the ratio or difference with its interval.
        neutral: its value when nothing changed: 1 for a ratio, 0 for a difference.
        margin: changes up to this size do not matter, in the unit of `change`.
        higher_is_better: the direction of improvement.
    """
    if change is None or not all(map(math.isfinite, (change.point, change.low, change.high))):
        return Verdict.INCONCLUSIVE
    if change.low > neutral or change.high < neutral:
        good = (change.point > neutral) == higher_is_better
        if abs(change.point - neutral) > margin:
            return Verdict.IMPROVED if good else Verdict.REGRESSED
        return Verdict.BETTER if good else Verdict.WORSE
    return Verdict.EQUIVALENT if within(change, neutral=neutral, margin=margin) else Verdict.INCONCLUSIVE


def within(change: Estimate, *, neutral: float, margin: float) -> bool:
    """Return whether the whole interval of a change lies within the margin.

    Args:
        change: as for `verdict`.
        neutral: as for `verdict`.
        margin: as for `verdict`.
    """
    return neutral - margin <= change.low and change.high <= neutral + margin


def decided(change: Estimate, *, neutral: float, margin: float) -> bool:
    """Return whether more measuring is unlikely to place a change elsewhere: beyond the margin, or wholly within it.

    Args:
        change: as for `verdict`.
        neutral: as for `verdict`.
        margin: as for `verdict`.
    """
    found = verdict(change, neutral=neutral, margin=margin, higher_is_better=True)
    return found in (Verdict.IMPROVED, Verdict.REGRESSED) or within(change, neutral=neutral, margin=margin)


def non_inferiority(change: Estimate | None, margin: float) -> Verdict:
    """Return what a change of an accuracy says of a margin: better, worse and equivalent are non-inferior.

    The lower end of the interval decides, as it does in `[accept]`: at or above the margin nothing more is lost, as far
    as the interval can say; an upper end below it shows that more is lost.

    Args:
        change: variant minus baseline, of an accuracy of which more is better.
        margin: what may be lost.
    """
    if change is None or not all(map(math.isfinite, (change.point, change.low, change.high))):
        return Verdict.INCONCLUSIVE
    if change.low >= -margin:
        return Verdict.IMPROVED if change.low > 0 else Verdict.WORSE if change.high < 0 else Verdict.EQUIVALENT
    return Verdict.REGRESSED if change.high < -margin else Verdict.INCONCLUSIVE
