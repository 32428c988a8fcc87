"""One command on a device behind adb: a stream of shell v2 packets, which carry exit code and standard error apart."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from typing import IO, Final, cast

from harness.agent import contract
from harness.transports._bounds import too_much
from harness.transports._command import Command, spelled
from harness.transports.adb._devices import Wanted
from harness.transports.adb._server import Server

#: kind and length, before the content of each packet
_PACKET: Final = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_CHUNK: Final = 1 << 16
#: Starting a command is given up by who waits for it, and `close` then ends the waiting.
_FOREVER: Final = float("inf")


#: What a request that runs a command begins with; tools there speak English, for their complaints are read.
SERVICE: Final = "shell,v2,raw:export LC_ALL=C; "

#: What a device that works says when it is asked to, by the same way as every command goes.
_WORD: Final = "edgeward-shell"


def trial(server: Server, plug: socket.socket, ends_at: float) -> str:
    """Return "" if a shell of a device does as it is asked, else what it says; raises Refusal, Gone or TimeoutError.

    Args:
        server: the plug's.
        plug: speaks to the device.
        ends_at: deadline on the monotonic clock, s.
    """
    server.request(plug, SERVICE + spelled(["echo", _WORD]), ends_at)
    said, kind, content = bytearray(), _STDOUT, b""
    while kind != _EXIT:
        said += content
        kind, length = _PACKET.unpack(server.exactly(plug, _PACKET.size, ends_at))
        content = server.exactly(plug, length, ends_at)
    if content == b"\0" and _WORD.encode() in said:
        return ""
    return f"code {int.from_bytes(content)}: {said.decode('utf-8', 'replace').strip()[:200] or 'it said nothing'}"


class ShellCommand(Command):
    """A command that runs on the device from now on.

    Args:
        server: the adb server.
        wanted: which of its devices.
        argv: what to run; quoted here.
        stdin: its standard input.
        sink: is given its standard output, chunk by chunk, in a thread of the command.
        at_end: called in that thread once the command is over.
    """

    def __init__(
        self,
        server: Server,
        wanted: Wanted,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(stdin, sink, at_end, carrier="adb", chunk=_CHUNK)
        self._server = server
        self._wanted = wanted
        self._service = SERVICE + spelled(argv)
        self._plug: socket.socket | None = None
        self._left = False
        self.begin()

    def close(self) -> None:
        """Let go of the stream, which ends the command's shell if the link still lives; never blocks."""
        self._left = True
        if self._plug is not None:
            with contextlib.suppress(OSError):  # not connected any more
                self._plug.shutdown(socket.SHUT_RDWR)  # wakes the threads that wait for it, which closing does not

    def _open(self) -> None:
        self._plug = plug = self._server.dial(_FOREVER)
        if self._left:
            self.close()
        self._wanted.choose(self._server, plug, _FOREVER)
        self._server.request(plug, self._service, _FOREVER)
        plug.settimeout(None)

    def _opened(self) -> socket.socket:
        assert self._plug is not None
        return self._plug

    def _send(self, chunk: bytes) -> bool:
        return self._sent(_STDIN, chunk)

    def _send_end(self) -> None:
        self._sent(_CLOSE_STDIN, b"")

    def _sent(self, kind: int, content: bytes) -> bool:
        try:
            self._opened().sendall(_PACKET.pack(kind, len(content)) + content)
        except OSError:
            return False
        self._moved()
        return True

    def _work(self) -> None:
        super()._work()
        if self._plug is not None:
            self._plug.close()

    def _listen(self) -> None:
        with cast(IO[bytes], self._opened().makefile("rb", buffering=1 << 18)) as packets:
            while self.code < 0 and (header := _exactly(packets, _PACKET.size)):
                kind, length = _PACKET.unpack(header)
                if length > contract.OUTPUT_BYTES:
                    raise too_much("", "a packet of the device", contract.OUTPUT_BYTES)
                self._heard(kind, _exactly(packets, length))

    def _heard(self, kind: int, content: bytes) -> None:
        if kind == _STDOUT:
            self._said(content)
        elif kind == _STDERR:
            self._complained(content)
        elif kind == _EXIT and content:
            self.code = content[0]


def _exactly(packets: IO[bytes], count: int) -> bytes:
    """Return so many bytes, or none once the stream has broken off."""
    try:
        found = packets.read(count)
    except OSError:
        return b""
    return found if len(found) == count else b""
