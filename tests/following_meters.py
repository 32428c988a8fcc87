"""Meters whose files really follow the load that a calibration or a model plays, late, the wrong way round, or not.

A process of its own looks which of the processes that play it want to run (the kernel's state R, however much of the
processor they get) and writes what a sensor in the supply would show: 2 W, and 4 W more while all of them do.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

IDLE_W, MORE_W = 2.0, 4.0
TICK_S = 0.02
#: Of the meter that is late, and of the one that is averaged.
LATE_S, AVERAGED_S = 2.0, 60.0


@dataclass
class Follower:
    """One meter: what it does with the load of the processes whose command line holds `mark`, and its files' folder.

    The load is that of a calibration's processes, or with `models` of the workers that run models or let them learn.
    """

    mode: str
    mark: str
    folder: str
    models: bool = False
    past: deque[tuple[float, float]] = field(default_factory=deque)
    averaged: float = 0.0
    joules: float = 7.9

    def show(self, now: float, load: float, turn: int) -> None:
        """Write what it shows now; `load` is the share of the load's processes that want to run."""
        self.past.append((now, load))
        while len(self.past) > 1 and self.past[1][0] <= now - LATE_S:
            self.past.popleft()
        gap = self.past[-1][0] - self.past[-2][0] if len(self.past) > 1 else 0.0
        self.averaged += (load - self.averaged) * (1 - math.exp(-gap / AVERAGED_S))
        seen = {
            "follows": load, "late": self.past[0][1], "averaged": self.averaged, "inverted": 1 - load, "constant": 0.5,
            "tiny": load,
        }[self.mode]  # fmt: skip
        # The last digit of a sensor is never still.
        watts = (IDLE_W + MORE_W * seen + turn % 7 * 0.002) * (0.01 if self.mode == "tiny" else 1.0)
        self.joules += watts * gap
        values = {"power1_input": watts * 1e6, "power_now": watts * 1e6, "energy_uj": self.joules * 1e6 % 8_000_000}
        for name, value in values.items():
            _put(Path(self.folder) / name, f"{value:012.0f}\n")
        _put(Path(self.folder) / "watts", f"{watts:09.6f}\n")


def _put(file: Path, text: str) -> None:
    """Write a file as the kernel does: whole."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.pwrite(descriptor, text.encode(), 0)
    os.close(descriptor)


def _words(pid: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _state(pid: str) -> tuple[str, str]:
    """Return the state and the parent of a process, "" and "" of one that has ended."""
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return state, parent


def plays_load(pid: str, mark: str) -> bool:
    """Return whether a process is one of a calibration's own: a copy of the one that reads the meter, and no shell."""
    own = _words(pid)
    _, parent = _state(pid)
    named = b"calibrate" in own and any(mark.encode() in word for word in own)
    return named and not own[0].endswith(b"sh") and _words(parent) == own


def runs_model(pid: str, mark: str) -> bool:
    """Return whether a process is the worker of a job that runs a model, or makes the steps of one."""
    own = _words(pid)
    return not {b"work", b"step"}.isdisjoint(own) and any(mark.encode() in word for word in own)


def young(pid: str) -> bool:
    """Return whether a process began in the last two seconds."""
    try:
        began_ticks = float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return False
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / os.sysconf("SC_CLK_TCK") < 2.0


def _serve(followers: Sequence[Follower]) -> None:
    known: dict[str, Follower | None] = {}
    turn = 0
    while True:
        pids = [place.name for place in Path("/proc").iterdir() if place.name.isdecimal()]
        for pid in pids:
            # A copy has its command line from the beginning, a worker from a moment later on.
            if pid not in known or (known[pid] is None and young(pid)):
                known[pid] = next(
                    (one for one in followers if (runs_model if one.models else plays_load)(pid, one.mark)), None
                )
        turn, now, alive = turn + 1, time.monotonic(), set(pids)
        for one in followers:
            states = [_state(pid)[0] for pid, owner in known.items() if owner is one and pid in alive]
            one.show(now, states.count("R") / len(states) if states else 0.0, turn)
        if turn == 1:
            print("ready", flush=True)
        time.sleep(TICK_S)


@contextmanager
def following(followers: Sequence[Follower]) -> Iterator[None]:
    """Let meters move until the block is left."""
    wanted = json.dumps([{key: asdict(one)[key] for key in ("mode", "mark", "folder", "models")} for one in followers])
    process = subprocess.Popen(["nice", "-n", "-10", sys.executable, __file__, wanted], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    _serve([Follower(**one) for one in json.loads(sys.argv[1])])
