"""A case over many campaigns: what moved from one to the next, and what was changed in between.

Every campaign gives a case one ratio of latencies with its interval, and one value of each accuracy. A ratio is said to
have moved only if the two intervals lie apart by more than the suite's margin, and the move is confirmed only by the
next campaign (reports/METHOD.md says how seldom a case is marked of which nothing changed). Accuracies are compared on
the same images, as `across_campaigns` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from harness.compare.causes import Cause, surroundings
from harness.compare.decision import verdict
from harness.compare.fingerprints import differences, said
from harness.compare.verdicts import accuracy_change, margin
from harness.model import Campaign, Comparison, Estimate, Omission, Outcome, Run, Validity, Verdict, sentence
from harness.units import bounded, full_change, human
from harness.vocabulary import METRICS

#: How a move of a ratio stands, once it was looked for again.
AWAITED, CONFIRMED, UNSEEN = "not yet confirmed", "confirmed by the next campaign", "not seen again"
#: The ratio whose moves are looked for.
RATIO: Final = "latency_ratio"
#: Each end of two intervals of 95 % may be missed: what is made of both holds in nine cases of ten or more.
_BOTH: Final = 0.90
#: What of a case makes it another question, as for two campaigns.
_QUESTION: Final = frozenset({"device", "suite", "scenario", "threads", "batch", "accelerator", "frame_rate_hz"})
#: What a suite says that changes no number.
_SAID_ONLY: Final = frozenset({"title", "devices", "architectures", "confidential", "examples"})


@dataclass(frozen=True, slots=True)
class Results:
    """What one campaign gave; of its runs the samples are not needed."""

    campaign: Campaign
    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A number that changed from an earlier campaign by more than intervals and margin allow.

    Attributes:
        metric: whose.
        before, after: the number in words, with its interval.
        verdict: improved or regressed; incomparable where an accuracy changed and could not be compared, as `why` says.
        standing: of a ratio, whether the next campaign showed it too; "" of an accuracy, which has no noise of time.
        change: after over before, or after minus before; None where it could not be compared.
        when: when the campaign began that showed `before`, "" if it is the last one of the case.
    """

    metric: str
    before: str
    after: str
    verdict: Verdict
    standing: str = ""
    why: str = ""
    change: Estimate | None = None
    when: str = ""

    @property
    def sentence(self) -> str:
        """The move in words."""
        info = METRICS[self.metric]
        title = f"{info.title} against the baseline" if info.kind == "ratio" else info.title
        text = f"{title}: {self.before}{f' in the campaign of {self.when}' if self.when else ''} -> {self.after}"
        if self.verdict is Verdict.INCOMPARABLE:
            return f"{text}, which was not compared: {self.why}"
        standing = f", {self.standing}" if self.standing else ""
        aside = f" ({full_change(info.kind, info.unit, self.change)})" if info.kind == "accuracy" else ""
        return f"{text}{aside}, {self.verdict.value}{standing}"


@dataclass(frozen=True, slots=True)
class Point:
    """One case in one campaign.

    Attributes:
        campaign: which.
        run: without samples; None for a case that ended in an error.
        head: the run of the baseline that took turns with it, None where there is none.
        ratio: its latency against the baseline.
        outcome: how the case ended, None where it was not judged.
        changed: what was set up otherwise than in the campaign before that has a run of the case.
        moves: what moved since.
    """

    campaign: Campaign
    run: Run | None
    head: Run | None
    ratio: Comparison | None
    outcome: Outcome | None
    changed: tuple[Cause, ...] = ()
    moves: tuple[Move, ...] = ()

    @property
    def at(self) -> datetime:
        """When its campaign began."""
        return self.campaign.started_at

    @property
    def status(self) -> str:
        """How the case ended, "not judged" where nobody asked."""
        return self.outcome.status if self.outcome else "not judged"


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """One case in the campaigns that had it, the oldest first.

    Attributes:
        case: its id.
        place: suite and device.
        metrics: the accuracies that the suite bounds.
    """

    case: str
    place: tuple[str, str]
    variant: str
    runtime: str
    metrics: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """The case as people read it: `resnet18-int8 on pi5 with onnxruntime 1.31.1`."""
        software = f" with {self.runtime.replace('==', ' ')}" if self.runtime else ""
        return f"{self.variant} on {self.place[1]}{software}"

    @property
    def margin(self) -> float | None:
        """By how much its ratio may change without mattering, None where nothing is known of the suite."""
        suite = self.points[-1].campaign.suites.get(self.place[0], {})
        return margin(METRICS[RATIO], suite) if suite.get("load") else None


