"""One case measured in two campaigns: what changed in between, then by how much each metric did.

Two campaigns did not take turns, so their launches are independent samples (Welch, or ranks where tails are heavy),
never their single inferences. Where both measured the same baseline file, the variant is also compared with it within
each campaign, launch by launch: the ratio of those ratios cancels the machine's speed, and latency is judged by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from harness import stats
from harness.compare.causes import Cause, causes
from harness.compare.costs import cost_change
from harness.compare.decision import verdict
from harness.compare.fingerprints import CASE, differences
from harness.compare.launches import levels, ratio_of_launches
from harness.compare.shares import share_change
from harness.compare.verdicts import accuracy_change, margin
from harness.model import Estimate, Measurement, Run, Validity, Verdict, sentence
from harness.stats import absence, statistic
from harness.vocabulary import METRICS

#: What of a case makes it another question, whose numbers are not compared. The runtime is a cause, like a kernel.
_QUESTION: Final = frozenset(CASE) - {"runtime"}
#: Costs that are compared as ratios of repeated readings, with the ratio that describes them.
_REPEATED: Final = {
    "load_s": "load_ratio", "first_inference_s": "first_inference_ratio", "peak_memory_bytes": "memory_ratio",
    "energy_j": "energy_ratio", "size_bytes": "size_ratio",
}  # fmt: skip
#: Latencies: the cost, and its quantile within a launch.
_LATENCIES: Final = {"latency_p50_s": 0.5, "latency_p90_s": 0.9}
#: Times drift from campaign to campaign by more than readings within a campaign show.
_DRIFTING: Final = frozenset({"latency_p50_s", "latency_p90_s", "load_s", "first_inference_s", "energy_j"})
_ROLES: Final = ("first", "second")
_BETWEEN = "drift between the campaigns is not in the interval"


@dataclass(frozen=True, slots=True)
class Change:
    """One metric in both campaigns: the numbers (SI, None if absent), the change, what it means, how it was found.

    `relative` says that the numbers are ratios to each campaign's own baseline.
    """

    metric: str
    title: str
    before: float | None
    after: float | None
    change: Estimate | None
    verdict: Verdict
    how: str
    relative: bool = False


@dataclass(frozen=True, slots=True)
class CampaignChange:
    """Two runs of one case: why they may differ, and by how much they do."""

    before: Run
    after: Run
    causes: tuple[Cause, ...]
    changes: tuple[Change, ...]


def across_campaigns(
    before: Run, after: Run, suite: Mapping[str, Any], baselines: tuple[Run | None, Run | None]
) -> CampaignChange:
    """Return what changed between two runs that did not take turns.

    Args:
        before: the earlier run.
        after: the later run.
        suite: plain values as in `Campaign.suites`, of the later run.
        baselines: the run of the baseline that took turns with each, None where there is none.
    """
    why = tuple(causes(before, after, baselines))
    refusal = _refusal(before, after)
    found = [*_latencies(before, after, suite, baselines), *_costs(before, after, suite)]
    found += _accuracies(before, after, suite)
    if refusal:
        found = [replace(one, change=None, verdict=Verdict.INCOMPARABLE, how=refusal) for one in found]
    return CampaignChange(before, after, why, tuple(found))


def _refusal(before: Run, after: Run) -> str:
    """Return why numbers of the two say nothing about each other, "" if they do."""
    for name, one in zip(_ROLES, (before, after), strict=True):
        if one.validity is Validity.INVALID:
            return f"the {name} run is invalid"
    asked = [one for one in differences(before, after) if one.key in _QUESTION]
    return f"another question was asked: {sentence(asked)}" if asked else ""


def _latencies(
    before: Run, after: Run, suite: Mapping[str, Any], baselines: tuple[Run | None, Run | None]
) -> Iterator[Change]:
    limit = margin(METRICS["latency_ratio"], suite)
    for metric, q in _LATENCIES.items():
        title, lacking = METRICS[metric].title, _lacking(before, after, metric)
        change = None if lacking else apart(before.measurements["latency_s"], after.measurements["latency_s"], q)
        yield _judged(metric, title, before, after, change, limit, lacking or _too_few(change))
        pairs = [] if lacking else _with_baselines(before, after, baselines)
        if not pairs:
            continue
        latencies = [(run.measurements["latency_s"], base.measurements["latency_s"]) for run, base in pairs]
        ratio = relative(latencies[0], latencies[1], q)
        title += ", against each campaign's own baseline"
        found = _judged(metric, title, before, after, ratio, limit, _too_few(ratio), drifts=False)
        own = [_share(run, base, metric) for run, base in pairs]
        yield replace(found, before=own[0], after=own[1], relative=True)


def apart(before: Measurement, after: Measurement, q: float) -> Estimate | None:
    """Return the ratio of a quantile, after over before, the launches of each campaign being independent samples.

    Args:
        before: latencies of the earlier campaign.
        after: latencies of the later campaign.
        q: the quantile of a launch that stands for it.
    """
    change = stats.mean_ratio(levels(before, q), levels(after, q))
    return change and replace(change, method=f"each campaign's launches apart: {change.method}")


def relative(
    before: tuple[Measurement, Measurement], after: tuple[Measurement, Measurement], q: float
) -> Estimate | None:
    """Return the ratio of ratios: each campaign's launches against its own baseline's launches of the same number.

    Args:
        before: latencies of the run and of its baseline, of the earlier campaign.
        after: the same of the later campaign.
        q: the quantile of a launch that stands for it.
    """
    change = stats.mean_ratio(ratio_of_launches(*before, q), ratio_of_launches(*after, q))
    said = "each launch against its baseline, which cancels the machine's speed"
    return change and replace(change, method=f"{said}: {change.method}")


def _with_baselines(before: Run, after: Run, baselines: tuple[Run | None, Run | None]) -> list[tuple[Run, Run]]:
    """Return each campaign's (run, baseline) where both measured one baseline file in turns with another file."""
    first, second = baselines
    if first is None or second is None or before.id == first.id or after.id == second.id:
        return []
    known = all(not absence(one.measurements.get("latency_s")) for one in (first, second))
    same = known and first.variant.sha256 == second.variant.sha256
    return [(before, first), (after, second)] if same else []


