"""Sees the processor change its speed, without root: a fixed integer kernel is timed between rounds.

The kernel runs three times for about 2 ms each and the fastest counts, so that one interruption does not pass for a
slow clock. More than 5 % above the best seen while cool, and the rounds around it are marked.
"""

from __future__ import annotations

import time

from harness.agent.contract import DRIFT, SENTINEL_READINGS, SENTINEL_STEPS


def kernel_ns() -> int:
    """Return the time of one kernel, in ns: the best of three."""
    return min(_once() for _ in range(3))


def _once() -> int:
    started, state = time.monotonic_ns(), 1
    for _ in range(SENTINEL_STEPS):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return time.monotonic_ns() - started


class Sentinel:
    """Keeps the cool value and says how far the processor is from it.

    The cool value is the median of the first readings, taken before anything else ran; it never follows a drift.
    """

    def __init__(self, readings: int = SENTINEL_READINGS) -> None:
        self.spent_ns = 0
        first = sorted(kernel_ns() for _ in range(readings))
        self.cool_ns = first[len(first) // 2]

    def drift(self) -> float:
        """Return the relative slow-down now: 0.0 is cool, 0.25 a quarter slower."""
        started = time.monotonic_ns()
        drift = kernel_ns() / self.cool_ns - 1
        self.spent_ns += time.monotonic_ns() - started
        return drift

    def settle(self, budget_s: float) -> tuple[float, float]:
        """Pause until the processor is cool again or `budget_s` is spent; return the drift and the seconds paused."""
        drift, pause, paused = self.drift(), 0.02, 0.0
        while drift > DRIFT and paused + pause <= budget_s:
            time.sleep(pause)
            paused += pause
            pause = min(pause * 2, 2.0)
            drift = self.drift()
        return drift, paused
