"""One command on an SSH channel of its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import IO, Final

import paramiko

from harness.transports._command import START, Command

#: OpenSSH's largest packet is 32 KiB; a chunk that fills one exactly leaves no small ones in between.
_CHUNK: Final = (1 << 15) - 64


class ChannelCommand(Command):
    """A command that runs on the device from now on.

    Args:
        transport: an authenticated transport; several threads may share it.
        argv: what to run; quoted here.
        stdin: its standard input.
        sink: is given its standard output, chunk by chunk, in a thread of the command.
        at_end: called in that thread once the command is over.
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
        super().__init__(stdin, sink, at_end, carrier="ssh", chunk=_CHUNK)
        self._line = "exec " + shlex.join(["sh", "-c", START, "sh", *argv])
        self._transport = transport
        self._channel: paramiko.Channel | None = None
        self.begin()

    def close(self) -> None:
        """Let go of the channel; may block while the link is stalled."""
        if self._channel is not None:
            self._channel.close()

    def _opened(self) -> paramiko.Channel:
        assert self._channel is not None
        return self._channel

    def _open(self) -> None:
        self._channel = self._transport.open_session()
        self._channel.exec_command(self._line)

    def _send(self, chunk: bytes) -> bool:
        try:
            while chunk:
                chunk = chunk[self._opened().send(chunk) :]
                self._moved()
        except OSError:
            return False
        return True

    def _send_end(self) -> None:
        if not self._opened().closed:
            self._opened().shutdown_write()

    def _listen(self) -> None:
        hearing = self._thread(self._hear)
        hearing.start()
        while chunk := self._opened().recv(1 << 17):
            self._said(chunk)
        hearing.join()
        self.code = self._opened().recv_exit_status()

    def _hear(self) -> None:
        with self._carried():
            while chunk := self._opened().recv_stderr(1 << 16):
                self.err += chunk
                self._moved()
