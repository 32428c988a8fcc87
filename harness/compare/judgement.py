"""Holds a run against the suite's `[accept]`: one Judgement a line, each saying by how much."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import Comparison, Criterion, Estimate, Judgement, Run, Validity, Verdict, sentence
from harness.stats import statistic
from harness.units import full_change, gap, human, times
from harness.vocabulary import METRICS, MetricInfo


def judge(run: Run, comparisons: Sequence[Comparison], accept: Sequence[Criterion]) -> tuple[Judgement, ...]:
    """Return one Judgement for every line of `[accept]`.

    Costs and accuracies are judged by their point, ratios and non-inferiority by the worse end of the interval. The
    baseline passes what is said against the baseline. What is absent, incomparable or of an invalid run fails.

    Args:
        run: the run to be judged.
        comparisons: its comparisons with the baseline.
        accept: the lines of the suite.
    """
    changes = {comparison.metric: comparison for comparison in comparisons if comparison.run == run.id}
    return tuple(_judgement(run, changes.get(line.metric), line) for line in accept)


def _judgement(run: Run, comparison: Comparison | None, line: Criterion) -> Judgement:
    passed, text = _finding(run, comparison, line)
    return Judgement(line, passed, f"{line.metric}: {text}")


def _finding(run: Run, comparison: Comparison | None, line: Criterion) -> tuple[bool, str]:
    if run.validity is Validity.INVALID:
        return False, f"the run is invalid: {sentence(run.reasons) or 'no reason was recorded'}"
    info = METRICS.get(line.metric)
    if info is None or line.rule not in info.rules:
        return False, f"{line.rule!r} cannot be judged; write {' or '.join(info.rules) if info else 'a known metric'}"
    relative = info.kind == "ratio" or line.rule == "non_inferior_by" or line.metric == "agreement"
    if run.is_baseline and relative:
        return True, "is the baseline"
    if info.kind == "ratio" or line.rule == "non_inferior_by":
        return _against_baseline(info, comparison, line)
    return _alone(run, info, line)


def _against_baseline(info: MetricInfo, comparison: Comparison | None, line: Criterion) -> tuple[bool, str]:
    if comparison is None:
        return False, "absent: there is no run of the baseline to compare with"
    if comparison.verdict is Verdict.INCOMPARABLE:
        return False, f"incomparable: {comparison.reason}"
    if comparison.change is None:
        return False, f"absent: {comparison.reason}"
    if line.rule == "non_inferior_by":
        return _non_inferior(info, comparison.change, line.bound)
    change = comparison.change
    worse = change.high if info.lower_is_better else change.low
    return _limit(line, worse, full_change(info.kind, info.unit, change), info, times(line.bound))


def _non_inferior(info: MetricInfo, change: Estimate, bound: float) -> tuple[bool, str]:
    loss = change.high if info.lower_is_better else -change.low
    shown = full_change(info.kind, info.unit, change)
    if loss <= bound:
        return True, f"{shown} stays within {gap(info.unit, bound)} of the baseline"
    return False, (
        f"{shown} may be worse than the baseline by {gap(info.unit, loss)}, "
        f"{gap(info.unit, loss - bound)} more than the {gap(info.unit, bound)} allowed"
    )


def _alone(run: Run, info: MetricInfo, line: Criterion) -> tuple[bool, str]:
    value, unit, reason = statistic(run, line.metric)
    if value is None:
        return False, f"absent: {reason}"
    return _limit(line, value, human(value, unit), info, human(line.bound, unit))


def _limit(line: Criterion, value: float, shown: str, info: MetricInfo, bound: str) -> tuple[bool, str]:
    beyond = value - line.bound
    if line.rule == "max":
        if beyond <= 0:
            return True, f"{shown} is within the maximum {bound}"
        return False, f"{shown} exceeds the maximum {bound} by {gap(info.unit, beyond)}"
    if beyond >= 0:
        return True, f"{shown} reaches the minimum {bound}"
    return False, f"{shown} falls short of the minimum {bound} by {gap(info.unit, -beyond)}"
