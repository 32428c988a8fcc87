"""`--resume`: the unfinished campaign of this lab, as far as it was asked the same question.

A campaign is finished when every case has its answer: a run, or an error that lies in the lab's files. Which one is
meant does not depend on the command line: it is the newest unfinished one of the same lab, of the same length, that has
a case of those wanted now, as long as no later one that has all of them is finished. What it measured is taken over
case by case, where the question (`harness.measure.question`) is the same, and judged by today's `[accept]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from harness import lab
from harness.deploy.owner import is_gone, is_visible, this_process
from harness.errors import CampaignUnderWay, DeviceError, HarnessError, LabError, RecipeError, StoreError, Unsupported
from harness.measure.described import described
from harness.measure.jobs import Group
from harness.measure.question import asked, device_digest, difference, digest, lab_of, place_digest
from harness.model import Campaign, Case, Comparison, Outcome, Reason, Run
from harness.ports.leases import Owner
from harness.store import Question, Spool, Store, Superseded, Undertaking, waiting
from harness.units import moment

#: How often it is kept that a campaign is under way, and after how long without it one of another host is not; s.
_SEEN_S: Final = 60.0
_UNSEEN_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A case whose run is taken over: the run, and that of its baseline, None for a baseline."""

    case: Case
    run: Run
    baseline: Run | None


