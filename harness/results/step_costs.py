"""What the launches of training steps said -> what a step costs."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harness import stats
from harness.agent import contract
from harness.errors import MeasurementError, Reason
from harness.model import Estimate, FloatArray, IntArray, LocalStep, StepCost, Suite, Validity, Variant
from harness.results import energy
from harness.units import NS_PER_S


@dataclass(slots=True)
class Launches:
    """What one model's launches said.

    Attributes:
        variant: the model.
        weights: how many numbers learn.
        said: the answers of the agent, one a launch.
        apart: how far the weights of each launch are from the host's.
        energy: what its energy pass said, None without one.
    """

    variant: Variant
    weights: int
    said: list[Mapping[str, Any]] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    energy: contract.EnergyPass | None = None

    @property
    def times(self) -> FloatArray:
        """(L, S) time of each step, s."""
        return np.array([one["ns"] for one in self.said], np.float64) / NS_PER_S

    @property
    def rounds(self) -> IntArray:
        """(L, 3) launch, first and last step + 1 among all steps: a launch is one round."""
        count, each = self.times.shape
        starts = np.arange(count) * each
        return np.stack([np.arange(count), starts, starts + each], axis=1).astype(np.int64)


def cost(
    own: Launches,
    baseline: Launches | None,
    suite: Suite,
    asked: LocalStep,
    *,
    device: str,
    quick: bool,
    conditions: Mapping[str, Any],
) -> StepCost:
    """Return what a step costs.

    Args:
        own: the model's launches.
        baseline: those of the baseline, which took turns with them; None where there are none.
        suite: of both.
        asked: what a step is.
        device: its id.
        quick: whether steps and launches were cut.
        conditions: of the device before the launches.
    """
    said = own.said
    ratio = None
    if baseline is not None and baseline is not own:
        ratio = stats.ratio_estimate(baseline.times.ravel(), baseline.rounds, own.times.ravel(), own.rounds)
    peaks = [one["memory"]["after"].get("peak_rss_bytes") for one in said]
    loaded = [one["memory"]["loaded"].get("rss_bytes") for one in said]
    gross, net, absent = _energy(own)
    reasons = _slowed(said)
    return StepCost(
        id=uuid.uuid4().hex,
        started_at=datetime.now(UTC),
        suite=suite.id,
        variant=own.variant.id,
        device=device,
        sha256=own.variant.sha256,
        runtime=f"torch {said[0]['torch']}",
        asked=asked,
        threads=suite.load.threads,
        weights=own.weights,
        times=own.times,
        time_s=_time(own.times),
        ratio=ratio,
        peak_bytes=None if None in peaks else max(peaks),
        loaded_bytes=None if None in loaded else max(loaded),
        energy_j=gross,
        energy_net_j=net,
        energy_absent=absent,
        loss_before=said[0]["loss_before"],
        loss_after=said[0]["loss_after"],
        apart=max(own.apart),
        is_baseline=own.variant.id == suite.baseline,
        quick=quick,
        validity=Validity.DEGRADED if reasons else Validity.VALID,
        reasons=reasons,
        notes={"python": said[0]["python"], "conditions": dict(conditions), "file": own.variant.path.name},
    )


def _time(times: FloatArray) -> Estimate:
    """Return the median of the launches' medians, with the interval of one look at all of them."""
    medians = np.log(np.median(times, axis=1))
    low, high = stats.confidence_sequence(medians)
    point = float(np.median(medians))
    method = f"confidence sequence over the medians of {times.shape[0]} launches of {times.shape[1]} steps"
    return Estimate(math.exp(point), math.exp(min(low, point)), math.exp(max(high, point)), method=method)


def _slowed(said: Sequence[Mapping[str, Any]]) -> tuple[Reason, ...]:
    """Return that the processor was slower around some launches than usually, by the sentinel's kernel."""
    kernels = np.array([one["kernel_ns"] for one in said], np.float64)
    slow = int((kernels.max(axis=1) > (1 + contract.DRIFT) * np.median(kernels)).sum())
    if not slow:
        return ()
    return (Reason(f"the processor was slower around {slow} of {len(said)} launches", "measure while it is at rest"),)


def _energy(own: Launches) -> tuple[Estimate | None, Estimate | None, str]:
    """Return joules of a step, gross and net, or why there are none."""
    try:
        found = energy.of_events([own.energy] if own.energy is not None else [])
    except MeasurementError as error:
        return None, None, str(error)
    return found.gross, found.net, ""
