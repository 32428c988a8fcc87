"""One command on an SSH channel of its own.

Every call of paramiko may block for ever when the other side falls silent (even closing a channel, which sends), so
they are all made in threads of the command; the caller only waits, and can always give up in time.
"""

from __future__ import annotations

import io
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

import paramiko

#: Printed first, so that what a login shell's start-up files print is told apart, and the process can be killed. The
#: command is not exec'ed: a shell that outlives it tells a kill (128 + signal) from a lost connection (no code at all).
_START: Final = 'echo "edgeward-start $$"; "$@"; exit $?'
_STARTED: Final = re.compile(rb"edgeward-start (\d+)\n")

#: OpenSSH's largest packet is 32 KiB; a chunk that fills one exactly leaves no small ones in between.
_CHUNK: Final = (1 << 15) - 64


class Expired(Exception):
    """The caller's deadline passed before the command ended."""


class Command:
    """A command that runs on the device from now on.

    Args:
        transport: an authenticated transport; several threads may share it.
        argv: what to run; quoted here.
        stdin: its standard input.
        sink: is given its standard output, chunk by chunk, in a thread of the command.
        at_end: called in that thread once the command is over.

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
        transport: paramiko.Transport,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.moved_at = time.monotonic()
        self.fed = False
        self.pid: int | None = None
        self.code = -1
        self.err = bytearray()
        self.noise = bytearray()
        self.failure: Exception | None = None
        self._line = "exec " + shlex.join(["sh", "-c", _START, "sh", *argv])
        self._stdin = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
        self._sink = sink
        self._at_end = at_end
        self._transport = transport
        self._channel: paramiko.Channel | None = None
        self._over = threading.Event()
        self._settled = threading.Event()  # over, or bound to fail
        threading.Thread(target=self._work, name="ssh-command", daemon=True).start()

    def wait(self, ends_at: Callable[[], float]) -> None:
        """Wait until the command is over or has failed; raises Expired when the moment `ends_at()` has passed."""
        while not self._settled.wait(max(0.0, min(threading.TIMEOUT_MAX, ends_at() - time.monotonic()))):
            if time.monotonic() >= ends_at():
                raise Expired

    @property
    def over(self) -> bool:
        """True once the command has ended, or was broken off."""
        return self._over.is_set()

    def close(self) -> None:
        """Let go of the channel; may block while the link is stalled."""
        if self._channel is not None:
            self._channel.close()

    def _work(self) -> None:
        with self._carried():
            self._channel = channel = self._transport.open_session()
            channel.exec_command(self._line)
            self._moved()
            feeding, hearing = (
                threading.Thread(target=run, args=(channel,), name="ssh-command", daemon=True)
                for run in (self._feed, self._hear)
            )
            feeding.start()
            hearing.start()
            self._read(channel)
            hearing.join()
            self.code = channel.recv_exit_status()
            channel.close()  # releases a feeder whose bytes nobody will read
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

    def _feed(self, channel: paramiko.Channel) -> None:
        """Send stdin, then its end; not if it broke off, lest the command take it for whole before it is killed."""
        with self._carried():
            while chunk := self._stdin.read(_CHUNK):
                if not self._sent(channel, chunk):
                    return
            self.fed = True
            if not channel.closed:
                channel.shutdown_write()

    def _sent(self, channel: paramiko.Channel, chunk: bytes) -> bool:
        """Send a chunk; False if the command has ended without reading it, which is its own affair."""
        try:
            while chunk:
                chunk = chunk[channel.send(chunk) :]
                self._moved()
        except OSError:
            return False
        return True

    def _hear(self, channel: paramiko.Channel) -> None:
        with self._carried():
            while chunk := channel.recv_stderr(1 << 16):
                self.err += chunk
                self._moved()

    def _read(self, channel: paramiko.Channel) -> None:
        while self.pid is None:
            chunk = channel.recv(1 << 16)
            if not chunk:
                return
            self.noise += chunk
            started = _STARTED.search(self.noise)
            if started:
                self.pid = int(started[1])
                rest = bytes(self.noise[started.end() :])
                del self.noise[started.start() :]
                if rest:
                    self._sink(rest)
        while chunk := channel.recv(1 << 17):
            self._moved()
            self._sink(chunk)
