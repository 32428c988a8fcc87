"""What a job's events and arrays say, as Runs: pure, so that it can be tested without a device."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harness import registry, stats
from harness.errors import HarnessError, MeasurementError
from harness.model import Case, Conditions, Estimate, FloatArray, IntArray, Measurement, Run, Samples, Validity
from harness.results import accelerators, averages, energy, footprint, scenarios
from harness.units import NS_PER_S

#: The sentinel's drift above which a round is marked, and the share of marked rounds that makes a run degraded.
DRIFT = 0.05
MARKED_SHARE = 0.2
#: Nine rounds in ten slower than this, relative to the start: nothing of the device's own speed was seen.
LOST_DRIFT = 3.0


@dataclass(slots=True)
class Account:
    """Everything one job has said so far; `arrays` maps file names to what was pulled."""

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    events: list[Mapping[str, Any]] = field(default_factory=list)
    arrays: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str, model: int | None = None) -> list[Mapping[str, Any]]:
        """Return the events of a kind, of one model if given."""
        return [e for e in self.events if e["event"] == kind and model in (None, e.get("model"))]

    def failure(self, model: int) -> Mapping[str, Any] | None:
        """Return the event that put a model out of the job, if any."""
        return next(iter(self.of("error", model)), None)

    def traced(self) -> list[Mapping[str, Any]]:
        """Return the events that hold the conditions of the moment, in the order of time."""
        return [e for e in self.events if e["event"] in ("launch", "sustained")]

    def slowdowns(self) -> FloatArray:
        """Return by how much the device slowed down in each launch, as `stats.launch_slowdowns` has it."""
        models = {r["model"] for e in self.of("launch") for r in e["rounds"]}
        rounds = [[(r["launch"], r["ns"] / r["count"]) for r in self.rounds_of(m) if r["count"]] for m in models]
        return stats.launch_slowdowns(
            [(np.array([n for n, _ in own], np.int64), np.array([pace for _, pace in own])) for own in rounds if own]
        )

    def rounds_of(self, model: int) -> list[Mapping[str, Any]]:
        """Return every timed round of a model, each with its launch."""
        launches = self.of("launch")
        return [{**r, "launch": e["launch"]} for e in launches for r in e["rounds"] if r["model"] == model]


def levels(account: Account, model: int) -> tuple[Any, IntArray, Any]:
    """Return what a model's rounds say while the job still runs, as the finished runs will be compared.

    One value a round (its level, in s), the (R, 3) rounds that go with them, and (R,) which of them are to be compared.
    """
    rounds = account.rounds_of(model)
    values = np.array([r["level_ns"] for r in rounds]) / NS_PER_S
    table = np.array([(r["launch"], i, i + 1) for i, r in enumerate(rounds)], np.int64).reshape(-1, 3)
    marked = np.array([int(r["drift"] * 1e4) > DRIFT * 1e4 for r in rounds], bool)
    return values, table, stats.quiet_rounds(marked, table[:, 0])


def failed(case: Case, event: Mapping[str, Any]) -> HarnessError:
    """Return the error of a case whose model was put out of the job."""
    model = f"{case.device.id}: {case.variant.path.name} on {case.runtime}"
    remedy = {
        "model": "the file is damaged or holds operations this runtime lacks; export it again",
        "input": "",
        "runtime": "the runtime does not start on this device; try another version under runtimes",
        "killed": "look there for what ends processes (an administrator, a memory daemon), then measure again",
        "memory": "give the device more memory or the case a smaller model",
        "disk": "free some space on the device, or set workdir to another disk",
        "accelerator": "take accelerator out of [load] to see whether the model runs without it",
        "timeout": "the model is too slow for this device, or hangs",
    }.get(event["kind"], "run it by hand on the device to see more")
    return MeasurementError(f"{model}: {event['phase']} failed: {event['message']}" + (f"; {remedy}" if remedy else ""))


def run_of(
    case: Case, index: int, account: Account, samples: Samples, *, campaign: str, quick: bool, facts: Mapping[str, Any]
) -> Run:
    """Return the Run of model `index`.

    Args:
        case: the case that the model belongs to.
        index: the model's place in the job.
        account: what the job said, complete.
        samples: the split that the accuracy pass ran on.
        campaign: the campaign's id.
        quick: whether durations were cut.
        facts: what the host adds to the fingerprint (digests, settings).

    Raises:
        MeasurementError: outputs that are missing, misshapen or not finite.
    """
    if account.of("tool", index):
        return _tool_run(case, index, account, samples, campaign=campaign, quick=quick, facts=facts)
    outputs = account.arrays[f"m{index}.outputs.npy"]
    judged = registry.load("metrics", case.suite.task.kind, file=str(case.suite.file), key="task.kind").evaluate(
        outputs, samples, case.suite.task
    )
    table = account.arrays[f"m{index}.rounds.npy"]
    unaccelerated = accelerators.shortfall(case, account.of("placement", index))
    validity, reasons = _validity(table, unaccelerated, account.of("sustained", index), account.slowdowns())
    return Run(
        id=uuid.uuid4().hex,
        campaign=campaign,
        started_at=account.started_at,
        case=_case(case),
        variant=_variant(case),
        measurements=_measurements(case, index, account, table),
        accuracy=judged.estimates,
        confusion=judged.confusion,
        classes=samples.classes,
        outputs=outputs,
        labels=samples.labels if samples.masks is None or len(samples.labels) else samples.masks,
        conditions=_conditions(account),
        fingerprint={
            **account.of("start")[0]["fingerprint"],
            **account.of("cold", index)[0]["facts"],
            **accelerators.facts(case, account.of("placement", index)),
            **facts,
        },
        validity=validity,
        reasons=reasons,
        is_baseline=case.is_baseline,
        quick=quick,
        notes=_notes(case, index, account, table),
    )


def _tool_run(
    case: Case, index: int, account: Account, samples: Samples, *, campaign: str, quick: bool, facts: Mapping[str, Any]
) -> Run:
    """Return the Run of a model that a vendor's tool ran: averages, no arrays."""
    events = account.of("tool", index)
    unaccelerated = accelerators.shortfall(case, account.of("placement", index))
    return Run(
        id=uuid.uuid4().hex,
        campaign=campaign,
        started_at=account.started_at,
        case=_case(case),
        variant=_variant(case),
        measurements=averages.measurements(events),
        accuracy={},
        classes=samples.classes,
        conditions=_conditions(account),
        fingerprint={**account.of("start")[0]["fingerprint"], **events[0]["facts"], **facts},
        validity=Validity.INVALID if unaccelerated else Validity.DEGRADED,
        reasons=(unaccelerated,) if unaccelerated else (averages.REASON,),
        is_baseline=case.is_baseline,
        quick=quick,
        notes=averages.notes(events),
    )


