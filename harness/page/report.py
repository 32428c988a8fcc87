"""What a report is made of, and how its runs are grouped: by suite, device and runtime, each with its own baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.compare import Control, control_of
from harness.model import Campaign, Comparison, Outcome, Run, Validity
from harness.page import wording


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


@dataclass(frozen=True, slots=True)
class Group:
    """The cases of one suite on one device with one runtime."""

    suite: str
    device: str
    runtime: str
    settings: Mapping[str, Any]
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Device and runtime as people read them."""
        return " · ".join(part for part in (self.device, self.software) if part)

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


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report is rendered from; nothing else is looked up.

    Attributes:
        unreadable: which rows of the store could not be read, and why: what they hold is missing here.
    """

    campaign: Campaign
    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    outcomes: tuple[Outcome, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def quick(self) -> bool:
        """True if any number comes from a shortened measurement."""
        return self.campaign.quick or any(run.quick for run in self.runs)

    @property
    def synthetic(self) -> bool:
        """True if any suite's data is synthetic."""
        return any(group.synthetic for group in self.groups())

    def groups(self) -> tuple[Group, ...]:
        """Return the cases by suite, device and runtime, in the order in which they were measured."""
        places: dict[tuple[str, str, str], list[Entry]] = {}
        by_run = {outcome.run: outcome for outcome in self.outcomes if outcome.run}
        by_case = {outcome.case: outcome for outcome in self.outcomes}
        for run in self.runs:
            key = (run.case.suite, run.case.device, run.case.runtime)
            outcome = by_run.get(run.id) or by_case.get(run.case.id)
            places.setdefault(key, []).append(self._entry(run, outcome))
        shown = {run.id for run in self.runs} | {run.case.id for run in self.runs}
        for outcome in self.outcomes:
            if outcome.run not in shown and outcome.case not in shown:
                variant, key = self._place(outcome, list(places))
                places.setdefault(key, []).append(Entry(variant, None, outcome, {}))
        return tuple(self._group(key, entries) for key, entries in places.items())

    def _entry(self, run: Run, outcome: Outcome | None) -> Entry:
        changes = {change.metric: change for change in self.comparisons if change.run == run.id}
        return Entry(run.case.variant, run, outcome, changes)

    def _group(self, key: tuple[str, str, str], entries: list[Entry]) -> Group:
        heads_first = sorted(entries, key=lambda entry: not entry.is_baseline)
        return Group(*key, self.campaign.suites.get(key[0], {}), tuple(heads_first))

    def _place(self, outcome: Outcome, known: list[tuple[str, str, str]]) -> tuple[str, tuple[str, str, str]]:
        """Return the variant of a case without a run and the group it belongs to."""
        about = outcome.about
        if about is None:
            return outcome.case, ("", "", "")
        variant, device, runtime = about.variant, about.device, about.runtime
        fitting = [key for key in known if key[1] == device and key[2].startswith(runtime)]
        if len(fitting) == 1 or (fitting and runtime):
            return variant, fitting[0]
        suites = self.campaign.suites
        suite = about.suite if about.suite in suites else next(iter(suites)) if len(suites) == 1 else ""
        return variant, (suite, device, runtime)
