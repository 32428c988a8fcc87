"""How the cases that share a device, a suite and a runtime are measured: one job, every phase of METHOD, one baseline.

All variants take turns with their baseline in one job, so the baseline is measured once. The host follows without
polling, decides when a ratio is known, and takes nothing from a job that did not finish.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import placing, preflight, provision, record, registry, stats
from harness.errors import HarnessError, LabError, MeasurementError, Transient, Unsupported
from harness.model import Case, Device, Load, Run, Samples, Suite
from harness.placing import Workspace
from harness.ports import Connection
from harness.wheels import cache_dir

#: How often a lost link is tried again before the cases are given up, and how long between two tries.
_RECONNECTS, _RECONNECT_S = 8, 4.0
#: Launches before a verdict counts: fewer cannot show the variance between launches.
_MIN_LAUNCHES = 4


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that are measured in one job: same suite, device and runtime; the baseline among them if there is one."""

    suite: Suite
    device: Device
    runtime: str
    cases: tuple[Case, ...]

    @property
    def baseline(self) -> int | None:
        """The baseline's place in the job."""
        return next((i for i, case in enumerate(self.cases) if case.is_baseline), None)


class Link:
    """A device's connection that can be opened anew; only Transient errors are worth that."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._transport = registry.load("transports", device.address.scheme, file=str(device.file), key="address")
        self.connection: Connection = self._transport.connect(device)
        self.given_up = False

    def give_up(self) -> None:
        """End whatever waits for the device just now, from another thread; the device is still tidied up."""
        self.given_up = True
        self.connection.close()

    def renew(self) -> None:
        """Open the connection again, trying for a while; raises what the last try raised."""
        self.connection.close()
        for attempt in range(_RECONNECTS):
            try:
                self.connection = self._transport.connect(self.device)
            except Transient:
                if attempt == _RECONNECTS - 1:
                    raise
                time.sleep(_RECONNECT_S)
            else:
                return

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def plan(load: Load, models: int, *, quick: bool) -> dict[str, Any]:
    """Return the job's plan: how often, how long, and when to stop at the latest."""
    share = 0.1 if quick else 1.0
    timed_s = load.max_duration_s * models * share
    return {
        "cold_starts": 2 if quick else 5,
        "memory_starts": 2 if quick else 3,
        "accuracy": True,
        "warmup_s": 1.0 * share,
        "round_s": 0.05 if quick else 0.2,
        "round_min": 5,
        "rounds": 5,
        "min_launches": _MIN_LAUNCHES,
        "max_launches": _MIN_LAUNCHES if quick else 40,
        "max_timed_s": timed_s,
        "pause_budget_s": timed_s / 10,
        "energy_s": 12.0 * share,
        "deadline_s": 300.0,
    }


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
    place = provision.workspace(link.connection, device)
    runtime = provision.runtime(link.connection, device, place, group.runtime)
    with _inputs(samples) as inputs, _job_folder(link, place, group, inputs) as (folder, where):
        preflight.wait_until_fit(link.connection, device, place, say)
        data = next(iter(inputs))
        job = _job(group, where, where[data], runtime, quick=quick)
        _push_json(link.connection, job, posixpath.join(folder, "job.json"))
        account = _follow(group, link, place, folder, say)
        _collect(link.connection, folder, account, len(group.cases))
    facts = _facts(group, data)
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
        except HarnessError as error:
            yield case, type(error)(f"{case.device.id}: {case.variant.path.name}: {error}")


def _check_confidential(group: Group) -> None:
    scheme = group.device.address.scheme
    if group.suite.confidential and scheme not in ("local", "ssh"):
        raise Unsupported(
            f"{group.suite.id} is confidential and {scheme}:// is not encrypted; use ssh://", device=group.device.id
        )


@contextmanager
def _inputs(samples: Samples) -> Iterator[dict[str, Path]]:
    """Yield {sha256: path} of the images as a .npy file, which is gone afterwards."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(samples.images))
    folder = cache_dir() / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".npy") as file:
        file.write(buffer.getvalue())
        file.flush()
        yield {hashlib.sha256(buffer.getvalue()).hexdigest(): Path(file.name)}


@contextmanager
def _job_folder(
    link: Link, place: Workspace, group: Group, inputs: Mapping[str, Path]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the job's folder and where its files are; ends the job and removes what must not stay, whatever happens."""
    device = group.device
    folder = posixpath.join(place.root, "jobs", uuid.uuid4().hex[:12])
    secret = [posixpath.join(place.root, "blobs", digest) for digest in inputs] if group.suite.confidential else []
    try:
        made = link.connection.run(["mkdir", "-p", folder])
        placing.checked(made, device, f"{folder} cannot be made")
        files = {**{case.variant.sha256: case.variant.path for case in group.cases}, **inputs}
        yield folder, placing.blobs(link.connection, device, place, files)
    except BaseException:
        _stop(link, group, folder)
        raise
    finally:
        placing.remove(link.connection, device, [folder, *secret])


def _stop(link: Link, group: Group, folder: str) -> None:
    # Asked for on the way out of an error: a link that is gone can be mended once, for the sake of the device.
    try:
        link.connection.run(["true"], timeout_s=10)
    except Transient:
        link.renew()
    if link.connection.run(["test", "-e", posixpath.join(folder, "pid")]).code == 0:
        provision.runner(group.device).stop(link.connection, folder)


