"""A processor that is throttled while something runs on it: a group of processes runs part of the time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual.memory_limit import remove_group

_V1: Final = Path("/sys/fs/cgroup/cpu")
_V2: Final = Path("/sys/fs/cgroup")
#: The kernel's shortest quota is 1 ms; pauses must be shorter than an inference to look like a slower clock.
_PERIOD_US: Final = 2000


def lacking_throttle() -> str:
    """Return why processes cannot be throttled here, empty if they can."""
    if os.geteuid() != 0:
        return "root, to throttle processes"
    controllers = _V2 / "cgroup.subtree_control"
    if _V1.is_dir() or (controllers.is_file() and "cpu" in controllers.read_text().split()):
        return ""
    return "a kernel whose cgroups limit processor time"


@dataclass(frozen=True, slots=True)
class Throttle:
    """A group of processes that may be slowed down; `folder` is the kernel's own."""

    folder: Path

    def add(self, pid: int) -> None:
        """Make a process a member, with what it starts later."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def slow(self, share: float) -> None:
        """Let the members run a `share` of the time from now on, 0.5 to 1."""
        quota = round(_PERIOD_US * share)
        if (self.folder / "cpu.max").exists():
            (self.folder / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (self.folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota))


@contextlib.contextmanager
def throttle(name: str) -> Iterator[Throttle]:
    """Make a group that runs at full speed, before all others; its processes must be gone when the block is left."""
    folder = (_V1 if _V1.is_dir() else _V2) / f"edgeward-{os.getpid()}-{name}"
    folder.mkdir()
    # Of other work on this machine a group would get the share of a single process.
    weight, most = ("cpu.shares", 262_144) if _V1.is_dir() else ("cpu.weight", 10_000)
    try:
        (folder / weight).write_text(str(most))
        yield Throttle(folder)
    finally:
        remove_group(folder)
