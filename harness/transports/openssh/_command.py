"""One command over the connection that a client of OpenSSH keeps: a second client, whose streams are the command's."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import IO, Final

from harness.transports._command import Command
from harness.transports.openssh._masters import Master, Masters

#: As START of the other transports. The client's own failure is 255 as well, so a command that ends so says it itself.
_START: Final = 'echo "edgeward-start $$"; "$@"; code=$?; [ "$code" != 255 ] || echo edgeward-end-255 >&2; exit "$code"'
_OWN_255: Final = b"edgeward-end-255\n"
_FAILED: Final = 255
_CHUNK: Final = 1 << 16
_REFUSED: Final = b"Session open refused by peer"


class ClientCommand(Command):
    """A command that runs on the device from now on.

    Args:
        masters: the connections to the device.
        argv: what to run; quoted here.
        stdin: its standard input.
        sink: is given its standard output, chunk by chunk, in a thread of the command.
        at_end: called in that thread once the command is over.

    Attributes:
        master: the client whose connection carries it.
    """

    def __init__(
        self,
        masters: Masters,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(stdin, sink, at_end, carrier="openssh", chunk=_CHUNK)
        self._masters = masters
        self._text = "exec " + shlex.join(["sh", "-c", _START, "sh", *argv])
        self.master: Master = masters.first
        self._client: subprocess.Popen[bytes] | None = None
        self._first = b""
        self._left = False
        self.begin()

    def close(self) -> None:
        """Let go of the session, which ends the command's shell if the link still lives; never blocks."""
        self._left = True
        if self._client is not None and self._client.poll() is None:
            self._client.kill()

    def _open(self) -> None:
        """Start it where there is room; the first thing that it says shows that it was granted a session."""
        while True:
            self.master = self._masters.take()
            self._client = client = subprocess.Popen(
                self.master.command(self._text),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
            if self._left:
                self.close()
            self._first = os.read(_pipe(client.stdout).fileno(), _CHUNK)
            if self._first:
                return
            self.err += _pipe(client.stderr).read()
            code = client.wait()
            if code != _FAILED or _REFUSED not in self.err:
                return
            _shut(client)
            said = self.err.decode("utf-8", "replace").strip()
            self.err.clear()
            self._masters.refused(self.master, said)

    def _send(self, chunk: bytes) -> bool:
        pipe, rest = _pipe(self._opened().stdin), memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(pipe.fileno(), rest) :]
                self._moved()
        except OSError:
            return False
        return True

    def _send_end(self) -> None:
        _pipe(self._opened().stdin).close()

    def _listen(self) -> None:
        client = self._opened()
        hearing = self._thread(self._hear)
        hearing.start()
        output, chunk = _pipe(client.stdout).fileno(), self._first
        while chunk:
            self._said(chunk)
            chunk = os.read(output, 1 << 17)
        hearing.join()
        code = client.wait()
        own = self.err.endswith(_OWN_255)
        if own:
            del self.err[-len(_OWN_255) :]
        self.code = code if 0 <= code < _FAILED or own else -1

    def _hear(self) -> None:
        with self._carried():
            pipe = _pipe(self._opened().stderr).fileno()
            while chunk := os.read(pipe, 1 << 16):
                self._complained(chunk)

    def _work(self) -> None:
        super()._work()
        if self._client is not None:
            self._client.wait()
            _shut(self._client)
            self._masters.give_back(self.master)

    def _opened(self) -> subprocess.Popen[bytes]:
        assert self._client is not None
        return self._client


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _shut(client: subprocess.Popen[bytes]) -> None:
    """Close our ends of a client's streams."""
    for pipe in (client.stdin, client.stdout, client.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()
