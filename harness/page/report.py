"""What a report is made of, and how its runs are grouped: by suite, device and runtime, each with its own baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, TypeVar

from harness.compare import CaseHistory, Control, control_of
from harness.model import Campaign, Comparison, MeasuredCase, Outcome, Run, Validity, Verdict
from harness.page import wording

_Part = TypeVar("_Part", Run, Comparison, Outcome)
#: Suite and device.
Place = tuple[str, str]
#: Of up to so many places and cases everything stands in one file. A place of 9 variants takes about 0.3 MB, so that it
#: can still be sent by mail; of 13 places nobody reads every chart, but everybody wants the table of all.
TOGETHER, TOGETHER_CASES = 12, 120
#: The charts of up to so many places and cases are drawn. Those of one place take 1 to 6 s of CPU time, ten times what
#: its tables take, and nobody shall wait for many minutes at the end of a campaign.
DRAWN, DRAWN_CASES = 24, 240
_UNCHANGED: Final = frozenset((Verdict.EQUIVALENT, Verdict.INCONCLUSIVE, Verdict.INCOMPARABLE))


@dataclass(frozen=True, slots=True)
class Entry:
    """One case: its run (None if it errored before there was one) and how it ended (None if it was not judged)."""

    variant: str
    run: Run | None
    outcome: Outcome | None
    comparisons: Mapping[str, Comparison]

    @property
    def is_baseline(self) -> bool:
        """True for the run the others of its group are compared with."""
        return self.run is not None and self.run.is_baseline

    @property
    def usable(self) -> bool:
        """True if its numbers may be read: there is a run and it is not invalid."""
        return self.run is not None and self.run.validity is not Validity.INVALID

    @property
    def about(self) -> MeasuredCase | None:
        """What the case is of, None where it is not known."""
        return self.run.case if self.run else self.outcome.about if self.outcome else None

    @property
    def anchor(self) -> str:
        """The id of its row: that of the same case in every campaign, so that a link to it can be sent."""
        about, case = self.about, self.outcome.case if self.outcome else ""
        names = (about.suite, about.variant, about.device, about.runtime) if about else (self.variant,)
        named = (about.id if about else "") or case or chr(0).join(names)
        return f"case-{sha256(named.encode(errors='replace')).hexdigest()[:10]}"

    @property
    def status(self) -> str:
        """How its case ended, "" if it was not judged."""
        return self.outcome.status if self.outcome else ""

    @property
    def marks(self) -> tuple[str, ...]:
        """By what it can be asked for: changed (against its baseline, the file's size aside), failing, doubtful."""
        found = [one.verdict for one in self.comparisons.values() if one.metric != "size_ratio"]
        doubtful = self.run is not None and self.run.validity is not Validity.VALID
        given = {
            "changed": self.usable and not _UNCHANGED.issuperset(found),
            "failing": self.status in ("failed", "error"),
            "doubtful": doubtful,
        }
        return tuple(name for name, holds in given.items() if holds)


@dataclass(frozen=True, slots=True)
class Group:
    """The cases of one suite on one device with one runtime."""

    suite: str
    device: str
    runtime: str
    settings: Mapping[str, Any]
    entries: tuple[Entry, ...]
    #: The suite's name where the campaign has several, which then stands in every heading.
    prefix: str = ""

    @property
    def place(self) -> Place:
        """Suite and device."""
        return self.suite, self.device

    @property
    def title(self) -> str:
        """Device and runtime as people read them, after the suite where there are several."""
        return " · ".join(part for part in (self.prefix, self.device, self.software) if part)

    @property
    def software(self) -> str:
        """The runtime and its version as people read them."""
        return self.runtime.replace("==", " ")

    @property
    def baseline(self) -> Entry | None:
        """The entry the others are compared with, if it ran."""
        return next((entry for entry in self.entries if entry.is_baseline), None)

    @property
    def control(self) -> Control | None:
        """What the baseline's own file showed beside it, None where it took no part."""
        head = self.baseline
        return control_of(head.run, self.settings) if head and head.run and head.usable else None

    @property
    def measured(self) -> tuple[Entry, ...]:
        """The entries whose numbers may be read."""
        return tuple(entry for entry in self.entries if entry.usable)

    @property
    def failing(self) -> bool:
        """True if a case here failed or gave an error that was not expected."""
        return any(entry.outcome is not None and entry.outcome.status in ("failed", "error") for entry in self.entries)

    @property
    def positive(self) -> str:
        """The class that sensitivity speaks of, "" if the suite names none."""
        return str(self.settings.get("task", {}).get("positive", ""))

    def called(self, metric: str) -> str:
        """Return a metric's title, with the class and the number of the suite that it speaks of."""
        return wording.title(metric, self.positive, self.settings.get("task", {}).get(metric))

    @property
    def synthetic(self) -> bool:
        """True if no patient and no scanner was involved."""
        return bool(self.settings.get("data", {}).get("synthetic", False))

    def margin(self, metric: str) -> float | None:
        """Return the non-inferiority margin the suite sets for an accuracy (0..1), None if it sets none."""
        for line in self.settings.get("accept", ()):
            if line["metric"] == metric and line["rule"] == "non_inferior_by":
                return float(line["bound"])
        return None


@dataclass(frozen=True)
class Report:
    """Everything a report is rendered from; nothing else is looked up.

    Attributes:
        unreadable: which rows of the store could not be read, and why: what they hold is missing here.
        detailed: whether its page goes down to rounds and samples; of very many cases that would take too long.
        earlier: the cases of its places in this campaign and the last ones before it; none where there is none.
        again: cases that were measured again, each with the reason.
        jobs: what became of jobs that did not simply end under their host's eyes, a sentence each.
    """

    campaign: Campaign
    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    outcomes: tuple[Outcome, ...]
    unreadable: tuple[str, ...] = ()
    detailed: bool = True
    earlier: tuple[CaseHistory, ...] = ()
    again: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()

    @property
    def quick(self) -> bool:
        """True if any number comes from a shortened measurement."""
        return self.campaign.quick or any(run.quick for run in self.runs)

    @property
    def synthetic(self) -> str:
        """Whose data is synthetic: "" for no suite's, else "Synthetic data", with the suites where not all are."""
        made = {group.suite: group.synthetic for group in self.groups()}
        names = [suite for suite, synthetic in made.items() if synthetic]
        whose = "" if len(names) == len(made) else f" in {', '.join(names)}"
        return f"Synthetic data{whose}" if names else ""

    @property
    def confidential(self) -> bool:
        """True if a suite says that its data may not be shown."""
        return any(suite.get("confidential", False) for suite in self.campaign.suites.values())

    @property
    def divided(self) -> bool:
        """True if the details of each place need a page of their own."""
        return len(self.places) > TOGETHER or (len(self.places) > 1 and self._cases > TOGETHER_CASES)

    @property
    def drawn(self) -> bool:
        """True if the pages of places hold charts: there are not too many, or all are of one device."""
        one = len({device for _, device in self.places}) == 1
        return one or (len(self.places) <= DRAWN and self._cases <= DRAWN_CASES)

    @cached_property
    def _cases(self) -> int:
        return sum(len(group.entries) for group in self._groups)

    def groups(self) -> tuple[Group, ...]:
        """Return the cases by suite, device and runtime, in the order in which they were measured."""
        return self._groups

    @cached_property
    def places(self) -> Mapping[Place, tuple[Group, ...]]:
        """The groups of each suite on each device, whatever their runtime."""
        found: dict[Place, tuple[Group, ...]] = {}
        for group in self._groups:
            found[group.place] = (*found.get(group.place, ()), group)
        return found

    def of(self, places: Collection[Place]) -> Report:
        """Return the report of some of the places alone."""
        entries = [entry for place in places for group in self.places[place] for entry in group.entries]
        named = {suite for suite, _ in places}
        settings = {name: suite for name, suite in self.campaign.suites.items() if name in named}
        return Report(
            replace(self.campaign, suites=settings),
            self._ordered(entry.run for entry in entries if entry.run),
            self._ordered(change for entry in entries for change in entry.comparisons.values()),
            self._ordered(entry.outcome for entry in entries if entry.outcome),
            detailed=self.drawn,
            earlier=tuple(one for one in self.earlier if one.place in places),
        )

    def _ordered(self, found: Iterable[_Part]) -> tuple[_Part, ...]:
        """Return parts of this report, each once, in the order in which it holds them: of all places it is the same."""
        return tuple(sorted({id(one): one for one in found}.values(), key=lambda one: self._positions[id(one)]))

    @cached_property
    def _positions(self) -> Mapping[int, int]:
        return {id(one): at for at, one in enumerate((*self.runs, *self.comparisons, *self.outcomes))}

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        found: dict[tuple[str, str, str], list[Entry]] = {}
        by_run = {outcome.run: outcome for outcome in self.outcomes if outcome.run}
        by_case = {outcome.case: outcome for outcome in self.outcomes}
        changes: dict[str, dict[str, Comparison]] = {}
        for change in self.comparisons:
            changes.setdefault(change.run, {})[change.metric] = change
        for run in self.runs:
            key = (run.case.suite, run.case.device, run.case.runtime)
            outcome = by_run.get(run.id) or by_case.get(run.case.id)
            variant = wording.isolated(run.case.variant)
            found.setdefault(key, []).append(Entry(variant, run, outcome, changes.get(run.id, {})))
        known: dict[str, list[tuple[str, str, str]]] = {}
        for key in found:
            known.setdefault(key[1], []).append(key)
        shown = {run.id for run in self.runs} | {run.case.id for run in self.runs}
        for outcome in self.outcomes:
            if outcome.run not in shown and outcome.case not in shown:
                variant, key = self._place(outcome, known)
                variant = wording.isolated(variant)
                if key not in found:
                    known.setdefault(key[1], []).append(key)
                found.setdefault(key, []).append(Entry(variant, None, outcome, {}))
        return tuple(self._group(key, entries) for key, entries in found.items())

    def _group(self, key: tuple[str, str, str], entries: list[Entry]) -> Group:
        heads_first = sorted(entries, key=lambda entry: not entry.is_baseline)
        suites = self.campaign.suites
        return Group(*key, suites.get(key[0], {}), tuple(heads_first), key[0] if len(suites) > 1 else "")

    def _place(
        self, outcome: Outcome, known: Mapping[str, Sequence[tuple[str, str, str]]]
    ) -> tuple[str, tuple[str, str, str]]:
        """Return the variant of a case without a run and the group it belongs to, of the known ones of each device."""
        about = outcome.about
        if about is None:
            return outcome.case, ("", "", "")
        variant, device, runtime = about.variant, about.device, about.runtime
        suites = self.campaign.suites
        fitting = [
            key
            for key in known.get(device, ())
            if key[2].startswith(runtime) and (key[0] == about.suite or about.suite not in suites)
        ]
        if len(fitting) == 1 or (fitting and runtime):
            return variant, fitting[0]
        suite = about.suite if about.suite in suites else next(iter(suites)) if len(suites) == 1 else ""
        return variant, (suite, device, runtime)
