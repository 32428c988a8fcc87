"""Meters of every kind whose readings are known: files that a thread moves as the kernel moves its own; programs."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WATTS = 2.5
#: Prints a number that jitters around WATTS, fifty times a second.
PROGRAM = "i=0; while :; do i=$(( (i * 7 + 3) % 1000 )); printf '2.50%03d\\n' $i; sleep 0.02; done"


@dataclasses.dataclass
class Moving:
    """A folder of moving files; `late_s` is the longest that they stood still, however busy this machine was."""

    folder: Path
    late_s: float = 0.01

    def allowed(self, watts: float, seconds: float) -> float:
        """Return by how many watts a counter may be wrong that is late at either end of so many seconds."""
        return watts * (0.02 + 2 * self.late_s / seconds)


@contextmanager
def moved(folder: Path) -> Iterator[Moving]:
    """Give a folder whose files a thread moves as the kernel moves its own: WATTS, in whatever unit a kind reads."""
    done, own = threading.Event(), Moving(folder)

    def show(turn: int, spent_j: float) -> None:
        jitter = turn * 7919 % 2001 - 1000
        values = {
            "power1_input": int(WATTS * 1e6) + jitter, "power_now": -int(WATTS * 1e6) - jitter,
            "in1_input": 5000, "curr1_input": int(WATTS * 200) + jitter % 3 - 1,
            "energy_uj": int(7e6 + spent_j * 1e6) % 8_000_000, "max_energy_range_uj": 8_000_000,
        }  # fmt: skip
        for name, value in values.items():
            part = folder / f".{name}"
            part.write_text(f"{value}\n")
            part.replace(folder / name)

    def run() -> None:
        turn, began = 0, time.monotonic()
        shown = began
        while not done.wait(0.01):
            turn += 1
            show(turn, WATTS * (time.monotonic() - began))
            own.late_s, shown = max(own.late_s, time.monotonic() - shown), time.monotonic()

    show(0, 0)
    (folder / "status").write_text("Discharging\n")
    thread = threading.Thread(target=run)
    thread.start()
    yield own
    done.set()
    thread.join()


def tables(folder: Path) -> dict[str, dict[str, Any]]:
    """Return a meter of every kind, each of which says WATTS."""
    return {
        "hwmon": {"kind": "hwmon", "chip": str(folder)},
        "volts times amperes": {"kind": "hwmon", "chip": str(folder), "channel": "curr1_input*in1_input"},
        "power_supply": {"kind": "power_supply", "path": str(folder)},
        "powercap": {"kind": "powercap", "path": str(folder)},
        "command": {"kind": "command", "argv": ["sh", "-c", PROGRAM, str(folder)]},
        "command, once": {"kind": "command", "argv": ["cat", "{}"], "mode": "once"},
    }
