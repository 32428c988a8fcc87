"""What changed from a baseline to a run, metric by metric, and what may be said of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from harness import registry
from harness.compare.costs import ROLES, cost_change
from harness.compare.fingerprints import obstacle
from harness.compare.shares import share_change
from harness.model import Circumstance, Comparison, Estimate, Omission, Reason, Run, Task, Validity, Verdict, sentence
from harness.vocabulary import METRICS, MetricInfo

#: How much a metric in pixels may move without anybody minding, where the suite sets no margin for it.
_PIXEL_MARGIN = 1.0


def compare(baseline: Run, run: Run, suite: Mapping[str, Any]) -> list[Comparison]:
    """Return one Comparison for every ratio, every share the run has, and every accuracy that either run has.

    Costs are compared as ratios (run / baseline), shares of frames and accuracies as differences (run - baseline), the
    latter on the same images. A change that could not be estimated is None, its verdict inconclusive and its reason
    what is missing.

    Args:
        baseline: the run of the baseline.
        run: the run of the variant.
        suite: plain values as in `Campaign.suites`: task (kind, positive), load (margin), accept.
    """
    reason = obstacle(baseline, run)
    names = [name for name, info in METRICS.items() if info.kind == "ratio"]
    names += [name for name, info in METRICS.items() if info.kind == "share" and name in run.measurements]
    names += [name for name, info in METRICS.items() if info.paired and {name} & {*baseline.accuracy, *run.accuracy}]
    if reason:
        return [Comparison(name, baseline.id, run.id, None, Verdict.INCOMPARABLE, (reason,)) for name in names]
    return [_comparison(METRICS[name], baseline, run, suite) for name in names]


def verdict(change: Estimate | None, *, neutral: float, margin: float, higher_is_better: bool) -> Verdict:
    """Return what an estimated change says; the four verdicts of runs that may be compared (reports/METHOD.md).

    Args:
        change: the ratio or difference with its interval.
        neutral: its value when nothing changed: 1 for a ratio, 0 for a difference.
        margin: changes up to this size do not matter, in the unit of `change`.
        higher_is_better: the direction of improvement.
    """
    if change is None or not all(map(math.isfinite, (change.point, change.low, change.high))):
        return Verdict.INCONCLUSIVE
    excluded = change.low > neutral or change.high < neutral
    if excluded and abs(change.point - neutral) > margin:
        return Verdict.IMPROVED if (change.point > neutral) == higher_is_better else Verdict.REGRESSED
    if neutral - margin <= change.low and change.high <= neutral + margin:
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE


def _comparison(info: MetricInfo, baseline: Run, run: Run, suite: Mapping[str, Any]) -> Comparison:
    if info.kind == "ratio":
        change, reasons = cost_change(info, baseline, run)
    elif info.kind == "share":
        change, reasons = share_change(info, baseline, run)
    else:
        change, reasons = accuracy_change(info, baseline, run, suite)
    found = verdict(
        change,
        neutral=1.0 if info.kind == "ratio" else 0.0,
        margin=margin(info, suite),
        higher_is_better=not info.lower_is_better,
    )
    if change is None:
        return Comparison(info.name, baseline.id, run.id, None, found, tuple(reasons))
    found, doubt = _doubted(found, change)
    around = tuple(_circumstances(baseline, run))
    return Comparison(info.name, baseline.id, run.id, change, found, (*doubt, *reasons), around)


_DOUBTS: Final = {
    Omission.DRIFT: Reason("not measured in turns, so drift between the two is not in the interval"),
    Omission.LAUNCHES: Reason("too few launches, so the variance between launches is not in the interval"),
}


def _doubted(found: Verdict, change: Estimate) -> tuple[Verdict, list[Reason]]:
    # An interval that leaves out a source of variance may show a difference larger than that source, never sameness.
    if change.omits is Omission.NOTHING:
        return found, []
    return (Verdict.INCONCLUSIVE if found is Verdict.EQUIVALENT else found), [_DOUBTS[change.omits]]


def _circumstances(baseline: Run, run: Run) -> Iterator[Circumstance]:
    if baseline.quick or run.quick:
        yield Circumstance("quick")
    for role, one in zip(ROLES, (baseline, run), strict=True):
        if one.validity is Validity.DEGRADED:
            yield Circumstance(f"{role} degraded", sentence(one.reasons))


def margin(info: MetricInfo, suite: Mapping[str, Any]) -> float:
    """Return by how much a metric may change without mattering: the suite's own bound for it, else its `margin`."""
    for line in suite.get("accept", ()):
        if line["metric"] == info.name and line["rule"] == "non_inferior_by":
            return float(line["bound"])
    return _PIXEL_MARGIN if info.unit == "px" else float(suite["load"]["margin"])


def accuracy_change(
    info: MetricInfo, baseline: Run, run: Run, suite: Mapping[str, Any]
) -> tuple[Estimate | None, list[Reason]]:
    """Return run minus baseline in one accuracy, paired on the same images, and what must be said about it.

    Args:
        info: the metric.
        baseline: the run of the baseline.
        run: the run of the variant.
        suite: plain values as in `Campaign.suites`.
    """
    for role, one in zip(ROLES, (baseline, run), strict=True):
        if one.answers is None or one.labels is None or len(one.labels) == 0:
            return None, [Reason(f"the {role} has no stored outputs to pair with")]
    if not np.array_equal(np.asarray(baseline.labels), np.asarray(run.labels)):
        return None, [Reason("the two were not measured on the same images")]
    task = Task(suite["task"]["kind"], suite["task"].get("positive", ""))
    metrics = registry.load("metrics", task.kind, file=run.case.suite, key="task.kind")
    known = [one.groups for one in (baseline, run) if one.groups is not None]
    patients: dict[str, Any] = {"groups": known[0]} if known else {}
    if len(known) == 2 and not np.array_equal(known[0], known[1]):
        return None, [Reason("the two were measured with other patients behind the same images")]
    if known and "groups" not in inspect.signature(metrics.compare).parameters:
        # Without them its interval would claim more than so few patients say.
        return None, [Reason(f"the metrics of {task.kind!r} cannot compare images of which several are of one patient")]
    change = metrics.compare(baseline.answers, run.answers, run.labels, run.classes, task, info.name, **patients)
    return change, [] if change is not None else [Reason("too few cases of its kind in the test split to compare")]