def _job(group: Group, where: Mapping[str, str], data: str, runtime: str, *, quick: bool) -> dict[str, Any]:
    suite = group.suite
    name = registry.runtime_name(group.runtime)
    models = [
        {"id": c.variant.id, "path": where[c.variant.sha256], "runtime": name, "runtime_path": runtime}
        for c in group.cases
    ]
    spec = suite.input
    return {
        "schema": 1,
        "seed": int.from_bytes(hashlib.sha256(suite.id.encode()).digest()[:4], "big"),
        "models": models,
        "threads": suite.load.threads,
        "input": {
            "path": data,
            "layout": spec.layout,
            "scale": spec.scale,
            "mean": list(spec.mean),
            "std": list(spec.std),
        },
        "meter": dict(group.device.meter) if group.device.meter else None,
        "plan": plan(suite.load, len(models), quick=quick),
    }


def _push_json(connection: Connection, value: Any, target: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(value, file)
        file.flush()
        connection.push(Path(file.name), target)


def _follow(group: Group, link: Link, place: Workspace, folder: str, say: Callable[[str], None]) -> record.Account:
    """Start the job and follow it to its end, through lost links; the job itself needs none."""
    runner, account, offset = provision.runner(group.device), record.Account(), 0
    decided: set[int] = set()
    runner.start(link.connection, group.device, place.command, folder)
    while True:
        try:
            for behind, event in runner.follow(link.connection, group.device, place.command, folder, offset=offset):
                offset = behind
                account.events.append(event)
                if event["event"] == "launch":
                    _decide(group, link, folder, account, decided)
                if text := _progress(group, event, decided):
                    say(text)
            return account
        except Transient as error:
            if link.given_up:
                raise MeasurementError(f"{group.device.id}: interrupted; --resume does what is left") from error
            say(f"link lost ({error}); the job goes on, connecting again")
            link.renew()


def _decide(group: Group, link: Link, folder: str, account: record.Account, decided: set[int]) -> None:
    """Tell the conductor which models are known well enough; it takes note before the next launch."""
    launches = len(account.of("launch"))
    fresh = {i for i in range(len(group.cases)) if i not in decided and known(group, account, i)}
    decided |= fresh
    running = [i for i in range(len(group.cases)) if account.failure(i) is None and i != group.baseline]
    names = [f"stop-{i}" for i in sorted(fresh) if i != group.baseline]
    if launches >= _MIN_LAUNCHES and all(i in decided for i in running) and (running or group.baseline in decided):
        names = ["stop"]
    if names:
        link.connection.run(["touch", *(posixpath.join(folder, name) for name in names)])


def known(group: Group, account: record.Account, index: int) -> bool:
    """Return whether a model's ratio to the baseline is known to the suite's precision, or its side of the margin is.

    A model without a baseline to compare with is known when its 99th percentile can be reported.
    """
    load, rounds = group.suite.load, account.rounds_of(index)
    if sum(r["count"] for r in rounds) < stats.samples_needed(0.99):
        return False
    if group.baseline is None or index == group.baseline or account.failure(group.baseline) is not None:
        return True
    ratio = stats.ratio_estimate(*record.levels(account, group.baseline), *record.levels(account, index))
    if ratio is None or ratio.method.startswith(stats.ONE_LAUNCH):
        return False
    narrow = (ratio.high - ratio.low) / 2 <= load.precision * ratio.point
    beyond = ratio.high < 1 - load.margin or ratio.low > 1 + load.margin
    inside = 1 - load.margin < ratio.low and ratio.high < 1 + load.margin
    return narrow or beyond or inside


def _progress(group: Group, event: Mapping[str, Any], decided: set[int]) -> str:
    """Return what people want to know of an event, "" if nothing."""
    kind = event["event"]
    if kind in ("cold", "memory", "accuracy", "energy"):
        turn = f" {event['turn'] + 1} of {event['of']}" if event["of"] > 1 else ""
        return f"{kind} pass{turn}: {group.cases[event['model']].variant.id}"
    if kind == "launch":
        ratios = [i for i in range(len(group.cases)) if i != group.baseline]
        known_now = f", {len(decided & set(ratios))} of {len(ratios)} ratios known" if ratios else ""
        return f"timed pass: launch {event['launch'] + 1}{known_now}"
    if kind == "error":
        return f"left out: {group.cases[event['model']].variant.id}: {event['message']}"
    return ""


def _collect(connection: Connection, folder: str, account: record.Account, models: int) -> None:
    """Pull the arrays of every model that went through the whole job."""
    with tempfile.TemporaryDirectory() as work:
        for index in range(models):
            if account.failure(index) is not None:
                continue
            for name in (f"m{index}.outputs.npy", f"m{index}.latency.npy", f"m{index}.rounds.npy"):
                target = Path(work) / name
                connection.pull(posixpath.join(folder, name), target)
                account.arrays[name] = np.load(target, allow_pickle=False)


def _facts(group: Group, data: str) -> dict[str, Any]:
    source = group.suite.file
    return {
        "device": group.device.id,
        "runner": group.device.runner,
        "threads": group.suite.load.threads,
        "data_sha256": data,
        "suite_sha256": hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else "",
    }


def load_samples(suite: Suite) -> Samples:
    """Return the suite's split; raises LabError if the data source finds it wrong."""
    table = dict(suite.data)
    module = registry.load("data", table.pop("source"), file=str(suite.file), key="data.source")
    options = registry.options(module, table, file=str(suite.file), key="data")
    found: Samples = module.load(options, split=suite.split, base=suite.file.parent, cache=cache_dir() / "data")
    positive = suite.task.positive
    if positive and positive not in found.classes:
        raise LabError(
            f"{positive!r} is not a class of the data; {registry.suggestion(positive, found.classes)}",
            file=str(suite.file),
            key="task.positive",
        )
    return found
