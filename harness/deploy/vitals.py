"""What befell a whole device while it measured: it was restarted, or its kernel killed for want of memory.

Both look like a lost link or a dead agent from here; the kernel knows better, and is asked before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.ports import Connection

#: Names the device's life: the kernel's boot, and when its process 1 began, so that a container which is a device is
#: told apart from what it was before. What cannot be read is left out.
_LIFE: Final = """
read -r boot < /proc/sys/kernel/random/boot_id
read -r first < /proc/1/stat && set -- ${first##*) } && shift 19
echo "$boot ${1:-}"
"""
#: sh -c COUNT sh FILE: what stands behind oom_kill in it.
_COUNT: Final = 'while read -r name value; do [ "$name" != oom_kill ] || echo "$value"; done < "$1"'


def life(connection: Connection) -> str:
    """Return a name for the time since the device was started, "" if it does not say."""
    return connection.run(["sh", "-c", _LIFE]).text.strip()


def killed_for_memory(connection: Connection, before: Sequence[tuple[str, int]]) -> int:
    """Return how many processes the kernel has killed for want of memory since `before`, 0 if it does not say.

    Args:
        connection: to the device.
        before: (file, count) as the device side told at a job's start; the first file that still is there decides.
    """
    for file, count in before:
        said = connection.run(["sh", "-c", _COUNT, "sh", file]).text.strip()
        if said.isdecimal():
            return int(said) - count
    return 0
