"""Holds a run against the suite's `[accept]`: one Judgement a line, each saying by how much.

A line is met, broken, or undecided: the interval reaches to both sides of the bound, so the data cannot tell. Undecided
does not pass, and says how much more would have to be measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.model import Comparison, Criterion, Estimate, Judgement, Run, Validity, Verdict, sentence
from harness.stats import statistic
from harness.units import count, full_change, gap, human, times
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
    undecided = not passed and _may_be_met(run, comparison, line)
    if undecided and comparison is not None and comparison.change is not None:
        text = f"undecided: {text}{_lacking(run, comparison.change, line)}"
    return Judgement(line, passed, f"{_title(line.metric)}: {text}", undecided)


def _title(metric: str) -> str:
    """Return a metric as people read it; a ratio has the title of its cost, so it says what it is over."""
    info = METRICS.get(metric)
    if info is None:
        return metric
    return f"{info.title} against the baseline" if info.kind == "ratio" else info.title


def _loss(line: Criterion, change: Estimate) -> tuple[float, float, float]:
    """Return what is held against the bound: its best end, the point and its worst end."""
    info = METRICS[line.metric]
    if line.rule == "min" or (line.rule == "non_inferior_by" and not info.lower_is_better):
        sign = -1.0 if line.rule == "non_inferior_by" else 1.0
        return sign * change.high, sign * change.point, sign * change.low
    return change.low, change.point, change.high


def _may_be_met(run: Run, comparison: Comparison | None, line: Criterion) -> bool:
    """Return whether a line that did not pass is judged by an interval whose better end would pass."""
    info = METRICS.get(line.metric)
    if run.validity is Validity.INVALID or info is None or line.rule not in info.rules:
        return False
    if comparison is None or comparison.change is None or comparison.verdict is Verdict.INCOMPARABLE:
        return False
    if info.kind != "ratio" and line.rule != "non_inferior_by":
        return False
    best = _loss(line, comparison.change)[0]
    return best >= line.bound if line.rule == "min" else best <= line.bound


def _lacking(run: Run, change: Estimate, line: Criterion) -> str:
    """Return about how many images would decide a line, if the point stays: intervals shrink by the root of them."""
    _, point, worst = _loss(line, change)
    if line.rule != "non_inferior_by" or run.labels is None or point >= line.bound:
        return ""
    images = len(run.labels)
    needed = math.ceil(images * ((worst - point) / (line.bound - point)) ** 2)
    return f"; about {count(needed)} images like these {count(images)} could decide it"


def _finding(run: Run, comparison: Comparison | None, line: Criterion) -> tuple[bool, str]:
    if run.validity is Validity.INVALID:
        return False, f"the run is invalid: {sentence(run.reasons) or 'no reason was recorded'}"
    info = METRICS.get(line.metric)
    if info is None or line.rule not in info.rules:
        return False, f"{line.rule!r} cannot be judged; write {' or '.join(info.rules) if info else 'a known metric'}"
    relative = info.kind == "ratio" or line.rule == "non_inferior_by" or line.metric == "agreement"
    if run.is_baseline and relative:
        return True, "this is the baseline"
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
