"""The control: the baseline's own file, which took turns with it and is compared by the rule of every variant.

What it shows is what the device could tell apart while it was measured: any change that is found is a false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.compare.costs import cost_change
from harness.compare.decision import verdict
from harness.model import Estimate, Omission, Reason, Run, Verdict
from harness.units import UNBOUNDED, full_change, human
from harness.vocabulary import CONTROL, CONTROL_MARKED, METRICS


@dataclass(frozen=True, slots=True)
class Control:
    """What the control of one job showed.

    Attributes:
        change: its latency over the baseline's; None with the reason why there is none.
        verdict: what is said of a variant that changed so.
        margin: changes up to this size do not matter to the suite.
        reasons: what must be known of it.
    """

    change: Estimate | None
    verdict: Verdict
    margin: float
    reasons: tuple[Reason, ...] = ()

    @property
    def alarm(self) -> bool:
        """Whether a change was found where there is none."""
        return self.verdict in (Verdict.IMPROVED, Verdict.REGRESSED)

    @property
    def smallest(self) -> float | None:
        """The smallest change that would have been found beside it, relative; None where nothing is known."""
        if self.change is None or self.change.omits is not Omission.NOTHING:
            return None
        if not all(map(math.isfinite, (self.change.low, self.change.high))):
            return None
        return max(self.change.high / self.change.point - 1, self.change.point / self.change.low - 1, self.margin)

    @property
    def sentence(self) -> str:
        """What it showed, for people."""
        if self.change is None or self.smallest is None:
            why = "; ".join(map(str, self.reasons)) or UNBOUNDED
            return f"Of the control, the baseline's own file, nothing is known: {why}."
        took = full_change("ratio", "", self.change)
        text = f"The control, the baseline's own file in processes of its own, took {took} as long as the baseline"
        if self.alarm:
            return f"{text}: something treated the models differently, so intervals are stretched by as much."
        return f"{text}: a model like it that is {human(self.smallest, '%')} slower or faster would have been found."


def control_of(baseline: Run, suite: Mapping[str, Any]) -> Control | None:
    """Return what the control of a baseline's job showed, None where none ran.

    Args:
        baseline: the run of the baseline.
        suite: plain values as in `Campaign.suites`, for the margin.
    """
    own = baseline.measurements.get(CONTROL)
    if own is None:
        return None
    margin = float(suite["load"]["margin"])
    if own.absent_reason:
        return Control(None, Verdict.INCONCLUSIVE, margin, (Reason(own.absent_reason),))
    info = METRICS["latency_ratio"]
    twin = replace(
        baseline,
        measurements={**baseline.measurements, info.measurement: own},
        notes={**baseline.notes, "marked_rounds": baseline.notes.get(CONTROL_MARKED, ())},
    )
    change, reasons = cost_change(info, baseline, twin, ("baseline", "control"))
    if change is not None and change.omits is not Omission.NOTHING:
        reasons = [*reasons, Reason("the control took part in too few launches for its interval")]
    found = verdict(change, neutral=1.0, margin=margin, higher_is_better=False)
    return Control(change, found, margin, tuple(reasons))


def doubted(change: Estimate, control: Control) -> tuple[Estimate, list[Reason]]:
    """Return a change as it may be believed beside its control: an interval that a false alarm shows to be too narrow.

    The interval is stretched by all that the control's lies off one, in both directions.
    """
    if not control.alarm or control.change is None:
        return change, []
    shown = control.change
    factor = max(shown.high, 1 / shown.low)
    stretched = replace(
        change,
        low=change.low / factor,
        high=change.high * factor,
        method=f"{change.method}, stretched by what the control showed",
    )
    text = f"the control, the baseline's own file, took {full_change('ratio', '', shown)}"
    return stretched, [Reason(f"{text} as long as the baseline: something treated the models differently")]
