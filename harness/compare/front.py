"""Which of many models are worth their cost: which dominate others, and which cannot be separated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from harness.compare.costs import cost_change
from harness.compare.decision import verdict
from harness.compare.verdicts import accuracy_change, margin
from harness.model import Estimate, Omission, Run, Verdict
from harness.vocabulary import METRICS

#: What says that two costs were measured in two races, each against the baseline.
VIA_BASELINE: Final = "by way of the baseline, of two races (MOVER)"


class Relation(StrEnum):
    """How one model stands to another."""

    DOMINATES = "dominates"
    DOMINATED = "is dominated by"
    #: One certainly costs less, the other certainly answers better.
    TRADED = "is traded against"
    UNCLEAR = "cannot be separated from"


@dataclass(frozen=True, slots=True)
class Member:
    """One model: its name, its run, and its cost over that of the baseline of its own job."""

    name: str
    run: Run
    cost: Estimate


@dataclass(frozen=True, slots=True)
class Standing:
    """How a member stands to all others.

    Attributes:
        member: itself.
        dominates: the names of those that it dominates.
        dominated: of those that dominate it; with none it is on the front.
        unclear: of those on the front that it cannot be separated from.
    """

    member: Member
    dominates: tuple[str, ...]
    dominated: tuple[str, ...]
    unclear: tuple[str, ...]


def standings(
    members: Sequence[Member], suite: Mapping[str, Any], *, ratio: str, accuracy: str
) -> tuple[Standing, ...]:
    """Return how each member stands to the others, in their order.

    Args:
        members: runs on the same images, on one device with one runtime.
        suite: plain values as in `Campaign.suites`: task, load (margin), accept.
        ratio: the metric of the cost.
        accuracy: the metric that is weighed against it.
    """
    found: dict[tuple[str, str], Relation] = {}
    for number, one in enumerate(members):
        for other in members[number + 1 :]:
            how = relation(one, other, suite, ratio=ratio, accuracy=accuracy)
            found[one.name, other.name] = how
            found[other.name, one.name] = _TURNED.get(how, how)

    def of(one: Member, wanted: Relation) -> tuple[str, ...]:
        return tuple(other.name for other in members if found.get((one.name, other.name)) is wanted)

    front = {one.name for one in members if not of(one, Relation.DOMINATED)}
    return tuple(
        Standing(
            one,
            of(one, Relation.DOMINATES),
            of(one, Relation.DOMINATED),
            tuple(name for name in of(one, Relation.UNCLEAR) if name in front and one.name in front),
        )
        for one in members
    )


_TURNED: Final = {Relation.DOMINATES: Relation.DOMINATED, Relation.DOMINATED: Relation.DOMINATES}


def relation(one: Member, other: Member, suite: Mapping[str, Any], *, ratio: str, accuracy: str) -> Relation:
    """Return how one member stands to another, each by intervals and by more than the suite's margins.

    It dominates where it certainly costs less and its accuracy is not worse by more than the margin, or where its
    accuracy is certainly better and its cost not higher by more than the margin.

    Args:
        one: a member.
        other: another.
        suite: as for `standings`.
        ratio: the metric of the cost.
        accuracy: the metric that is weighed against it.
    """
    info, slack = METRICS[accuracy], margin(METRICS[accuracy], suite)
    cost = _cost(one, other, ratio)
    change, _ = accuracy_change(info, other.run, one.run, suite)
    if change is None or cost is None:
        return Relation.UNCLEAR
    gain = _turned(change) if info.lower_is_better else change
    # Both ways round by the same margins: a ratio of 1.02 is not 0.98 turned.
    inverse = replace(cost, point=1 / cost.point, low=1 / cost.high, high=1 / cost.low) if cost.low > 0 else None
    allowed = float(suite["load"]["margin"])
    if _dominates(cost, gain, allowed, slack):
        return Relation.DOMINATES
    if inverse is not None and _dominates(inverse, _turned(gain), allowed, slack):
        return Relation.DOMINATED
    cheaper, dearer = (verdict(a, neutral=1.0, margin=allowed, higher_is_better=False) for a in (cost, inverse))
    better = verdict(gain, neutral=0.0, margin=slack, higher_is_better=True)
    if (cheaper, better) == (Verdict.IMPROVED, Verdict.REGRESSED):
        return Relation.TRADED
    if (dearer, better) == (Verdict.IMPROVED, Verdict.IMPROVED):
        return Relation.TRADED
    return Relation.UNCLEAR


def _turned(change: Estimate) -> Estimate:
    return replace(change, point=-change.point, low=-change.high, high=-change.low)


def _dominates(cost: Estimate, gain: Estimate, allowed: float, slack: float) -> bool:
    """Return whether a model certainly costs less and is not worse, or is certainly better and does not cost more.

    Args:
        cost: its cost over the other's.
        gain: its accuracy minus the other's, of which more is better.
        allowed: how much higher a cost does not matter, as a share.
        slack: how much lower an accuracy does not matter.
    """
    if verdict(cost, neutral=1.0, margin=allowed, higher_is_better=False) is Verdict.IMPROVED and gain.low >= -slack:
        return True
    # An interval that leaves out a source of variance never shows sameness.
    better = verdict(gain, neutral=0.0, margin=slack, higher_is_better=True) is Verdict.IMPROVED
    return better and cost.omits is Omission.NOTHING and cost.high <= 1 + allowed


def _cost(one: Member, other: Member, ratio: str) -> Estimate | None:
    """Return one's cost over the other's: in turns where they took turns, else by way of the baseline."""
    if one.run.campaign == other.run.campaign or ratio == "size_ratio":
        return cost_change(METRICS[ratio], other.run, one.run)[0]
    # Of two errors that are apart, on logarithms: as `costs` has it of two energies.
    a, b = one.cost, other.cost
    if min(a.low, b.low) <= 0 or not all(map(math.isfinite, (a.low, a.high, b.low, b.high))):
        return None
    below = math.hypot(math.log(a.point / a.low), math.log(b.high / b.point))
    above = math.hypot(math.log(a.high / a.point), math.log(b.point / b.low))
    point = a.point / b.point
    omits = a.omits if a.omits is not Omission.NOTHING else b.omits
    return Estimate(point, point * math.exp(-below), point * math.exp(above), 0.95, VIA_BASELINE, omits)
