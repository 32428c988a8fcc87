"""What an estimated change says: the one place where a verdict is made."""

from __future__ import annotations

import math

from harness.model import Estimate, Verdict


def verdict(change: Estimate | None, *, neutral: float, margin: float, higher_is_better: bool) -> Verdict:
    """Return what an estimated change says; the four verdicts of runs that may be compared (reports/METHOD.md).

    Args:
        change: the ratio or difference with its interval.
        neutral: its value when nothing changed: 1 for a ratio, 0 for a difference.
        margin: changes up to this size do not matter, in the unit of `change`.
        higher_is_better: the direction of improvement.
    """
    if change is None or not all(map(math.isfinite, (change.point, change.low, change.high))):
        return Verdict.INCONCLUSIVE
    excluded = change.low > neutral or change.high < neutral
    if excluded and abs(change.point - neutral) > margin:
        return Verdict.IMPROVED if (change.point > neutral) == higher_is_better else Verdict.REGRESSED
    if neutral - margin <= change.low and change.high <= neutral + margin:
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE
