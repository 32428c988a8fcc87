"""A job's log, complete -> Runs: pure, so that it can be tested without a device."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import registry, stats
from harness.agent import contract
from harness.agent.contract import DRIFT
from harness.errors import HarnessError, MeasurementError
from harness.model import (
    Answers,
    Case,
    Conditions,
    Estimate,
    Evaluation,
    Fit,
    FloatArray,
    IntArray,
    MeasuredCase,
    Measurement,
    Reason,
    Run,
    Samples,
    Validity,
)
from harness.results import accelerators, energy, profile, scenarios, startup_and_memory, subgroups, use, vendor_tool
from harness.results.job_log import JobLog
from harness.units import NS_PER_S
from harness.vocabulary import CONTROL, CONTROL_MARKED, PATHS

#: The share of marked rounds that makes a run degraded.
MARKED_SHARE = 0.2
#: Nine rounds in ten slower than this, relative to the start: nothing of the device's own speed was seen.
LOST_DRIFT = 3.0
#: From here on outputs are stored as the answers that they are judged by: a database holds no gigabytes of maps.
LARGE_BYTES = 64_000_000
#: Key of the notes under which is kept why a candidate dropped out of a race.
DROPPED = "dropped"
#: The note of a run whose job ended while its host was away.
COLLECTED = "collected"
#: Key of the notes under which is kept why outputs could not be judged.
ACCURACY_REFUSED = "accuracy_refused"
_MOVED = (
    "the processor's speed moved (throttling, boost or other work), so absolute times are of a machine that changed"
)


def measured_case(case: Case) -> MeasuredCase:
    """Return a case by names, as it is kept with its run or outcome."""
    load = case.suite.load
    return MeasuredCase(
        id=case.id,
        suite=case.suite.id,
        variant=case.variant.id,
        device=case.device.id,
        runtime=case.runtime,
        scenario=load.scenario,
        threads=load.threads,
        task=case.suite.task.kind,
        batch=load.batch if load.scenario == "offline" else None,
        frame_rate_hz=load.frame_rate_hz if load.scenario == "stream" else None,
        accelerator=load.accelerator,
    )


def failed(case: Case, event: contract.Error) -> HarnessError:
    """Return the error of a case whose model was put out of the job."""
    remedy = contract.REMEDIES.get(event.kind, contract.REMEDIES["died"])
    text = f"{case.variant.path.name} on {case.runtime}: {event.phase} failed: {event.message}"
    return MeasurementError(text, remedy=remedy, where=case.device.id)


def run_of(
    case: Case,
    index: int,
    log: JobLog,
    samples: Samples,
    *,
    campaign: str,
    quick: bool,
    facts: Mapping[str, Any],
    fit: Fit | None = None,
    control: int | None = None,
) -> Run:
    """Return the Run of model `index`.

    Args:
        case: the case that the model belongs to.
        index: the model's place in the job.
        log: what the job said, complete.
        samples: the split that the accuracy pass ran on.
        campaign: the campaign's id.
        quick: whether durations were cut.
        facts: what the host adds to the fingerprint (digests, settings).
        fit: how the model was fed and is read; None where nobody asked its file.
        control: for a baseline, the place of its control in the job; None where none took part.

    Raises:
        MeasurementError: what was timed is missing or contradicts itself.
    """
    if tool := log.of(contract.Tool, index):
        return _tool_run(case, tool, index, log, samples, campaign=campaign, quick=quick, facts=facts)
    asked, fit = fit is not None, fit or Fit()
    outputs, judged, refused = _judged(case, Answers(log.array(index, "outputs"), fit.reading), samples)
    answers = Answers(outputs, fit.reading) if outputs is not None else None
    table = log.array(index, "rounds")
    placement = next(iter(log.of(contract.Placement, index)), None)
    unaccelerated = accelerators.shortfall(case, placement)
    validity, reasons = validity_of(
        table, unaccelerated, log.of(contract.Sustained, index), log.slowdowns(), log.usual_pace()
    )
    beside, control_notes = _control(case, control, log)
    measured, paths = _measurements(case, index, log, table), _paths(index, log)
    if paths:
        ways = scenarios.by_path(measured["latency_s"], paths[PATHS]["timed"], stats.shares(_ways(index, log)))
        measured |= {one.metric: one for one in ways}
    return Run(
        id=uuid.uuid4().hex,
        campaign=campaign,
        started_at=log.started_at,
        case=measured_case(case),
        variant=case.variant,
        measurements={**measured, **beside},
        accuracy=judged.estimates,
        confusion=judged.confusion,
        classes=samples.classes,
        outputs=outputs,
        labels=samples.labels if samples.masks is None or len(samples.labels) else samples.masks,
        conditions=_conditions(log),
        fingerprint={
            **log.one(contract.Start).fingerprint,
            **(log.of(contract.Cold, index)[0].facts or {}),
            **accelerators.facts(case, placement),
            **facts,
        },
        validity=validity,
        reasons=reasons,
        is_baseline=case.is_baseline,
        quick=quick,
        notes={
            **_notes(case, index, log, table),
            **control_notes,
            **paths,
            **(_read_as(fit) if asked else {}),
            **({"groups": samples.groups.tolist()} if samples.groups is not None else {}),
            **({"spacing_mm": samples.spacing.tolist()} if samples.spacing is not None else {}),
            **({ACCURACY_REFUSED: asdict(refused)} if refused else {}),
        },
        subgroups=subgroups.of(_metrics(case), answers, samples, case.suite.task) if answers else (),
    )


def accuracy_refused(run: Run) -> Reason | None:
    """Return why a run that was measured has no accuracy, None if it has one or nobody asked for it."""
    kept = run.notes.get(ACCURACY_REFUSED)
    return Reason(**kept) if kept else None


def _judged(
    case: Case, answers: Answers, samples: Samples
) -> tuple[npt.NDArray[np.float32] | None, Evaluation, Reason | None]:
    """Return the outputs and what they are worth, or why they cannot be judged: what was timed stays in any case."""
    if not len(samples.labels) and samples.masks is None:
        return answers.values, Evaluation({}), None  # without a truth, models are held against one another alone
    metrics = _metrics(case)
    try:
        return answers.values, metrics.evaluate(answers, samples, case.suite.task), None
    except MeasurementError as error:
        return None, Evaluation({}), Reason(f"{case.variant.path.name}: {error.text}", error.remedy)


def _metrics(case: Case) -> Any:
    return registry.load("metrics", case.suite.task.kind, file=str(case.suite.file), key="task.kind")


def _read_as(fit: Fit) -> dict[str, Any]:
    """Return what is kept of how a model was read."""
    return {"output": asdict(fit.reading), **({"remarks": list(fit.remarks)} if fit.remarks else {})}


def _tool_run(
    case: Case,
    events: Sequence[contract.Tool],
    index: int,
    log: JobLog,
    samples: Samples,
    *,
    campaign: str,
    quick: bool,
    facts: Mapping[str, Any],
) -> Run:
    """Return the Run of a model that a vendor's tool ran: averages, no arrays."""
    unaccelerated = accelerators.shortfall(case, next(iter(log.of(contract.Placement, index)), None))
    return Run(
        id=uuid.uuid4().hex,
        campaign=campaign,
        started_at=log.started_at,
        case=measured_case(case),
        variant=case.variant,
        measurements=vendor_tool.measurements(events),
        accuracy={},
        classes=samples.classes,
        conditions=_conditions(log),
        fingerprint={**log.one(contract.Start).fingerprint, **events[0].facts, **facts},
        validity=Validity.INVALID if unaccelerated else Validity.DEGRADED,
        reasons=(unaccelerated or vendor_tool.REASON,),
        is_baseline=case.is_baseline,
        quick=quick,
        notes={**vendor_tool.notes(events), **profile.of_tool(case)},
    )


