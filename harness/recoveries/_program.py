"""Runs a program of this host that resets a device, for a bounded time and with what it said in the error."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from harness.errors import DeviceError, MissingTool, Refused, TimedOut

#: How much of what a program said is shown, bytes.
_SAID: Final = 300


def run(argv: Sequence[str], *, device: str, limit_s: float, missing: str) -> None:
    """Run a program and wait for its end.

    Args:
        argv: its command line.
        device: for the error.
        limit_s: how long it may take; it is then killed with all that it started, s.
        missing: what to do if there is no such program.

    Raises:
        MissingTool, Refused: there is no such program, or it may not be started.
        TimedOut: it did not end in time.
        DeviceError: it ended with another code than 0.
    """
    name = Path(argv[0]).name
    # A file, not a pipe: a program may leave a daemon behind that keeps a pipe open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except FileNotFoundError as error:
            raise MissingTool(f"there is no program {argv[0]} on this host", device=device, remedy=missing) from error
        except OSError as error:
            text = f"{argv[0]} cannot be started ({error.strerror or error})"
            raise Refused(text, device=device, remedy="make it a program that this user may run") from error
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            text = f"{name} did not end within {limit_s:g} s{_said(output.fileno())}"
            raise TimedOut(text, device=device, remedy="raise limit_s in [recover]") from error
        if code:
            remedy = f"run it by hand and look: {shlex.join(argv)}"
            raise DeviceError(f"{name} ended with {code}{_said(output.fileno())}", device=device, remedy=remedy)


def _said(output: int) -> str:
    """Return the end of what was written to a file, in brackets, "" if that is nothing."""
    size = os.fstat(output).st_size
    text = os.pread(output, _SAID, max(0, size - _SAID)).decode("utf-8", "replace").strip()
    return f" ({'; '.join(text.splitlines())})" if text else ""