def with_agreement(run: Run, baseline: Run) -> Mapping[str, Estimate]:
    """Return the run's accuracies with `agreement`: the share of samples where it predicts what the baseline does."""
    if run.outputs is None or baseline.outputs is None:
        return run.accuracy
    module = registry.load("metrics", run.case["task"], file=run.case["suite"], key="task.kind")
    return {**run.accuracy, "agreement": module.agreement(baseline.outputs, run.outputs)}


def _case(case: Case) -> dict[str, Any]:
    load = case.suite.load
    return {
        "id": case.id,
        "suite": case.suite.id,
        "variant": case.variant.id,
        "device": case.device.id,
        "runtime": case.runtime,
        "scenario": load.scenario,
        "threads": load.threads,
        "task": case.suite.task.kind,
        **scenarios.facts(load),
        **({"accelerator": load.accelerator} if load.accelerator else {}),
    }


def _variant(case: Case) -> dict[str, Any]:
    v = case.variant
    named = {"sha256": v.sha256, "size_bytes": v.size_bytes, "recipe": v.recipe, "format": v.format}
    return {**named, "parent": v.parent, "parameters": dict(v.parameters), "file": v.path.name}


def _measurements(case: Case, index: int, account: Account, table: IntArray) -> dict[str, Measurement]:
    load = case.suite.load
    own = {n: account.arrays[f"m{index}.{n}.npy"] for n in scenarios.arrays(load, account.of("parts", index))}
    events = account.of("sustained", index) or account.rounds_of(index)
    found = [
        *scenarios.measurements(load, own, table, events),
        *scenarios.parts(own.get("parts"), case.device.runner),
        *footprint.starts(account.of("cold", index), account.of("evicted", index)),
        *footprint.memory(account.of("memory", index)),
        *energy.measurements(account.of("energy", index)),
    ]
    return {m.metric: m for m in found}