def with_id(run: Run, name: str) -> Run:
    """Return the run under the id that it was given before."""
    return replace(run, id=name)


def kept(run: Run) -> Run:
    """Return a run as it is stored: large outputs as the answers that they are judged by, if its task has such."""
    answers = run.answers
    if answers is None or answers.values.nbytes <= LARGE_BYTES:
        return run
    compact = getattr(registry.load("metrics", run.case.task, file=run.case.suite, key="task.kind"), "compact", None)
    if compact is None:
        return run
    small: Answers = compact(answers)
    return replace(run, outputs=small.values, notes={**run.notes, "output": asdict(small.reading)})


def with_agreement(run: Run, baseline: Run) -> Mapping[str, Estimate]:
    """Return the run's accuracies with `agreement`: the share of samples where it predicts what the baseline does."""
    if run.answers is None or baseline.answers is None:
        return run.accuracy
    module = registry.load("metrics", run.case.task, file=run.case.suite, key="task.kind")
    return {**run.accuracy, "agreement": module.agreement(baseline.answers, run.answers)}


def _measurements(case: Case, index: int, log: JobLog, table: IntArray) -> dict[str, Measurement]:
    load = case.suite.load
    timed = bool(log.of(contract.Parts, index))
    own = {name: log.array(index, name) for name in scenarios.arrays(load, parts=timed)}
    blocks = [one.round for one in log.rounds_of(index)]
    sustained = next(iter(log.of(contract.Sustained, index)), None)
    found = [
        *scenarios.measurements(load, own, table, blocks, sustained),
        *scenarios.parts(own.get("parts"), case.device.runner),
        *startup_and_memory.starts(log.of(contract.Cold, index), log.of(contract.Evicted, index)),
        *startup_and_memory.memory(log.of(contract.Memory, index)),
        *energy.measurements(log.of(contract.EnergyPass, index)),
        *use.measurements(log.of(contract.EnergyPass, index), case.suite.duty, case.device.battery_wh),
    ]
    return {m.metric: m for m in found}


