"""When a processor under load slowed down for good, and how much of its speed it kept.

A window is judged by its median inference, which a slower clock moves and other work on the device hardly does. A
processor that throttles by pausing for less than half of the time moves it only if pauses are shorter than inferences.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from harness.model import FloatArray

#: Windows in the running median: one interrupted window does not make a slow processor.
SMOOTHED: Final = 5
#: How many windows the figures need, twice what the running median takes.
LEAST: Final = 2 * SMOOTHED
#: From how much slower than its best a processor counts as throttled, at least.
SLOWED: Final = 1.05
#: The same in standard deviations of a window, where windows differ from their neighbours by more: of normal noise the
#: fastest fifth lies 1.3 below the middle, and a running median of five strays by 0.5.
NOISE: Final = 3.5
#: The share of the windows that peak and sustained speed are each made of.
_SHARE: Final = 0.2


def throttled_at(starts_s: FloatArray, seconds: FloatArray) -> float | None:
    """Return when the time per inference first passed 1.05 of its best and stayed there to the end, None if never.

    Where neighbouring windows differ by so much that noise alone would pass that, the bar lies higher (`NOISE`).

    Args:
        starts_s: (W,) when each window began, in seconds, ascending.
        seconds: (W,) median time per inference in each window; the running median over `SMOOTHED` windows is judged
            against the median of the fastest fifth.

    Raises:
        ValueError: fewer than `LEAST` windows.
    """
    _check(seconds)
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(seconds, SMOOTHED), axis=1)
    bar = _bar(seconds)
    swift = np.flatnonzero(smooth <= bar)
    first = int(swift[-1]) + 1 if len(swift) else 0
    if first >= len(smooth):
        return None
    # The first slow window lies in the first slow median; of its windows, most are slow.
    inside = np.flatnonzero(seconds[first : first + SMOOTHED] > bar)
    return float(starts_s[first + int(inside[0])])


def sustained_speed(seconds: FloatArray) -> float:
    """Return sustained over peak speed, a ratio: the fastest fifth's median time over that of the last fifth.

    Args:
        seconds: (W,) median time per inference in each window, in the order of time.

    Raises:
        ValueError: fewer than `LEAST` windows.
    """
    _check(seconds)
    last = seconds[-max(1, round(_SHARE * len(seconds))) :]
    return peak(seconds) / float(np.median(last))


def peak(seconds: FloatArray) -> float:
    """Return the median of the fastest fifth of (W,) times per inference, in seconds."""
    return float(np.median(np.sort(seconds)[: max(1, round(_SHARE * len(seconds)))]))


def _bar(seconds: FloatArray) -> float:
    # Differences of neighbours hold the noise and next to nothing of a slow course or of one step; 0.6745 makes their
    # median the standard deviation of normal noise, sqrt(2) that of one window. The calmest third counts: a processor
    # that throttles may well be less steady than before.
    thirds = np.array_split(np.abs(np.diff(np.log(seconds))), 3)
    spread = min(float(np.median(third)) for third in thirds) / 0.6745 / math.sqrt(2)
    return peak(seconds) * max(SLOWED, 1 + NOISE * spread)


def _check(seconds: FloatArray) -> None:
    if len(seconds) < LEAST:
        raise ValueError(f"{len(seconds)} windows are too few, {LEAST} are needed: measure for longer")
