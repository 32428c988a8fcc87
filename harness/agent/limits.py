"""What limits the memory of this process besides the machine's own, and whether the kernel has killed for want of it.

A container, a service or a login session may be allowed less than the machine has (control groups, either version);
/proc/meminfo says nothing of that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.agent.sensors import count, text

CGROUP = Path("/proc/self/cgroup")
VMSTAT = Path("/proc/vmstat")
ROOT = Path("/sys/fs/cgroup")
#: Names of limit, use and reclaimable cache: in the first version of the interface, and in the second.
_FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_SECOND = ("memory.max", "memory.current", ("inactive_file", "active_file"))


def groups() -> list[tuple[int, int]]:
    """Return (limit, in use and not reclaimable) of each control group that limits this process, in bytes."""
    found = []
    for second, path in _own():
        found += _limits(ROOT, path, _SECOND) if second else _limits(ROOT / "memory", path, _FIRST)
    return found


def kills() -> list[tuple[str, int]]:
    """Return (file, count) of what counts the processes killed for want of memory, the narrowest first.

    The control group of this process counts its own; the kernel counts all since it was started.
    """
    found = []
    for second, path in _own():
        folder = ROOT / path.strip("/") if second else ROOT / "memory" / path.strip("/")
        found.append(folder / ("memory.events" if second else "memory.oom_control"))
    counts = [(str(file), _listed(text(file)).get("oom_kill")) for file in [*found, VMSTAT]]
    return [(file, killed) for file, killed in counts if killed is not None]


def _own() -> list[tuple[bool, str]]:
    """Return (whether of the second version, path) of each control group of this process that counts memory."""
    fields = [line.split(":", 2) for line in text(CGROUP).splitlines()]
    known = [(one[1], one[2]) for one in fields if len(one) == 3]
    return [(not names, path) for names, path in known if not names or "memory" in names.split(",")]


def _listed(said: str) -> dict[str, int]:
    """Return the numbers of lines `name number`; a line of another kind is left out."""
    pairs = [line.split() for line in said.splitlines()]
    found = {pair[0]: count(pair[1]) for pair in pairs if len(pair) == 2}
    return {name: value for name, value in found.items() if value is not None}


def _limits(root: Path, path: str, names: Any) -> list[tuple[int, int]]:
    """Return the limits of a group and of all it belongs to; inside a container only the root's may be seen."""
    folder, found = root / path.strip("/"), []
    for group in [folder, *folder.parents]:
        limit, used = count(text(group / names[0])), count(text(group / names[1]))
        if limit is not None and used is not None:
            stat = _listed(text(group / "memory.stat"))
            found.append((limit, used - sum(stat.get(name, 0) for name in names[2])))
        if group == root:
            break
    return found