def _ways(index: int, log: JobLog) -> list[int]:
    """Return which way each image of the split went through a model's file, [] where there is one alone."""
    return next((one.paths for one in log.of(contract.Accuracy, index) if one.paths), [])


def _paths(index: int, log: JobLog) -> dict[str, Any]:
    """Return what is kept of the ways through a model's file, nothing where there is one alone."""
    ways = _ways(index, log)
    if not ways:
        return {}
    images = next((one.round.images for one in log.rounds_of(index)), None) or 0
    rows = np.linspace(0, len(ways) - 1, images).astype(int).tolist()
    shares = {str(path): share for path, share in stats.shares(ways).items()}
    return {PATHS: {"timed": [ways[row] for row in rows], "shares": shares}}


def _control(case: Case, control: int | None, log: JobLog) -> tuple[dict[str, Measurement], dict[str, Any]]:
    """Return the control's latencies, or why there are none, under their own name; and its marked rounds, for notes."""
    if control is None:
        return {}, {}
    if lost := log.failure(control):
        return {CONTROL: Measurement(CONTROL, "s", absent_reason=f"the control failed: {lost.message}")}, {}
    load = case.suite.load
    own = {array: log.array(control, array) for array in scenarios.arrays(load, parts=False, control=True)}
    blocks, table = [one.round for one in log.rounds_of(control)], own["rounds"]
    found = scenarios.measurements(load, own, table, blocks, None)
    latency = next(one for one in found if one.metric == "latency_s")
    return {CONTROL: replace(latency, metric=CONTROL)}, {CONTROL_MARKED: _marked(log, table)}


def _marked(log: JobLog, table: IntArray) -> list[int]:
    """Return which of a model's rounds, rows of the table, the processor was slower than usual around."""
    return np.flatnonzero(log.marked(table[:, 0], table[:, 3] / 1e4)).tolist()


