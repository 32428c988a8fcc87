"""A case's result as flat figures, and in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import units
from harness.measure.campaign import Result
from harness.model import Validity
from harness.stats import statistic
from harness.vocabulary import METRICS


def summary(result: Result) -> Mapping[str, Any]:
    """Return a case's figures as flat values, for JUnit properties."""
    run = result.run
    again = {"times_measured": len(result.before) + 1, "before": ", ".join(result.before)} if result.before else {}
    if run is None:
        return {"error": result.outcome.message, **again}
    costs = {name: statistic(run, name)[0] for name, info in METRICS.items() if info.kind in ("cost", "share")}
    accuracies = {name: estimate.point for name, estimate in run.accuracy.items()}
    changes = {c.metric: c.change.point for c in result.comparisons if c.change and METRICS[c.metric].kind == "ratio"}
    verdicts = {f"{c.metric}_verdict": c.verdict.value for c in result.comparisons}
    flat = {**costs, **accuracies, **changes, **verdicts, "validity": run.validity.value, "run": run.id, **again}
    latency = next((c for c in result.comparisons if c.metric == "latency_ratio"), None)
    if latency is not None:
        flat["comparison_validity"] = latency.validity.value
        flat["control_ratio"] = latency.control.point if latency.control else None
    return {key: value for key, value in flat.items() if value is not None}


def headline(result: Result) -> str:
    """Return a case's result in one line: how it ended and its first figures."""
    status, run = result.outcome.status, result.run
    if result.before:
        status += f" (measured {len(result.before) + 1} times, before: {', '.join(result.before)})"
    if run is None:
        return f"{status}: {result.outcome.message}"
    latency, _, why = statistic(run, "latency_p50_s")
    figures = [units.human(latency, "s") if latency is not None else why]
    doubts = {Validity.DEGRADED: ["absolute figures degraded"], Validity.INVALID: ["invalid"]}.get(run.validity, [])
    for change in result.comparisons:
        if change.change is None:
            continue
        info = METRICS[change.metric]
        point, within = units.change_with_interval(info.kind, info.unit, change.change)
        if change.metric == "latency_ratio":
            figures.append(f"{point} the baseline{f' ({within})' if within else ''}, {change.verdict.value}")
            if change.control is not None:
                figures.append(f"control {units.times_span(change.control.low, change.control.high)}")
            if change.validity is Validity.DEGRADED:
                doubts.append("comparison degraded")
        if change.metric == "sensitivity":
            figures.append(f"sensitivity {point}")
    when = result.outcome.taken_over
    taken = f" (taken over from {units.moment(when)})" if when else ""
    return f"{status}: {', '.join(figures)}" + (f" [{', '.join(doubts)}]" if doubts else "") + taken
