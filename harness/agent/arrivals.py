"""Frames that arrive by the clock, as from a scanner: latency counts from the arrival, not from when somebody had time.

The scanner keeps its newest frame only: one that arrives while another still waits takes its place, and that one is
dropped. Since arrivals follow the clock, frame k is due at first + k * period whatever the model is busy with, no
thread has to play the scanner and none disturbs the inference; what a queue of one would hold is computed.
"""

from __future__ import annotations

import gc
import time
from array import array
from typing import Any, Callable

from harness.agent.contract import LEAD_NS


class Frames:
    """What became of a block of frames.

    Attributes:
        taken: flat rows of three, ns: frame number, from its arrival to the inference's start, the inference itself.
        jitter: how late the timer woke the model for a frame that it waited for, ns.
    """

    def __init__(self) -> None:
        self.taken: array[int] = array("q")
        self.jitter: array[int] = array("q")

    @property
    def latencies(self) -> array[int]:
        """From arrival to answer of every frame that was taken, ns."""
        return array("q", (a + b for a, b in zip(self.taken[1::3], self.taken[2::3])))


def stream(call: Callable[[Any], Any], inputs: list[Any], turn: int, period_ns: int, frames: int) -> tuple[Frames, int]:
    """Let `frames` frames arrive, one every `period_ns`, and call `call` on the newest one whenever there is one.

    The arrival behind the last one ends the block: a frame that still waits then is dropped, like any that is replaced.

    Args:
        call: runs one inference on a ready input.
        inputs: ready inputs, taken in turn.
        turn: of `inputs` to begin with.
        period_ns: from one frame to the next.
        frames: how many arrive.

    Returns:
        What became of the frames, and the next turn of `inputs`.
    """
    clock, size, found = time.monotonic_ns, len(inputs), Frames()
    gc.disable()
    try:
        first = clock() + min(LEAD_NS, period_ns)
        due = 0
        while due < frames:
            now = clock()
            newest = (now - first) // period_ns
            if newest < due:
                arrival = first + due * period_ns
                time.sleep((arrival - now) / 1e9)
                found.jitter.append(clock() - arrival)
                continue
            if newest >= frames:
                break
            x = inputs[turn % size]
            start = clock()
            call(x)
            stop = clock()
            found.taken.extend((newest, start - first - newest * period_ns, stop - start))
            due = newest + 1
            turn += 1
        return found, turn
    finally:
        gc.enable()