def _validity(
    table: IntArray, unaccelerated: str, sustained: Sequence[Mapping[str, Any]], slowdowns: FloatArray
) -> tuple[Validity, tuple[str, ...]]:
    if unaccelerated:
        return Validity.INVALID, (unaccelerated,)
    if sustained:
        return scenarios.validity(sustained)
    drifts = table[:, 3] / 1e4
    if np.quantile(drifts, 0.1) > LOST_DRIFT:
        return Validity.INVALID, (
            f"the processor ran more than {1 + LOST_DRIFT:.0f} times slower than at the start around 9 of 10 rounds; "
            "end what else runs there or let it cool, then measure again",
        )
    reasons = _slow(float((drifts > DRIFT).mean()), slowdowns)
    return (Validity.DEGRADED if reasons else Validity.VALID), reasons


def _slow(marked: float, slowdowns: FloatArray) -> tuple[str, ...]:
    """Return what the sentinel and the models' own pace say of throttling, nothing if they saw none."""
    turns = "baseline and variants took turns, so ratios hold better than absolute times"
    slowed = slowdowns > stats.SLOWED
    found = []
    if marked > MARKED_SHARE:
        found.append(
            f"the processor ran more than {DRIFT:.0%} slower than at the start around {marked:.0%} of the rounds "
            f"(throttling or other work); {turns}"
        )
    if len(slowed) and slowed.mean() > MARKED_SHARE:
        found.append(
            f"in {slowed.sum()} of {len(slowed)} launches all models together ran up to {slowdowns.max():.0%} slower "
            f"than in the fastest (throttling or other work); {turns}"
        )
    return tuple(found)


def _conditions(account: Account) -> Conditions:
    ends = {e["when"]: _readings(e) for e in account.of("conditions")}
    during = tuple({"at_s": e["t_ns"] / NS_PER_S, **e["conditions"]} for e in account.traced())
    return Conditions(ends.get("before", {}), during, ends.get("after", {}))


def _readings(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("event", "t_ns", "when")}


def _notes(case: Case, index: int, account: Account, table: IntArray) -> dict[str, Any]:
    timed, end = account.of("timed")[0], account.of("timed_end")[0]
    accuracy = account.of("accuracy", index)[0]
    return {
        "place": index,
        "launches": len(np.unique(table[:, 0])),
        "rounds": len(table),
        "rounds_marked": int((table[:, 3] > DRIFT * 1e4).sum()),
        "marked_rounds": np.flatnonzero(table[:, 3] > DRIFT * 1e4).tolist(),
        "mode": scenarios.mode(case.suite.load, timed, account.of("sustained", index)),
        "launches_slowed": np.flatnonzero(account.slowdowns() > stats.SLOWED).tolist(),
        "paused_s": end["paused_s"],
        **footprint.cache(account.of("cold", index), account.of("evicted", index)),
        "accuracy_pass_s": accuracy["ns"] / NS_PER_S,
        "job_spent_s": _spent(account),
        "sentinel_cool_s": timed["sentinel_cool_ns"] / NS_PER_S,
        **energy.notes(account.of("energy", index)),
    }


def _spent(account: Account) -> dict[str, float]:
    """Return what the whole job took: inferring, and the starts, loads, sentinels and pauses that METHOD mandates."""
    end, done = account.of("timed_end")[0], account.of("done")[0]
    named = {key.removesuffix("_ns"): ns for key, ns in {**done["spent"], "sentinel_ns": end["sentinel_ns"]}.items()}
    return {**{key: ns / NS_PER_S for key, ns in named.items()}, "pause": end["paused_s"]}
