"""A processor that is throttled while something runs on it: a group of processes runs part of the time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from devices.virtual.memory_limit import remove_group
from devices.virtual.waiting import soon

_V1: Final = Path("/sys/fs/cgroup/cpu")
_V2: Final = Path("/sys/fs/cgroup")


def lacking_throttle() -> str:
    """Return why processes cannot be throttled here, empty if they can."""
    if os.geteuid() != 0:
        return "root, to throttle processes"
    controllers = _V2 / "cgroup.subtree_control"
    if (_V1 / "cpu.cfs_quota_us").is_file() or (controllers.is_file() and "cpu" in controllers.read_text().split()):
        return ""
    return "a kernel whose cgroups limit processor time (CONFIG_CFS_BANDWIDTH)"


@dataclass(frozen=True, slots=True)
class Throttle:
    """A group of processes that may be slowed down.

    Attributes:
        folder: the kernel's own, of the group.
        period_us: in which they run for their share and then rest.
    """

    folder: Path
    period_us: int

    def hold(self, pid: int) -> None:
        """Make a process a member, with all that it has started and starts later."""
        try:
            first = psutil.Process(pid)
            members = [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return  # it has ended meanwhile
        for process in members:
            _enter(self.folder, process.pid)

    def slow(self, share: float) -> None:
        """Let the members run a `share` of the time of one processor from now on."""
        self._allow(str(round(self.period_us * share)))

    def lift(self) -> None:
        """Let the members run all the time again."""
        self._allow("max" if (self.folder / "cpu.max").exists() else "-1")

    def _allow(self, quota: str) -> None:
        if (self.folder / "cpu.max").exists():
            (self.folder / "cpu.max").write_text(f"{quota} {self.period_us}")
        else:
            (self.folder / "cpu.cfs_period_us").write_text(str(self.period_us))
            (self.folder / "cpu.cfs_quota_us").write_text(quota)


@contextlib.contextmanager
def throttle(name: str, *, period_us: int, first: bool = False) -> Iterator[Throttle]:
    """Make a group that runs at full speed until it is slowed; when the block is left its members are free again.

    Args:
        name: of the group, unique among those of this process.
        period_us: pauses must be shorter than an inference to look like a slower clock; the kernel's shortest quota is
            1 ms.
        first: whether the members go before all other work on this machine.
    """
    root = _V1 if _V1.is_dir() else _V2
    folder = root / f"edgeward-{os.getpid()}-{name}"
    folder.mkdir()
    try:
        if first:
            weight, most = ("cpu.shares", 262_144) if root == _V1 else ("cpu.weight", 10_000)
            (folder / weight).write_text(str(most))
        yield Throttle(folder, period_us)
    finally:
        _empty(folder, root)
        remove_group(folder)


def _empty(folder: Path, root: Path) -> None:
    def left() -> bool:
        held = (folder / "cgroup.procs").read_text().split()
        for pid in held:
            _enter(root, int(pid))
        return not held

    if not soon(left):
        raise TimeoutError(f"{folder} still holds processes")


def _enter(group: Path, pid: int) -> None:
    try:
        (group / "cgroup.procs").write_text(str(pid))
    except ProcessLookupError:
        return  # it has ended meanwhile
