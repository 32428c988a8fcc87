"""Binds a measurement to processor cores: those that the device file names, or the big ones of a device with two kinds.

`taskset` on the device does it, so that the agent, its workers and the runtimes' threads are bound from their first
moment on, with every runner; util-linux, busybox and toybox all take a mask in hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from harness.deploy.handle import DeviceHandle
from harness.errors import Unsupported
from harness.model import BIG_CORES, core_numbers
from harness.ports.runners import Workspace

#: Prints a line for each core that is there: its number, 1 if it is online, and how fast it is compared with others,
#: as the scheduler says it, else its highest frequency, else nothing.
_KINDS: Final = """
for core in /sys/devices/system/cpu/cpu[0-9]*; do
  online=1 speed=
  read -r online 2>/dev/null < "$core/online"
  read -r speed 2>/dev/null < "$core/cpu_capacity" || read -r speed 2>/dev/null < "$core/cpufreq/cpuinfo_max_freq"
  echo "${core##*/cpu} $online $speed"
done
"""
#: Prints which cores a process may use that is bound by what goes before this command.
_ALLOWED: Final = ("grep", "Cpus_allowed_list", "/proc/self/status")


def bind(handle: DeviceHandle, place: Workspace) -> Workspace:
    """Return the workspace with the cores on which jobs shall run, after one trial; as it is where none are named.

    Args:
        handle: of the device.
        place: where the runner was brought.

    Raises:
        Unsupported: the device has no such cores, no two kinds of them, or nothing that binds a process to them.
    """
    wanted = handle.device.cores
    if not wanted:
        return place
    online = _kinds(handle)
    numbers = _big(handle, online) if wanted == BIG_CORES else core_numbers(wanted)
    lacking = [number for number in numbers if number not in online]
    if lacking:
        text = f"cores = {wanted!r} names {listed(lacking)}, and online are {listed(online)}"
        raise _refused(handle, text, "name others, or leave cores out")
    bound = replace(place, cores=listed(numbers))
    done = handle.run([*bound.bound, *_ALLOWED])
    if done.code:
        said = (done.err.decode("utf-8", "replace").strip().splitlines() or [f"code {done.code}"])[-1]
        raise _refused(
            handle, f"cores = {wanted!r} needs taskset, which fails ({said})", "install it, or leave cores out"
        )
    allowed = done.text.partition(":")[2].strip()
    if set(core_numbers(allowed)) != set(numbers):
        text = f"cores = {wanted!r} asks for {bound.cores}, and the device allows {allowed or 'nothing known'}"
        raise _refused(handle, text, "name others, or look for what confines the account (a cpuset)")
    return bound


def listed(numbers: Iterable[int]) -> str:
    """Return core numbers as the kernel writes them: `0-3,6`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _kinds(handle: DeviceHandle) -> dict[int, int | None]:
    """Return the cores that are online, each with its speed compared with the others', None where nothing says it."""
    found: dict[int, int | None] = {}
    for line in handle.run(["sh", "-c", _KINDS]).text.splitlines():
        number, online, *speed = line.split()
        if number.isdecimal() and online == "1":
            found[int(number)] = int(speed[0]) if speed and speed[0].isdecimal() else None
    return found


def _big(handle: DeviceHandle, online: dict[int, int | None]) -> Sequence[int]:
    """Return the cores that are faster than the slowest kind."""
    speeds = {speed for speed in online.values() if speed is not None}
    if None in online.values() or len(speeds) < 2:
        text = f'cores = "{BIG_CORES}" needs cores of two kinds, and {listed(online) or "none"} are alike or do not say'
        raise _refused(handle, text, 'name their numbers, such as cores = "4-7", or leave cores out')
    slowest = min(speeds)
    return [number for number, speed in online.items() if speed is not None and speed > slowest]


def _refused(handle: DeviceHandle, text: str, remedy: str) -> Unsupported:
    return Unsupported(text, remedy=f"{remedy}, in {handle.device.file.name}", device=handle.device.id)
