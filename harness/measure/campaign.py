"""Many cases on many devices at once: one thread a device, every case stored the moment it is known.

Cases that share a suite, a device and a runtime form a group, which is measured as one job with one baseline. What goes
wrong for a group is the error of its cases and of no others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from harness import compare, deploy
from harness.deploy import DeviceHandle
from harness.deploy.recovery import Resets
from harness.errors import HarnessError, Reset, Stopped, StoreError, Unforeseen
from harness.measure import grouping, occlusion, operating, reference, remarks, robustness, space
from harness.measure.attempts import Attempts
from harness.measure.clock import Clock
from harness.measure.collecting import Jobs
from harness.measure.concluding import concluded, errored
from harness.measure.connected import Connected, too_long
from harness.measure.described import begun, data_facts, described
from harness.measure.group import measure
from harness.measure.jobs import Group, load_samples
from harness.measure.question import data_digest
from harness.measure.resuming import Taken, Work
from harness.measure.settings import Result as Result
from harness.measure.settings import Settings as Settings
from harness.measure.turns import Turns
from harness.model import Case, Device, Run, Samples, Suite
from harness.results import agreement, disagreement
from harness.results import occlusion as maps
from harness.results import robustness as under_conditions
from harness.results.runs import COLLECTED, kept, with_agreement
from harness.store import Job, Spool, Store, Superseded
from harness.units import human


class CampaignRunner:
    """A campaign under way; every case has a future."""

    def __init__(self, cases: Sequence[Case], store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._futures: dict[str, Future[Result]] = {case.id: Future() for case in cases}
        self._handles: set[DeviceHandle] = set()
        self._library = reference.Library()
        self._stopping = threading.Event()
        self._data: dict[str, Samples | HarnessError] = {}
        self._digests: dict[str, str] = {}
        self._lock = threading.Lock()
        self._clocks: dict[str, Clock] = {}
        self._attempts = Attempts()
        self._work = Work(
            store,
            cases,
            begun(cases, settings.command, quick=settings.quick),
            resume=settings.resume,
            purpose=settings.purpose,
            note=settings.note,
        )
        self.campaign = self._work.campaign
        if store.migrated:
            settings.note(store.migrated)
        self._spool = Spool(store, self.campaign.id, settings.note)
        before = store.jobs(self.campaign.id) if self._work.resumed else []
        self._jobs = Jobs(before, self._keep_job, self._work.digest)
        by_device = {device.id: [c for c in cases if c.device.id == device.id] for device in (c.device for c in cases)}
        devices = [own[0].device for own in by_device.values()]
        self._turns = Turns(devices, settings.devices_at_once, settings.wait_s)
        self._pool = ThreadPoolExecutor(max_workers=len(by_device) or 1, thread_name_prefix="device")
        for own in by_device.values():
            self._pool.submit(self._in_turn, own[0].device, own)

    def future(self, case: Case) -> Future[Result]:
        """Return where a case's result will be."""
        return self._futures[case.id]

    def again(self, case: Case) -> Future[Result]:
        """Measure a case that has ended once more, beside its baseline, and return where its result will be."""
        self._attempts.add(self._futures[case.id].result())
        future: Future[Result] = Future()
        self._futures[case.id] = future
        self._pool.submit(self._in_turn, case.device, [case])
        return future

    def results(self, cases: Iterable[Case]) -> list[Result]:
        """Return what cases gave, once all have ended and the devices are cleaned up; an interruption ends the jobs."""
        try:
            found = [self._futures[case.id].result() for case in cases]
        except BaseException:
            self.stop()
            raise
        self._pool.shutdown(wait=True)
        self._spool.settle()
        self._work.close()
        return found

    def stop(self) -> None:
        """End all jobs, also those under way; devices are cleaned up before this returns."""
        self._stopping.set()
        self._library.stop()
        with self._lock:
            handles = list(self._handles)
        for handle in handles:
            handle.interrupt()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._spool.settle()
        self._work.close()

    def _say(self, device: str, text: str) -> None:
        """Report what a device does; called from several threads."""
        self._settings.say(device, text)
        self._work.heard()

    def _in_turn(self, device: Device, cases: Sequence[Case]) -> None:
        with self._turns.of(device):
            # What was not begun when the campaign was stopped is left as it is, to the one who resumes it.
            if not self._stopping.is_set():
                self._device(device, cases)

    def _device(self, device: Device, cases: Sequence[Case]) -> None:
        """Measure all cases of one device, group after group, and leave none unanswered."""
        try:
            for error, case in grouping.unfit(cases):
                self._fail([case], error)
            todo = grouping.groups([case for case in cases if not self._futures[case.id].done()])
            # All of them before the first is measured: a file that does not fit is no news after an hour.
            races = self._settings.races
            todo = [replace(group, race=races.get((device.id, group.runtime))) for group in todo]
            fitted = [one for group in todo if (one := self._fitted(group)) is not None]
            self._groups(device, fitted)
        except BaseException as error:  # a defect of ours must reach the cases that wait for it
            for case in cases:
                if not self._futures[case.id].done():
                    self._futures[case.id].set_exception(error)
            raise

    def _fitted(self, group: Group) -> Group | None:
        """Return a group with how each of its models is fed and read, without those that cannot be; None if none is."""
        try:
            samples = self._samples(group.suite)
        except HarnessError as error:
            # Of data that cannot be read now nobody knows whether they changed: what was measured stays stored.
            lost = [case for case in group.cases if self._work.stays(case)]
            self._fail(lost, error, store=False)
            self._fail(group.cases, error)
            return None
        read: Group | None = group
        # A vendor's tool feeds models with its own numbers and gives no answers.
        if deploy.runner(group.device).OUTPUTS:
            read = self._read(group, samples)
        return self._left(read) if read is not None else None

    def _read(self, group: Group, samples: Samples) -> Group | None:
        """Return a group with how each of its models is fed and read; None if none of its cases can be."""
        group = grouping.fitted(group, samples, self._fail)
        say = partial(self._say, group.device.id)
        for remark in dict.fromkeys(remark for case in group.cases for remark in group.fits[case.id].remarks):
            say(f"remark: {remark}")
        if not any(case.id in self._futures for case in group.cases):
            return None
        return operating.applied(group, self._library, samples, say, self._fail)

    def _left(self, group: Group) -> Group | None:
        """Return what of a group is measured, None if nothing is, after answering what was measured before."""
        with self._lock:
            if group.suite.id not in self._digests:
                found = self._data[group.suite.id]
                assert not isinstance(found, HarnessError)
                self._digests[group.suite.id] = data_digest(found)
        data = self._digests[group.suite.id]
        if self._work.resumed and any(case.id in self._attempts for case in group.cases):
            return group
        left, taken = self._work.split(group, data, lambda case: self._waiting(case) is not None)
        for one in taken:
            self._take_over(one)
        return left

    def _take_over(self, one: Taken) -> None:
        """Judge a run of before by today's suite, store that in one go and answer."""
        suite, future = self.campaign.suites[one.case.suite.id], self._waiting(one.case)
        compared = compare.compare(one.baseline, one.run, suite) if one.baseline is not None else []
        outcome = concluded(one.case, one.run, compared, taken_over=one.run.started_at)
        question = self._work.question(one.case.id)
        self._spool.write(lambda to: to.judge_again(self.campaign.id, one.run.id, compared, outcome, question))
        if future:
            future.set_result(Result(one.case, outcome, one.run, tuple(compared)))

    def _groups(self, device: Device, todo: Sequence[Group]) -> None:
        """Measure groups one after the other, over one connection and under one lease, both got when first needed."""
        resets = Resets(device, partial(self._say, device.id), self._stopping.wait)
        opened = partial(self._held, device, todo, resets)
        with Connected(device, opened, partial(self._unless_stopping, device), resets) as connected:
            for place in range(len(todo)):
                resets.begin()
                left = [todo[place]]
                while left:
                    left = [*self._attempt(left[0], connected, todo, place), *left[1:]]

    def _attempt(self, group: Group, connected: Connected, todo: Sequence[Group], place: int) -> list[Group]:
        """Measure a group; return what is left of it: all, where a reset of ours ended its job, or what took too long.

        Args:
            group: what is still to be measured of it.
            connected: to the device.
            todo: all groups of the device.
            place: of the group among them.
        """
        clock = self._clock(group)
        try:
            connected.check()
            samples = self._samples(group.suite)
            handle = connected.handle()
            if connected.short is None:
                connected.short = space.short(handle, todo, self._samples) if len(todo) > 1 else {}
            if place in connected.short:
                raise connected.short[place]
            with clock.bounded(handle.interrupt):
                self._group(group, handle, samples, clock, connected.resets)
            connected.failures = 0
        except HarnessError as error:
            if not clock.expired or self._stopping.is_set():
                connected.failed(error)
                if isinstance(error, Reset) and self._none_answered(group):
                    self._say(group.device.id, f"measuring it again ({error.text})")
                    return [group]
                self._fail(group.cases, error)
        except Exception as error:  # noqa: BLE001 -- not swallowed: it is the error of these cases
            self._fail(group.cases, Unforeseen(f"{group.device.id}: measuring {group.suite.id}", error))
        return self._apart(group, clock, connected) if clock.expired else []

    def _none_answered(self, group: Group) -> bool:
        return not any(self._futures[case.id].done() for case in group.cases if case.id in self._futures)

    def _clock(self, group: Group) -> Clock:
        wanted = [case.id for case in group.cases if self._waiting(case)]
        clock = Clock([case.id for case in group.cases], wanted, self._settings.timeout_s)
        self._clocks.update(dict.fromkeys(wanted, clock))
        return clock

    def _apart(self, group: Group, clock: Clock, connected: Connected) -> list[Group]:
        """End a case that took too long; return groups of one case each where several did, for it may be one of them.

        Args:
            group: whose job was stopped.
            clock: that ran out.
            connected: to the device, whose connection was closed to stop the job.
        """
        try:
            connected.drop()
        except HarnessError as error:
            self._fail(group.cases, error)
            return []
        waiting = [case for case in group.cases if self._waiting(case)]
        if clock.cases == 1:
            for case in waiting:
                limit = human(self._settings.timeout_s[case.id], "s")
                self._fail([case], too_long(group.device, f"measuring it took longer than {limit}"))
            return []
        heads = [case for case in group.cases if case.is_baseline]
        return [replace(group, cases=(*(one for one in heads if one is not case), case)) for case in waiting]

    @contextmanager
    def _held(
        self, device: Device, todo: Sequence[Group], resets: Resets
    ) -> Iterator[tuple[DeviceHandle, deploy.Held]]:
        """Give a connection to the device and the lease that goes with it.

        Args:
            device: which.
            todo: what is to be measured on it: jobs of before that answer it are waited for.
            resets: how the device is reset if it does not answer.
        """
        self._say(device.id, f"connecting to {device.address}")
        say, patience_s = partial(self._say, device.id), self._settings.patience_s
        with DeviceHandle(device, say, patience_s=patience_s, resets=resets) as handle:
            with self._lock:
                self._handles.add(handle)
            # `stop` interrupts those that are there already: it may have looked while this one was being connected.
            self._unless_stopping(device)
            handle.wiped = partial(self._wiped, device)
            handle.spared = self._jobs.spared(device.id)
            with deploy.leased(handle, patience=self._turns.patience(device)) as lease:
                self._jobs.settle(handle, todo)
                yield handle, lease

    def _keep_job(self, job: Job) -> None:
        self._spool.write(partial(Store.keep_job, campaign=self.campaign.id, job=job))

    def _wiped(self, device: Device, job: str) -> None:
        """Record that the confidential images of a job are gone, of this campaign or of one that was killed."""
        detail = f"job {job}: nothing of it is left on the device"
        self._store.note("wiped", campaign=self.campaign.id, device=device.id, detail=detail)

    def _unless_stopping(self, device: Device) -> None:
        if self._spool.broken is not None:
            raise self._spool.broken
        if self._stopping.is_set():
            raise Stopped("interrupted", remedy="--resume does what is left", device=device.id)

    def _group(self, group: Group, handle: DeviceHandle, samples: Samples, clock: Clock, resets: Resets) -> None:
        """Measure a group; each case is concluded as soon as it is known, and completed when its job has ended.

        Args:
            group: the cases.
            handle: of the device, which is leased.
            samples: the split that is judged.
            clock: by which the cases are timed.
            resets: of the device until now.
        """
        handle.repeated.clear()
        # Before the device is measured: it may be this very machine.
        references = self._library.references(group, samples, handle.say)
        # Nor are these timed; before the job, so that a case is judged by all that `[accept]` names.
        changed = robustness.measured(group, handle, samples, quick=self._settings.quick)
        covered = occlusion.measured(group, handle, samples, quick=self._settings.quick)
        task = group.suite.task
        baseline: Run | None = None
        given: set[str] = set()
        # The baseline heads its group, so that every other run has it to be held against.
        found_here = measure(
            group, handle, samples, clock, self._jobs, campaign=self.campaign.id, quick=self._settings.quick
        )
        for found in found_here:
            case, result = found.case, found.result
            if isinstance(result, HarnessError):
                self._fail([case], result)
                continue
            if reference := references.get(case.variant.sha256):
                result = agreement.held_against(result, reference, same_machine=group.device.address.here)
            result = under_conditions.attached(result, changed.get(case.id), samples, task)
            result = maps.attached(result, covered.get(case.id), baseline, samples)
            result = disagreement.attached(result, baseline, samples, group.suite)
            result = self._attempts.noted(result, case.id)
            run = result if baseline is None else replace(
                result,
                accuracy=with_agreement(result, baseline),
                probes=compare.with_changes(baseline, result, task),
            )  # fmt: skip
            run = remarks.of_retries(run, resets.remark(), handle.repeated)
            if case.is_baseline and (doubts := remarks.of_baseline(run)):
                run = remarks.added(run, *doubts)
                for remark in doubts if run.id not in given else ():
                    handle.say(f"remark: {remark}")
            baseline = run if case.is_baseline else baseline
            if run.id in given:
                self._spool.write(partial(Store.complete_run, run=kept(run)))
            else:
                given.add(run.id)
                try:
                    self._conclude(case, run, baseline)
                except HarnessError:
                    raise
                except Exception as error:  # noqa: BLE001 -- not swallowed: it is this case's error
                    self._fail([case], Unforeseen(f"{group.device.id}: comparing {case.variant.id}", error))

    def _conclude(self, case: Case, run: Run, baseline: Run | None) -> None:
        """Compare, judge, store in one go and answer."""
        suite = self.campaign.suites[case.suite.id]
        compared = compare.compare(baseline, run, suite) if baseline is not None and baseline is not run else []
        outcome = concluded(case, run, compared, taken_over=run.started_at if COLLECTED in run.notes else None)
        result = Result(case, outcome, run, tuple(compared), None, *self._history(case))
        # A baseline that nobody asked for was measured as a partner: its run is stored, no case waits for it.
        future = self._waiting(case)
        judged = future is not None or self._work.ended_before(case)
        question = self._work.question(case.id) if judged else None
        gone, judgement = self._superseded(case, run.id), outcome if judged else None
        self._spool.write(
            lambda to: to.add_case(self.campaign.id, kept(run), compared, judgement, question=question, superseded=gone)
        )
        if future:
            future.set_result(result)

    def _fail(self, cases: Iterable[Case], error: HarnessError, *, store: bool = True) -> None:
        """End cases in an error; `store` says whether it takes the place of what is stored of them."""
        for case in cases:
            if future := self._waiting(case):
                if spare := self._work.spare(case, error):
                    self._take_over(spare)
                    continue
                outcome = self._attempts.with_attempts(errored(case, error))
                # Where nothing can be kept any more, that is the error of the case.
                if store and error is not self._spool.broken:
                    add = partial(
                        Store.add_outcome,
                        campaign=self.campaign.id,
                        outcome=outcome,
                        question=self._work.question(case.id, error=error),
                        superseded=self._superseded(case, ""),
                    )
                    with suppress(StoreError):
                        self._spool.write(add)
                future.set_result(Result(case, outcome, None, (), error, *self._history(case)))

    def _history(self, case: Case) -> tuple[float, tuple[str, ...]]:
        """Return how long a case was measured, s, and how it ended before."""
        clock = self._clocks.get(case.id)
        return clock.spent_s(case.id) if clock else 0.0, self._attempts.before(case.id)

    def _superseded(self, case: Case, run: str) -> list[Superseded]:
        return [*self._work.superseded(case.id, run), *self._attempts.superseded(case.id, run)]

    def _waiting(self, case: Case) -> Future[Result] | None:
        """Return the future of a case that still waits for its result."""
        future = self._futures.get(case.id)
        return None if future is None or future.done() else future

    def _samples(self, suite: Suite) -> Samples:
        """Return a suite's split, read once; the campaign's record then says what data it was."""
        with self._lock:
            if suite.id not in self._data:
                self._say(suite.id, f"reading the {suite.split} split of {suite.data['source']}")
                try:
                    self._data[suite.id] = samples = load_samples(suite)
                except HarnessError as error:
                    self._data[suite.id] = error
                else:
                    known = self.campaign.suites.get(suite.id, {})
                    described_now = {**known, **described(suite), "data": data_facts(suite, samples)}
                    for remark in described_now["data"]["remarks"]:
                        self._say(suite.id, f"remark: {remark}")
                    if samples.group_names:
                        self._say(suite.id, samples.description)
                    suites = {**self.campaign.suites, suite.id: described_now}
                    self.campaign = replace(self.campaign, suites=suites)
                    self._spool.write(partial(Store.add_campaign, campaign=self.campaign))
            found = self._data[suite.id]
        if isinstance(found, HarnessError):
            raise found
        return found
