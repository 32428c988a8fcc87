"""What a variant loses under a condition that its baseline does not lose: differences paired on the same images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from harness import registry, stats
from harness.model import Estimate, FloatArray, Probe, Reason, Run, Task, Truth
from harness.vocabulary import MetricInfo


def with_changes(baseline: Run, run: Run, task: Task) -> tuple[Probe, ...]:
    """Return a run's probes, each with its difference from the baseline's under the same condition.

    Args:
        baseline: the run of the baseline.
        run: the run of the variant.
        task: what the models are for.
    """
    metrics = registry.load("metrics", task.kind, file=run.case.suite, key="task.kind")
    others = {one.condition: one for one in baseline.probes}
    truth = _truth(run)
    found = []
    for one in run.probes:
        other = others.get(one.condition)
        if other is not None and baseline.id != run.id:
            answers = baseline.probed(other), run.probed(one)
            change = metrics.compare(*answers, truth, task, one.metric)
        else:
            change = None
        found.append(replace(one, change=change))
    return tuple(found)


def mean_change(info: MetricInfo, baseline: Run, run: Run, task: Task) -> tuple[Estimate | None, list[Reason]]:
    """Return the mean difference over all conditions of a kind, or None with the reason.

    Each image counts once, with the mean over its conditions: what one image shows under many is no more evidence than
    one image can be.

    Args:
        info: a metric that is the mean over conditions.
        baseline: the run of the baseline.
        run: the run of the variant.
        task: what the models are for.
    """
    pairs = list(_pairs(info.under, baseline, run))
    if not pairs:
        return None, [Reason(f"the two were not both measured under {info.under}s")]
    lengths = {sum(one.condition.kind == info.under for one in of.probes) for of in (baseline, run)}
    if lengths != {len(pairs)}:
        return None, [Reason(f"the two were not measured under the same {info.under}s")]
    metrics = registry.load("metrics", task.kind, file=run.case.suite, key="task.kind")
    truth = _truth(run)

    def scores(one: Any, probe: Probe) -> FloatArray:
        return np.asarray(metrics.per_image(one.probed(probe), truth, task))

    changes = [scores(run, own) - scores(baseline, other) for other, own in pairs]
    return stats.mean_interval(np.mean(changes, axis=0), least=-1, most=1, groups=truth.groups), []


def _pairs(kind: str, baseline: Run, run: Run) -> Iterator[tuple[Probe, Probe]]:
    others = {one.condition: one for one in baseline.probes}
    for one in run.probes:
        if one.condition.kind == kind and one.condition in others:
            yield others[one.condition], one


def _truth(run: Run) -> Truth:
    return Truth(np.asarray(run.labels), run.classes, run.groups)