def _share(run: Run, base: Run, metric: str) -> float | None:
    values = [statistic(one, metric)[0] for one in (run, base)]
    return values[0] / values[1] if values[0] and values[1] else None


def _costs(before: Run, after: Run, suite: Mapping[str, Any]) -> Iterator[Change]:
    for metric, ratio in _REPEATED.items():
        info = METRICS[ratio]
        change, reasons = cost_change(info, before, after, _ROLES)
        yield _judged(metric, METRICS[metric].title, before, after, change, margin(info, suite), sentence(reasons))
    for metric, info in METRICS.items():
        if info.kind == "share" and metric in {*before.measurements, *after.measurements}:
            change, reasons = share_change(info, before, after, _ROLES)
            yield _judged(metric, info.title, before, after, change, margin(info, suite), sentence(reasons))


def _accuracies(before: Run, after: Run, suite: Mapping[str, Any]) -> Iterator[Change]:
    digests = [run.fingerprint.get("data_sha256") for run in (before, after)]
    for metric, info in METRICS.items():
        if not info.paired or metric not in {*before.accuracy, *after.accuracy}:
            continue
        if None not in digests and digests[0] != digests[1]:
            numbers = [statistic(run, metric)[0] for run in (before, after)]
            why = "the two campaigns judged other images"
            yield Change(metric, info.title, numbers[0], numbers[1], None, Verdict.INCOMPARABLE, why)
            continue
        change, reasons = accuracy_change(info, before, after, suite)
        if change is not None and _same_outputs(before, after):
            change = Estimate(0.0, 0.0, 0.0, 1.0, "exact: the same file gave the same outputs, bit for bit")
        found = _judged(metric, info.title, before, after, change, margin(info, suite), sentence(reasons))
        yield found


def _same_outputs(before: Run, after: Run) -> bool:
    same_file = before.variant.sha256 == after.variant.sha256
    return same_file and before.outputs is not None and np.array_equal(before.outputs, np.asarray(after.outputs))


def _lacking(before: Run, after: Run, metric: str) -> str:
    for name, run in zip(_ROLES, (before, after), strict=True):
        value, _, reason = statistic(run, metric)
        if value is None:
            return f"{name}: {reason}"
    return ""


def _too_few(change: Estimate | None) -> str:
    return "" if change else "an interval needs at least two launches in each campaign"


def _judged(
    metric: str, title: str, before: Run, after: Run, change: Estimate | None, limit: float, remark: str,
    *, drifts: bool = True,
) -> Change:  # fmt: skip
    info = METRICS[metric]
    numbers = [statistic(run, metric)[0] for run in (before, after)]
    neutral = 0.0 if info.kind in ("accuracy", "share") else 1.0
    found = verdict(change, neutral=neutral, margin=limit, higher_is_better=not info.lower_is_better)
    how = [change.method] if change else []
    if change is not None and drifts and metric in _DRIFTING:
        # An interval that leaves out a source of variance may show a large difference, never a small one or sameness.
        found = found if found in (Verdict.IMPROVED, Verdict.REGRESSED) else Verdict.INCONCLUSIVE
        how.append(_BETWEEN)
    return Change(metric, title, numbers[0], numbers[1], change, found, "; ".join(filter(None, [*how, remark])))
