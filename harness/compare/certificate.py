"""The A/A certificate: what the controls of a device's history say of its comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from harness import stats
from harness.compare.control import control_of
from harness.model import Comparison, Estimate, Run

#: What the intervals of ratios claim: an interval that excludes no change where there is none.
CLAIMED = 0.05


@dataclass(slots=True)
class Tally:
    """The jobs of one suite on one device: those with a control, and those of which nothing is known."""

    jobs: int = 0
    alarms: int = 0
    lost: int = 0
    without: int = 0
    quick: int = 0
    smallest: list[float] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, baseline: Run, suite: Mapping[str, Any]) -> None:
        """Count a job by the run of its baseline; quick ones count apart, since they decide nothing.

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
            self.jobs += 1
            self.alarms += found.alarm
            self.smallest.append(found.smallest)
            self.first = min(self.first or baseline.started_at, baseline.started_at)
            self.last = max(self.last or baseline.started_at, baseline.started_at)

    @property
    def rate(self) -> Estimate | None:
        """The share of false alarms with Wilson's interval; None without a job."""
        return stats.wilson(self.alarms, self.jobs) if self.jobs else None

    def seen(self, share: float) -> float | None:
        """Return the change that would have been found in this share of the jobs; None without a job."""
        return float(np.quantile(self.smallest, share, method="higher")) if self.smallest else None


@dataclass(frozen=True, slots=True)
class Need:
    """About how many images a margin needs, if the models differ no more than they did: see `needs`."""

    metric: str
    margin: float
    images: int
    needed: int


def together(tallies: Iterable[Tally]) -> Tally:
    """Return several tallies as one."""
    found = Tally()
    for one in tallies:
        for name in ("jobs", "alarms", "lost", "without", "quick"):
            setattr(found, name, getattr(found, name) + getattr(one, name))
        found.smallest += one.smallest
        ends = [moment for moment in (found.first, found.last, one.first, one.last) if moment is not None]
        found.first, found.last = (min(ends), max(ends)) if ends else (None, None)
    return found


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
