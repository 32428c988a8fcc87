"""[meter]
kind = "command"
argv = ["/usr/local/bin/watts", "--channel", "1"]
mode = "stream"                             # started once, a line for every reading; "once": run anew for each
deadline_s = 2.0                            # longest time without a reading

Reads any program that prints watts, a plain number a line ("4.2"). It must flush every line, five a second or more. Its
own work is measured with the model's; mode "once" costs a process for each reading, so prefer "stream".
"""

from __future__ import annotations

import math
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Any

QUANTITY = "watts"


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    argv: tuple[str, ...] = ()
    mode: str = "stream"
    deadline_s: float = 2.0

    def __post_init__(self) -> None:
        if self.mode not in ("stream", "once"):
            raise ValueError(f'mode is "stream" or "once", not {self.mode!r}')
        if not 0 < self.deadline_s <= 60:
            raise ValueError(f"deadline_s must lie between 0 and 60 s, not {self.deadline_s:g}")


class Meter:
    """Watts drawn now, as a program says."""

    resolution = 1e-6

    def __init__(self, options: Options) -> None:
        if not options.argv:
            raise ValueError("argv is empty: name the program that prints watts")
        self._options = options
        self._stream = _Stream(options) if options.mode == "stream" else None
        try:
            self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> float:
        """Return the watts that the program said last, or says now."""
        return self._stream.read() if self._stream else _once(self._options)

    def charging(self) -> bool:
        """Return False: the program knows where it measures."""
        return False

    def close(self) -> None:
        """End the program."""
        if self._stream:
            self._stream.close()


def watts(line: str, program: str) -> float:
    """Return the number that a line is; raises ValueError naming the line for anything else."""
    try:
        value = float(line)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{program} printed {line.strip()[:80]!r}, which is no number of watts; print one a line")
    return value


def _environment() -> dict[str, str]:
    # Some languages write 4,2 for 4.2.
    return {**os.environ, "LC_ALL": "C"}


def _once(options: Options) -> float:
    program = options.argv[0]
    try:
        done = subprocess.run(
            list(options.argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=options.deadline_s,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{program} did not end within {options.deadline_s:g} s") from None
    if done.returncode:
        raise ValueError(f"{program} ended with code {done.returncode}{_last_words(done.stderr)}")
    lines = done.stdout.decode("utf-8", "replace").split("\n")
    return watts(lines[0], program)


class _Stream:
    """The running program; a thread keeps its newest line, so that a reading is never an old one from a full pipe."""

    def __init__(self, options: Options) -> None:
        self._options, self._program = options, options.argv[0]
        # Errors go to a file, because a full pipe that nobody reads would stop the program.
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                list(options.argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
            )
            self._errors = os.fdopen(os.dup(errors.fileno()), "rb")
        self._fresh, self._at, self._value = threading.Condition(), 0.0, 0.0
        self._fault = ""
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def read(self) -> float:
        with self._fresh:
            deadline = self._options.deadline_s
            self._fresh.wait_for(lambda: self._at or self._fault, timeout=deadline)
            if self._fault:
                raise ValueError(self._fault)
            if not self._at or time.monotonic() - self._at > deadline:
                raise ValueError(f"{self._program} printed no line for {deadline:g} s; it must flush every line")
            return self._value

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._errors.close()

    def _follow(self) -> None:
        pipe: Any = self._process.stdout
        with pipe:
            for line in pipe:
                try:
                    value = watts(line.decode("utf-8", "replace"), self._program)
                except ValueError as error:
                    self._say(fault=str(error))
                    return
                self._say(value)
        code = self._process.wait()
        self._errors.seek(0)
        self._say(fault=f"{self._program} ended with code {code}{_last_words(self._errors.read())}; it must go on")

    def _say(self, value: float = 0.0, fault: str = "") -> None:
        with self._fresh:
            self._value, self._fault, self._at = value, fault, time.monotonic()
            self._fresh.notify_all()


def _last_words(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return f" ({lines[-1].strip()[:200]})" if lines else ""
