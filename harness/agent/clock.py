"""Says what time it is by the clock that the events are stamped with."""

from __future__ import annotations

import sys
import time

from harness.agent.contract import CLOCK_PAUSE_S


def main(arguments: list[str]) -> int:
    """Print the monotonic time, in ns, `arguments[0]` times, a line for each, flushed at once."""
    for _ in range(int(arguments[0])):
        sys.stdout.write(f"{time.monotonic_ns()}\n")
        sys.stdout.flush()
        time.sleep(CLOCK_PAUSE_S)
    return 0
