"""How the cases of one device, suite and runtime are measured: one job, one baseline, every phase of reports/METHOD.md.

All variants take turns with their baseline in one job, so the baseline is measured once. The host follows without
polling and decides when a ratio is known. A case is given on as soon as its own measurement is complete, which with a
meter or under a sustained load may be long before the job ends; a case that did not get so far gives nothing.
"""

from __future__ import annotations

import hashlib
import posixpath
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from harness import deploy
from harness.agent import contract
from harness.deploy import DeviceHandle, android, files, health
from harness.errors import DeviceError, HarnessError, MeasurementError, Reset, Stopped, Transient, Unsupported
from harness.measure import collecting, host_meter, preflight, racing, space
from harness.measure.clock import Clock
from harness.measure.collecting import Jobs
from harness.measure.fetching import fetched
from harness.measure.jobs import MIN_LAUNCHES, Group, Inputs, inputs_files, job, push_job
from harness.measure.known import Found, Known, is_known
from harness.model import Samples
from harness.results import arrays, scenarios
from harness.results.job_log import JobLog
from harness.results.order import Order
from harness.units import counted, human

#: A connection that is lost as often without a word of the job in between is none.
_LOSSES = 10
#: How long a job that may be collected later goes on without its host: a machine that restarts, somebody who comes in
#: the morning; s. Another campaign takes the device sooner, and ends it.
_LEFT_S = 3600.0


def measure(
    group: Group, handle: DeviceHandle, samples: Samples, clock: Clock, jobs: Jobs, *, campaign: str, quick: bool
) -> Iterator[Found]:
    """Measure a group and yield what each case gave, each as soon as it is known.

    Args:
        group: the cases, with their baseline if there is one.
        handle: of the device, which is leased.
        samples: the split that is judged.
        clock: that hears the job's events.
        jobs: of the campaign: one of them may have been left to itself, and is collected then.
        campaign: the campaign's id.
        quick: whether durations are cut to a tenth.

    Raises:
        HarnessError: what went wrong for the whole group, as far as its cases were not yielded before.
    """
    check_confidential(group)
    models, images = counted(len(group.cases), "model"), counted(len(samples.images), "image")
    handle.say(f"bringing {group.runtime}, {models} and {images}")
    with ExitStack() as held:
        inputs = held.enter_context(inputs_files(group, samples))
        deploy.prepare(handle, space.of_group(group, inputs, samples, handle.root))
        runtime = deploy.runtime(handle, group.runtime)
        begun = held.enter_context(jobs.job(group, new_name()))
        folder, where = held.enter_context(job_folder(handle, group, runtime, inputs, name=begun.name))
        wanted = job(group, where, inputs, runtime, quick=quick)
        if begun.found is None:
            before = preflight.wait_until_fit(handle)["conditions"]
            push_job(handle, wanted, folder, left_s=_LEFT_S if begun.begin(handle, folder, before) else 0.0)
        else:
            collecting.check(handle, folder, wanted)
            before = begun.found.conditions
        facts = _facts(group, inputs.data, handle)
        known = Known(group, samples, campaign, quick, facts)
        if begun.found is not None:
            known.collected, known.log.started_at = True, begun.found.begun_at
        known.log.beside["before"] = before
        known.log.order = Order(wanted, len(samples.images), group.device.id)
        with host_meter.recording(handle) as meter:
            for event in _follow(known, handle, folder, meter, start=begun.found is None):
                clock.hear(event)
                if not group.device.address.here:
                    # On this very machine, judging would run beside what is still measured.
                    yield from _complete(handle, folder, known)
            meter.compare()
            known.log.events = [meter.joined(event) for event in known.log.events]
        if begun.found is None:  # of the state after a job that has ended long ago nothing is known
            known.log.beside["after"] = android.conditions(handle)
        _collect(handle, folder, known)
    yield from known.rest()


def check_confidential(group: Group) -> None:
    """Refuse to bring a confidential suite's images over a transport that is not encrypted; raises Unsupported."""
    if group.suite.confidential and not deploy.handle.transport(group.device).ENCRYPTED:
        scheme = group.device.address.scheme
        text = f"{group.suite.id} is confidential and {scheme}:// is not encrypted"
        raise Unsupported(text, remedy="use ssh://", device=group.device.id)


def _complete(handle: DeviceHandle, folder: str, known: Known) -> Iterator[Found]:
    for index in list(known.fresh()):
        if known.log.failure(index) is None:
            _fetch(handle, folder, known, index)
            _fetch_control(handle, folder, known)
        yield known.found(index)


def new_name() -> str:
    """Return a name for the folder of a job."""
    return uuid.uuid4().hex[:12]


