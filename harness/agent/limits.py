"""What limits the memory of this process besides the machine's own, and whether the kernel has killed for want of it.

A container, a service or a login session may be allowed less than the machine has (control groups, either version);
/proc/meminfo says nothing of that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

CGROUP = Path("/proc/self/cgroup")
VMSTAT = Path("/proc/vmstat")
ROOT = Path("/sys/fs/cgroup")
#: Names of limit, use and reclaimable cache: in the first version of the interface, and in the second.
_FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_SECOND = ("memory.max", "memory.current", ("inactive_file", "active_file"))


def groups() -> list[tuple[int, int]]:
    """Return (limit, in use and not reclaimable) of each control group that limits this process, in bytes."""
    found = []
    for line in _text(CGROUP).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += _limits(ROOT, path, _SECOND)
        elif "memory" in controllers.split(","):
            found += _limits(ROOT / "memory", path, _FIRST)
    return found


def kills() -> list[tuple[str, int]]:
    """Return (file, count) of what counts the processes killed for want of memory, the narrowest first.

    The control group of this process counts its own; the kernel counts all since it was started.
    """
    found = []
    for line in _text(CGROUP).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found.append(ROOT / path.strip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            found.append(ROOT / "memory" / path.strip("/") / "memory.oom_control")
    counts = [(str(file), _number(_text(file), "oom_kill")) for file in [*found, VMSTAT]]
    return [(file, count) for file, count in counts if count is not None]


def _number(text: str, name: str) -> int | None:
    """Return the number in a line `name number`."""
    found = [line.split()[1] for line in text.splitlines() if line.startswith(name + " ")]
    return int(found[0]) if found else None


def _limits(root: Path, path: str, names: Any) -> list[tuple[int, int]]:
    """Return the limits of a group and of all it belongs to; inside a container only the root's may be seen."""
    folder, found = root / path.strip("/"), []
    for group in [folder, *folder.parents]:
        limit, used = _text(group / names[0]).strip(), _text(group / names[1]).strip()
        if limit.isdigit() and used.isdigit():
            stat = dict(line.split()[:2] for line in _text(group / "memory.stat").splitlines())
            found.append((int(limit), int(used) - sum(int(stat.get(name, 0)) for name in names[2])))
        if group == root:
            break
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
