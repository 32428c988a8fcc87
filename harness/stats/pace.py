"""Did the processor slow down while models took turns? Their own rounds say so, without root and without a sensor.

A sentinel's short kernel sees a lower clock, but may slip through the gaps of a scheduler that lets processes run only
part of the time. Inferences cannot: what a whole round took shows how fast the device worked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.model import FloatArray, IntArray

#: From which slow-down on a launch counts as slowed: launches of an undisturbed model agree within a few percent.
SLOWED = 0.10


def launch_slowdowns(models: Sequence[tuple[IntArray, FloatArray]]) -> FloatArray:
    """Return how much longer inferences took in each launch than in the fastest one: 0.0 not at all, 1.0 twice.

    For each model the median of a launch's rounds, each the mean of its inferences, is held against that model's
    fastest launch; the median over models is the device's. What slows one model alone is that model's own.

    Args:
        models: for each model its (R,) launch numbers, one a round, and the (R,) means of its rounds, in one unit, all
            above zero.

    Returns:
        (L,) in the order of launch numbers, of all launches that any model has; empty without any.
    """
    paces: dict[int, list[float]] = {}
    for launches, means in models:
        own = {int(launch): float(np.median(means[launches == launch])) for launch in np.unique(launches)}
        for launch, pace in own.items():
            paces.setdefault(launch, []).append(pace / min(own.values()) - 1)
    return np.array([np.median(paces[launch]) for launch in sorted(paces)], np.float64)