class Work:
    """This process's work on one campaign, new or gone on with.

    Args:
        store: for the results.
        cases: those wanted now.
        fresh: the campaign to begin where none is gone on with.
        resume: whether to go on with an unfinished one.
        purpose: what a program measures for: such a campaign is found again by it, finished or not; "" for a person's.
        note: takes a line that a person should read.

    Raises:
        CampaignUnderWay: somebody still works on the one that would be gone on with.
    """

    def __init__(
        self,
        store: Store,
        cases: Sequence[Case],
        fresh: Campaign,
        *,
        resume: bool,
        purpose: str,
        note: Callable[[str], None],
    ) -> None:
        self._store, self._cases, self._quick, self._note = store, cases, fresh.quick, note
        self._now: dict[str, Question] = {}
        self._before: dict[str, Question] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._compared: dict[str, list[Comparison]] = {}
        self._earlier: dict[str, list[str]] = {}
        self._again: dict[str, Reason] = {}
        self._spare: dict[str, Taken] = {}
        self._unknown = False
        self._seen = time.monotonic()
        owner = this_process()
        self._holder = owner.line()
        places = {lab_of(case) for case in cases}
        name, place = digest(sorted(one.name for one in places)), digest(sorted(map(place_digest, places)))
        own = Undertaking(fresh.id, fresh.started_at, fresh.quick, name, place, purpose, self._holder, _now())
        found = self._unfinished(own) if resume else None
        for file in waiting(store) if not resume else ():
            note(f"results of a campaign of before wait in {file}: `edgeward store import {file}` adds them")
        if found is None:
            self.campaign = fresh
        else:
            own, self.campaign = self._joined(found, own, fresh)
        blank = (Question(c.id, c.suite.id, c.device.id, "", _now()) for c in cases if c.id not in self._before)
        store.begin(self.campaign, own, list(blank))

    @property
    def resumed(self) -> bool:
        """Whether a campaign of before is gone on with."""
        return bool(self._before)

    def _unfinished(self, own: Undertaking) -> Undertaking | None:
        """Return the campaign to go on with, None if there is none, which is said."""
        finished: Undertaking | None = None
        for one in self._store.undertakings():
            if (one.purpose, one.quick) != (own.purpose, own.quick) or not self._is_ours(one, own):
                continue
            if one.ended_at is None or own.purpose:
                return one
            finished = finished or one
            if self._store.questions(one.campaign).keys() >= {case.id for case in self._cases}:
                break  # one of before that was given up: all of it has been measured since
        if not own.purpose:
            last = f"; the last one, of {moment(finished.started_at)}, is finished" if finished else ""
            self._note(f"resume: no campaign of this lab is unfinished in these cases{last}: all is measured anew")
        return None

    def _is_ours(self, one: Undertaking, own: Undertaking) -> bool:
        """Return whether a campaign is of this lab and has a case of ours.

        In another folder, as a build server makes for each job, a lab of the same name is this one if it has the very
        same devices.
        """
        if own.place != one.place and own.lab != one.lab:
            return False
        asked_then = self._store.questions(one.campaign)
        shared = [(case, asked_then[case.id]) for case in self._cases if case.id in asked_then]
        if own.place == one.place:
            return bool(shared)
        known = [(case, then) for case, then in shared if then.digest]
        return bool(known) and all(digest(device_digest(c.device)) == then.parts.get("device") for c, then in known)

    def _joined(self, found: Undertaking, own: Undertaking, fresh: Campaign) -> tuple[Undertaking, Campaign]:
        """Become the one who works on a campaign that is there; return it as it is kept from now on."""
        holder = Owner.read(found.holder) if found.holder else None
        when = moment(found.started_at)
        if (holder is not None and _works(holder, found, own)) or not self._store.take(
            found.campaign, own.holder, found.holder, _now()
        ):
            raise CampaignUnderWay(
                f"the campaign of {when} is still under way, by {holder or 'another process'}",
                remedy="wait until it has ended, or measure anew without --resume",
            )
        name = found.campaign
        # What it could not write then.
        Spool(self._store, name, self._note).settle(within_s=0)
        self._store.note("resumed", campaign=name, detail=fresh.command)
        before = next(one for one in self._store.campaigns() if one.id == name)
        self._before = self._store.questions(name)
        self._outcomes = {one.case: one for one in self._store.outcomes(name)}
        for one in self._store.comparisons(name):
            self._compared.setdefault(one.run, []).append(one)
        self._earlier = self._store.runs_of_cases(name)
        if not own.purpose:
            self._note(f"resume: going on with the campaign of {when} ({name[:8]})")
        joined = replace(own, campaign=name, started_at=found.started_at)
        return joined, replace(before, suites=_with_today(before, fresh, self._cases))

    def split(self, group: Group, data: str, wanted: Callable[[Case], bool]) -> tuple[Group | None, list[Taken]]:
        """Return what of a group is to be measured, None if nothing is, and what is taken over.

        Args:
            group: with how each model is fed and read.
            data: `harness.measure.question.data_digest` of its split.
            wanted: whether a case waits for its result.
        """
        at = _now()
        for case in group.cases:
            self._now[case.id] = asked(case, group, data, quick=self._quick, at=at)
        if not self.resumed:
            return group, []
        found = {case.id: self._answered(case, group) for case in group.cases if wanted(case)}
        taken = [one for one in found.values() if isinstance(one, Taken)]
        for name, one in found.items():
            if isinstance(one, str) and one:
                self._measure_again(name, one)
        left = [case for case in group.cases if isinstance(found.get(case.id), str)]
        if not left:
            return None, taken
        beside = ", ".join(case.variant.id for case in left if not case.is_baseline)
        kept = []
        for one in taken:
            if one.case.is_baseline and beside:
                # Its run of before is not lost if the device cannot be measured now.
                self._spare[one.case.id] = one
                self._measure_again(one.case.id, f"it takes turns with {beside}")
            else:
                kept.append(one)
        for head in group.cases if beside else ():
            if head.is_baseline:
                self._again.setdefault(head.id, Reason(f"it takes turns with {beside}"))
        names = {case.id for case in left}
        return replace(group, cases=tuple(one for one in group.cases if one.is_baseline or one.id in names)), kept

    def spare(self, case: Case, error: HarnessError) -> Taken | None:
        """Return the run of before that still answers a case that was to be measured again, where the device failed."""
        return self._spare.get(case.id) if isinstance(error, DeviceError) else None

    def _answered(self, case: Case, group: Group) -> Taken | str:
        """Return the stored answer to what a case asks, or why it is measured; "" where nothing was measured before."""
        before, outcome = self._before.get(case.id), self._outcomes.get(case.id)
        if before is None or outcome is None or not outcome.run:
            return ""
        if other := difference(before, self._now[case.id]):
            return f"the {other} changed since {moment(before.asked_at)}"
        run = self._store.readable_run(outcome.run)
        if run is None:
            return "its run cannot be read from the store"
        if case.is_baseline or group.baseline is None:
            return Taken(case, run, None)
        heads = {one.baseline for one in self._compared.get(run.id, ())}
        baseline = self._store.readable_run(next(iter(heads))) if heads else None
        if baseline is None:
            return "it was not compared with its baseline"
        return Taken(case, run, baseline)

    def _measure_again(self, case: str, why: str) -> None:
        self._again[case] = Reason(why)
        self._note(f"{case} is measured again: {why}")

    def stays(self, case: Case) -> bool:
        """Return whether a case has a run of before, of which nobody knows now whether it answers what is asked.

        It is left to the next one who goes on with the campaign.
        """
        outcome = self._outcomes.get(case.id)
        found = outcome is not None and bool(outcome.run) and case.id not in self._now
        self._unknown |= found
        return found

    def question(self, case: str, *, error: HarnessError | None = None) -> Question | None:
        """Return what is kept of what a case asked, with whether that is settled; None for a case that is not asked.

        Args:
            case: its id.
            error: what it ended in, if it gave no run.
        """
        one = self._now.get(case) or self._before.get(case)
        if one is None:
            known = {c.id: c for c in self._cases}
            if case not in known:
                return None
            one = Question(case, known[case].suite.id, known[case].device.id, "", _now())
        return replace(one, settled=error is None or isinstance(error, LabError | RecipeError | Unsupported))

    def digest(self, case: str) -> str:
        """Return the digest of what a case asks now, by its id; "" while that is not known."""
        one = self._now.get(case)
        return one.digest if one else ""

    def ended_before(self, case: Case) -> bool:
        """Return whether a case has an outcome in this campaign from before, also if nobody asks for it now."""
        return case.id in self._outcomes

    def superseded(self, case: str, run: str) -> list[Superseded]:
        """Return which runs of a case do not count any more now that it gave another one, or ("") none."""
        why = self._again.get(case) or Reason("it was measured again" if run else "its case ended in an error since")
        return [Superseded(one, run, why) for one in self._earlier.pop(case, ())]

    def heard(self) -> None:
        """Keep from time to time that this campaign is under way; called when a device says something."""
        now = time.monotonic()
        if now - self._seen > _SEEN_S:
            self._seen = now
            with suppress(StoreError):  # what is measured matters more, and has its own errors
                self._store.seen(self.campaign.id, _now())

    def close(self) -> None:
        """Let go of the campaign; it is finished if nothing is left of it."""
        # If this cannot be kept, the next one finds by the process that nobody works on it.
        with suppress(StoreError):
            questions = self._store.questions(self.campaign.id).values()
            left = [one for one in questions if not one.settled and not self._is_gone(one)]
            self._store.let_go(self.campaign.id, self._holder, None if left or self._unknown else _now())

    def _is_gone(self, question: Question) -> bool:
        """Return whether the suite has a case no more that nobody can measure then."""
        for case in self._cases:
            if (case.suite.id, case.device.id) == (question.suite, question.device):
                return question.case not in {one.id for one in lab.cases(case.suite, [case.device])}
        return False


def _works(holder: Owner, found: Undertaking, own: Undertaking) -> bool:
    """Return whether the one who works on a campaign is still there, as far as it can be known."""
    if is_visible(holder):
        return not is_gone(holder)
    # The same machine after a restart: nothing of before goes on.
    restarted = found.place == own.place and holder.boot_id != Owner.read(own.holder).boot_id
    return not restarted and (_now() - found.seen_at).total_seconds() < _UNSEEN_S


def _with_today(before: Campaign, fresh: Campaign, cases: Iterable[Case]) -> Mapping[str, Mapping[str, object]]:
    """Return the suites of a campaign as today's files say them, with what was found out of their data."""
    suites = {name: dict(suite) for name, suite in before.suites.items()}
    for case in cases:
        name = case.suite.id
        known = suites.get(name, {})
        devices = {**known.get("devices", {}), **fresh.suites[name]["devices"]}
        today = described(case.suite)
        suites[name] = {**known, **today, "devices": devices, "data": known.get("data") or today["data"]}
    return suites


def _now() -> datetime:
    return datetime.now(UTC)
