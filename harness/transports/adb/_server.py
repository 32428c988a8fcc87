"""An adb server, spoken to in its own protocol, so that no answer is waited for longer than we want.

A request is four hexadecimal digits of length and a text; the answer is OKAY, or FAIL with a reason. A socket on which
a device has been chosen with `host:transport:SERIAL` and a service been asked for is a stream to that service.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from harness.transports.adb._endpoint import Endpoint, Gone, left

#: The longest request whose length four digits can say; bytes.
LONGEST: Final = 0xFFFF


class Refusal(Exception):
    """The server answered FAIL; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Server:
    """An adb server.

    Every method takes `ends_at`, the moment it gives up with TimeoutError, on the monotonic clock in s.
    """

    endpoint: Endpoint

    def dial(self, ends_at: float) -> socket.socket:
        """Return a socket to the server; raises Gone."""
        return self.endpoint.dial(ends_at)

    def request(self, plug: socket.socket, text: str, ends_at: float) -> None:
        """Send a request and wait for OKAY; raises Refusal or Gone.

        Args:
            plug: connected to the server.
            text: of the request.
            ends_at: deadline on the monotonic clock.
        """
        message = text.encode("utf-8", "surrogateescape")
        try:
            plug.settimeout(left(ends_at))
            plug.sendall(b"%04x" % len(message) + message)
            answer = self.exactly(plug, 4, ends_at)
            if answer == b"FAIL":
                raise Refusal(self._text(plug, ends_at).strip())
            if answer != b"OKAY":
                raise Gone(f"it answers {answer!r}, which no adb server does")
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from error

    def ask(self, text: str, ends_at: float) -> str:
        """Return the answer to a request that has one, as it is; raises Refusal or Gone."""
        with self.dial(ends_at) as plug:
            self.request(plug, text, ends_at)
            try:
                return self._text(plug, ends_at)
            except TimeoutError:
                raise
            except OSError as error:
                raise Gone(str(error)) from error

    def _text(self, plug: socket.socket, ends_at: float) -> str:
        digits = self.exactly(plug, 4, ends_at)
        try:
            length = int(digits, 16)
        except ValueError as error:
            raise Gone(f"it answers {digits!r}, which no adb server does") from error
        return self.exactly(plug, length, ends_at).decode("utf-8", "replace")

    def exactly(self, plug: socket.socket, count: int, ends_at: float) -> bytes:
        """Return so many bytes that come next; raises Gone.

        Args:
            plug: connected to the server.
            count: how many.
            ends_at: deadline on the monotonic clock.
        """
        found = bytearray()
        while len(found) < count:
            plug.settimeout(left(ends_at))
            chunk = plug.recv(count - len(found))
            if not chunk:
                raise Gone("it hung up in the middle of an answer")
            found += chunk
        return bytes(found)
