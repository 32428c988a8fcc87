"""Bytes from one socket to another, and a relay that falls silent while its connections stay up."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: The first part of each message of ADB: six words, of which the fourth is the length of what follows.
_HEADER = 24


def exactly(plug: socket.socket, count: int) -> bytes:
    """Return so many bytes; raises EOFError when the other side hangs up before."""
    found = bytearray()
    while len(found) < count:
        chunk = plug.recv(count - len(found))
        if not chunk:
            raise EOFError("hung up")
        found += chunk
    return bytes(found)


def splice(source: socket.socket, sink: socket.socket) -> None:
    """Hand over bytes one way until either end hangs up."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 18):
            sink.sendall(chunk)
    for plug in (source, sink):
        with contextlib.suppress(OSError):
            plug.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class Relay:
    """A relay that runs.

    Attributes:
        port: where it listens.
        mute: whether of each new connection only what adbd says first comes back: the link comes up, and that is all.
    """

    port: int
    mute: bool = False

    def serve(self, plug: socket.socket, upstream: tuple[str, int]) -> None:
        """Relay one connection until either end hangs up."""
        with plug, contextlib.suppress(OSError, EOFError), socket.create_connection(upstream) as far:
            mute = self.mute
            threading.Thread(target=splice, args=(plug, far), daemon=True).start()
            if mute:
                header = exactly(far, _HEADER)
                plug.sendall(header + exactly(far, int.from_bytes(header[12:16], "little")))
                while far.recv(1 << 16):
                    pass
            splice(far, plug)


@contextlib.contextmanager
def relay(upstream: tuple[str, int], *, host: str = "127.0.0.1", mute: bool = False) -> Iterator[Relay]:
    """Take connections for a server elsewhere until the block is left.

    Args:
        upstream: that server.
        host: an address of this machine to listen at, IPv4 or IPv6, with its scope.
        mute: as in `Relay`.

    Raises:
        OSError: this machine has no such address.
    """
    family, _, _, _, place = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(place)
        listener.listen()
        running = Relay(listener.getsockname()[1], mute)
        with accepting(listener, lambda plug: running.serve(plug, upstream)):
            yield running


@contextlib.contextmanager
def accepting(listener: socket.socket, serve: Callable[[socket.socket], object]) -> Iterator[None]:
    """Let each connection be served in a thread of its own until the block is left.

    Args:
        listener: where they come in.
        serve: is given each.
    """

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    waiting = threading.Thread(target=accept, name="accepting", daemon=True)
    waiting.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which closing alone does not
        waiting.join()
