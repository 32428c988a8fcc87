"""What each launch of a run says alone: the unit whose variance an interval must carry."""

from __future__ import annotations

import numpy as np

from harness.model import FloatArray, Measurement
from harness.stats.rounds import QUANTILE_METHOD


def launch_quantiles(measurement: Measurement, q: float) -> dict[int, float]:
    """Return launch number -> the quantile `q` of its samples, in the order of the numbers; empty without rounds."""
    if measurement.rounds is None:
        return {}
    found: dict[int, list[FloatArray]] = {}
    for launch, start, stop in measurement.rounds.tolist():
        found.setdefault(launch, []).append(measurement.values[start:stop])
    return {
        launch: float(np.quantile(np.concatenate(own), q, method=QUANTILE_METHOD))
        for launch, own in sorted(found.items())
    }


def ratio_of_launches(measurement: Measurement, base: Measurement, q: float) -> FloatArray:
    """Return (L,) the quantile `q` of each launch over that of the same launch of `base`.

    Args:
        measurement: latencies of the run.
        base: latencies of its baseline.
        q: the quantile of a launch.
    """
    own, theirs = launch_quantiles(measurement, q), launch_quantiles(base, q)
    return np.array([own[launch] / theirs[launch] for launch in own if launch in theirs], np.float64)


def levels(measurement: Measurement, q: float) -> FloatArray:
    """Return (L,) the quantile `q` of each launch."""
    return np.array(list(launch_quantiles(measurement, q).values()), np.float64)