def histories(results: Sequence[Results], read: Callable[[str], Run | None]) -> tuple[CaseHistory, ...]:
    """Return every case of some campaigns, those of the newest campaign first.

    Args:
        results: of campaigns, the oldest first.
        read: returns a run with its outputs, by id, or None; asked only where an accuracy differs.
    """
    found: dict[str, list[Point]] = {}
    about: dict[str, tuple[str, str, str, str]] = {}
    for one in results:
        for case, names, point in _points(one):
            found.setdefault(case, []).append(point)
            about[case] = names
    newest = results[-1].campaign.id if results else ""
    order = sorted(found, key=lambda case: found[case][-1].campaign.id != newest)
    return tuple(_history(case, about[case], found[case], read) for case in order)


def _points(one: Results) -> Iterator[tuple[str, tuple[str, str, str, str], Point]]:
    ratios = {change.run: change for change in one.comparisons if change.metric == RATIO}
    heads = {_group(run): run for run in one.runs if run.is_baseline}
    outcomes = {outcome.run: outcome for outcome in one.outcomes if outcome.run}
    seen = set()
    for run in one.runs:
        case = run.case
        head = heads.get(_group(run))
        seen.add(run.id)
        point = Point(one.campaign, run, head, ratios.get(run.id), outcomes.get(run.id))
        yield case.id or run.id, (case.suite, case.device, case.variant, case.runtime), point
    for outcome in one.outcomes:
        if outcome.run not in seen and (case_of := outcome.about) is not None:
            names = (case_of.suite, case_of.device, case_of.variant, case_of.runtime)
            yield outcome.case, names, Point(one.campaign, None, None, None, outcome)


def _group(run: Run) -> tuple[str, str, str]:
    return run.case.suite, run.case.device, run.case.runtime


def _history(
    case: str, names: tuple[str, str, str, str], points: list[Point], read: Callable[[str], Run | None]
) -> CaseHistory:
    suite, device, variant, runtime = names
    lines = points[-1].campaign.suites.get(suite, {}).get("accept", ())
    bounded_names = dict.fromkeys(str(line["metric"]) for line in lines)
    metrics = tuple(name for name in bounded_names if name in METRICS and METRICS[name].kind == "accuracy")
    moves = _ratio_moves(points, suite)
    last: Point | None = None
    levels: dict[str, Point] = {}
    drawn = []
    for at, point in enumerate(points):
        changed: tuple[Cause, ...] = ()
        accuracies: list[Move] = []
        if point.run is not None:
            changed = tuple(_changed(last, point, suite)) if last is not None else ()
            last = point
            for metric in _judged_accuracies(point.run, metrics):
                if metric in levels and (move := _accuracy_move(levels[metric], point, metric, read)):
                    accuracies.append(replace(move, when=_older(points, levels[metric], at)))
                levels[metric] = point
        ratio = [moves[at]] if at in moves else []
        drawn.append(replace(point, changed=changed, moves=(*ratio, *accuracies)))
    return CaseHistory(case, (suite, device), variant, runtime, metrics, tuple(drawn))


def _changed(before: Point, after: Point, suite: str) -> Iterator[Cause]:
    """Yield what was set up otherwise in the later campaign."""
    assert before.run is not None
    assert after.run is not None
    yield from surroundings(before.run, after.run)
    digests = [one.head.variant.sha256 for one in (before, after) if one.head is not None]
    if len(digests) == 2 and digests[0] != digests[1] and not after.run.is_baseline:
        pair = " -> ".join(said("sha256", digest) for digest in digests)
        yield Cause("baseline", f"The baseline's file is another one: {pair}. The ratios have different meanings.", 0)
    yield from _settings(*(_flat(one.campaign.suites.get(suite, {})) for one in (before, after)))
    versions = [one.campaign.environment.get("edgeward") for one in (before, after)]
    if versions[0] != versions[1]:
        yield Cause("edgeward", f"edgeward changed: {versions[0]} -> {versions[1]}.", 0)
    methods = [_method(one) for one in (before, after)]
    if all(methods) and methods[0] != methods[1]:
        yield Cause("method", f"The interval of the ratio was found otherwise: {methods[0]} -> {methods[1]}.", 0)


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Cause]:
    for key in dict.fromkeys([*before, *after]):
        values = [one.get(key) for one in (before, after)]
        if values[0] == values[1] or not any(values):
            continue  # what an older edgeward did not write down is as if it were not set
        plain = all(value is None or isinstance(value, str | int | float) for value in values)
        pair = " -> ".join("not set" if value is None else str(value) for value in values)
        yield Cause("settings", f"The suite's {key} changed{f': {pair}' if plain else ''}.", 0)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if not prefix and key in _SAID_ONLY:
            continue
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _method(point: Point) -> str:
    """Return how its interval was found, without what is true of this very measurement alone."""
    change = point.ratio.change if point.ratio else None
    return re.split(r" over |[;:,]", change.method)[0] if change else ""


