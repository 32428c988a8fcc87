"""An adb server that lists what it is given, and hands what is asked of a device to one that a real server lists.

For what no real server can be brought to list without hardware: a serial number with spaces, two devices of one serial
number at two USB ports, a state. It speaks adb's protocol; what runs on a device runs on the real one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from devices.virtual.streams import accepting, exactly, splice


@dataclass(frozen=True, slots=True)
class Line:
    """One device of the list.

    Attributes:
        serial: what it is called.
        state: what is said of it.
        usb: where it is plugged in, "" for nowhere.
        transport_id: the number of its link.
        real: what the real server calls the device behind it, "" for one that never answers.
    """

    serial: str
    state: str = "device"
    usb: str = ""
    transport_id: int = 1
    real: str = ""


@dataclass(slots=True)
class Listing:
    """A server that runs.

    Attributes:
        port: where it listens, on loopback.
        lines: what it lists; may be changed while it runs.
        asked: every request so far.
        version: what it says of itself, as four hexadecimal digits.
        behind: the port of the real server, 0 for none.
        closes: whether a device that never answers closes each stream at once, instead of keeping it open in silence.
        renewed: what is listed once a new link is asked for, None for the same.
    """

    port: int
    lines: list[Line]
    version: str = "0029"
    behind: int = 0
    closes: bool = False
    renewed: list[Line] | None = None
    asked: list[str] = field(default_factory=list)

    def serve(self, plug: socket.socket) -> None:
        """Answer one connection until it is over."""
        with plug, contextlib.suppress(OSError, EOFError):
            request = self._heard(plug)
            line = self._meant(request)
            if request == "host:version":
                _okay(plug, self.version)
            elif request == "host:devices":
                _okay(plug, "".join(f"{line.serial}\t{line.state}\n" for line in self.lines))
            elif request == "host:devices-l":
                _okay(plug, "".join(self._long(line) for line in self.lines))
            elif line is None:
                _fail(plug, "device not found, or more than one")
            elif request.startswith("host:transport"):
                plug.sendall(b"OKAY")
                self._hand_over(plug, line)
            elif request.endswith(":features"):
                _okay(plug, "shell_v2,cmd")
            elif request.endswith(":reconnect"):
                self.lines = self.lines if self.renewed is None else self.renewed
                _okay(plug, "reconnecting")
            else:
                _fail(plug, "unknown host service")

    def _heard(self, plug: socket.socket) -> str:
        request = exactly(plug, int(exactly(plug, 4), 16)).decode()
        self.asked.append(request)
        return request

    def _meant(self, request: str) -> Line | None:
        """Return the device that a request is about, None if it is about none or about several."""
        about = request.removesuffix(":features").removesuffix(":reconnect")
        found = [
            line
            for line in self.lines
            if about in (f"host:transport-id:{line.transport_id}", f"host-transport-id:{line.transport_id}")
            or about in (f"host:transport:{line.serial}", f"host-serial:{line.serial}")
        ]
        return found[0] if len(found) == 1 else None

    def _hand_over(self, plug: socket.socket, line: Line) -> None:
        if not line.real:
            self._heard(plug)
            if self.closes:
                _fail(plug, "closed")
            plug.recv(1)  # for ever, or until who waits gives up
            return
        with socket.create_connection(("127.0.0.1", self.behind)) as real:
            wanted = f"host:transport:{line.real}".encode()
            real.sendall(b"%04x" % len(wanted) + wanted)
            exactly(real, 4)
            back = threading.Thread(target=splice, args=(real, plug), daemon=True)
            back.start()
            splice(plug, real)
            back.join()

    def _long(self, line: Line) -> str:
        usb = f" usb:{line.usb}" if line.usb else ""
        return f"{line.serial:<22} {line.state}{usb} product:p model:M 1 device:d transport_id:{line.transport_id}\n"


@contextlib.contextmanager
def listing(*lines: Line, behind: int = 0, closes: bool = False, version: str = "0029") -> Iterator[Listing]:
    """Run such a server on loopback until the block is left.

    Args:
        lines: what it lists.
        behind: the port of the real adb server, for lines with a real device.
        closes: as in `Listing`.
        version: what it says of itself, as four hexadecimal digits; 0029 is 1.0.41.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Listing(listener.getsockname()[1], list(lines), version, behind, closes)
        with accepting(listener, running.serve):
            yield running


def _okay(plug: socket.socket, text: str) -> None:
    plug.sendall(b"OKAY%04x" % len(text.encode()) + text.encode())


def _fail(plug: socket.socket, text: str) -> None:
    plug.sendall(b"FAIL%04x" % len(text.encode()) + text.encode())
