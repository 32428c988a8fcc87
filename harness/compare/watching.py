"""What of a history deserves that a person is woken: a level that changed, was explained, and was measured again.

Every campaign gives a case one ratio of latencies. Over many campaigns its level is looked for (`stats.shifts`), on
each device and, for what is too small there, on all devices together. A change found tonight is a suspicion: one value
may be an accident of one night. It is `real` once a later campaign shows the new level too, `noise` if that shows the
old one, and `unknown` until there is one, or where it lies between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from harness import stats
from harness.compare.causes import Cause
from harness.compare.history import CaseHistory, Point, judged, same_question
from harness.model import Campaign, Estimate, FloatArray, Verdict

Standing = Literal["real", "noise", "unknown"]
#: What a p-value must be below to be measured again; the alarm itself asks for `stats.ALARM`.
SUSPECTED: Final = 0.01
#: Without a margin in the suite, smaller changes than this wake nobody.
_MARGIN: Final = 0.02
#: By how many campaigns a change may seem to begin elsewhere once one more value is known.
_SAME: Final = 10
#: A later value nearer to the old level than to the new one speaks against the change.
_HALF: Final = 0.5
#: An interval of 95 % reaches so many standard errors to each side of a normal estimate.
_REACH: Final = 1.96
#: Of how many devices a fleet is made at least, in a campaign that counts.
_FLEET: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """A ratio whose level changed, or an accuracy that did.

    Attributes:
        name: the case, or the cases, as people read it.
        cases: their ids, each of which can be measured again.
        metric: whose level it is.
        verdict: improved or regressed.
        change: new level over the old one, of an accuracy the difference.
        standing: real, noise or unknown.
        why: what makes it so.
        old, new: the last campaign of the old level, and the first of the new one.
        causes: what was set up otherwise in between.
    """

    name: str
    cases: tuple[str, ...]
    metric: str
    verdict: Verdict
    change: Estimate
    standing: Standing
    why: str
    old: Campaign
    new: Campaign
    causes: tuple[Cause, ...]

    @property
    def alarm(self) -> bool:
        """Whether somebody must look: a real change for the worse."""
        return self.standing == "real" and self.verdict is Verdict.REGRESSED


def watch(histories: Sequence[CaseHistory]) -> list[Finding]:
    """Return what the newest campaigns show that those before did not, alarms first.

    Args:
        histories: of cases, each over as many campaigns as there are; of a suite all devices, so that a change that is
            everywhere is seen as one.
    """
    found = [one for case in histories for one in _of_case(case)]
    alone = {case for one in found if one.standing == "real" for case in one.cases}
    fleets: dict[tuple[str, str, str], list[CaseHistory]] = {}
    for case in histories:
        fleets.setdefault((case.place[0], case.variant, case.runtime), []).append(case)
    for cases in fleets.values():
        # What most of them show alone is said of each.
        if len(cases) >= _FLEET and sum(case.case in alone for case in cases) * 2 <= len(cases):
            found += _of_fleet(cases)
    order = ("real", "unknown", "noise")
    return sorted(found, key=lambda one: (not one.alarm, order.index(one.standing), one.name))


@dataclass(frozen=True, slots=True)
class Series:
    """One ratio a campaign, the oldest first.

    Attributes:
        values: (N,) logarithms of the ratios.
        errors: (N,) their standard errors.
        campaigns: of each; may be left out where only the places of changes are asked for.
    """

    values: FloatArray
    errors: FloatArray
    campaigns: tuple[Campaign, ...] = ()

    def until(self, stop: int) -> Series:
        """Return the first `stop` campaigns."""
        return Series(self.values[:stop], self.errors[:stop], self.campaigns[:stop])


def _of_case(case: CaseHistory) -> Iterator[Finding]:
    points = comparable(case.points)
    series = _series(points)
    for shift, standing, why in news(series, case.margin):
        yield _finding(case.name, (case.case,), series, shift, standing, why, points[shift.at].changed)
    newest = case.points[-1]
    for move in newest.moves:
        # The same images give the same accuracy every night: what changed did change.
        if move.metric != "latency_ratio" and move.change is not None:
            before = case.points[-2].campaign
            yield Finding(
                case.name,
                (case.case,),
                move.metric,
                move.verdict,
                move.change,
                "real",
                "an accuracy on the same images has no noise of time",
                before,
                newest.campaign,
                newest.changed,
            )


def comparable(points: Sequence[Point]) -> list[Point]:
    """Return the last points of a case that ask the same question and whose ratio can carry a judgement."""
    found: list[Point] = []
    for point in points:
        if judged(point) is None:
            continue
        if found and not same_question(found[-1], point):
            found = []
        found.append(point)
    return found


def _series(points: Sequence[Point]) -> Series:
    ratios = [ratio for point in points if (ratio := judged(point)) is not None]
    errors = [math.log(one.high / one.low) / 2 / _REACH for one in ratios]
    values = [math.log(one.point) for one in ratios]
    return Series(np.array(values), np.array(errors), tuple(point.campaign for point in points))


def _of_fleet(cases: Sequence[CaseHistory]) -> Iterator[Finding]:
    """Yield what changed on all devices together by less than can be seen on one."""
    own: dict[str, list[tuple[float, float]]] = {}
    campaigns: dict[str, Campaign] = {}
    causes: dict[str, dict[str, Cause]] = {}
    for case in cases:
        points = comparable(case.points)
        if not points:
            continue
        series = _series(points)
        for point, value, error in zip(points, series.values - series.values.mean(), series.errors, strict=True):
            own.setdefault(point.campaign.id, []).append((float(value), float(error)))
            campaigns[point.campaign.id] = point.campaign
            causes.setdefault(point.campaign.id, {}).update({one.sentence: one for one in point.changed})
    shared = sorted(
        (one for one in campaigns.values() if len(own[one.id]) >= _FLEET), key=lambda one: (one.started_at, one.id)
    )
    both = [np.array(own[one.id]) for one in shared]
    series = Series(
        np.array([one[:, 0].mean() for one in both]),
        np.array([math.sqrt(float((one[:, 1] ** 2).sum())) / len(one) for one in both]),
        tuple(shared),
    )
    first = cases[0]
    devices = ", ".join(case.place[1] for case in cases)
    runtime = f" with {first.runtime.replace('==', ' ')}" if first.runtime else ""
    name = f"{first.variant} on {len(cases)} devices together ({devices}){runtime}"
    for shift, standing, why in news(series, first.margin):
        of = tuple(causes[shared[shift.at].id].values())
        yield _finding(name, tuple(case.case for case in cases), series, shift, standing, why, of)


def news(series: Series, margin: float | None) -> Iterator[tuple[stats.Shift, Standing, str]]:
    """Yield changes that the newest value shows for the first time, or that it judges, with standing and reason.

    Args:
        series: of one case.
        margin: smaller relative changes are none; None for 2 %.
    """
    least = math.log1p(_MARGIN if margin is None else margin)
    if len(series.values) < 2:
        return
    before = series.until(-1)
    suspected = stats.shifts(before.values, before.errors, alarm=SUSPECTED, least=least)
    newest = len(series.values) - 1
    last = float(series.values[-1])
    found = stats.shifts(series.values, series.errors, alarm=SUSPECTED, least=least)
    # What was real after any campaign of late was said then, whatever a later one made of it.
    said = [_real(series.until(stop), least) for stop in range(newest, max(newest - _SAME, 0), -1)] if found else [[]]
    for shift in _unmatched(found, max(said, key=len)):
        if shift.at == newest:
            yield shift, "unknown", "one campaign shows it: it was not measured again yet"
        elif not _beyond(last, shift):
            if shift.at == newest - 1:
                continue  # noise, below
            yield shift, "unknown", "the newest campaign lies nearer to the old level"
        elif not _is_real(shift, series):
            yield shift, "unknown", f"chance would show this in {shift.p:.1%} of such histories"
        else:
            yield shift, "real", f"{newest - shift.at + 1} campaigns show the new level"
    for shift in suspected:
        # Only last night's own suspicion is settled by tonight.
        if shift.at == newest - 1 and not _beyond(last, shift):
            yield shift, "noise", "the next campaign shows the old level"


def _real(series: Series, least: float) -> list[stats.Shift]:
    """Return the changes that a history shows beyond doubt."""
    found = stats.shifts(series.values, series.errors, least=least)
    return [one for one in found if _is_real(one, series)]


def _is_real(shift: stats.Shift, series: Series) -> bool:
    """Return whether chance is out of the question and the newest value, not the first of the new level, shows it."""
    again = shift.at < len(series.values) - 1
    return shift.p < stats.ALARM and again and _beyond(float(series.values[-1]), shift)


def _unmatched(found: Sequence[stats.Shift], known: Sequence[stats.Shift]) -> Iterator[stats.Shift]:
    """Yield the changes that are none of those known: each known one stands for the nearest of its direction."""
    left = list(known)
    for one in reversed(found):
        same = [
            other
            for other in left
            if abs(one.at - other.at) <= _SAME and (one.after > one.before) == (other.after > other.before)
        ]
        if same:
            left.remove(min(same, key=lambda other: abs(one.at - other.at)))
        else:
            yield one


def _beyond(value: float, shift: stats.Shift) -> bool:
    """Return whether a value lies nearer to the new level than to the old one."""
    return (value - shift.before) / (shift.after - shift.before) > _HALF


def _finding(
    name: str,
    cases: tuple[str, ...],
    series: Series,
    shift: stats.Shift,
    standing: Standing,
    why: str,
    causes: tuple[Cause, ...],
) -> Finding:
    point, low, high = (math.exp(one) for one in (shift.after - shift.before, shift.low, shift.high))
    change = Estimate(point, low, high, method="two levels, Student's t")
    verdict = Verdict.REGRESSED if change.point > 1 else Verdict.IMPROVED
    old, new = series.campaigns[shift.at - 1], series.campaigns[shift.at]
    return Finding(name, cases, "latency_ratio", verdict, change, standing, why, old, new, causes)
