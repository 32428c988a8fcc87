"""The adb server of this host, spoken to in its own protocol, so that no answer is waited for longer than we want.

A request is four hexadecimal digits of length and a text; the answer is OKAY, or FAIL with a reason. A socket on which
a device has been chosen with `host:transport:SERIAL` and a service been asked for is a stream to that service.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Final

from harness.errors import DeviceError, MissingTool, TimedOut, Unreachable

_PORT: Final = 5037
#: Sockets do not take infinity.
_DAY_S: Final = 86400.0
#: The longest request whose length four digits can say; bytes.
LONGEST: Final = 0xFFFF


class Refusal(Exception):
    """The server answered FAIL; its text is the reason."""


class Gone(Exception):
    """The server hung up or could not be reached."""


@dataclass(frozen=True, slots=True)
class Server:
    """The adb server on a port of this host.

    Every method takes `ends_at`, the moment it gives up with TimeoutError, on the monotonic clock in s.
    """

    port: int

    def dial(self, ends_at: float) -> socket.socket:
        """Return a socket to the server; raises Gone."""
        try:
            return socket.create_connection(("127.0.0.1", self.port), timeout=_left(ends_at))
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from error

    def request(self, plug: socket.socket, text: str, ends_at: float) -> None:
        """Send a request and wait for OKAY; raises Refusal or Gone.

        Args:
            plug: connected to the server.
            text: of the request.
            ends_at: deadline on the monotonic clock.
        """
        message = text.encode("utf-8", "surrogateescape")
        try:
            plug.settimeout(_left(ends_at))
            plug.sendall(b"%04x" % len(message) + message)
            answer = self._exactly(plug, 4, ends_at)
            if answer != b"OKAY":
                raise Refusal(self._text(plug, ends_at))
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from error

    def ask(self, text: str, ends_at: float) -> str:
        """Return the answer to a request that has one; raises Refusal or Gone."""
        with self.dial(ends_at) as plug:
            self.request(plug, text, ends_at)
            try:
                return self._text(plug, ends_at)
            except TimeoutError:
                raise
            except OSError as error:
                raise Gone(str(error)) from error

    def states(self, ends_at: float) -> dict[str, str]:
        """Return serial -> state of every device it sees: device, offline, unauthorized, no permissions (…), ..."""
        lines = (line.split("\t", 1) for line in self.ask("host:devices", ends_at).splitlines())
        return {line[0]: line[1].strip() for line in lines if len(line) == 2}

    def _text(self, plug: socket.socket, ends_at: float) -> str:
        length = int(self._exactly(plug, 4, ends_at), 16)
        return self._exactly(plug, length, ends_at).decode("utf-8", "replace").strip()

    def _exactly(self, plug: socket.socket, count: int, ends_at: float) -> bytes:
        found = bytearray()
        while len(found) < count:
            plug.settimeout(_left(ends_at))
            chunk = plug.recv(count - len(found))
            if not chunk:
                raise Gone("it hung up in the middle of an answer")
            found += chunk
        return bytes(found)


def running(device: str, ends_at: float) -> Server:
    """Return the server, started if nothing answers at its port (5037, or what ANDROID_ADB_SERVER_PORT says).

    Args:
        device: the id of the device it is wanted for.
        ends_at: when to give up, on the monotonic clock; s.

    Raises:
        MissingTool: adb is not installed on this host.
        Unreachable: it did not start, with what it said.
        TimedOut: what listens there does not answer.
    """
    spelled = os.environ.get("ANDROID_ADB_SERVER_PORT", "") or str(_PORT)
    if not spelled.isdecimal() or not 0 < int(spelled) < 1 << 16:
        raise DeviceError(
            f"ANDROID_ADB_SERVER_PORT is {spelled!r}, which is no port", remedy="correct or unset it", device=device
        )
    server = Server(int(spelled))
    try:
        try:
            server.ask("host:version", ends_at)
        except Gone:
            said = _started(server, device, ends_at)
            try:
                server.ask("host:version", ends_at)
            except Gone:
                raise Unreachable(
                    f"the adb server of this host did not start: {said or 'it said nothing'}",
                    remedy="run `adb devices`",
                    device=device,
                ) from None
    except (TimeoutError, subprocess.TimeoutExpired):
        raise TimedOut(
            f"the adb server on port {server.port} of this host does not answer",
            remedy="run `adb kill-server`",
            device=device,
        ) from None
    return server


def _started(server: Server, device: str, ends_at: float) -> str:
    """Start the server and return what it said; another process may do so at the same moment, and either will do."""
    program = shutil.which("adb")
    if program is None:
        raise MissingTool(
            "adb is not on this host",
            remedy="install the Debian package `adb` or Android's platform-tools",
            device=device,
        )
    # a file, for the server keeps what it was given as its output, and a pipe would never end
    with tempfile.TemporaryFile() as output:
        subprocess.run(
            [program, "-P", str(server.port), "start-server"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=_left(ends_at),
            start_new_session=True,  # Ctrl-C is meant for us
            check=False,
        )
        output.seek(0)
        return output.read().decode("utf-8", "replace").strip().replace("\n", " ")[-300:]


def _left(ends_at: float) -> float:
    """Return how long is left; raises TimeoutError when nothing is, for a socket takes 0 to mean something else."""
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(left, _DAY_S)
