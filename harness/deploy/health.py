"""What happened to a whole device while it measured: it was restarted, or its kernel killed for want of memory.

Both look like a lost connection or a dead agent from here; the kernel knows better, and is asked before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.deploy.handle import DeviceHandle

#: Prints the kernel's boot id, and when its process 1 began, so that a container which is a device differs from
#: what it was before. What cannot be read is left out.
_BOOT_ID: Final = """
read -r boot < /proc/sys/kernel/random/boot_id
read -r first < /proc/1/stat && set -- ${first##*) } && shift 19
echo "$boot ${1:-}"
"""
#: sh -c COUNT sh FILE: what stands behind oom_kill in it.
_COUNT: Final = 'while read -r name value; do [ "$name" != oom_kill ] || echo "$value"; done < "$1"'


def boot_id(handle: DeviceHandle) -> str:
    """Return a name for the time since the device was started, "" if it does not say."""
    return handle.run(["sh", "-c", _BOOT_ID]).text.strip()


def killed_for_memory(handle: DeviceHandle, before: Sequence[tuple[str, int]]) -> int:
    """Return how many processes the kernel has killed for want of memory since `before`, 0 if it does not say.

    Args:
        handle: of the device.
        before: (file, count) as the device side read them at a job's start; the first file that still is there decides.
    """
    for file, count in before:
        said = handle.run(["sh", "-c", _COUNT, "sh", file]).text.strip()
        if said.isdecimal() and len(said) < 20:
            return int(said) - count
    return 0
