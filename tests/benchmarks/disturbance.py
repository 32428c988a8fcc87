"""What harms a measurement, made on purpose: bursts of other work, a drift, and a quota of processor time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from devices.virtual.requirements import give_up

_ROOTS = {"v1": Path("/sys/fs/cgroup/cpu"), "v2": Path("/sys/fs/cgroup")}
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


class Quota:
    """A limit on the processor time of some processes; unlimited until told otherwise."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder, self._root = folder, root
        self._old = (folder / "cpu.cfs_quota_us").exists()

    def hold(self, pid: int) -> None:
        """Put a process and all that it has started under the limit."""
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            _enter(self._folder, process.pid)

    def limit(self, share: float) -> None:
        """Allow `share` of one processor."""
        quota = str(int(share * _PERIOD_US))
        if self._old:
            (self._folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self._folder / "cpu.cfs_quota_us").write_text(quota)
        else:
            (self._folder / "cpu.max").write_text(f"{quota} {_PERIOD_US}")

    def lift(self) -> None:
        """Allow everything again."""
        if self._old:
            (self._folder / "cpu.cfs_quota_us").write_text("-1")
        else:
            (self._folder / "cpu.max").write_text(f"max {_PERIOD_US}")

    def remove(self) -> None:
        """Let everything go and take the group away."""
        ends_at = time.monotonic() + 10
        while held := (self._folder / "cgroup.procs").read_text().split():
            assert time.monotonic() < ends_at, f"{self._folder} still holds {held}"
            for pid in held:
                _enter(self._root, int(pid))
        self._folder.rmdir()


def _enter(group: Path, pid: int) -> None:
    try:
        (group / "cgroup.procs").write_text(str(pid))
    except ProcessLookupError:
        return  # it has ended meanwhile


@contextmanager
def quota() -> Iterator[Quota]:
    """Give a group of processes whose time can be limited; the test is given up where the kernel lets nobody do so."""
    root = _ROOTS["v1"] if (_ROOTS["v1"] / "cpu.cfs_quota_us").exists() or _ROOTS["v1"].is_dir() else _ROOTS["v2"]
    folder = root / f"edgeward-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
    except OSError as error:
        give_up(f"no cgroup can be made ({error}); run as root on a kernel with CONFIG_CFS_BANDWIDTH")
    made = Quota(folder, root)
    try:
        if not any((folder / name).exists() for name in ("cpu.cfs_quota_us", "cpu.max")):
            give_up(f"{root} gives no quota of processor time; enable its cpu controller")
        yield made
    finally:
        made.remove()


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
            running.enter_context(_repeating(lambda stop, order=order: body(stop, order)))
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
def slow_clock(under: Quota, workdir: Path, seed: int) -> Iterator[None]:
    """Emulate a processor that changes its frequency: every 2 to 6 s another quota, of jobs under `workdir` alone."""

    def body(stop: threading.Event) -> None:
        order = random.Random(seed)
        while not stop.wait(order.uniform(2, 6)):
            for pid in conductors(workdir):
                under.hold(pid)
            under.limit(order.choice((0.5, 0.6, 0.8)))
            if stop.wait(order.uniform(2, 6)):
                break
            under.lift()
        under.lift()

    with _repeating(body):
        yield


def trials(default: int) -> int:
    """Return how many trials to run: EDGEWARD_TRIALS, else `default`."""
    return int(os.environ.get("EDGEWARD_TRIALS", default))
