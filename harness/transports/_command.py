"""One command on a device, whatever carries it: what it prints, when it last moved, how it ended.

Every call that talks to a device may block for ever when the other side falls silent (even closing, which sends), so
they are all made in threads of the command; the caller only waits, and can always give up in time.
"""

from __future__ import annotations

import io
import re
import shlex
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

from harness.agent import contract
from harness.errors import DeviceError, Transient
from harness.transports._bounds import too_much

#: Printed first, so that what a login shell's start-up files print can be left out, and the process can be killed. The
#: command is not exec'ed: a shell that outlives it tells a kill (128 + signal) from a lost connection (no code at all).
START: Final = 'echo "edgeward-start $$"; "$@"; exit $?'
_STARTED: Final = re.compile(rb"edgeward-start (\d+)\n")

#: What a login shell's start-up files may print; bytes.
_NOISE: Final = 1 << 20
#: What a shell says of a command that SIGKILL or SIGTERM ended: it did not fail by itself.
_KILLED: Final = (137, 143)


def spelled(argv: Sequence[str]) -> str:
    """Return the command line that starts `argv` on a device, quoted for a POSIX shell."""
    return "exec " + shlex.join(["sh", "-c", START, "sh", *argv])


def ended(name: str, code: int, err: bytes, *, device: str) -> DeviceError:
    """Return the error for a command that ended with another code than 0: Transient if somebody killed it.

    Args:
        name: of the command.
        code: its exit code.
        err: what it wrote to standard error.
        device: the device's id.
    """
    said = err.decode("utf-8", "replace").strip()[-300:]
    kind = Transient if code in _KILLED else DeviceError
    return kind(f"`{name}` ended with code {code}: {said or 'it said nothing'}", device=device)


class Expired(Exception):
    """The caller's deadline passed before the command ended."""


class Command(ABC):
    """A command that runs on the device from the moment `begin` is called.

    Args:
        stdin: its standard input.
        sink: is given its standard output, chunk by chunk, in a thread of the command.
        at_end: called in that thread once the command is over.
        carrier: what carries it ("ssh"), for the names of its threads.
        chunk: how much of stdin is sent at once; bytes.

    Attributes:
        moved_at: when bytes last went in either direction, on the monotonic clock; s.
        fed: whether all of stdin has been sent.
        pid: of the process group on the device, None until it has started.
        code: exit code, -1 if the device gave none.
        err: standard error.
        noise: what was printed before the command started.
        failure: what broke it off on this side, None if nothing did.
    """

    def __init__(
        self,
        stdin: IO[bytes] | bytes,
        sink: Callable[[bytes], object],
        at_end: Callable[[], object],
        *,
        carrier: str,
        chunk: int,
    ) -> None:
        self.moved_at = time.monotonic()
        self.fed = False
        self.pid: int | None = None
        self.code = -1
        self.err = bytearray()
        self.noise = bytearray()
        self.failure: Exception | None = None
        self._stdin = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
        self._sink = sink
        self._at_end = at_end
        self._thread_name = f"{carrier}-command"
        self._chunk = chunk
        self._over = threading.Event()
        self._settled = threading.Event()  # over, or bound to fail

    def begin(self) -> None:
        """Start it; the last thing a subclass does when it is made."""
        self._thread(self._work).start()

    def wait(self, ends_at: Callable[[], float]) -> None:
        """Wait until the command is over or has failed; raises Expired when the moment `ends_at()` has passed."""
        while not self._settled.wait(max(0.0, min(threading.TIMEOUT_MAX, ends_at() - time.monotonic()))):
            if time.monotonic() >= ends_at():
                raise Expired

    @property
    def over(self) -> bool:
        """True once the command has ended, or was broken off."""
        return self._over.is_set()

    @abstractmethod
    def close(self) -> None:
        """Let go of what carries the command; may block while the link is stalled."""

    @abstractmethod
    def _open(self) -> None:
        """Start the command on the device."""

    @abstractmethod
    def _send(self, chunk: bytes) -> bool:
        """Send a chunk of stdin; False if the command has ended without reading it, which is its own affair."""

    @abstractmethod
    def _send_end(self) -> None:
        """Tell the command that its stdin has ended."""

    @abstractmethod
    def _listen(self) -> None:
        """Hear the command out: `_said` for its output, `err`, `_moved` and at last `code`."""

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=work, name=self._thread_name, daemon=True)

    def _work(self) -> None:
        with self._carried():
            self._open()
            self._moved()
            feeding = self._thread(self._feed)
            feeding.start()
            self._listen()
            self.close()  # releases a feeder whose bytes nobody will read
            feeding.join()
        self._over.set()
        self._settled.set()
        self._at_end()
        self.close()

    @contextmanager
    def _carried(self) -> Iterator[None]:
        """Keep the first exception of a thread for the one that waits."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- not swallowed: Session raises it
            self.failure = self.failure or error
            self._settled.set()

    def _moved(self) -> None:
        self.moved_at = time.monotonic()

    def _feed(self) -> None:
        """Send stdin, then its end; not if it broke off: the command would take it for whole before it is killed."""
        with self._carried():
            while chunk := self._stdin.read(self._chunk):
                if not self._send(chunk):
                    return
            self.fed = True
            self._send_end()

    def _complained(self, chunk: bytes) -> None:
        """Take in standard error, of which the newest is kept."""
        self._moved()
        self.err += chunk
        if len(self.err) > contract.OUTPUT_BYTES:
            del self.err[: contract.OUTPUT_BYTES // 2]

    def _said(self, chunk: bytes) -> None:
        """Take in standard output: first the line that `START` prints, then what is the caller's."""
        self._moved()
        if self.pid is not None:
            self._sink(chunk)
            return
        if len(self.noise) > _NOISE:
            raise too_much("", "the login shell's start-up", _NOISE)
        self.noise += chunk
        started = _STARTED.search(self.noise)
        if started:
            self.pid = int(started[1])
            rest = bytes(self.noise[started.end() :])
            del self.noise[started.start() :]
            if rest:
                self._sink(rest)
