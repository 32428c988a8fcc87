"""Sees whether the host is there, keeps its lease meanwhile, and ends the job when it has been gone for too long.

The host is there while it follows the job: `follow` ends as soon as nobody reads what it prints, and then its FIFO has
no reader. Nothing is sent for that. A host that was killed and a cable that was cut look alike from here, so the job
goes on for `host_gone_s`, which the host chose longer than it tries to come back, and ends only then. The beat stops at
once: after `harness.leases.file.EXPIRY_S` another host may take the device, which ends the job. A link that is lost in
silence leaves its follower waiting until the system notices; the lease then lasts as long as the job, at most.

It looks before a request to a worker, or while it waits for a long answer, at most every `LOOK_S`: within the rounds
that are timed nothing is done, and between them a few system calls.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from harness.agent import contract


class Presence:
    """The host of one job, as the conductor sees it."""

    def __init__(self, folder: Path, beat: str = "", gone_s: float = 0.0) -> None:
        self._folder, self._beat, self._gone_s = folder, beat, gone_s
        self._seen = time.monotonic()
        self._looked = self._seen - contract.LOOK_S

    def look(self) -> None:
        """Look, unless that was done a moment ago; does not return when the host has been gone for too long."""
        now = time.monotonic()
        if now - self._looked < contract.LOOK_S:
            return
        self._looked = now
        if not self._gone_s or self._followed():
            self._seen = now
            self._write_beat()
        elif now - self._seen > self._gone_s:
            self._end()

    def _followed(self) -> bool:
        return any(reads(pipe) for pipe in self._folder.glob(contract.WAKE_FILES + "*"))

    def _write_beat(self) -> None:
        if not self._beat:
            return
        # Not made: it was removed with the lease. In place: it must never be read empty.
        with contextlib.suppress(OSError), Path(self._beat).open("r+") as file:
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            file.write(f"{boot_id} {Path('/proc/uptime').read_text().split('.')[0]}\n")

    def _end(self) -> None:
        """End the workers, remove what must not stay, and end."""
        sys.stderr.write(f"nobody followed the job for {self._gone_s:.0f} s: it ends\n")
        secret = self._folder / contract.SECRET_FILE
        for name in secret.read_text().splitlines() if secret.exists() else ():
            with contextlib.suppress(OSError):
                Path(name).unlink()
        if os.getpgrp() == os.getpid():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
        confidential = secret.exists()
        shutil.rmtree(self._folder, ignore_errors=True)
        if confidential and not self._folder.exists():
            with contextlib.suppress(OSError), (self._folder.parents[1] / contract.WIPED_FILE).open("a") as file:
                file.write(f"{self._folder.name}\n")
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        sys.exit(75)


def reads(pipe: Path, byte: bytes = b"") -> bool:
    """Return whether a follower reads its FIFO, and write `byte` to it; one of a dead follower is removed."""
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            # Its follower was killed and could not take it away.
            with contextlib.suppress(FileNotFoundError):
                pipe.unlink()
        elif error.errno != errno.ENOENT:
            raise
        return False
    try:
        os.write(descriptor, byte)
    except BlockingIOError:
        # A full FIFO wakes as well as one byte more.
        return True
    finally:
        os.close(descriptor)
    return True
