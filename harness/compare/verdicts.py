"""What changed from a baseline to a run, metric by metric, and what may be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from harness import registry
from harness.compare.control import Control, control_of, doubted
from harness.compare.costs import ROLES, cost_change
from harness.compare.decision import verdict
from harness.compare.fingerprints import obstacle
from harness.compare.robustness import mean_change
from harness.compare.shares import share_change
from harness.model import (
    Circumstance,
    Comparison,
    Estimate,
    Omission,
    Reason,
    Run,
    Task,
    Truth,
    Validity,
    Verdict,
    sentence,
)
from harness.vocabulary import METRICS, MetricInfo

#: By how much an accuracy may change without mattering where the suite sets no margin for it, in its own unit: what is
#: a share in points, a distance by its unit, a squared error (Brier) less than a share. `load.margin` is that of costs.
_POINTS: Final = 0.02
_MARGINS: Final = {"px": 1.0, "mm": 1.0, "brier": 0.01}


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
    either = {*baseline.measurements, *run.measurements}
    names = [name for name, info in METRICS.items() if info.kind == "ratio"]
    # A suite without a duty does not ask for hours of use.
    names = [name for name in names if name != "use_ratio" or METRICS[name].measurement in either]
    names += [name for name, info in METRICS.items() if info.kind == "share" and name in run.measurements]
    have, asked = {*baseline.accuracy, *run.accuracy}, {line["metric"] for line in suite.get("accept", ())}
    # What a suite asks of conditions is compared where both lack it too: the reason is what a case fails by.
    names += [n for n, info in METRICS.items() if info.paired and (n in have or (info.under and n in asked))]
    if reason:
        return [Comparison(name, baseline.id, run.id, None, Verdict.INCOMPARABLE, (reason,)) for name in names]
    return [_comparison(METRICS[name], baseline, run, suite) for name in names]


def _comparison(info: MetricInfo, baseline: Run, run: Run, suite: Mapping[str, Any]) -> Comparison:
    if info.kind == "ratio":
        change, reasons = cost_change(info, baseline, run)
    elif info.kind == "share":
        change, reasons = share_change(info, baseline, run)
    else:
        change, reasons = accuracy_change(info, baseline, run, suite)
    control = _control(info, baseline, run, suite)
    if control is not None and change is not None:
        change, doubts = doubted(change, control)
        reasons = [*reasons, *doubts]
    found = verdict(
        change,
        neutral=1.0 if info.kind == "ratio" else 0.0,
        margin=margin(info, suite),
        higher_is_better=not info.lower_is_better,
    )
    if change is None:
        return Comparison(info.name, baseline.id, run.id, None, found, tuple(reasons))
    found, doubt = _doubted(found, change)
    spoken = control is not None and control.change is not None
    around = tuple(_circumstances(info, baseline, run, held=spoken))
    degraded = control.alarm if control is not None and spoken else any(one.detail for one in around)
    return Comparison(
        info.name,
        baseline.id,
        run.id,
        change,
        found,
        (*doubt, *reasons, *(control.reasons if control is not None else ())),
        around,
        Validity.DEGRADED if degraded else Validity.VALID,
        control.change if control is not None else None,
    )


def _control(info: MetricInfo, baseline: Run, run: Run, suite: Mapping[str, Any]) -> Control | None:
    """Return the control that speaks of a change: of latencies that were measured in turns with it."""
    if info.name != "latency_ratio" or baseline.campaign != run.campaign:
        return None
    return control_of(baseline, suite)


_DOUBTS: Final = {
    Omission.DRIFT: Reason("not measured in turns, so drift between the two is not in the interval"),
    Omission.LAUNCHES: Reason("too few launches, so the variance between launches is not in the interval"),
}


def _doubted(found: Verdict, change: Estimate) -> tuple[Verdict, list[Reason]]:
    # An interval that leaves out a source of variance may show a difference larger than that source, never a small one
    # and never sameness.
    if change.omits is Omission.NOTHING:
        return found, []
    large = found in (Verdict.IMPROVED, Verdict.REGRESSED)
    return (found if large else Verdict.INCONCLUSIVE), [_DOUBTS[change.omits]]


def _circumstances(info: MetricInfo, baseline: Run, run: Run, *, held: bool) -> Iterator[Circumstance]:
    """Yield what is true of both runs and concerns a metric; `held`: whether a control speaks of it instead."""
    if baseline.quick or run.quick:
        yield Circumstance("quick")
    for role, one in zip(ROLES, (baseline, run), strict=True):
        if not held and one.validity is Validity.DEGRADED and _concerns(info, one):
            yield Circumstance(f"{role} degraded", sentence(one.reasons))


def _concerns(info: MetricInfo, degraded: Run) -> bool:
    """Return whether that a run's figures are degraded concerns a metric: accuracies depend on no processor's speed."""
    if info.kind == "accuracy":
        return bool(degraded.notes.get("reference", {}).get("doubtful"))
    return info.name != "size_ratio"


def margin(info: MetricInfo, suite: Mapping[str, Any]) -> float:
    """Return by how much a metric may change without mattering: the suite's own bound, else what suits its kind.

    Args:
        info: the metric.
        suite: plain values as in `Campaign.suites`: load (margin), accept, robustness.
    """
    for line in suite.get("accept", ()):
        if line["metric"] == info.name and line["rule"] == "non_inferior_by":
            return float(line["bound"])
    if info.under and "robustness" in suite:
        return float(suite["robustness"]["margin"])
    if info.kind != "accuracy":
        return float(suite["load"]["margin"])
    return _MARGINS.get(info.name, _MARGINS.get(info.unit, _POINTS))


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
    task = Task.of(suite["task"])
    metrics = registry.load("metrics", task.kind, file=run.case.suite, key="task.kind")
    known = [one.groups for one in (baseline, run) if one.groups is not None]
    if len(known) == 2 and not np.array_equal(known[0], known[1]):
        return None, [Reason("the two were measured with other patients behind the same images")]
    if known and not metrics.PATIENTS:
        # Its interval would claim more than so few patients say.
        return None, [Reason(f"the metrics of {task.kind!r} cannot compare images of which several are of one patient")]
    if info.under:
        return mean_change(info, baseline, run, task)
    sizes = [one.spacing for one in (baseline, run) if one.spacing is not None]
    if info.unit == "mm" and len(sizes) == 2 and not np.array_equal(sizes[0], sizes[1]):
        return None, [Reason("the two were measured with other sizes of a pixel")]
    truth = Truth(
        np.asarray(run.labels), run.classes, known[0] if known else None, sizes[0] if len(sizes) == 2 else None
    )
    change = metrics.compare(baseline.answers, run.answers, truth, task, info.name)
    return change, [] if change is not None else [Reason("too few cases of its kind in the test split to compare")]
