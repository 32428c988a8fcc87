"""The conductor's handle on one worker process."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.agent import limits, survey
from harness.agent.contract import LOOK_S
from harness.agent.presence import Presence

#: What the processes of this conductor have taken so far, in ns: starting them, loading models, and inferring.
SPENT = {"process_start_ns": 0, "load_ns": 0, "inference_ns": 0}


class Lost(Exception):
    """A worker answered with an error, died, or did not answer in time."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Process:
    """A worker for model `index` of the job; `start_ns` is from spawn to ready.

    `accelerator` is what was seen to run the model: a worker that loads it without is as good as lost. `presence` is
    looked at before each request and while its answer is long in coming.
    """

    def __init__(
        self, job: Path, index: int, deadline_s: float, accelerator: str = "", presence: Presence | None = None
    ) -> None:
        main = str(Path(__file__).with_name("__main__.py"))
        self._deadline_s, self._accelerator, self._presence = deadline_s, accelerator, presence
        self._log = job / f"m{index}.log"
        self._buffer = b""
        self._kills, self._free_bytes = limits.kills(), survey.available()
        started = time.monotonic_ns()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", main, "work", str(job), str(index)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            ready = self._read()
        except Lost:
            self.quit()
            raise
        self.start_ns = ready["ready_ns"] - started
        SPENT["process_start_ns"] += self.start_ns
        self.facts: dict[str, Any] = ready["facts"]

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Send one request and return its answer; raises Lost."""
        self._look()
        try:
            self._pipe("stdin").write(json.dumps({"do": verb, **fields}).encode() + b"\n")
            self._pipe("stdin").flush()
        except BrokenPipeError:
            self._die()
        answer = self._read()
        if verb == "load" and self._accelerator and answer["accelerator"] != self._accelerator:
            raise Lost("accelerator", f"{self._accelerator} ran this model once and now does not start")
        SPENT["load_ns" if verb == "load" else "inference_ns"] += answer.get("ns", 0)
        return answer

    def be_patient(self, seconds: float) -> None:
        """Wait at least so long for answers from now on."""
        self._deadline_s = max(self._deadline_s, seconds)

    def quit(self) -> None:
        """End the process, kindly first."""
        try:
            self._pipe("stdin").write(b'{"do": "quit"}\n')
            self._pipe("stdin").close()
            self._process.wait(5)
        except (BrokenPipeError, subprocess.TimeoutExpired, ValueError):
            self._process.kill()
            self._process.wait()
        self._pipe("stdout").close()

    def _look(self) -> None:
        if self._presence:
            self._presence.look()

    def _pipe(self, name: str) -> Any:
        return getattr(self._process, name)

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._deadline_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._pipe("stdout")], [], [], max(min(left, LOOK_S), 0))
            if not readable and left > LOOK_S:
                self._look()
                continue
            if not readable:
                self._process.kill()
                raise Lost("timeout", f"no answer within {self._deadline_s:.0f} s; the process was ended")
            chunk = os.read(self._pipe("stdout").fileno(), 65536)
            if not chunk:
                self._die()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Lost(answer["error"], answer["message"])
        return answer

    def _die(self) -> None:
        _, status, usage = os.wait4(self._process.pid, 0)
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGKILL:
            raise self._killed(usage.ru_maxrss * 1024)
        if code < 0:
            raise Lost("killed", f"the process was killed by {signal.Signals(-code).name}")
        tail = " ".join(self._log.read_text(errors="replace").split())[-300:]
        raise Lost("died", f"the process ended with code {code}: {tail}")

    def _killed(self, peak_bytes: int) -> Lost:
        """Return who sent SIGKILL, as far as the kernel shows: itself for want of memory, or somebody else."""
        now = limits.kills()
        if not now or not self._kills:
            return Lost("killed", "the process was killed by SIGKILL, perhaps for want of memory")
        if now[0] == self._kills[0]:
            return Lost("killed", "the process was killed by SIGKILL, and not by the kernel for want of memory")
        had = ", ".join(
            f"{size / 1e6:.0f} MB {what}"
            for size, what in ((survey.total(), "in all"), (self._free_bytes, "free before it started"))
            if size is not None
        )
        return Lost(
            "memory", f"out of memory: the kernel killed the process at {peak_bytes / 1e6:.0f} MB; there is {had}"
        )
