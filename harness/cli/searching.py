"""`edgeward search`: proposes candidates, builds them, lets them race on the devices, and measures what it found.

In rounds: every device is given its next few candidates, all are built while nothing is measured, then all race at
once, each device with its own. What is on a front in the end is written into a suite file and measured in full.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness import lab
from harness.cli.studies import Attempt, Proposal, Study
from harness.errors import HarnessError, LabError, MeasurementError, Transient
from harness.lab.space import Family, Search
from harness.measure.campaign import CampaignRunner, Result
from harness.measure.campaign import Settings as CampaignSettings
from harness.measure.jobs import Race, load_samples
from harness.model import Case, Device, Reason, Suite, Validity, Variant
from harness.results.runs import DROPPED
from harness.store import Store
from harness.variants.artefacts import key_of
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


@dataclass(frozen=True, slots=True)
class Options:
    """How a search is done.

    Attributes:
        trials: how many candidates are tried in each place.
        quick: whether durations are cut to a tenth.
        seed: of the sampler.
        full: whether every candidate is measured in full, without a race.
        say: is given what is done, a line each.
    """

    trials: int
    say: Callable[[str], None]
    quick: bool = False
    seed: int = 0
    full: bool = False


@dataclass(slots=True)
class Place:
    """A device with one of its runtimes: it has candidates, attempts and a front of its own.

    Attributes:
        device: that is measured.
        runtime: as its file names it.
        baseline: the file of the baseline that it takes.
        search: what may be tried here.
        study: what was tried.
        lost: why it is given up for now.
    """

    device: Device
    runtime: str
    baseline: Variant
    search: Search
    study: Study
    lost: HarnessError | None = None
    variants: dict[str, Variant] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Device and runtime as people read them."""
        return f"{self.device.id} · {self.runtime.replace('==', ' ')}"

    @property
    def best(self) -> Attempt | None:
        """The cheapest attempt that keeps every line of `[accept]`."""
        kept = [one for one in self.study.attempts() if one.status == "accepted" and one.cost is not None]
        return min(kept, key=lambda one: one.cost.point if one.cost else 0.0, default=None)


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
        _check_meters(self.search, devices)
        self.places = list(self._places(devices, folder))

    def run(self) -> None:
        """Try candidates until each place has as many attempts as asked for, there are no more, or it is lost."""
        while asked := self._next():
            self._round(asked)

    def _places(self, devices: Sequence[Device], folder: Path) -> Iterator[Place]:
        images = _digest(self.suite)
        for case in lab.cases(self.suite, devices):
            if not case.is_baseline:
                continue
            if not case.runtime:
                raise LabError(lab.missing_runtime(case), file=lab.shown(case.device.file), key="runtimes")
            own = _of_format(self.search, case.variant.format)
            if own is None:
                self.options.say(f"{case.device.id}, {case.runtime}: no candidate is a .{case.variant.format} file")
                continue
            decisive = [
                *(getattr(self.suite, name) for name in ("data", "split", "input", "task", "load", "accept")),
                [own.minimise, own.accuracy, [family.table.model_dump() for family in own.families]],
                [case.variant.sha256, case.runtime, case.device.runner, case.device.cores, images],
                [self.options.quick, self.options.full, self.options.seed],
            ]
            name = f"{self.suite.id}@{case.device.id} {case.runtime} {key_of(decisive)[:12]}"
            study = Study(folder / "search.sqlite", name, own, self.options.seed)
            known = len(study.attempts())
            if known:
                self.options.say(f"{case.device.id}, {case.runtime}: going on after {known} attempts")
            yield Place(case.device, case.runtime, case.variant, own, study)

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
        built: list[tuple[Place, Proposal, Variant, float]] = []
        for place, proposals in asked:
            for one in proposals:
                began = time.monotonic()
                place.study.begin(one)
                self.options.say(f"{place.title}: attempt {one.number}: {one.candidate}")
                try:
                    variant = self._variant(place, one.family, one.values)
                except HarnessError as error:
                    self._keep(place, _attempt(one, said=str(error), seconds=time.monotonic() - began))
                    continue
                built.append((place, one, variant, time.monotonic() - began))
        if not built:
            return
        began = time.monotonic()
        results = self._raced(built)
        for place in {id(place): place for place, *_ in built}.values():
            own = [(one, built_s, results[id(place), one.number]) for p, one, _, built_s in built if p is place]
            share = (time.monotonic() - began) / len(own)
            self._conclude(place, own, share)

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

    def _raced(self, built: Sequence[tuple[Place, Proposal, Variant, float]]) -> dict[tuple[int, int], Result]:
        """Measure what was built, each place's with the best so far, and return what each gave."""
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
                if case.runtime == place.runtime and case.variant is variant:
                    cases[id(place), variant.id] = case
        races = {
            (place.device.id, place.runtime): Race(self.search.ratio, found.id if found else "")
            for place, *_ in built
            for found in [best[id(place)]]
        }
        numbers = ", ".join(f"{place.study.name} {one.number}" for place, one, *_ in built)
        settings = CampaignSettings(
            command=f"edgeward search {self.suite.id}: {numbers}",
            say=self.say,
            quick=self.options.quick,
            resume=True,
            races={} if self.options.full else races,
        )
        runner = CampaignRunner(list(cases.values()), self.store, settings)
        gave = dict(zip(cases, runner.results(cases.values()), strict=True))
        return {(id(place), one.number): gave[id(place), variant.id] for place, one, variant, _ in built}

    def _best(self, place: Place) -> Variant | None:
        """Return the file that is to be beaten in a place, None while that is the baseline."""
        found = place.best
        if found is None:
            return None
        if found.candidate not in place.variants:
            place.variants[found.candidate] = self._variant(place, found.family, found.values)
        return place.variants[found.candidate]

    def _conclude(self, place: Place, own: Sequence[tuple[Proposal, float, Result]], share: float) -> None:
        errors = [result.error for *_, result in own]
        shared = len(errors) > 1 and all(one is errors[0] for one in errors)
        if (isinstance(errors[0], Transient) and all(isinstance(one, Transient) for one in errors)) or (
            shared and isinstance(errors[0], MeasurementError)
        ):
            # The device's trouble, not a candidate's: they are tried again when the search goes on.
            place.lost = errors[0]
            self.options.say(f"{place.title}: given up for now: {errors[0]}")
            return
        for proposal, built_s, result in own:
            self._keep(place, self._judged(proposal, result, built_s + share))

    def _judged(self, proposal: Proposal, result: Result, seconds: float) -> Attempt:
        run = result.run
        if run is None:
            return _attempt(proposal, said=str(result.error), seconds=seconds)
        changes = {one.metric: one.change for one in result.comparisons}
        failed = [one for one in result.outcome.judgements if not one.passed]
        said = "; ".join(one.message for one in failed)
        status = "accepted" if not failed else "undecided" if all(one.undecided for one in failed) else "refused"
        if run.validity is Validity.INVALID or changes.get(self.search.ratio) is None:
            status, said = "failed", str(next(iter(result.outcome.reasons), Reason(f"no {self.search.ratio}")))
        elif dropped := run.notes.get(DROPPED):
            status, said = "dropped", dropped
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


def _check_meters(search: Search, devices: Sequence[Device]) -> None:
    for device in devices:
        if search.minimise == "energy" and device.meter is None:
            raise LabError(
                "the goal is energy, and nothing here measures it",
                remedy='write [meter] with its kind there, or minimise = "latency" under [goal]',
                file=lab.shown(device.file),
                key="meter",
            )


def _of_format(search: Search, kind: str) -> Search | None:
    """Return a search among the candidates that have one format alone, None if there are none."""
    families = []
    for family in search.families:
        if family.table.model:
            kept = [one for one in family.table.model if one.endswith(f".{kind}")]
            free = tuple(replace(one, values=tuple(kept)) for one in family.free) if len(kept) > 1 else ()
            if kept:
                families.append(Family(family.table.model_copy(update={"model": kept}), free))
        else:
            first = family.candidate({one.name: one.corners[0] for one in family.free})
            if any(one.format == kind for one in search.variants(first)):
                families.append(family)
    return replace(search, families=tuple(families)) if families else None


def _digest(suite: Suite) -> str:
    """Return the digest of the images that are measured, and of their labels."""
    samples = load_samples(suite)
    digest = hashlib.sha256()
    for array in (samples.images, samples.labels, samples.masks):
        if array is not None:
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
