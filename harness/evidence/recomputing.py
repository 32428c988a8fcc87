"""Every number of a campaign once more, from its samples, outputs and labels, held against what is stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np

from harness import registry, stats
from harness.compare import compare, judge, with_changes
from harness.errors import HarnessError
from harness.model import (
    Campaign,
    Comparison,
    Criterion,
    Estimate,
    Judgement,
    Outcome,
    Reason,
    Run,
    Samples,
    Task,
    Truth,
    Validity,
)
from harness.results import disagreement, occlusion, robustness, subgroups
from harness.results.agreement import LABELS
from harness.results.runs import accuracy_refused
from harness.vocabulary import UNDER

#: Another processor adds in another order: by so much a number may differ, relative to itself.
_ROUNDING: Final = 1e-9
_NO_IMAGES: Final = Reason("evidence holds no image", "`edgeward report` shows them in the lab where it was measured")
_KEPT_AS_ANSWERS: Final = "the store keeps the answers of such large outputs, not the outputs"


@dataclass(slots=True)
class Recomputed:
    """What came of computing all numbers again.

    Attributes:
        checked: how many numbers, verdicts and judgements were computed again.
        differing: each that is not what is stored: where it stands, what is stored and what it should be.
        open: numbers that cannot be computed again from what is stored, with the reason.
    """

    checked: int = 0
    differing: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def hold(self, where: str, stored: Any, now: Any) -> None:
        """Compare a stored value with the one that is computed now.

        Args:
            where: which value it is, for people.
            stored: the value.
            now: what it should be.
        """
        self.checked += 1
        if not same(stored, now):
            self.differing.append(f"{where}: stored is {said(stored)}, recomputed is {said(now)}")


def recomputed(
    campaign: Campaign, runs: Sequence[Run], comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]
) -> Recomputed:
    """Compute accuracies, comparisons and judgements again and compare each with what is stored.

    Args:
        campaign: what was asked for.
        runs: its runs with samples, outputs and labels.
        comparisons: as they are stored.
        outcomes: as they are stored.
    """
    found, known = Recomputed(), {run.id: run for run in runs}
    own: dict[str, dict[str, Comparison]] = {}
    for one in comparisons:
        own.setdefault(one.run, {})[one.metric] = one
        if not {one.run, one.baseline} <= known.keys():
            found.differing.append(f"comparison {one.metric} of run {one.run[:8]}: it or its baseline is not stored")
    ended = {one.run: one for one in outcomes if one.run}
    lost = [one for one in outcomes if one.run and one.run not in known]
    found.differing += [f"{one.case}: its run {one.run[:8]} is not stored" for one in lost]
    unmeasured = [one for one in outcomes if not one.run and one.status != "error"]
    found.differing += [f"{one.case}: stored is {one.status}, and it has no run" for one in unmeasured]
    for run in runs:
        suite = campaign.suites.get(run.case.suite)
        if suite is None:
            found.differing.append(f"{named(run)}: its suite {run.case.suite} is not stored")
            continue
        base = _baseline(run, own.get(run.id, {}), known)
        try:
            _accuracy(run, base, Task.of(suite["task"]), found)
            _disagreement(run, base, Task.of(suite["task"]), found)
            changes = compare(base, run, suite) if base is not None and base.id != run.id else []
            _comparisons(run, own.get(run.id, {}), changes, found)
            if run.id in ended:
                lines = [Criterion(one["metric"], one["rule"], float(one["bound"])) for one in suite["accept"]]
                _outcome(run, ended[run.id], judge(run, changes, lines), found)
        except (HarnessError, ValueError, KeyError, TypeError, IndexError) as error:
            # What was changed by hand may fit nothing: that is a finding, too.
            found.differing.append(f"{named(run)}: cannot be computed again ({type(error).__name__}: {error})")
    return found


def named(run: Run) -> str:
    """Return a run as people find it: variant, device and how its id begins."""
    return f"{run.case.variant}@{run.case.device} (run {run.id[:8]})"


def same(stored: Any, now: Any) -> bool:
    """Return whether two values are equal, numbers but for the rounding of another processor."""
    if isinstance(stored, np.ndarray) or isinstance(now, np.ndarray):
        return np.shape(stored) == np.shape(now) and bool(
            np.allclose(stored, now, rtol=_ROUNDING, atol=0, equal_nan=True)
        )
    if isinstance(stored, Estimate) and isinstance(now, Estimate):
        return all(same(getattr(stored, one.name), getattr(now, one.name)) for one in fields(Estimate))
    if isinstance(stored, float) and isinstance(now, float):
        # A difference of exactly zero may come out as the last bit of one.
        return math.isclose(stored, now, rel_tol=_ROUNDING, abs_tol=1e-12) or (math.isnan(stored) and math.isnan(now))
    return bool(stored == now)


def said(value: Any) -> str:
    """Return a value in few words."""
    if isinstance(value, Estimate):
        text = f"{value.point:.9g} ({value.low:.9g} to {value.high:.9g}; {value.method})"
    elif isinstance(value, np.ndarray):
        text = np.array2string(value, threshold=8).replace("\n", "")
    elif isinstance(value, tuple | list):
        text = "; ".join(map(str, value)) or "nothing"
    else:
        text = "nothing" if value is None else repr(value) if isinstance(value, str) and not value else str(value)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _baseline(run: Run, own: Mapping[str, Comparison], known: Mapping[str, Run]) -> Run | None:
    """Return the run that another one took turns with: the one that its comparisons name, or that of its group."""
    if run.is_baseline:
        return run
    for one in own.values():
        return known.get(one.baseline)
    group = (run.case.suite, run.case.device, run.case.runtime, run.started_at)
    together = [one for one in known.values() if one.is_baseline]
    same_job = [o for o in together if (o.case.suite, o.case.device, o.case.runtime, o.started_at) == group]
    return same_job[0] if same_job else None


def _comparisons(run: Run, stored: Mapping[str, Comparison], now: Sequence[Comparison], found: Recomputed) -> None:
    again = {one.metric: one for one in now}
    for metric in sorted({*stored, *again}):
        where = f"{named(run)}: comparison {metric}"
        if metric not in again or metric not in stored:
            which = "is not stored" if metric not in stored else "is stored and cannot be of these runs"
            found.differing.append(f"{where}: it {which}")
            continue
        for part in ("verdict", "change", "validity", "control", "reasons", "circumstances"):
            found.hold(f"{where}: {part}", getattr(stored[metric], part), getattr(again[metric], part))


def _outcome(run: Run, stored: Outcome, now: Sequence[Judgement], found: Recomputed) -> None:
    where = f"{named(run)}: [accept]"
    before = {(one.criterion.metric, one.criterion.rule): one for one in stored.judgements}
    again = {(one.criterion.metric, one.criterion.rule): one for one in now}
    found.hold(f"{where}: its lines", sorted(before), sorted(again))
    for key in before.keys() & again.keys():
        line, other = before[key], again[key]
        found.hold(f"{where} {key[0]}: bound", line.criterion.bound, other.criterion.bound)
        found.hold(f"{where} {key[0]}: judgement", line.word, other.word)
        found.hold(f"{where} {key[0]}: message", line.message, other.message)
    # As `harness.measure.campaign` concludes a case.
    failed = run.validity is Validity.INVALID or accuracy_refused(run) is not None or not all(o.passed for o in now)
    found.hold(f"{named(run)}: outcome", stored.status in ("failed", "xfailed"), failed)


def _accuracy(run: Run, base: Run | None, task: Task, found: Recomputed) -> None:
    """Compute again what outputs and labels are worth: on the whole, in parts, and under conditions."""
    answers, labels = run.answers, run.labels
    where = f"{named(run)}: accuracy"
    for one in run.measurements.values():
        if one.estimate is not None:
            found.open.append(f"{named(run)}: the interval of {one.metric}: it is of readings that are not stored")
    if answers is None or labels is None or not len(labels):
        found.open += [f"{where} {name}: there are no outputs with labels" for name in run.accuracy]
        return
    metrics = registry.load("metrics", task.kind, file=run.case.suite, key="task.kind")
    samples = _samples(run)
    judged = metrics.evaluate(answers, samples, task)
    now = dict(judged.estimates)
    now |= _under_conditions(run, base, metrics, task, found)
    if base is not None and base.answers is not None:
        now["agreement"] = metrics.agreement(base.answers, answers)
    compacted = answers.values.dtype == np.uint8
    for name, stored in run.accuracy.items():
        if name == LABELS:
            found.open.append(f"{where} {name}: the outputs of the host are not stored")
        elif name in now:
            found.hold(f"{where} {name}", stored, now[name])
        elif compacted:
            found.open.append(f"{where} {name}: {_KEPT_AS_ANSWERS}")
        else:
            found.differing.append(f"{where} {name}: stored is {said(stored)}, its outputs give none")
    if run.confusion is not None:
        found.hold(f"{named(run)}: confusion", run.confusion, judged.confusion)
    _parts(run, subgroups.of(metrics, answers, samples, task), found)
    _occlusion(run, base, found)


def _samples(run: Run) -> Samples:
    """Return the split as far as the store keeps it: everything but the images."""
    labels = np.asarray(run.labels)
    masks = labels if labels.ndim == 3 else None
    return Samples(
        images=np.zeros((len(labels), 1, 1, 1), np.uint8),
        labels=np.empty(0, np.int64) if masks is not None else labels,
        classes=run.classes,
        description="",
        masks=masks,
        groups=run.groups,
        spacing=run.spacing,
    )


def _parts(run: Run, now: Sequence[Any], found: Recomputed) -> None:
    again = {(one.by, one.name): one for one in now}
    for one in run.subgroups:
        where = f"{named(run)}: {one.by} {one.name}"
        other = again.get((one.by, one.name))
        if other is None:
            found.open.append(f"{where}: which image is of which {one.by} is not stored")
            continue
        found.hold(f"{where}: images", one.images, other.images)
        for name, stored in one.estimates.items():
            found.hold(f"{where}: {name}", stored, other.estimates.get(name))


def _under_conditions(run: Run, base: Run | None, metrics: Any, task: Task, found: Recomputed) -> dict[str, Estimate]:
    if not run.probes:
        return {}
    truth, scored = Truth(np.asarray(run.labels), run.classes, run.groups), dict[str, list[Any]]()
    changes = with_changes(base, run, task) if base is not None else run.probes
    for stored, now in zip(run.probes, changes, strict=True):
        one = stored.condition
        scores = metrics.per_image(run.probed(stored), truth, task)
        scored.setdefault(one.kind, []).append(scores)
        where = f"{named(run)}: {one.kind} {one.name} {one.severity}"
        found.hold(f"{where}: {stored.metric}", stored.level, robustness.level_of(scores, run.groups))
        found.hold(f"{where}: change", stored.change, now.change)
    absent = run.notes.get(robustness.NOTES, {}).get("absent", {})
    whole = {kind: scores for kind, scores in scored.items() if kind not in absent and kind in UNDER}
    return robustness.means(whole, metrics.CHIEF, run.groups)


def _occlusion(run: Run, base: Run | None, found: Recomputed) -> None:
    one, head = run.occlusion, base.occlusion if base is not None and base.id != run.id else None
    if one is None or head is None or one.correlations is None:
        return
    alike = occlusion.correlations(head.maps, one.maps)
    groups = run.groups[one.places] if run.groups is not None else None
    found.hold(f"{named(run)}: occlusion: correlations", one.correlations, alike)
    agreement = stats.mean_interval(alike, least=-1, most=1, groups=groups)
    found.hold(f"{named(run)}: occlusion: agreement", one.agreement, agreement)


def _disagreement(run: Run, base: Run | None, task: Task, found: Recomputed) -> None:
    one = run.disagreement
    if one is None or base is None:
        return
    # One at least, so that examples which were taken away are missed.
    now, where = disagreement.between(base, run, task, max(len(one.examples), 1)), f"{named(run)}: examples"
    if now is None:
        found.differing.append(f"{where}: are stored and cannot be of these runs")
        return
    for part in ("images", "lost", "gained", "others"):
        found.hold(f"{where}: {part}", getattr(one, part), getattr(now, part))
    stored, again = (
        [(each.place, each.truth, each.baseline, each.variant) for each in two.examples] for two in (one, now)
    )
    found.hold(f"{where}: which", stored, again)
    shares = ([(each.baseline_share, each.variant_share) for each in two.examples] for two in (one, now))
    found.hold(f"{where}: stated probabilities", *(np.array(pairs, np.float64) for pairs in shares))


def without_images(run: Run) -> Run:
    """Return a run without the small copies of images of its occlusion maps and examples."""
    looks, differing = run.occlusion, run.disagreement
    if looks is not None and looks.pictures is not None:
        run = replace(run, occlusion=replace(looks, pictures=None))
    if differing is not None and differing.pictures is not None:
        run = replace(run, disagreement=replace(differing, pictures=None, unseen=_NO_IMAGES))
    return run


def walk(stored: Any, now: Any, where: str = "", *, added: bool = False) -> Iterator[str]:
    """Yield each place at which two values of JSON differ, as `runs[0].accuracy.auroc.point`.

    Args:
        stored: the value that a file holds.
        now: the value that it should hold.
        where: of both in what they are part of.
        added: whether `now` may have keys that are new.
    """
    if isinstance(stored, dict) and isinstance(now, dict):
        for key in [*stored, *(key for key in now if key not in stored and not added)]:
            inner = f"{where}.{key}" if where else str(key)
            yield from walk(stored.get(key), now.get(key), inner, added=added)
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        for number, pair in enumerate(zip(stored, now, strict=True)):
            yield from walk(*pair, f"{where}[{number}]", added=added)
    elif not same(stored, now):
        yield f"{where}: it holds {said(stored)}, recomputed is {said(now)}"
