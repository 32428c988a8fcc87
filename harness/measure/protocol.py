"""How the cases that share a device, a suite and a runtime are measured: one job, every phase of METHOD, one baseline.

All variants take turns with their baseline in one job, so the baseline is measured once. The host follows without
polling, decides when a ratio is known, and takes nothing from a job that did not finish.
"""

from __future__ import annotations

import hashlib
import posixpath
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness import compare, stats
from harness.deploy import placing, provision, vitals
from harness.deploy.link import Link
from harness.deploy.placing import Workspace
from harness.errors import DeviceError, HarnessError, MeasurementError, Transient, Unsupported
from harness.measure import metering, preflight
from harness.measure.jobs import MIN_LAUNCHES, Group, inputs_file, job, push_json
from harness.model import Case, Run, Samples, Verdict
from harness.ports import Connection
from harness.results import record, scenarios
from harness.units import human

#: A link that is lost as often without a word of the job in between is no link.
_LOSSES = 10


def measure(
    group: Group, link: Link, samples: Samples, *, campaign: str, quick: bool, say: Callable[[str], None]
) -> Iterator[tuple[Case, Run | HarnessError]]:
    """Measure a group and yield what each case gave: a Run, or the error that befell this case alone.

    Raises:
        HarnessError: what befell the whole group.
    """
    _check_confidential(group)
    device = group.device
    say(f"bringing {group.runtime}, {len(group.cases)} models and {len(samples.images)} images")
    place = link.persistently(lambda way: provision.workspace(way, device), say)
    runtime = link.persistently(lambda way: provision.runtime(way, device, place, group.runtime), say)
    with inputs_file(samples) as inputs, _job_folder(link, place, group, runtime, inputs, say) as (folder, where):
        link.persistently(lambda way: preflight.wait_until_fit(way, device, place, say), say)
        data = next(iter(inputs))
        wanted = job(group, where, where[data], runtime, quick=quick)
        link.persistently(lambda way: push_json(way, wanted, posixpath.join(folder, "job.json")), say)
        with metering.recording(device, place.command) as meter:
            account = _follow(group, link, place, folder, meter, say)
            link.persistently(meter.compare, say)
            account.events = meter.joined(account.events)
        link.persistently(lambda way: _collect(way, folder, account, group), say)
    facts = _facts(group, data, place)
    yield from _results(group, account, samples, campaign, quick, facts)


def _results(
    group: Group, account: record.Account, samples: Samples, campaign: str, quick: bool, facts: Mapping[str, Any]
) -> Iterator[tuple[Case, Run | HarnessError]]:
    for index, case in enumerate(group.cases):
        failure = account.failure(index)
        if failure is not None:
            yield case, record.failed(case, failure)
            continue
        try:
            yield case, record.run_of(case, index, account, samples, campaign=campaign, quick=quick, facts=facts)
        except MeasurementError as error:
            yield case, MeasurementError(f"{case.device.id}: {case.variant.path.name}: {error}")
        except HarnessError as error:
            yield case, error


def _check_confidential(group: Group) -> None:
    scheme = group.device.address.scheme
    if group.suite.confidential and scheme not in ("local", "ssh"):
        raise Unsupported(
            f"{group.suite.id} is confidential and {scheme}:// is not encrypted",
            remedy="use ssh://",
            device=group.device.id,
        )


