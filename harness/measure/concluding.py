"""How a case ends: its run held against the suite's `[accept]`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from harness import compare
from harness.errors import HarnessError
from harness.model import Case, Comparison, Outcome, Reason, Run, Validity
from harness.results.runs import accuracy_refused, measured_case


def concluded(case: Case, run: Run, compared: Sequence[Comparison], *, taken_over: datetime | None = None) -> Outcome:
    """Return how a case ends.

    Args:
        case: whose suite says what is accepted.
        run: what was measured.
        compared: the run against its baseline.
        taken_over: when it was measured, if that was before the campaign was interrupted.
    """
    judgements = compare.judge(run, compared, case.suite.accept)
    reasons = [Reason(j.message) for j in judgements if not j.passed]
    if run.validity is Validity.INVALID:
        first = run.reasons[0] if run.reasons else Reason("no reason was recorded")
        others = tuple(run.reasons[1:])
        reasons = [Reason(f"the run is invalid: {first.text}", first.remedy), *others, *reasons]
    if refused := accuracy_refused(run):
        reasons.insert(0, refused)
    status = "failed" if reasons else "passed"
    if case.variant.xfail:
        status = {"failed": "xfailed", "passed": "xpassed"}[status]
    return Outcome(case.id, status, run.id, tuple(reasons), tuple(judgements), run.case, taken_over)


def errored(case: Case, error: HarnessError) -> Outcome:
    """Return how a case ends that gave no run."""
    # The whole message: what and where it is about is part of it.
    reason = Reason(f"{error.where}: {error.text}" if error.where else error.text, error.remedy)
    return Outcome(case.id, "error", reasons=(reason,), about=measured_case(case))
