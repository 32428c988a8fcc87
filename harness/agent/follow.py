"""Prints a job's events as they come, from a byte offset, and ends when the job does or its conductor dies.

`follow JOB OFFSET` writes the new bytes of events.jsonl to standard output. When the conductor is gone without a final
`done` it adds one line `{"event": "gone"}`, which is never part of the file.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

from harness.agent.events import FILE, WAKE

#: The conductor makes the FIFO first of all; longer than this and it never started.
START_S = 20.0


def main(arguments: list[str]) -> int:
    """Follow the job directory `arguments[0]` from offset `arguments[1]`."""
    job, offset = Path(arguments[0]), int(arguments[1])
    if not _await(job / FILE):
        sys.stdout.write('{"event": "gone"}\n')
        return 0
    wake = os.open(job / WAKE, os.O_RDONLY | os.O_NONBLOCK)
    with (job / FILE).open("rb") as events:
        events.seek(offset)
        while True:
            # Asked before reading: what a conductor wrote before it died is then always printed.
            alive = _conductor_lives(job)
            text = events.read()
            sys.stdout.buffer.write(text)
            sys.stdout.flush()
            if b'"event": "done"' in text:
                return 0
            if not alive:
                sys.stdout.write('{"event": "gone"}\n')
                return 0
            _wait(wake)


def _await(path: Path) -> bool:
    deadline = time.monotonic() + START_S
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _wait(wake: int) -> None:
    """Sleep until the conductor writes or dies; a bounded sleep covers a death between the question and the wait."""
    readable, _, _ = select.select([wake], [], [], 30.0)
    if readable and not os.read(wake, 65536):
        # End of file: no writer is left. Yield, so that the caller's next question is answered by a dead process.
        time.sleep(0.05)


def _conductor_lives(job: Path) -> bool:
    try:
        pid = int((job / "pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return not (job / "pid").exists()
    return state not in "ZX"
