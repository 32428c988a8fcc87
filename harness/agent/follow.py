"""Prints a job's events as they come, from a byte offset, and ends when the job does or its conductor dies.

`follow JOB OFFSET` writes the new lines of events.jsonl to standard output, whole ones only. When the conductor is
gone without a final `done` it adds an event `gone`, which is never part of the file. It ends when nobody reads it any
more: by that the conductor knows whether its host is there (harness/agent/presence.py).
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.agent import contract

#: The conductor makes its files first of all; longer than this and it never started.
START_S = 20.0
_DONE = b'{"event": "done"'


def main(arguments: list[str]) -> int:
    """Follow the job directory `arguments[0]` from offset `arguments[1]`."""
    job, offset = Path(arguments[0]), int(arguments[1])
    if not _await(job):
        _print([_gone()])
        return 0
    with _bell(job) as bell, (job / contract.EVENTS_FILE).open("rb") as events:
        alive = os.open(job / contract.ALIVE_FILE, os.O_RDONLY | os.O_NONBLOCK)
        events.seek(offset)
        tail = b""
        while True:
            # Asked before reading: what a conductor wrote before it died is then always printed.
            lives = _conductor_lives(job)
            *lines, tail = (tail + events.read()).split(b"\n")
            _print(lines)
            if any(line.startswith(_DONE) for line in lines):
                return 0
            if not lives:
                _print([_gone()])
                return 0
            if not _wait(bell, alive):
                return 0


@contextmanager
def _bell(job: Path) -> Iterator[int]:
    """Give the reading end of a FIFO of our own, which the conductor finds by its name."""
    name, part = job / f"{contract.WAKE_FILES}{os.getpid()}", job / f".{contract.WAKE_FILES}{os.getpid()}"
    os.mkfifo(part)
    # Read-write: no end-of-file between two events. Named only now: the conductor removes a FIFO that nobody reads.
    descriptor = os.open(part, os.O_RDWR | os.O_NONBLOCK)
    part.replace(name)
    try:
        yield descriptor
    finally:
        if name.exists():
            name.unlink()


def _await(job: Path) -> bool:
    deadline = time.monotonic() + START_S
    while not (job / contract.EVENTS_FILE).exists():
        if time.monotonic() > deadline or not _conductor_lives(job):
            return False
        time.sleep(0.05)
    return True


def _gone() -> bytes:
    event = contract.Gone(event=contract.Gone.KIND, t_ns=time.monotonic_ns())
    return json.dumps(contract.plain(event)).encode()


def _print(lines: list[bytes]) -> None:
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
    sys.stdout.buffer.flush()


def _wait(bell: int, alive: int) -> bool:
    """Sleep until the conductor writes or dies; return False when nobody reads any more."""
    poll = select.poll()
    for descriptor, wanted in ((bell, select.POLLIN), (alive, select.POLLIN), (sys.stdout.fileno(), 0)):
        poll.register(descriptor, wanted)
    ready = dict(poll.poll())
    if sys.stdout.fileno() in ready:
        return False
    if bell in ready:
        os.read(bell, 65536)
    else:
        # End of file: its descriptors are closed, the process itself may take a moment more.
        time.sleep(0.02)
    return True


def _conductor_lives(job: Path) -> bool:
    """Return False once it is dead; one that has not yet said who it is counts as alive."""
    try:
        pid = (job / contract.PID_FILE).read_text().strip()
    except FileNotFoundError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        # After a restart of the device the number may be anybody's, or have been lost with the power.
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and os.fsencode(job.name) in words
