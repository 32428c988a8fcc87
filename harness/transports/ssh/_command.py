"""One command on an SSH channel of its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import IO, Final

from harness.transports._command import START, Command
from harness.transports.ssh._lines import Lines
from harness.transports.ssh._orderly import OrderlyChannel, OrderlyTransport

#: OpenSSH's largest packet is 32 KiB; a chunk that fills one exactly leaves no small ones in between.
_CHUNK: Final = (1 << 15) - 64
#: OpenSSH takes no input before it has started the command, which is a round trip; a short one goes with the command.
#: dropbear takes command lines of up to 9,000 bytes. The digests of the agent's files have to fit, also under a workdir
#: with a long path.
_LONGEST: Final = 8900
_SAID: Final = 'said=$1; shift; printf %s "$said" | "$@"'


class ChannelCommand(Command):
    """A command that runs on the device from now on.

    Args:
        lines: the connections to the device; several threads may share them.
        argv: what to run; quoted here.
        stdin: its standard input.
        sink: is given its standard output, chunk by chunk, in a thread of the command.
        at_end: called in that thread once the command is over.

    Attributes:
        line: the connection that carries it.
    """

    def __init__(
        self,
        lines: Lines,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        text = _line(argv)
        if isinstance(stdin, bytes) and 0 < len(stdin) <= _LONGEST and stdin.isascii() and b"\0" not in stdin:
            with_input = _line(["sh", "-c", _SAID, "sh", stdin.decode("ascii"), *argv])
            if len(with_input) <= _LONGEST:
                text, stdin = with_input, b""
        super().__init__(stdin, sink, at_end, carrier="ssh", chunk=_CHUNK)
        self._text = text
        self._lines = lines
        self.line: OrderlyTransport = lines.first
        self._channel: OrderlyChannel | None = None
        self._heard = self._given_back = False
        self.begin()

    def close(self) -> None:
        """Let go of the channel; may block while the link is stalled."""
        if self._channel is None:
            return
        self._channel.close()
        if self._heard and not self._given_back:
            self._given_back = True
            self.line.prepare()
            self._lines.give_back(self.line)

    def _opened(self) -> OrderlyChannel:
        assert self._channel is not None
        return self._channel

    def _open(self) -> None:
        self.line, self._channel = self._lines.open()
        self._channel.execute(self._text)
        if self._lines.shared:
            self.line.prepare()

    def _send(self, chunk: bytes) -> bool:
        try:
            while chunk:
                chunk = chunk[self._opened().send(chunk) :]
                self._moved()
        except OSError:
            return False
        return True

    def _send_end(self) -> None:
        self._opened().send_end()

    def _listen(self) -> None:
        hearing = self._thread(self._hear)
        hearing.start()
        while chunk := self._opened().receive(1 << 17):
            self._said(chunk)
        hearing.join()
        self.code = self._opened().exit_code()
        self._heard = True

    def _hear(self) -> None:
        with self._carried():
            while chunk := self._opened().receive_error(1 << 16):
                self._complained(chunk)


def _line(argv: Sequence[str]) -> str:
    return "exec " + shlex.join(["sh", "-c", START, "sh", *argv])
