"""Did the processor change its speed while models took turns? The sentinel and their own rounds say so, without root.

A sentinel's short kernel sees another clock, but may slip through the gaps of a scheduler that lets processes run only
part of the time. Inferences cannot: what a whole round took shows how fast the device worked.

What is held against is the *usual* pace, the mode of all readings. The first one may have caught a boost that lasts for
seconds: held against that, a machine that nothing disturbed counts as slow for most of its time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.model import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

#: From which slow-down on a launch counts as slowed: launches of an undisturbed model agree within a few percent.
SLOWED = 0.10


def usual(paces: FloatArray, width: float) -> float:
    """Return the mode of (N,) times above zero: the median of the densest stretch that is `width` wide, relative.

    Where two stretches hold as many, it is the faster one: what disturbs only ever adds time.
    """
    ordered = np.sort(paces)
    ends = np.searchsorted(ordered, ordered * (1 + width), side="right")
    start = int(np.argmax(ends - np.arange(len(ordered))))
    return float(np.median(ordered[start : ends[start]]))


def marked_rounds(
    drifts: FloatArray, launches: IntArray, all_drifts: FloatArray, all_launches: IntArray, *, above: float
) -> BoolArray:
    """Return around which rounds the processor was slower than usual: (R,).

    The usual pace of a launch is that of all readings until its end, so that what comes later changes nothing of what
    was decided.

    Args:
        drifts: (R,) the sentinel around each round of a model, relative to its first readings: 0.25 a quarter slower.
        launches: (R,) launch numbers that go with them.
        all_drifts: (S,) of the rounds of all models.
        all_launches: (S,) that go with them.
        above: the slow-down from which a round is marked, which is also how widely undisturbed readings scatter.
    """
    found = np.zeros(len(drifts), bool)
    for launch in np.unique(launches):
        until = all_drifts[all_launches <= launch]
        own = launches == launch
        found[own] = (1 + drifts[own]) / usual(1 + until, above) > 1 + above
    return found


def launch_slowdowns(models: Sequence[tuple[IntArray, FloatArray]]) -> FloatArray:
    """Return how much longer inferences took in each launch than usually: 0.0 not at all, 1.0 twice, -0.1 less.

    For each model the median of a launch's rounds, each the mean of its inferences, is held against that model's usual
    launch; the median over models is the device's. What slows one model alone is that model's own.

    Args:
        models: for each model its (R,) launch numbers, one a round, and the (R,) means of its rounds, in one unit, all
            above zero.

    Returns:
        (L,) in the order of launch numbers, of all launches that any model has; empty without any.
    """
    paces: dict[int, list[float]] = {}
    for launches, means in models:
        own = {int(launch): float(np.median(means[launches == launch])) for launch in np.unique(launches)}
        reference = usual(np.array(list(own.values())), SLOWED)
        for launch, pace in own.items():
            paces.setdefault(launch, []).append(pace / reference - 1)
    return np.array([np.median(paces[launch]) for launch in sorted(paces)], np.float64)
