"""A memory limit that the kernel enforces by killing: what a device with little memory does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual.waiting import soon

_V1: Final = Path("/sys/fs/cgroup/memory")
_V2: Final = Path("/sys/fs/cgroup")


def lacking_limit() -> str:
    """Return why memory cannot be limited here, empty if it can."""
    if os.geteuid() != 0:
        return "root, to limit memory"
    if _V1.is_dir() or "memory" in _controllers():
        return ""
    return "a kernel whose cgroups limit memory"


def _controllers() -> list[str]:
    file = _V2 / "cgroup.subtree_control"
    return file.read_text().split() if file.is_file() else []


@dataclass(frozen=True, slots=True)
class Limit:
    """A group of processes that may use so much memory together.

    Attributes:
        folder: the kernel's own, of the group.
    """

    folder: Path

    @property
    def door(self) -> Path:
        """The file to which a process writes 0 to become a member, with all that it starts."""
        return self.folder / "cgroup.procs"

    def killed(self) -> int:
        """Return how many processes the kernel has killed for want of memory."""
        events = self.folder / "memory.events"
        file = events if events.exists() else self.folder / "memory.oom_control"
        counts = dict(line.split() for line in file.read_text().splitlines())
        return int(counts["oom_kill"])


@contextlib.contextmanager
def memory_limit(name: str, *, size_bytes: int) -> Iterator[Limit]:
    """Make a group of at most so many bytes until the block is left; its processes must be gone by then."""
    first = _V1.is_dir()
    folder = (_V1 if first else _V2) / f"edgeward-{os.getpid()}-{name}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(size_bytes))
        # Without swap, whose slowness would look like a device that hangs. A kernel may have been built without it.
        swap = folder / ("memory.memsw.limit_in_bytes" if first else "memory.swap.max")
        if swap.exists():
            swap.write_text(str(size_bytes) if first else "0")
        yield Limit(folder)
    finally:
        remove_group(folder)


def remove_group(folder: Path) -> None:
    """Remove a group; the kernel needs a moment after its last process."""
    if not soon(lambda: _removed(folder)):
        folder.rmdir()  # says why it cannot


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