def validity_of(
    table: IntArray,
    unaccelerated: Reason | None,
    sustained: Sequence[contract.Sustained],
    slowdowns: FloatArray,
    usual_pace: float = 1.0,
) -> tuple[Validity, tuple[Reason, ...]]:
    """Return whether a run's absolute figures may be used, and why not; of comparisons the control speaks.

    Args:
        table: (R, 4) launch, start and stop index into the latencies of each round, drift of the sentinel in 1e-4.
        unaccelerated: why the run did not have the accelerator that it was asked for, None if it had.
        sustained: the model's event of that name, in that scenario.
        slowdowns: (L,) by how much longer than usual inferences took in each launch.
        usual_pace: the sentinel's usual reading over its first ones.
    """
    if unaccelerated:
        return Validity.INVALID, (unaccelerated,)
    if sustained:
        return scenarios.validity(sustained[0])
    drifts = table[:, 3] / 1e4
    if np.quantile(drifts, 0.1) > LOST_DRIFT:
        text = f"the processor ran more than {1 + LOST_DRIFT:.0f} times slower than at the start around 9 of 10 rounds"
        return Validity.INVALID, (Reason(text, "end what else runs there or let it cool, then measure again"),)
    reasons = moved((1 + drifts) / usual_pace, 1 + slowdowns)
    return (Validity.DEGRADED if reasons else Validity.VALID), reasons


def moved(paces: FloatArray, launches: FloatArray) -> tuple[Reason, ...]:
    """Return what the sentinel and the models' own pace say of a speed that moved, nothing if it did not.

    Args:
        paces: (R,) the sentinel around each round over its usual reading: 1.25 took a quarter longer.
        launches: (L,) the same of the inferences of each launch.
    """
    said = []
    for what, times, bound in (("rounds", paces, DRIFT), ("launches, by the models' own pace", launches, stats.SLOWED)):
        off = np.abs(np.log(times)) > np.log1p(bound)
        if len(off) and off.mean() > MARKED_SHARE:
            slowest, fastest = np.quantile(1 / times, (0.05, 0.95))
            said.append(
                f"{slowest:.0%} to {fastest:.0%} of usual, {off.mean():.0%} of {what} more than {bound:.0%} off"
            )
    return (Reason(f"{_MOVED}: {'; '.join(said)}"),) if said else ()


def _conditions(log: JobLog) -> Conditions:
    ends = {one.when: {**log.beside.get(one.when, {}), **_readings(one)} for one in log.all(contract.Conditions)}
    traced = [one for one in log.events if isinstance(one, contract.Launch | contract.Sustained)]
    during = tuple({"at_s": one.t_ns / NS_PER_S, **contract.plain(one.conditions)} for one in traced)
    return Conditions(ends.get("before", {}), during, ends.get("after", {}))


def _readings(event: contract.Conditions) -> dict[str, Any]:
    return {key: value for key, value in contract.plain(event).items() if key not in ("event", "t_ns", "when")}


def _notes(case: Case, index: int, log: JobLog, table: IntArray) -> dict[str, Any]:
    timed = log.one(contract.Timed)
    marked = _marked(log, table)
    cold, evicted = log.of(contract.Cold, index), log.of(contract.Evicted, index)
    return {
        "place": index,
        "launches": len(np.unique(table[:, 0])),
        "rounds": len(table),
        "rounds_marked": len(marked),
        "marked_rounds": marked,
        "mode": scenarios.mode(case.suite.load, timed, log.of(contract.Sustained, index)),
        "launches_slowed": np.flatnonzero(log.slowdowns() > stats.SLOWED).tolist(),
        "usual_pace": round(log.usual_pace(), 4),
        **({"paused_s": log.one(contract.TimedEnd).paused_s} if log.all(contract.TimedEnd) else {}),
        **startup_and_memory.cache(cold, evicted),
        "accuracy_pass_s": log.of(contract.Accuracy, index)[0].ns / NS_PER_S,
        **({"job_spent_s": _spent(log)} if log.all(contract.Done) else {}),
        "sentinel_cool_s": timed.sentinel_cool_ns / NS_PER_S,
        **energy.notes(log.of(contract.EnergyPass, index)),
        **profile.notes(log.of(contract.Profile, index)),
    }


def _spent(log: JobLog) -> dict[str, float]:
    """Return what the whole job took: inferring, and the starts, loads, sentinels and pauses of the method."""
    end, done = log.one(contract.TimedEnd), log.one(contract.Done)
    named = {key.removesuffix("_ns"): ns for key, ns in {**done.spent, "sentinel_ns": end.sentinel_ns}.items()}
    return {**{key: ns / NS_PER_S for key, ns in named.items()}, "pause": end.paused_s}
