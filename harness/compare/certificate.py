"""The A/A certificate: what the controls of a device's history say of its comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from harness import stats
from harness.compare.control import Control, control_of
from harness.model import Comparison, Estimate, Run

#: What the intervals of ratios claim: an interval that excludes no change where there is none.
CLAIMED = 0.05


@dataclass(slots=True)
class Tally:
    """The jobs of a device: the controls that say something with when they ran, and how many jobs count for nothing.

    Attributes:
        controls: those with an interval.
        moments: when their jobs began.
        lost: jobs whose control failed, or took part in too few launches.
        without: jobs that had none.
        quick: quick ones, which decide nothing.
    """

    controls: list[Control] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)
    lost: int = 0
    without: int = 0
    quick: int = 0

    def add(self, baseline: Run, suite: Mapping[str, Any]) -> None:
        """Count a job by the run of its baseline.

        Args:
            baseline: the run of the job's baseline.
            suite: plain values as in `Campaign.suites`.
        """
        found = control_of(baseline, suite)
        if baseline.quick:
            self.quick += 1
        elif found is None:
            self.without += 1
        elif found.smallest is None:
            self.lost += 1
        else:
            self.controls.append(found)
            self.moments.append(baseline.started_at)

    @property
    def alarms(self) -> int:
        """How many controls were found changed."""
        return sum(one.alarm for one in self.controls)

    @property
    def rate(self) -> Estimate | None:
        """The share of false alarms with Wilson's interval; None without a job."""
        return stats.wilson(self.alarms, len(self.controls))

    def seen(self, share: float) -> float | None:
        """Return the change that would have been found in this share of the jobs; None without a job."""
        sizes = [one.smallest for one in self.controls if one.smallest is not None]
        return float(np.quantile(sizes, share, method="higher")) if sizes else None


def together(tallies: Iterable[Tally]) -> Tally:
    """Return several tallies as one."""
    found = Tally()
    for one in tallies:
        found.controls += one.controls
        found.moments += one.moments
        found.lost += one.lost
        found.without += one.without
        found.quick += one.quick
    return found


@dataclass(frozen=True, slots=True)
class Need:
    """About how many images a margin needs, if the models differ no more than they did: see `needs`."""

    metric: str
    margin: float
    images: int
    needed: int


def needs(images: int, comparisons: Iterable[Comparison], suite: Mapping[str, Any]) -> list[Need]:
    """Return for each margin of `[accept]` about how many images would show it of a model as good as its baseline.

    Intervals shrink by the root of the number of images, so the widest one that was measured says how many it takes for
    its half to be as wide as the margin.

    Args:
        images: how many were measured.
        comparisons: of the suite's variants.
        suite: plain values as in `Campaign.suites`.
    """
    changes = list(comparisons)
    found = []
    for line in suite.get("accept", ()):
        halves = [
            (one.change.high - one.change.low) / 2 for one in changes if one.metric == line["metric"] and one.change
        ]
        widest = max((half for half in halves if math.isfinite(half)), default=0.0)
        if line["rule"] == "non_inferior_by" and widest > 0 and line["bound"] > 0:
            needed = math.ceil(images * (widest / line["bound"]) ** 2)
            found.append(Need(line["metric"], float(line["bound"]), images, needed))
    return found
