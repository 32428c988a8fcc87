"""runner = "python"

The agent under the device's own python3: it gets a job directory, detaches and needs no connection.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import DeviceError, MeasurementError
from harness.model import Device
from harness.ports import Connection

#: Longest silence between two events; a launch of many slow models is the longest that an agent keeps.
SILENCE_S = 900.0


def start(connection: Connection, device: Device, command: Sequence[str], job: str) -> None:
    """Start the conductor on the job directory `job`, in a session of its own."""
    done = connection.run([*command, "conduct", job, "--detach"])
    if done.code:
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        raise DeviceError(f"the agent did not start ({said[-1] if said else done.code})", device=device.id)


def follow(
    connection: Connection, device: Device, command: Sequence[str], job: str, *, offset: int
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (offset behind it, event) from byte `offset` of the job's events on, until the final `done`.

    Raises:
        MeasurementError: the agent is gone and did not finish.
        Unreachable, TimedOut: the link is gone; the job goes on, follow it again from the last offset.
    """
    for line in connection.stream([*command, "follow", job, str(offset)], silence_s=SILENCE_S):
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "gone":
            raise MeasurementError(_post_mortem(connection, device, job))
        # Connections strip the newline.
        offset += len(line.rstrip(b"\n")) + 1
        yield offset, event
        if event["event"] == "done":
            return
    raise MeasurementError(f"{device.id}: the agent's events ended without a last word; measure again")


def stop(connection: Connection, job: str) -> None:
    """End the conductor and its workers, which share its process group."""
    connection.run(["sh", "-c", 'kill -TERM "-$(cat "$1/pid")"', "sh", job])


def _post_mortem(connection: Connection, device: Device, job: str) -> str:
    """Return why an agent that did not finish may have ended."""
    log = connection.run(["tail", "-n", "1", posixpath.join(job, "agent.log")]).text.strip()
    full = connection.run(["df", "-Pk", job]).text.splitlines()[-1:]
    free_kib = int(full[0].split()[3]) if full and len(full[0].split()) > 3 else -1
    if 0 <= free_kib < 64 or "No space left" in log:
        return f"{device.id}: the disk under {job} is full; free some space or set workdir to another disk"
    why = f"its last words: {log}" if log else "it was killed, perhaps for lack of memory"
    return f"{device.id}: the agent ended before it was done ({why}); nothing of this job was taken; measure again"
