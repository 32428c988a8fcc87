"""The agent's voice: one JSON object a line in events.jsonl, and a byte into a FIFO so that nobody has to poll.

The FIFO stays open for writing as long as the conductor lives. A follower that reads end-of-file therefore knows at
once that the conductor is gone, however it died, and a follower that waits costs the device nothing.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

FILE = "events.jsonl"
WAKE = "wake"


class Events:
    """Appends events to a job directory; made once, by the conductor."""

    def __init__(self, job: Path) -> None:
        wake = job / WAKE
        if not wake.exists():
            os.mkfifo(wake)
        # Read-write, so that opening does not wait for a reader and writing never meets a closed pipe.
        self._wake = os.open(wake, os.O_RDWR | os.O_NONBLOCK)
        self._file = (job / FILE).open("a", encoding="utf-8")

    def say(self, event: str, **fields: Any) -> None:
        """Write one event with the monotonic time, in ns, and wake whoever follows."""
        line = json.dumps({"event": event, "t_ns": time.monotonic_ns(), **fields})
        self._file.write(line + "\n")
        self._file.flush()
        try:
            os.write(self._wake, b".")
        except BlockingIOError:
            # A full FIFO means that nobody reads just now; whoever comes back reads the file from where he stopped.
            return
