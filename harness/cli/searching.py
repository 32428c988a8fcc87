"""`edgeward search`: proposes candidates, builds them, lets them race on the devices, and measures what it found.

In rounds: every device is given its next few candidates, all are built while nothing is measured, then all race at
once, each device with its own. What is on a front in the end is written into a suite file and measured in full.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from harness import lab
from harness.cli.search_places import Options, Place, places
from harness.cli.studies import Attempt, Proposal
from harness.errors import (
    DeviceError,
    HarnessError,
    HostKeyMismatch,
    LabError,
    MeasurementError,
    MissingTool,
    Refused,
    Transient,
)
from harness.measure.campaign import CampaignRunner, Result
from harness.measure.campaign import Settings as CampaignSettings
from harness.measure.jobs import Race
from harness.model import Case, Device, Reason, Validity, Variant
from harness.results.runs import DROPPED
from harness.store import Store
from harness.variants.build import Candidates
from harness.variants.chains import Watcher

#: Candidates of a device in one race: they share the baseline's turns, and exclude one another.
TOGETHER: Final = 3
#: A candidate that was begun so often without a result is a failed one; the last time it was alone.
_TRIES: Final = 3
#: Behind the id of a suite in the store: attempts are no cases of the suite.
RACED: Final = ".search"
#: What of progress is shown.
_SHOWN: Final = ("dropped", "remark", "connection", "left out")
#: What is wrong with a device whatever is measured there.
_OF_DEVICE: Final = (Transient, Refused, HostKeyMismatch, MissingTool)
#: The first line of a family in a suite's file.
_SPACE: Final = re.compile(r"\s*\[\[\s*space\s*\]\]")
#: A candidate that was built in a place, and how long that took in s.
Built = tuple[Place, Proposal, Variant, float]


class Searching:
    """One search, on one or several devices.

    Args:
        suite_file: the suite's TOML.
        devices: on which candidates are measured.
        store: of the results.
        folder: in which the studies are kept.
        options: how it is done.

    Raises:
        LabError: the suite is wrong or says nothing of a search, or a device cannot measure its goal.
        HarnessError: something that a search needs is not installed.
    """

    def __init__(
        self, suite_file: Path, devices: Sequence[Device], store: Store, folder: Path, options: Options
    ) -> None:
        lab.read_search(suite_file)  # what is wrong with it is said before a missing baseline is made
        self.builder = Candidates(suite_file, Watcher(say=lambda text: options.say(f"  {text}")))
        self.suite, self.search = lab.read_search(suite_file)
        self.store, self.options = store, options
        self.places = list(places(self.suite, self.search, devices, folder, options))

    def run(self) -> None:
        """Try candidates until each place has as many attempts as asked for, there are no more, or it is lost."""
        while asked := self._next():
            self._round(asked)

    def _next(self) -> list[tuple[Place, list[Proposal]]]:
        """Return what each place tries next, first what had been begun; nothing where all is done."""
        found = []
        for place in self.places:
            if place.lost is not None:
                continue
            left = place.study.left()
            for one in left:
                if one.begun >= _TRIES:
                    said = f"begun {one.begun} times, and each time the search or the device ended before it did"
                    self._keep(place, _attempt(one, said=said))
            left = [one for one in left if one.begun < _TRIES]
            # One of those that were begun twice may be what ends the search: the others shall not suffer by it.
            left = left[:1] if any(one.begun > 1 for one in left) else left[:TOGETHER]
            missing = self.options.trials - len(place.study.attempts()) - len(left)
            asked = left or place.study.propose(min(TOGETHER, max(missing, 0)))
            if asked:
                found.append((place, asked))
        return found

    def _round(self, asked: Sequence[tuple[Place, Sequence[Proposal]]]) -> None:
        built: list[Built] = []
        for place, proposals in asked:
            for one in proposals:
                began = time.monotonic()
                place.study.begin(one)
                self.options.say(f"{place.title}: attempt {one.number}: {one.candidate}")
                try:
                    variant = self._variant(place, one.family, one.values)
                except HarnessError as error:
                    said = f"{self._named(one.family)}: {error}"
                    self._keep(place, _attempt(one, said=said, seconds=time.monotonic() - began))
                    continue
                built.append((place, one, variant, time.monotonic() - began))
        if not built:
            return
        began = time.monotonic()
        results = self._raced(built)
        again = self._alone(built, results)
        results |= again
        for place in {id(place): place for place, *_ in built}.values():
            own = [(one, built_s, results[id(place), one.number]) for p, one, _, built_s in built if p is place]
            share = (time.monotonic() - began) / len(own)
            self._conclude(place, own, share, again=any(key == id(place) for key, _ in again))

    def _named(self, family: str) -> str:
        """Return how a family is found in the suite's file: its table, and the line where that begins."""
        lines = self.suite.file.read_text("utf-8").splitlines()
        heads = [number for number, line in enumerate(lines, 1) if _SPACE.match(line)]
        ids = [one.id for one in self.search.families]
        # Tables may also be written otherwise, as a list in one line.
        return f"[[space]] {family}" + (f", line {heads[ids.index(family)]}" if len(heads) == len(ids) else "")

    def _alone(
        self, built: Sequence[Built], results: Mapping[tuple[int, int], Result]
    ) -> dict[tuple[int, int], Result]:
        """Measure once more what a job gave no result for, though no candidate need be to blame.

        Each by itself where the job ended: one may have ended it, not all of them. And those whose processor was taken
        away or too hot all the time, by which a run is invalid: that was the hour, not the candidate.
        """
        queues = []
        for place in {id(place): place for place, *_ in built}.values():
            own = [one for one in built if one[0] is place]
            error = _of_all([results[id(place), one.number] for _, one, *_ in own])
            if len(own) > 1 and isinstance(error, MeasurementError | DeviceError) and not isinstance(error, _OF_DEVICE):
                self.options.say(f"{place.title}: {error}: its candidates are measured again, each by itself")
                queues.append(own)
            # An accelerator that is not there will not be there the next time.
            for one in own if not self.suite.load.accelerator else ():
                run = results[id(place), one[1].number].run
                if run is not None and run.validity is Validity.INVALID and DROPPED not in run.notes:
                    self.options.say(f"{place.title}: {one[1].candidate}: {run.reasons[0].text}: measured again")
                    queues.append([one])
        found: dict[tuple[int, int], Result] = {}
        for turn in itertools.zip_longest(*queues):
            found |= self._raced([one for one in turn if one is not None], again=True)
        return found

    def _variant(self, place: Place, family: str, values: Mapping[str, Any]) -> Variant:
        """Return a candidate's file in the format that a place takes; raises HarnessError if there is none."""
        table = place.search.family(family).candidate(values)
        own = [one for one in place.search.variants(table) if one.format == place.baseline.format]
        if not own:
            raise LabError(
                f"{table.id} is no .{place.baseline.format} file",
                remedy="leave it out, or bring it in that format",
                file=lab.shown(self.suite.file),
            )
        return self.builder.built(own[0])

    def _raced(self, built: Sequence[Built], *, again: bool = False) -> dict[tuple[int, int], Result]:
        """Measure what was built, each place's with the best so far, and return what each gave.

        Args:
            built: the candidates.
            again: whether they were measured before, so that what was stored then is no answer.
        """
        best = {id(place): self._best(place) for place, *_ in built}
        wanted = [(place, variant) for place, _, variant, _ in built]
        wanted += [(place, found) for place, *_ in built if (found := best[id(place)]) is not None]
        nouns = {(variant.id, variant.format): variant for _, variant in wanted}
        heads = tuple(one for one in self.suite.variants if one.id == self.suite.baseline)
        # Attempts are no cases of the suite: they are stored beside it, and its accept lines hold for them, too.
        suite = replace(self.suite, id=f"{self.suite.id}{RACED}", variants=(*heads, *nouns.values()))
        cases: dict[tuple[int, str], Case] = {}
        for place, variant in wanted:
            for case in lab.cases(suite, [place.device]):
                if case.runtime == place.runtime and _same(case.variant, variant):
                    cases[id(place), variant.id] = case
        races = {
            (place.device.id, place.runtime): Race(self.search.ratio, found.id if found else "")
            for place, *_ in built
            for found in [best[id(place)]]
        }
        numbers = ", ".join(f"{place.study.name} {one.number}" for place, one, *_ in built)
        command = f"edgeward search {self.suite.id}: {numbers}{', again' if again else ''}"
        settings = CampaignSettings(
            command=command,
            purpose=command,
            say=self.say,
            quick=self.options.quick,
            resume=True,
            patience_s=self.options.patience_s,
            races={} if self.options.full else races,
        )
        runner = CampaignRunner(list(cases.values()), self.store, settings)
        gave = dict(zip(cases, runner.results(cases.values()), strict=True))
        return {(id(place), one.number): gave[id(place), variant.id] for place, one, variant, _ in built}

    def _best(self, place: Place) -> Variant | None:
        """Return the file that is to be beaten in a place, None while that is the baseline, or where nothing races."""
        found = None if self.options.full else place.best
        if found is None:
            return None
        if found.candidate not in place.variants:
            place.variants[found.candidate] = self._variant(place, found.family, found.values)
        return place.variants[found.candidate]

    def _conclude(
        self, place: Place, own: Sequence[tuple[Proposal, float, Result]], share: float, *, again: bool
    ) -> None:
        """Keep what came of each candidate; what the device is to blame for is tried when the search goes on.

        So it is where each one ended its job (`again`: each was by itself): that is what they have in common.
        """
        ended = again and all(isinstance(result.error, MeasurementError | DeviceError) for *_, result in own)
        for proposal, built_s, result in own:
            if result.error is not None and (ended or isinstance(result.error, _OF_DEVICE)):
                place.lost = result.error
            else:
                self._keep(place, self._judged(proposal, result, built_s + share))
        if place.lost is not None:
            self.options.say(f"{place.title}: given up for now: {place.lost}")

    def _judged(self, proposal: Proposal, result: Result, seconds: float) -> Attempt:
        run = result.run
        if run is None:
            return _attempt(proposal, said=str(result.error), seconds=seconds)
        changes = {one.metric: one.change for one in result.comparisons}
        failed = [one for one in result.outcome.judgements if not one.passed]
        said = "; ".join(one.message for one in failed)
        status = "accepted" if not failed else "undecided" if all(one.undecided for one in failed) else "refused"
        # What the race found certain by the turns that were taken holds, however few they were for a run of its own.
        if dropped := run.notes.get(DROPPED):
            status, said = "dropped", dropped
        elif run.validity is Validity.INVALID or changes.get(self.search.ratio) is None:
            none = (one.reasons for one in result.comparisons if one.metric == self.search.ratio)
            why = [*result.outcome.reasons, *next(none, ()), Reason(f"no {self.search.ratio}")]
            status, said = "failed", str(why[0])
        return Attempt(
            number=proposal.number,
            candidate=proposal.candidate,
            family=proposal.family,
            values=proposal.values,
            status=status,
            said=said,
            cost=changes.get(self.search.ratio),
            change=changes.get(self.search.accuracy),
            campaign=run.campaign,
            run=run.id,
            seconds=seconds,
            missed=len(failed),
        )

    def _keep(self, place: Place, attempt: Attempt) -> None:
        place.study.tell(attempt)
        said = f": {attempt.said}" if attempt.said else ""
        self.options.say(f"{place.title}: attempt {attempt.number}: {attempt.candidate} {attempt.status}{said}")

    def say(self, device: str, text: str) -> None:
        """Show what matters of what a device is doing; called from several threads."""
        if text.startswith(_SHOWN):
            self.options.say(f"  {device}: {text}")


def _attempt(proposal: Proposal, *, said: str, seconds: float = 0.0) -> Attempt:
    """Return a failed attempt."""
    return Attempt(
        proposal.number, proposal.candidate, proposal.family, proposal.values, "failed", said, seconds=seconds
    )


def _of_all(results: Sequence[Result]) -> HarnessError | None:
    """Return the error that all of these have together, None where they have none: that of their job."""
    first = results[0].error
    return first if all(one.error is first for one in results) else None


def _same(one: Variant, other: Variant) -> bool:
    """Return whether two are one candidate: each place makes its own noun of it."""
    return (one.id, one.format, one.sha256) == (other.id, other.format, other.sha256)
