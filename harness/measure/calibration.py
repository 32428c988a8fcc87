"""`edgeward check --energy`: plays a known load step on the device and says what its meter made of it.

The load is that of harness/agent/calibration.py, the judgement of the readings that of harness/results/calibration.py.
A meter is believed when it follows the load, soon enough for the windows of the energy pass, often enough, and shows
what a machine at work may draw. What else is said (drift, coarse steps, a load that did not get the cores) is no fault
of the meter: the energy pass carries it in its interval.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from harness import deploy
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.errors import DeviceError, MeasurementError
from harness.measure import host_meter, jobs, preflight
from harness.measure.preflight import Finding
from harness.model import Estimate
from harness.results import calibration
from harness.results.calibration import Answer
from harness.units import human, level, whole_percent

#: Idle, busy, idle, …, s: uneven, so that no delay makes the schedule look like itself.
STEPS_S: Final = (3.0, 3.0, 2.0, 4.0, 4.0, 2.0, 3.0)
#: Share of the variation of the reading that the load must explain, for the reading to follow it.
FOLLOWS: Final = 0.5
#: Share of a step that may be counted to the wrong window.
_MISPLACED: Final = 0.02
#: What a machine that works draws at least, W.
_LEAST_W: Final = 0.1
#: Shares of the step from which drift and the meter's own steps are said to be large; of the cores that the load got.
_DRIFT, _COARSE, _GOT = 0.2, 0.1, 0.8
#: How much longer than the schedule the answer may take, s.
_BESIDE_S: Final = 60.0


def findings(handle: DeviceHandle, seconds: Sequence[float] = STEPS_S) -> list[Finding]:
    """Play the load and return what the meter made of it; the lease must be held.

    Args:
        handle: of the device.
        seconds: how long the parts of the load last, idle and busy in turn.

    Raises:
        DeviceError: the runner cannot be brought, or the connection is lost.
    """
    device, file = handle.device, handle.device.file.name
    deploy.prepare(handle)
    if lacking := preflight.no_meter(device):
        return [replace(lacking, needed=True)]
    kind = (device.meter or {})["kind"]
    try:
        played = _read_here(handle, seconds) if host_meter.is_read_here(device) else _ask(handle, seconds)
        if "refused" in played:
            remedy = played.get("remedy") or f"correct [meter] in {file}"
            return [_refused(f"meter {kind}: {played['refused']}", remedy)]
        answer = calibration.of(
            played["edges_ns"], played["at_ns"], played["readings"],
            quantity=played["quantity"], resolution=played["resolution"],
        )  # fmt: skip
    except MeasurementError as error:
        return [_refused(f"meter {kind}: {error.text}", error.remedy or f"correct [meter] in {file}")]
    got = played["cpu_s"] / (played["cores"] * sum(seconds[1::2]))
    clock_s = played.get("clock_s", 0.0)
    return list(judged(answer, kind=kind, got=got, cores=played["cores"], clock_s=clock_s))


def _refused(says: str, remedy: str) -> Finding:
    return Finding("energy", False, says, remedy, needed=True)


def _ask(handle: DeviceHandle, seconds: Sequence[float]) -> Mapping[str, Any]:
    """Return what the device answers to the load; raises DeviceError and MeasurementError."""
    request = {"meter": host_meter.for_job(handle.device), "seconds": list(seconds)}
    limit_s = sum(seconds) + _BESIDE_S
    handle.say(f"a load of {human(sum(seconds), 's')} is played: idle and all cores busy in turn")
    answer = preflight.asked(handle, ["calibrate"], json.dumps(request).encode(), timeout_s=limit_s)
    if answer is None:
        raise DeviceError(
            f"the {handle.device.runner} runner plays no load",
            device=handle.device.id,
            remedy='set runner = "native", or "python" if the device has it',
        )
    return answer


def _read_here(handle: DeviceHandle, seconds: Sequence[float]) -> Mapping[str, Any]:
    """Return the same with the readings of a meter that this host reads; raises as `_ask` does."""
    with host_meter.recording(handle) as recorder:
        recorder.begin()
        played = _ask(handle, seconds)
        recorder.compare()
    edges = played["edges_ns"]
    whole = contract.EnergyWindow(edges[0], edges[-1])
    found, clock_s = recorder.readings.within({"": whole})
    shown = {"at_ns": found[""].at_ns, "readings": found[""].readings, "clock_s": clock_s}
    return {**played, **recorder.readings.facts, **shown}


def judged(answer: Answer, *, kind: str, got: float, cores: int, clock_s: float = 0.0) -> Iterator[Finding]:
    """Yield what is to be said of a meter; without what is `needed` it is not believed.

    Args:
        answer: what it made of the load.
        kind: of the meter.
        got: share of the cores' time that the load got, 0..1.
        cores: that it worked on.
        clock_s: how uncertain the time between load and readings is, s.
    """
    step = answer.step_w
    follows = answer.explained >= FOLLOWS and not answer.inverted and step.low > 0
    yield _load(got, cores)
    yield _updates(answer, kind)
    yield Finding("idle", True, _watts(answer.idle_w))
    yield Finding("busy", *_busy(answer), needed=True)
    yield Finding("step", follows, _seen(answer, follows), _why_not(answer, got), needed=True)
    if not follows:
        return
    yield _delay(answer, clock_s)
    yield _resolution(answer)
    drifts = abs(answer.drift_w) > _DRIFT * step.point
    says = (
        f"{human(answer.drift_w, 'W')} from the first idle part to the last, {_share(answer.drift_w, step)} of the step"
    )
    yield Finding("drift", not drifts, says, "end what else runs there, and let it warm up or cool first")


def _watts(found: Estimate) -> str:
    return "{} ({})".format(*level("W", found))


def _share(watts: float, step: Estimate) -> str:
    return whole_percent(abs(watts) / step.point)


def _load(got: float, cores: int) -> Finding:
    says = f"{whole_percent(min(got, 1.0))} of the time of {cores} cores"
    return Finding("load", got >= _GOT, says, "something else took the cores: end it, then check again")


def _updates(answer: Answer, kind: str) -> Finding:
    often = answer.updates_hz >= preflight.CHANGES_HZ
    says = f"meter {kind}: {answer.updates_hz:.0f} changes a second"
    return Finding("energy", often, says, preflight.TOO_SLOW, needed=True)


def _busy(answer: Answer) -> tuple[bool, str, str]:
    says = _watts(answer.busy_w)
    if answer.idle_w.point < 0 or answer.busy_w.point < 0:
        return False, says, "it counts backwards: turn its shunt round"
    remedy = f"a machine at work draws at least {human(_LEAST_W, 'W')}: look at the meter's channel, unit and shunt"
    return answer.busy_w.point >= _LEAST_W, says, remedy


def _seen(answer: Answer, follows: bool) -> str:
    explained = f"the load explains {whole_percent(answer.explained)} of what the meter showed"
    if answer.inverted and answer.explained >= FOLLOWS:
        return f"it falls by {human(-answer.step_w.point, 'W')} where the load rises"
    return f"{_watts(answer.step_w)}; {explained}" if follows else f"not seen ({_watts(answer.step_w)}): {explained}"


def _why_not(answer: Answer, got: float) -> str:
    if answer.inverted and answer.explained >= FOLLOWS:
        return "correct its sign, or the channel that it reads"
    if got < _GOT:
        return "end what else runs there, then check again; else name the supply or channel that feeds the processor"
    return "name the supply or channel that feeds the processor; one that is averaged over minutes cannot be used"


def _delay(answer: Answer, clock_s: float) -> Finding:
    # The energy pass leaves an update, and what it does not know of the clock, out of its windows.
    most_s = _MISPLACED * jobs.ENERGY_S + 1 / answer.updates_hz + clock_s
    share = min(answer.delay_s / jobs.ENERGY_S, 1.0)
    misplaced = f"{whole_percent(share)} of the step in the wrong window of {human(jobs.ENERGY_S, 's')}"
    says = f"the reading follows the load after {human(answer.delay_s, 's')}: {misplaced}"
    remedy = f"at most {human(most_s, 's')} will do: let the meter average over less, or use another"
    return Finding("delay", answer.delay_s <= most_s, says, remedy, needed=True)


def _resolution(answer: Answer) -> Finding:
    unit = "W" if answer.quantity == "watts" else "J"
    # A counter's step is spread over the shortest window that is asked for.
    watts = answer.resolution if unit == "W" else answer.resolution / contract.MIN_WINDOW_S
    fine = watts <= _COARSE * answer.step_w.point
    return Finding("resolution", fine, f"steps of {human(answer.resolution, unit)}", "use a finer meter or range")
