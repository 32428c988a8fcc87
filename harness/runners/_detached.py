"""What the Python agent and the native runner share: a detached job is started, followed and ended in one way."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final

from harness.agent import contract
from harness.deploy import checked, space
from harness.errors import MeasurementError
from harness.ports.runners import Handle
from harness.results import events
from harness.units import human

#: Longest silence between two events; a launch of many slow models is the longest that an agent keeps; s.
SILENCE_S: Final = 900.0
#: With less than that left a disk is full; bytes.
_FULL_BYTES: Final = 64 * 1024
#: What goes before the command of a job that yields to whatever else the device does.
_LOW_PRIORITY: Final = ("nice", "-n", "19")
#: Kills a job's process group, if the number still is that job's, and waits: what still runs may still write.
_STOP: Final = """
pid=$(cat "$1/pid") || exit 0
tr '\\0' ' ' < "/proc/$pid/cmdline" | grep -qF "$1" || exit 0
kill -KILL "-$pid"
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 "-$pid" 2>/dev/null || exit 0
  sleep 0.1
done
"""


def start(handle: Handle, job: str, *, low_priority: bool = False) -> None:
    """Start the conductor on the job directory `job`, in a session of its own.

    Args:
        handle: of the device.
        job: its folder on the device; started twice, it runs once.
        low_priority: whether it yields to whatever else the device does.

    Raises:
        DeviceError: it did not start.
    """
    place = handle.workspace
    command = (*(_LOW_PRIORITY if low_priority else ()), *place.bound, *place.command)
    done = handle.run([*command, "run", job, "--detach"])
    checked(done, handle.device, "the agent did not start", remedy="look at what the device said")


def follow(handle: Handle, job: str, *, offset: int) -> Iterator[tuple[int, contract.Event]]:
    """Yield (offset behind it, event) from byte `offset` of the job's events on, until the final `done`.

    Args:
        handle: of the device.
        job: its folder on the device.
        offset: where to go on.

    Raises:
        MeasurementError: the agent is gone and did not finish, an event cannot be accepted, or there are too many.
        Unreachable, TimedOut: the connection is gone; the job goes on, follow it again from the last offset.
    """
    device = handle.device.id
    command = [*handle.workspace.command, "follow", job, str(offset)]
    for line in handle.stream(command, silence_s=SILENCE_S):
        said = events.read(line, device=device)
        if any(isinstance(event, contract.Gone) for event in said):
            raise _why_it_ended(handle, job)
        # Connections strip the newline.
        offset += len(line.rstrip(b"\n")) + 1
        if offset > contract.EVENTS_BYTES:
            raise MeasurementError(
                f"the job has said more than {human(contract.EVENTS_BYTES, 'B')}",
                remedy="measure fewer models in a suite, for a shorter time",
                where=device,
            )
        for event in said:
            yield offset, event
        if any(isinstance(event, contract.Done) for event in said):
            return
    raise MeasurementError("the agent's events ended without the last one", remedy="measure again", where=device)


def stop(handle: Handle, job: str) -> None:
    """End the conductor and its workers, which share its process group, and wait until they are gone."""
    handle.run(["sh", "-c", _STOP, "sh", job])


def _why_it_ended(handle: Handle, job: str) -> MeasurementError:
    """Return why an agent that did not finish may have ended."""
    device = handle.device.id
    log = handle.run(["tail", "-n", "1", posixpath.join(job, contract.LOG_FILE)]).text.strip()
    left = space.left_under(handle, job)
    full = left.size_bytes is not None and left.size_bytes < _FULL_BYTES
    if full or "No space left" in log:
        remedy = "free some space or set workdir to another disk"
        inodes = " (it has bytes left, its inodes are used up)" if left.files == 0 and left.size_bytes else ""
        return MeasurementError(f"the disk under {job} is full{inodes}", remedy=remedy, where=device)
    why = f"its last words: {log}" if log else "it was killed, perhaps for lack of memory"
    text = f"the agent ended before it was done ({why}); nothing of this case was taken"
    return MeasurementError(text, remedy="measure again", where=device)
