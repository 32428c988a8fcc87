"""Writes the events of a job: one JSON object a line, and a byte for each follower so that nobody has to poll.

Every follower waits at a FIFO of its own, `wake.PID`: a stale one, left behind by a cut link, cannot take the byte that
was meant for its successor. The FIFO `alive` is held open for writing as long as the conductor lives and never written:
who waits at it reads end-of-file at once when the conductor is gone, however it died.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from harness.agent import contract
from harness.agent.presence import reads


class Events:
    """Appends events to a job directory; made once, by the conductor."""

    def __init__(self, job: Path) -> None:
        self._job = job
        if not (job / contract.ALIVE_FILE).exists():
            os.mkfifo(job / contract.ALIVE_FILE)
        # Read-write, so that opening does not wait for a reader.
        self._alive = os.open(job / contract.ALIVE_FILE, os.O_RDWR | os.O_NONBLOCK)
        self._file = (job / contract.EVENTS_FILE).open("a", encoding="utf-8")

    def say(self, kind: type[contract.Event], /, **fields: Any) -> None:
        """Write one event with the monotonic time, in ns, and wake its readers.

        Raises:
            TypeError: a field is missing or not of this kind of event.
        """
        event = kind(event=kind.KIND, t_ns=time.monotonic_ns(), **fields)
        line = json.dumps(contract.plain(event))
        self._file.write(line + "\n")
        self._file.flush()
        for pipe in self._job.glob(contract.WAKE_FILES + "*"):
            reads(pipe, b".")
