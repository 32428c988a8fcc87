"""As many connections to one device as its server needs: most carry any number of commands at once, dropbear one.

dropbear (2022.83, and most likely others) now and then hangs up on a command that begins while another one of the same
connection ends: of 600 commands two at a time some 25 to 300 were lost, of 600 one at a time none. So there each
command that is to run beside another gets a connection of its own, which is kept for the next. The same goes for any
server from the moment it grants a connection no further session (MaxSessions of OpenSSH).
"""

from __future__ import annotations

import contextlib
import fcntl
import termios
import threading
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Final

import paramiko

from harness.transports.ssh._orderly import OrderlyChannel, OrderlyTransport

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
        self._all = [first]
        self._running: Counter[OrderlyTransport] = Counter()
        self._lock = threading.Lock()
        self.shared = _ONE_AT_A_TIME not in first.remote_version

    def open(self) -> tuple[OrderlyTransport, OrderlyChannel]:
        """Return a session for one command, and the connection that carries it.

        Raises:
            paramiko.ChannelException: not even a new connection is granted a session.
            Exception: whatever dialling raises.
        """
        while True:
            line, new = self._take()
            try:
                return line, OrderlyChannel(line)
            except paramiko.ChannelException:
                self.shared = False
                again = None if new else self._once_more(line)
                if again is not None:
                    return line, again
                with self._lock:  # others may run on it: it is free again once the last of them has ended
                    self._running[line] -= 1
                if new:
                    raise

    def give_back(self, line: OrderlyTransport) -> None:
        """Let the next command have a connection."""
        with self._lock:
            self._running[line] -= 1

    def _take(self) -> tuple[OrderlyTransport, bool]:
        """Return a connection for one command, and whether it was made for it."""
        with self._lock:
            if self.shared or not self.first.is_active():
                self._running[self.first] += 1
                return self.first, False
            for line in self._all:
                if line.is_active() and not self._running[line]:
                    self._running[line] += 1
                    return line, False
        another = self._dial()
        with self._lock:
            self._all.append(another)
            self._running[another] += 1
        return another, True

    def _once_more(self, line: OrderlyTransport) -> OrderlyChannel | None:
        """Return a session of a connection on which nothing else runs, None if it still grants none."""
        with self._lock:
            if self._running[line] > 1:
                return None
        line.settle()  # the end of the command before may have come together with the wish for this one
        with contextlib.suppress(paramiko.ChannelException):
            return OrderlyChannel(line)
        return None

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
