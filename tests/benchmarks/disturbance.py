"""What harms a measurement, made on purpose: bursts of other work, a drift, and a quota of processor time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil

from devices.virtual import cpu_limit
from devices.virtual.cpu_limit import Throttle
from devices.virtual.requirements import give_up

#: Short, so that a quota resembles a lower clock: a process rests every few milliseconds, not for half a round.
_PERIOD_US = 10_000

#: Burns `share` of every 20 ms for `seconds`; both are given on the command line.
_BURN = """
import sys, time
ends, share = time.monotonic() + float(sys.argv[1]), float(sys.argv[2])
while (now := time.monotonic()) < ends:
    while time.monotonic() < now + 0.02 * share:
        pass
    time.sleep(0.02 * (1 - share))
"""


@contextmanager
def quota() -> Iterator[Throttle]:
    """Give a group of processes that can be slowed down; the test is given up where the kernel lets nobody do so."""
    if missing := cpu_limit.lacking_throttle():
        give_up(f"this machine lacks {missing}")
    with cpu_limit.throttle("quota", period_us=_PERIOD_US) as under:
        yield under


def conductors(workdir: Path) -> list[int]:
    """Return the conductors that live under a device's workdir."""
    found = []
    for file in (workdir / "jobs").glob("*/pid"):
        pid = int(file.read_text())
        if psutil.pid_exists(pid):
            found.append(pid)
    return found


@contextmanager
def _repeating(body: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=body, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _burn(stop: threading.Event, seconds: float, share: float) -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _BURN, str(seconds), str(share)])
    while process.poll() is None and not stop.wait(0.05):
        pass
    process.kill()
    process.wait()


@contextmanager
def bursts(seed: int) -> Iterator[None]:
    """Let two processes burn a core each, for 1 to 5 s at random times: as beside the project's busy record."""

    def body(stop: threading.Event, order: random.Random) -> None:
        while not stop.wait(order.uniform(1, 5)):
            _burn(stop, order.uniform(1, 5), 1.0)

    with ExitStack() as running:
        for number in range(2):
            order = random.Random(seed + number)
            running.enter_context(_repeating(partial(body, order=order)))
        yield


@contextmanager
def drift() -> Iterator[None]:
    """Let a process take ever more of a core, up to all of it within 30 s, then begin anew."""

    def body(stop: threading.Event) -> None:
        while not stop.is_set():
            for step in range(1, 11):
                _burn(stop, 3.0, step / 10)

    with _repeating(body):
        yield


@contextmanager
def slow_clock(under: Throttle, workdir: Path, seed: int) -> Iterator[None]:
    """Emulate a processor that changes its frequency: every 2 to 6 s another quota, of jobs under `workdir` alone."""

    def body(stop: threading.Event) -> None:
        order = random.Random(seed)
        while not stop.wait(order.uniform(2, 6)):
            for pid in conductors(workdir):
                under.hold(pid)
            under.slow(order.choice((0.5, 0.6, 0.8)))
            if stop.wait(order.uniform(2, 6)):
                break
            under.lift()
        under.lift()

    with _repeating(body):
        yield


def trials(default: int) -> int:
    """Return how many trials to run: EDGEWARD_TRIALS, else `default`."""
    return int(os.environ.get("EDGEWARD_TRIALS", default))
