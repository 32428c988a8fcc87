"""Jobs that go on without their host: which may, and how the campaign that is gone on with collects what they gave.

A device does its job by itself. When the host's process is killed, its machine restarted or its power cut, a job on
another machine goes on to its end, and `--resume` collects it: it finds the job by what the store kept when it began,
asks the very same question, waits for its end before anything else runs there, and reads it as any other job. A job is
not left to itself

* on this machine itself, which somebody may want to use;
* with confidential images, which must go as soon as nobody follows;
* where the host has a part in the numbers: a meter that it reads, a race that it judges;
* with a vendor's tool, whose output is not kept.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from harness import deploy
from harness.agent import contract, plain_json
from harness.deploy import DeviceHandle, files
from harness.errors import HarnessError, MeasurementError, StoreError, Transient
from harness.measure import host_meter
from harness.measure.jobs import Group
from harness.store import COLLECTED, DONE, Job
from harness.units import moment

#: Keys of job.json that are of a lease and no part of what is measured.
_OF_THE_LEASE: Final = ("beat", "host_gone_s")


class Jobs:
    """The jobs of a campaign that may be left to themselves.

    Args:
        before: those that the campaign began before it was interrupted.
        keep: keeps one, as it is now, in the store.
        asked: id of a case -> digest of what it asks now.
    """

    def __init__(self, before: Sequence[Job], keep: Callable[[Job], None], asked: Callable[[str], str]) -> None:
        self._keep, self._asked = keep, asked
        self._left = [job for job in before if not job.ended]
        self._ready: dict[frozenset[str], Job] = {}
        self._lock = threading.Lock()

    def spared(self, device: str) -> tuple[str, ...]:
        """Return the names of the jobs that may still be collected from a device."""
        with self._lock:
            return tuple(job.name for job in self._left if job.device == device)

    def settle(self, handle: DeviceHandle, todo: Sequence[Group]) -> None:
        """Wait for each job that was left on a device, and find out which group is answered by it; removes the others.

        Args:
            handle: of the device, which is leased; nothing else was done there since.
            todo: the groups that are to be measured on it.

        Raises:
            DeviceError: the device was lost meanwhile; the jobs stay.
        """
        with self._lock:
            left = [job for job in self._left if job.device == handle.device.id]
        for job in left:
            group = next((one for one in todo if self._questions(one) == job.questions and may_go_on(one)), None)
            why = "its cases are not asked for now, or ask something else" if group is None else _ended(handle, job)
            with self._lock:
                self._left.remove(job)
            handle.spared = tuple(name for name in handle.spared if name != job.name)
            if group is not None and not why:
                self._ready[frozenset(job.questions)] = job
                continue
            handle.say(f"the job that was begun {moment(job.begun_at)} is not collected: {why}")
            self._over(job, why)
            _removed(handle, job)

    def _questions(self, group: Group) -> dict[str, str]:
        return {case.id: self._asked(case.id) for case in group.cases}

    @contextmanager
    def job(self, group: Group, name: str) -> Iterator[Begun]:
        """Give the job of a group: one that waits to be collected, or a new one; how it ended is kept.

        Args:
            group: the cases.
            name: of a new one.
        """
        found = self._ready.pop(frozenset(case.id for case in group.cases), None)
        one = Begun(self, group, found, name)
        try:
            yield one
        except BaseException as error:
            with suppress(StoreError):  # the error itself matters more
                one.over(error.text if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}")
            raise
        one.over(COLLECTED if found else DONE)

    def _over(self, job: Job, how: str) -> None:
        self._keep(replace(job, ended=how))

    def begin(self, group: Group, name: str, conditions: Mapping[str, Any]) -> Job:
        """Keep that a job is about to begin.

        Args:
            group: its cases.
            name: of its folder on the device.
            conditions: what the device said of its state.
        """
        job = Job(name, group.device.id, datetime.now(UTC), self._questions(group), dict(conditions))
        self._keep(job)
        return job


class Begun:
    """One job of a campaign.

    Attributes:
        found: the job that was left to itself and has ended, None where one is begun.
        name: of its folder on the device.
    """

    def __init__(self, jobs: Jobs, group: Group, found: Job | None, name: str) -> None:
        self._jobs, self._group, self._job = jobs, group, found
        self.found, self.name = found, found.name if found else name

    def begin(self, handle: DeviceHandle, folder: str, conditions: Mapping[str, Any]) -> bool:
        """Keep that the job begins, in the store first; return whether it may go on without its host.

        Args:
            handle: of the device.
            folder: of the job there.
            conditions: what the device said of its state.
        """
        if not may_go_on(self._group):
            return False
        self._job = self._jobs.begin(self._group, self.name, conditions)
        files.note(handle, posixpath.join(folder, contract.KEPT_FILE), [self._job.begun_at.isoformat()])
        return True

    def over(self, how: str) -> None:
        """Keep how the job ended."""
        if self._job is not None:
            self._jobs._over(self._job, how)


def may_go_on(group: Group) -> bool:
    """Return whether a job gives all that a host that follows it would have had."""
    device, suite = group.device, group.suite
    bound = device.address.here or suite.confidential or group.race is not None
    return not bound and not host_meter.is_read_here(device) and deploy.runner(device).OUTPUTS


def check(handle: DeviceHandle, folder: str, wanted: contract.Job) -> None:
    """Make sure that a job on the device is the one that would be asked for now; raises MeasurementError.

    Args:
        handle: of the device.
        folder: of the job there.
        wanted: what would be asked for.
    """
    asked = {key: value for key, value in contract.plain(wanted).items() if key not in _OF_THE_LEASE}
    there = {key: value for key, value in _job_file(handle, folder).items() if key not in _OF_THE_LEASE}
    if there != asked:
        text = f"the job in {folder} is not the one that was asked for"
        raise MeasurementError(text, remedy="--resume measures it anew", where=handle.device.id)


def _job_file(handle: DeviceHandle, folder: str) -> dict[str, Any]:
    done = handle.run(["cat", posixpath.join(folder, contract.JOB_FILE)])
    try:
        found = plain_json.read(done.out)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _ended(handle: DeviceHandle, job: Job) -> str:
    """Wait for the end of a job that was left to itself; return "" if it did all it was asked for, else why not."""
    folder = _folder(handle, job)
    if handle.run(["test", "-s", posixpath.join(folder, contract.EVENTS_FILE)]).code:
        return "it is not on the device any more, or never began"
    # While it is followed it keeps the lease, by the beat of the one who began it: from now on that is ours.
    before = str(_job_file(handle, folder).get("beat", ""))
    renewed = bool(handle.beat and before) and before != handle.beat
    if renewed:
        handle.run(["ln", "-sf", handle.beat, before])
    handle.say(f"waiting for the job that was begun {moment(job.begun_at)} and left to itself")
    deploy.prepare(handle)
    try:
        for _ in deploy.runner(handle.device).follow(handle, folder, offset=0):
            pass
    except Transient as error:
        handle.unless_interrupted(error)
        raise
    except MeasurementError as error:
        return error.text
    if renewed:
        handle.run(["rm", "-f", before])
    handle.say(f"collecting the job that was begun {moment(job.begun_at)}")
    return ""


def _removed(handle: DeviceHandle, job: Job) -> None:
    folder = _folder(handle, job)
    if handle.run(["test", "-e", posixpath.join(folder, contract.PID_FILE)]).code == 0:
        deploy.runner(handle.device).stop(handle, folder)
    files.remove(handle, [folder])


def _folder(handle: DeviceHandle, job: Job) -> str:
    return posixpath.join(handle.root, "jobs", job.name)