@contextmanager
def _job_folder(
    link: Link, place: Workspace, group: Group, runtime: str, inputs: Mapping[str, Path], say: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the job's folder and where its files are; ends the job and removes what must not stay, whatever happens."""
    device = group.device
    folder = posixpath.join(place.root, "jobs", uuid.uuid4().hex[:12])
    secret = [posixpath.join(place.root, "blobs", digest) for digest in inputs] if group.suite.confidential else []
    try:
        files = {**{case.variant.sha256: case.variant.path for case in group.cases}, **inputs}
        where = link.persistently(lambda way: placing.blobs(way, device, place, files), say)
        used = [place.folder, runtime, *where.values()]
        link.persistently(lambda way: placing.touch(way, device, folder, used), say)
        yield folder, where
    except BaseException as error:
        _tidy_up(link, group, folder, secret, error)
        raise
    else:
        placing.remove(link.connection, device, [folder, *secret])


def _tidy_up(link: Link, group: Group, folder: str, secret: list[str], error: BaseException) -> None:
    """End a job that failed and remove it; if that fails too, the error says besides what may be left on the device."""
    try:
        _stop(link, group, folder)
        placing.remove(link.connection, group.device, [folder, *secret])
    except DeviceError as failed:
        device = group.device.id
        said = str(error).removeprefix(f"{device}: ")
        if secret:
            raise DeviceError(
                f"{said}; confidential images may be left at {secret[0]} ({failed})",
                remedy="remove them by hand",
                device=device,
            ) from error
        message = f"{said}; its job may still run there, in {folder}: the next campaign ends it"
        if isinstance(error, DeviceError):
            raise type(error)(message, device=device) from error
        if isinstance(error, MeasurementError):
            raise MeasurementError(f"{device}: {message}") from error


def _stop(link: Link, group: Group, folder: str) -> None:
    # Asked for on the way out of an error: a link that is gone can be mended once, for the sake of the device.
    try:
        link.connection.run(["true"], timeout_s=10)
    except Transient:
        link.renew()
    if link.connection.run(["test", "-e", posixpath.join(folder, "pid")]).code == 0:
        provision.runner(group.device).stop(link.connection, folder)


def _follow(
    group: Group, link: Link, place: Workspace, folder: str, meter: metering.Recorder, say: Callable[[str], None]
) -> record.Account:
    """Start the job and follow it to its end, through lost links; the job itself needs none."""
    runner, account, offset = provision.runner(group.device), record.Account(), 0
    decided: set[int] = set()
    before = link.persistently(vitals.life, say)
    link.persistently(lambda way: runner.start(way, group.device, place.command, folder), say)
    losses = 0
    while True:
        try:
            for behind, event in runner.follow(link.connection, group.device, place.command, folder, offset=offset):
                offset, losses = behind, 0
                account.events.append(event)
                meter.hear(event, link.connection)
                if event["event"] == "launch":
                    _decide(group, link, folder, account, decided)
                if text := _progress(group, event, decided):
                    say(text)
            return account
        except Transient as error:
            losses += 1
            if link.given_up:
                raise MeasurementError(
                    f"{group.device.id}: interrupted", remedy="--resume does what is left"
                ) from error
            if losses > _LOSSES:
                raise
            say(f"link lost ({error}); the job goes on, connecting again")
            link.renew()
            _check_life(link, before, say)
        except MeasurementError as error:
            _check_life(link, before, say)
            raise _ended(link, account, error, say) from error


def _check_life(link: Link, before: str, say: Callable[[str], None]) -> None:
    """Raise MeasurementError if no job of before can go on, because the device has been started afresh."""
    now = link.persistently(vitals.life, say)
    if before and now and now != before:
        raise MeasurementError(
            (f"{link.device.id}: it rebooted while measuring, which ended the job, and nothing of this job was taken"),
            remedy="look why (power, heat, a watchdog), then --resume measures what is left",
        )


def _ended(
    link: Link, account: record.Account, error: MeasurementError, say: Callable[[str], None]
) -> MeasurementError:
    """Return why a job ended before it was done: for want of memory, if the kernel says so, or as `error` says."""
    start = next(iter(account.of("start")), {})
    killed = link.persistently(lambda way: vitals.killed_for_memory(way, start.get("kills", ())), say)
    # Workers that were killed so are errors of their cases alone.
    if killed <= sum(event["kind"] == "memory" for event in account.of("error")):
        return error
    total = start["fingerprint"].get("memory_bytes")
    had = f" (it has {human(float(total), 'B')} in all)" if total else ""
    return MeasurementError(
        (f"{link.device.id}: out of memory{had}: its kernel killed the job, and nothing of this job was taken"),
        remedy="give the device more memory, or the suite smaller models",
    )


def _decide(group: Group, link: Link, folder: str, account: record.Account, decided: set[int]) -> None:
    """Tell the conductor which models are known well enough; it takes note before the next launch."""
    launches = len(account.of("launch"))
    fresh = {i for i in range(len(group.cases)) if i not in decided and known(group, account, i)}
    decided |= fresh
    running = [i for i in range(len(group.cases)) if account.failure(i) is None and i != group.baseline]
    names = [f"stop-{i}" for i in sorted(fresh) if i != group.baseline]
    if launches >= MIN_LAUNCHES and all(i in decided for i in running) and (running or group.baseline in decided):
        names = ["stop"]
    if names:
        link.connection.run(["touch", *(posixpath.join(folder, name) for name in names)])


def known(group: Group, account: record.Account, index: int) -> bool:
    """Return whether a model's ratio to the baseline has a verdict, or is known to half the suite's precision.

    A model without a baseline to compare with is known when its 99th percentile can be reported. An
    interval as narrow as `precision` may still leave the verdict open, so then it is asked for twice as narrow.
    """
    load, rounds = group.suite.load, account.rounds_of(index)
    if sum(r["count"] for r in rounds) < stats.samples_needed(0.99):
        return False
    if group.baseline is None or index == group.baseline or account.failure(group.baseline) is not None:
        return True
    base_values, base_rounds, base_keep = record.levels(account, group.baseline)
    values, own_rounds, keep = record.levels(account, index)
    ratio = stats.ratio_estimate(base_values, base_rounds, values, own_rounds, base_keep=base_keep, keep=keep)
    if ratio is None or ratio.method.startswith(stats.ONE_LAUNCH):
        return False
    found = compare.verdict(ratio, neutral=1.0, margin=load.margin, higher_is_better=False)
    return found is not Verdict.INCONCLUSIVE or (ratio.high - ratio.low) / 2 <= load.precision / 2 * ratio.point


def _progress(group: Group, event: Mapping[str, Any], decided: set[int]) -> str:
    """Return what people want to know of an event, "" if nothing."""
    kind = event["event"]
    if kind in ("cold", "evicted", "memory", "accuracy", "parts", "energy", "tool"):
        turn = f" {event['turn'] + 1} of {event['of']}" if event["of"] > 1 else ""
        return f"{kind} pass{turn}: {group.cases[event['model']].variant.id}"
    if kind == "launch":
        ratios = [i for i in range(len(group.cases)) if i != group.baseline]
        known_now = f", {len(decided & set(ratios))} of {len(ratios)} ratios known" if ratios else ""
        return f"timed pass: launch {event['launch'] + 1}{known_now}"
    if kind == "sustaining":
        return f"{event['at_s']:.0f} of {event['of_s']:.0f} s of load: {group.cases[event['model']].variant.id}"
    if kind == "error":
        return f"left out: {group.cases[event['model']].variant.id}: {event['message']}"
    return ""


def _collect(connection: Connection, folder: str, account: record.Account, group: Group) -> None:
    """Pull the arrays of every model that went through the whole job."""
    with tempfile.TemporaryDirectory() as work:
        for index in range(len(group.cases)):
            if account.failure(index) is not None or account.of("tool", index):
                continue  # a vendor's tool gives no arrays
            for array in scenarios.arrays(group.suite.load, account.of("parts", index)):
                name = f"m{index}.{array}.npy"
                target = Path(work) / name
                connection.pull(posixpath.join(folder, name), target)
                account.arrays[name] = np.load(target, allow_pickle=False)


def _facts(group: Group, data: str, place: Workspace) -> dict[str, Any]:
    source = group.suite.file
    # The folder's name is the digest of what measures: the agent's sources, or the native runner with its libraries.
    measurer = posixpath.basename(place.folder)
    return {
        **({"agent": measurer} if measurer else {}),
        "device": group.device.id,
        "runner": group.device.runner,
        "threads": group.suite.load.threads,
        "data_sha256": data,
        "suite_sha256": hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else "",
    }
