"""As many connections to one device as its server needs: most carry any number of commands at once, dropbear one.

dropbear (2022.83, and most likely others) now and then hangs up on a command that begins while another one of the same
connection ends: of 600 commands two at a time some 25 to 300 were lost, of 600 one at a time none. So there each
command that is to run beside another gets a connection of its own, which is kept for the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import termios
import threading
from array import array
from collections.abc import Callable
from typing import Final

from harness.transports.ssh._orderly import OrderlyTransport

_ONE_AT_A_TIME: Final = "dropbear"


class Lines:
    """The connections to a device.

    Args:
        first: authenticated.
        dial: opens another one like it.

    Attributes:
        shared: whether one carries several commands at once.
    """

    def __init__(self, first: OrderlyTransport, dial: Callable[[], OrderlyTransport]) -> None:
        self.first = first
        self._dial = dial
        self._free = [first]
        self._all = [first]
        self._lock = threading.Lock()
        self.shared = _ONE_AT_A_TIME not in first.remote_version

    def take(self) -> OrderlyTransport:
        """Return a connection for one command; raises what dialling raises."""
        if self.shared or not self.first.is_active():
            return self.first
        with self._lock:
            self._free = [line for line in self._free if line.is_active()]
            if self._free:
                return self._free.pop()
        another = self._dial()
        with self._lock:
            self._all.append(another)
        return another

    def give_back(self, line: OrderlyTransport) -> None:
        """Let the next command have a connection."""
        with self._lock:
            if not self.shared:
                self._free.append(line)

    def unsent(self) -> int:
        """Return how many bytes the other side has not acknowledged, 0 where the system does not tell."""
        total = 0
        for line in list(self._all):
            while line.by_way_of is not None:
                line = line.by_way_of
            count = array("i", [0])
            with contextlib.suppress(OSError, ValueError):  # the socket may just have been closed
                fcntl.ioctl(line.sock.fileno(), termios.TIOCOUTQ, count)
            total += count[0]
        return total

    def close(self) -> None:
        """Close all of them; may block while a link is stalled."""
        for line in list(self._all):
            line.close()