def _ratio_moves(points: Sequence[Point], suite: str) -> dict[int, Move]:
    """Return place of a point -> how its ratio moved, from the last one before it that was no move itself.

    A move is looked for again in the next campaign: if that shows it too, the new level is what others are held
    against, and else the old one stays.
    """
    found: dict[int, Move] = {}
    last: Point | None = None
    pending: int | None = None
    for at, point in enumerate(points):
        if judged(point) is None:
            continue
        if last is None or not same_question(last, point):
            last, pending = point, None
            continue
        move = _ratio_move(last, point, suite)
        if pending is not None:
            again = move is not None and move.verdict is found[pending].verdict
            found[pending] = replace(found[pending], standing=CONFIRMED if again else UNSEEN)
            if again:
                last = points[pending]
                move = _ratio_move(last, point, suite)
            pending = None
        if move is None:
            last = point
        else:
            found[at], pending = replace(move, when=_older(points, last, at)), at
    return found


def judged(point: Point) -> Estimate | None:
    """Return the ratio of a point by which moves are judged, None where it cannot carry that.

    Figures of an invalid run, of a quick campaign and intervals that leave out a source of variance mark nothing.
    """
    change = point.ratio.change if point.ratio else None
    if change is None or point.run is None or point.run.quick or point.run.validity is Validity.INVALID:
        return None
    return change if bounded(change) and change.low > 0 and change.omits is Omission.NOTHING else None


def same_question(before: Point, after: Point) -> bool:
    """Return whether two points hold one baseline, device and way of measuring, so that ratios may be compared."""
    if before.run is None or after.run is None or before.head is None or after.head is None:
        return False
    if before.head.variant.sha256 != after.head.variant.sha256:
        return False
    return not any(one.key in _QUESTION for one in differences(before.run, after.run))


def _ratio_move(before: Point, after: Point, suite: str) -> Move | None:
    first, second = judged(before), judged(after)
    assert first is not None
    assert second is not None
    info, settings = METRICS[RATIO], after.campaign.suites.get(suite, {})
    limit = margin(info, settings) if settings.get("load") else 0.0
    change = Estimate(
        second.point / first.point,
        second.low / first.high,
        second.high / first.low,
        _BOTH,
        "the ends of both intervals",
    )
    if 1 - limit <= change.high and change.low <= 1 + limit:
        return None
    was, now = (full_change(info.kind, info.unit, one) for one in (first, second))
    found = verdict(change, neutral=1.0, margin=limit, higher_is_better=False)
    return Move(RATIO, was, now, found, AWAITED, "", change)


def _older(points: Sequence[Point], reference: Point, at: int) -> str:
    """Return when the campaign began that a point is held against, "" if it is the one just before."""
    return "" if points[at - 1] is reference else f"{reference.at:%Y-%m-%d %H:%M} UTC"


def _judged_accuracies(run: Run, metrics: Sequence[str]) -> list[str]:
    """Return the accuracies of a run that can be held against those of another one."""
    sound = run.validity is not Validity.INVALID
    return [name for name in metrics if sound and METRICS[name].paired and name in run.accuracy]


def _accuracy_move(before: Point, after: Point, metric: str, read: Callable[[str], Run | None]) -> Move | None:
    """Return how an accuracy changed by more than its paired interval and the suite's margin allow, None if it did not.

    On other images it is not compared.
    """
    assert before.run is not None
    assert after.run is not None
    runs, info = (before.run, after.run), METRICS[metric]
    levels = [run.accuracy[metric] for run in runs]
    if levels[0] == levels[1] or not _same_images(*runs):
        return None
    was, now = (human(one.point, info.unit) for one in levels)
    suite = after.campaign.suites.get(after.run.case.suite, {})
    if not suite.get("task"):
        return Move(metric, was, now, Verdict.INCOMPARABLE, why="the suite is not in the store")
    whole = [read(run.id) for run in runs]
    if whole[0] is None or whole[1] is None:
        return Move(metric, was, now, Verdict.INCOMPARABLE, why="a run cannot be read from the store")
    change, reasons = accuracy_change(info, whole[0], whole[1], suite)
    if change is None:
        return Move(metric, was, now, Verdict.INCOMPARABLE, why=sentence(reasons))
    found = verdict(change, neutral=0.0, margin=margin(info, suite), higher_is_better=not info.lower_is_better)
    return Move(metric, was, now, found, change=change) if found in (Verdict.IMPROVED, Verdict.REGRESSED) else None


def _same_images(before: Run, after: Run) -> bool:
    digests = [run.fingerprint.get("data_sha256") for run in (before, after)]
    return None in digests or digests[0] == digests[1]
