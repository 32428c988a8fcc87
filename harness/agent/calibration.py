"""Plays a known load and reads the meter meanwhile, for `edgeward check --energy`: idle, busy, idle and so on.

One process for each usable core knows the schedule and works by the monotonic clock, so the edges of the load are known
to milliseconds and nothing has to be sent. They end with the schedule, or as soon as their parent is gone.

Asked on standard input for {"meter": the `[meter]` table, or {"kind": "host"}, "seconds": how long each part lasts, the
first one idle}. The answer is one JSON object: `edges_ns`, `cores` and `cpu_s`, the processor time that the load got;
unless the host reads the meter `quantity`, `resolution`, `at_ns` and `readings`; or why there are none under `refused`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.agent import contract, energy

#: Longest sleep of a process that waits for its turn: it looks whether its parent is there, s.
_LOOK_S = 0.2
#: From the beginning to the first part, in which the processes are started, s; src/calibrate.c has the same.
_LEAD_S = 0.5
#: Steps of work between two looks at the clock: less than a millisecond, a few on a slow board.
_STEPS = 4_000


def main(arguments: list[str]) -> int:
    """Play the load that is asked for on standard input and print what the meter made of it."""
    del arguments
    asked = json.load(sys.stdin)
    try:
        answer = played(asked["meter"], asked["seconds"])
    except energy.Refused as refused:
        answer = refused.answer()
    json.dump(answer, sys.stdout)
    return 0


def played(meter: dict[str, Any], seconds: list[float]) -> dict[str, Any]:
    """Return what the load and the meter did.

    Args:
        meter: the `[meter]` table of the device file, or {"kind": "host"}.
        seconds: how long each part lasts, idle and busy in turn.

    Raises:
        Refused: the meter cannot be read, or not believed.
    """
    if meter["kind"] == contract.HOST_METER:
        with _load(seconds) as load:
            load.wait()
        return load.facts()
    with energy.opened(meter) as (reader, quantity):
        energy.refuse_charging(reader)
        with _load(seconds) as load:
            seen = energy.window(reader, quantity, load.wait, energy.Clock())
        return {
            **load.facts(), "quantity": quantity, "resolution": reader.resolution,
            "at_ns": seen.at_ns, "readings": seen.readings,
        }  # fmt: skip


class _Load:
    """A process for each usable core, and the schedule by which all of them work and rest."""

    def __init__(self, seconds: list[float]) -> None:
        self.edges = [time.monotonic_ns() + int(_LEAD_S * 1e9)]
        for one in seconds:
            self.edges.append(self.edges[-1] + int(one * 1e9))
        self._left: list[int] = []
        self._cores, self._cpu_s = len(os.sched_getaffinity(0)), 0.0

    def start(self) -> None:
        parent = os.getpid()
        for _ in range(self._cores):
            pid = os.fork()
            if not pid:
                _work_by(self.edges, parent)
            self._left.append(pid)

    def wait(self) -> None:
        """Wait until the schedule is over; all processes have ended then."""
        while self._left:
            _, _, usage = os.wait4(self._left[-1], 0)
            self._left.pop()
            self._cpu_s += usage.ru_utime + usage.ru_stime

    def end(self) -> None:
        """End what still runs."""
        for pid in self._left:
            os.kill(pid, signal.SIGKILL)
        self.wait()

    def facts(self) -> dict[str, Any]:
        """Return what was played."""
        return {"edges_ns": self.edges, "cores": self._cores, "cpu_s": self._cpu_s}


@contextmanager
def _load(seconds: list[float]) -> Iterator[_Load]:
    load = _Load(seconds)
    try:
        load.start()
        yield load
    finally:
        load.end()


def _work_by(edges: list[int], parent: int) -> None:
    """Work and rest in turn until the last edge or the end of the parent; does not return."""
    try:
        for number, until in enumerate(edges[1:]):
            while (left_ns := until - time.monotonic_ns()) > 0 and os.getppid() == parent:
                if number % 2:
                    _spin()
                else:
                    time.sleep(min(left_ns * 1e-9, _LOOK_S))
    finally:
        os._exit(0)


def _spin() -> None:
    state = 1
    for _ in range(_STEPS):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
