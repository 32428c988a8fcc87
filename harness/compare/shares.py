"""Differences of shares of frames, run minus baseline: dropped frames and missed deadlines."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from harness import stats
from harness.compare.costs import ROLES, Change, measured
from harness.model import Estimate, FloatArray, Measurement, Omission, Reason, Run
from harness.vocabulary import MetricInfo


def share_change(info: MetricInfo, baseline: Run, run: Run, roles: tuple[str, str] = ROLES) -> Change:
    """Return the difference of one share with its interval, or None with the reason as the only remark.

    The frames of a block share their fate, so they are no independent trials; launches are. Where no launch differs
    from another, that says little about rare events: the interval is the wider one of the confidence sequence over the
    launches' differences and of Newcombe's score interval for that many frames.

    Args:
        info: a metric of kind "share".
        baseline: the run of the baseline.
        run: the run of the variant.
        roles: what the two are called in reasons.
    """
    found: list[Measurement] = []
    for role, one in zip(roles, (baseline, run), strict=True):
        measurement = measured(info, one, role)
        if isinstance(measurement, Reason):
            return None, [measurement]
        found.append(measurement)
    return _difference(*found), []


def _difference(base: Measurement, own: Measurement) -> Estimate | None:
    frames = stats.unpaired_difference(*_counts(own.values), *_counts(base.values))
    per_launch = [_per_launch(one) for one in (base, own)]
    shared = [per_launch[1][launch] - per_launch[0][launch] for launch in per_launch[1] if launch in per_launch[0]]
    if frames is None:
        return None
    low, high = stats.confidence_sequence(np.array(shared))
    if not (math.isfinite(low) and math.isfinite(high)):
        method = f"{stats.ONE_LAUNCH}: {frames.method}"
        return replace(frames, method=method, omits=Omission.LAUNCHES)
    method = f"confidence sequence over {len(shared)} launches, at least as wide as {frames.method}"
    return Estimate(frames.point, min(low, frames.low), max(high, frames.high), frames.confidence, method)


def _counts(values: FloatArray) -> tuple[int, int]:
    return int(values.sum()), len(values)


def _per_launch(one: Measurement) -> dict[int, float]:
    if one.rounds is None:
        return {}
    launches = np.unique(one.rounds[:, 0])
    parts = {n: [one.values[a:b] for launch, a, b in one.rounds if launch == n] for n in launches.tolist()}
    return {launch: float(np.concatenate(values).mean()) for launch, values in parts.items()}