@contextmanager
def job_folder(
    handle: DeviceHandle, group: Group, runtime: str, inputs: Inputs, *, name: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the job's folder and where its files are; ends the job and removes what must not stay, whatever happens.

    Images of a confidential suite lie in that folder, which no other account may enter, and go with it.

    Args:
        handle: of the device.
        group: the cases.
        runtime: folder of the runtime there.
        inputs: the images.
        name: of the folder; "" for a new one.
    """
    folder = posixpath.join(handle.root, "jobs", name or new_name())
    own = dict(inputs.files) if group.suite.confidential else {}
    secret = [posixpath.join(folder, digest) for digest in own]
    try:
        if secret:
            files.close_to_others(handle, folder)
            files.note(handle, posixpath.join(folder, contract.SECRET_FILE), secret)
        wanted = {**{case.variant.sha256: case.variant.path for case in group.cases}, **inputs.files}
        where = files.blobs(handle, {digest: path for digest, path in wanted.items() if digest not in own})
        where |= files.blobs(handle, own, folder=folder) if own else {}
        kept = [path for path in where.values() if path not in secret]
        files.touch(handle, folder, [handle.workspace.folder, runtime, *kept])
        yield folder, where
    except BaseException as error:
        _clean_up(handle, folder, secret, error)
        raise
    else:
        with handle.cleaning():
            files.remove(handle, [folder])
        if secret and handle.wiped:
            handle.wiped(posixpath.basename(folder))


def _clean_up(handle: DeviceHandle, folder: str, secret: list[str], error: BaseException) -> None:
    """End a job that failed and remove it; if that fails too, the error says besides what may be left on the device."""
    try:
        with handle.cleaning():
            handle.ensure_connected()
            if handle.run(["test", "-e", posixpath.join(folder, contract.PID_FILE)]).code == 0:
                deploy.runner(handle.device).stop(handle, folder)
            files.remove(handle, [folder])
        if secret and handle.wiped:
            handle.wiped(posixpath.basename(folder))
    except DeviceError as failed:
        device = handle.device.id
        said = error.reason if isinstance(error, HarnessError) else error
        if secret:
            text = f"{said}; confidential images may be left at {secret[0]} ({failed})"
            raise DeviceError(text, remedy="remove them by hand", device=device) from error
        text = f"{said}; its job may still run there, in {folder}: the next campaign ends it"
        if isinstance(error, DeviceError):
            raise type(error)(text, device=device) from error
        if isinstance(error, MeasurementError):
            raise MeasurementError(text, where=device) from error


def _follow(
    known: Known, handle: DeviceHandle, folder: str, meter: host_meter.Recorder, *, start: bool
) -> Iterator[contract.Event]:
    """Yield a job's events to its end, through lost connections; the job itself needs none.

    Args:
        known: what is known of its cases.
        handle: of the device.
        folder: of the job there.
        meter: that this host reads.
        start: whether it is to be started first.
    """
    group, log = known.group, known.log
    runner, offset = deploy.runner(group.device), 0
    before, resets = health.boot_id(handle), handle.resets
    if start:
        runner.start(handle, folder)
    losses = 0
    while True:
        try:
            for behind, event in runner.follow(handle, folder, offset=offset):
                offset, losses = behind, 0
                for new in log.add(event):
                    meter.hear(new)
                    if isinstance(new, contract.Launch):
                        _decide(known, handle, folder)
                    if text := _progress(group, new, known.decided):
                        handle.say(text)
                    yield new
            return
        except Stopped:
            raise
        except Transient as error:
            losses += 1
            if losses > _LOSSES:
                raise
            handle.say(f"connection lost ({error}); the job goes on, connecting again")
            handle.reconnect(error)
            handle.unless_interrupted(error)
            handle.renew()
            _check_boot(handle, before, resets)
        except MeasurementError as error:
            _check_boot(handle, before, resets)
            raise _ended(handle, log, error) from error


def _check_boot(handle: DeviceHandle, before: str, resets: int) -> None:
    """Look whether a job of before can still go on.

    Args:
        handle: of the device.
        before: the device's boot id when the job was started, "" if it has none.
        resets: how often it had been reset then.

    Raises:
        Reset: it was reset since, and has been started afresh.
        MeasurementError: it has been started afresh by itself.
    """
    now = health.boot_id(handle)
    if before and now and now != before:
        if handle.resets > resets:
            text = "a reset started it afresh while it measured, which ended the job"
            raise Reset(text, remedy="--resume measures what is left", device=handle.device.id)
        raise MeasurementError(
            "it rebooted while measuring, which ended the job, and nothing of this case was taken",
            remedy="look why (power, heat, a watchdog), then --resume measures what is left",
            where=handle.device.id,
        )


def _ended(handle: DeviceHandle, log: JobLog, error: MeasurementError) -> MeasurementError:
    """Return why a job ended before it was done: for want of memory, if the kernel says so, or as `error` says."""
    start = next(iter(log.all(contract.Start)), None)
    killed = health.killed_for_memory(handle, start.kills if start else ())
    # Workers that were killed so are errors of their cases alone.
    if killed <= sum(event.kind == "memory" for event in log.all(contract.Error)) or start is None:
        return error
    total = start.fingerprint.get("memory_bytes")
    had = f" (it has {human(float(total), 'B')} in all)" if total else ""
    return MeasurementError(
        f"out of memory{had}: its kernel killed the job, and nothing of this case was taken",
        remedy="give the device more memory, or the suite smaller models",
        where=handle.device.id,
    )


def _decide(now: Known, handle: DeviceHandle, folder: str) -> None:
    """Mark for the conductor which models are known well enough, or out of a race; it looks before the next launch."""
    group, log, decided = now.group, now.log, now.decided
    launches = len(log.all(contract.Launch))
    fresh = {i for i in range(len(group.cases)) if i not in decided and is_known(group, log, i)}
    running = [i for i in range(len(group.cases)) if log.failure(i) is None and i != group.baseline]
    if group.race is not None:
        if not now.judged:
            _fetch_outputs(now, handle, folder)
            now.judged = racing.judged(group, log, now.samples)
        dropped = racing.excluded(group, log, now.judged, decided)
        for i, why in dropped.items():
            handle.say(f"dropped after {counted(launches, 'launch', 'launches')}: {group.cases[i].variant.id}: {why}")
        now.out |= dropped
        fresh = {i for i in fresh if racing.settled(group, log, i)} | set(dropped)
        # The best so far only keeps the others company.
        running = [i for i in running if i != racing.best(group)]
    decided |= fresh
    names = [f"{contract.STOP_FILE}-{i}" for i in sorted(fresh & set(running))]
    enough = launches >= MIN_LAUNCHES or (running and all(i in now.out for i in running))
    if enough and all(i in decided for i in running) and (running or group.baseline in decided):
        names = [contract.STOP_FILE]
    if names:
        handle.run(["touch", *(posixpath.join(folder, name) for name in names)])


def _fetch_outputs(now: Known, handle: DeviceHandle, folder: str) -> None:
    """Fetch the answers of all models, which are complete before the timed pass begins."""
    for index in range(len(now.group.cases)):
        if now.log.failure(index) is None and now.log.of(contract.Accuracy, index):
            with now.log.guarded(index, "arrays"):
                _fetch_array(handle, folder, now.log, index, "outputs")
                arrays.check_outputs(now.log, index, handle.device.id)


def _progress(group: Group, event: contract.Event, decided: set[int]) -> str:
    """Return what people want to know of an event, "" if nothing."""
    if isinstance(event, contract.Error) and event.model == group.control:
        return f"the control is left out: {event.message}"
    if isinstance(event, contract.Phase):
        turn = f" {event.turn + 1} of {event.of}" if event.of > 1 else ""
        return f"{event.KIND} pass{turn}: {group.cases[event.model].variant.id}"
    if isinstance(event, contract.Launch):
        ratios = [i for i in range(len(group.cases)) if i != group.baseline]
        known_now = f", {len(decided & set(ratios))} of {len(ratios)} ratios known" if ratios else ""
        return f"timed pass: launch {event.launch + 1}{known_now}"
    if isinstance(event, contract.Sustaining):
        return f"{event.at_s:.0f} of {event.of_s:.0f} s of load: {group.cases[event.model].variant.id}"
    if isinstance(event, contract.Error):
        return f"left out: {group.cases[event.model].variant.id}: {event.message}"
    return ""


def _collect(handle: DeviceHandle, folder: str, known: Known) -> None:
    """Fetch the arrays of every model that went through the whole job."""
    for index in range(len(known.group.cases)):
        # A vendor's tool gives no arrays.
        if known.log.failure(index) is None and not known.log.of(contract.Tool, index):
            _fetch(handle, folder, known, index)
    _fetch_control(handle, folder, known)


def _fetch_control(handle: DeviceHandle, folder: str, known: Known) -> None:
    control = known.group.control
    if control is not None and known.log.failure(control) is None:
        _fetch(handle, folder, known, control)


def _fetch(handle: DeviceHandle, folder: str, known: Known, index: int) -> None:
    """Fetch the arrays of one model that are not here yet; what is wrong with them puts that model alone out."""
    timed, control = bool(known.log.of(contract.Parts, index)), index == known.group.control
    with known.log.guarded(index, "arrays"):
        for array in scenarios.arrays(known.group.suite.load, parts=timed, control=control):
            _fetch_array(handle, folder, known.log, index, array)
        arrays.check(known.log, index, handle.device.id)


def _fetch_array(handle: DeviceHandle, folder: str, log: JobLog, index: int, array: str) -> None:
    name = f"m{index}.{array}.npy"
    if name not in log.arrays:
        log.arrays[name] = fetched(handle, folder, index, array)


def _facts(group: Group, data: str, handle: DeviceHandle) -> dict[str, Any]:
    source = group.suite.file
    # The folder's name is the digest of what measures: the agent's sources, or the native runner with its libraries.
    measurer = posixpath.basename(handle.workspace.folder)
    return {
        **({"agent": measurer} if measurer else {}),
        **({"bound_cores": handle.workspace.cores} if handle.workspace.cores else {}),
        "device": group.device.id,
        "runner": group.device.runner,
        "threads": group.suite.load.threads,
        "data_sha256": data,
        "suite_sha256": hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else "",
    }
