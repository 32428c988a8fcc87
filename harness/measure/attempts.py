"""Cases that are measured more than once in a campaign, as pytest's `--reruns` asks for.

A case that is tried until it passes does so by chance more easily: if one that is really worse passes with probability
p, one of n attempts does with 1 - (1 - p)^n. So every attempt is kept, the earlier ones as superseded, and whatever
shows the last one says how often it was measured and how it ended before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness.measure.settings import Result
from harness.model import Outcome, Reason, Run
from harness.store import Superseded

#: Key of a run's notes under which its earlier attempts are kept, as a sentence.
ATTEMPTS: Final = "attempts"


class Attempts:
    """The earlier attempts of the cases of one campaign."""

    def __init__(self) -> None:
        self._before: dict[str, list[Result]] = {}
        self._gone: dict[str, list[str]] = {}

    def add(self, result: Result) -> None:
        """Keep how a case ended that is about to be measured again."""
        self._before.setdefault(result.case.id, []).append(result)
        if result.run is not None:
            self._gone.setdefault(result.case.id, []).append(result.run.id)

    def __contains__(self, case: str) -> bool:
        """Return whether a case was measured before."""
        return case in self._before

    def before(self, case: str) -> tuple[str, ...]:
        """Return how each earlier attempt of a case ended, such as "failed"."""
        return tuple(one.outcome.status for one in self._before.get(case, ()))

    def superseded(self, case: str, run: str) -> list[Superseded]:
        """Return the runs that do not count any more now that the case gave another one, or ("") none."""
        return [Superseded(one, run, Reason(self._sentence(case))) for one in self._gone.pop(case, ())]

    def noted(self, run: Run, case: str) -> Run:
        """Return a run that says how its case ended before, if it did."""
        return replace(run, notes={**run.notes, ATTEMPTS: self._sentence(case)}) if case in self else run

    def with_attempts(self, outcome: Outcome) -> Outcome:
        """Return an outcome without a run that says how its case ended before, if it did."""
        if outcome.case not in self:
            return outcome
        return replace(outcome, reasons=(*outcome.reasons, Reason(self._sentence(outcome.case))))

    def _sentence(self, case: str) -> str:
        before = self._before[case]
        ends = [f"{one.outcome.status} ({one.outcome.message})" for one in before]
        return f"it was measured {len(before) + 1} times, as --reruns asks; before: {'; '.join(ends)}"
