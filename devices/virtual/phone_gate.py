"""The part of a phone that asks "Allow USB debugging?", in front of an adbd that asks nobody.

It speaks ADB's own log-in (CNXN and AUTH messages, an RSA signature over a random token) and then hands both ends to
each other. Its user is the test, or `edgeward lab allow`: `authorise` presses OK, `welcome` also for the dialog that
comes next, `withdraw` is "Revoke USB debugging authorisations".
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA1

from devices.virtual.streams import exactly, splice

_CNXN: Final = 0x4E584E43
_AUTH: Final = 0x48545541
_TOKEN, _SIGNATURE, _PUBLIC_KEY = 1, 2, 3
#: command, two arguments, length and checksum of the payload, command inverted
_HEADER: Final = struct.Struct("<6I")
#: words, n0inv, modulus, R squared, exponent: Android's own form of a public key
_KEY: Final = struct.Struct("<II256s256sI")
#: A message before log-in is small; more than this is nobody who speaks ADB. Bytes.
_LARGEST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class _Message:
    command: int
    first: int
    second: int
    payload: bytes

    def pack(self) -> bytes:
        checksum = sum(self.payload) & 0xFFFFFFFF
        inverted = self.command ^ 0xFFFFFFFF
        return _HEADER.pack(self.command, self.first, self.second, len(self.payload), checksum, inverted) + self.payload


class Gate:
    """Lets computers through to `upstream` whose keys its user has allowed."""

    def __init__(self, listener: socket.socket, upstream: tuple[str, int]) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._upstream = upstream
        self._changed = threading.Condition()
        self._allowed: set[bytes] = set()
        self._asking: set[bytes] = set()
        self._welcome_until = 0.0
        self._open: set[socket.socket] = set()

    def asking(self) -> int:
        """Return how many computers' keys wait for the user."""
        with self._changed:
            return len(self._asking)

    def authorise(self) -> None:
        """Allow every key that is asked for now, for good."""
        with self._changed:
            self._allowed |= self._asking
            self._changed.notify_all()

    def welcome(self, within_s: float) -> None:
        """Allow every key that is asked for now or within this time, for good; s."""
        # Without the lock: this is called by a signal's handler, which may have interrupted its holder.
        self._welcome_until = time.monotonic() + within_s

    def withdraw(self) -> None:
        """Allow no key any more and hang up."""
        with self._changed:
            self._allowed.clear()
            self._welcome_until = 0.0
            self._asking.clear()
            self._changed.notify_all()
        self.hang_up()

    def hang_up(self) -> None:
        """Cut every connection; who was allowed may come back."""
        for plug in list(self._open):
            with contextlib.suppress(OSError):
                plug.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                plug, _ = self._listener.accept()
                self._open.add(plug)
                threading.Thread(target=self._serve_one, args=(plug,), name="phone-gate", daemon=True).start()

    def _serve_one(self, plug: socket.socket) -> None:
        with plug, contextlib.suppress(OSError, EOFError):
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = _received(plug)
            if hello.command == _CNXN and self._let_in(plug):
                with socket.create_connection(self._upstream) as adbd:
                    adbd.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._open.add(adbd)
                    adbd.sendall(hello.pack())
                    back = threading.Thread(target=splice, args=(adbd, plug), name="phone-gate", daemon=True)
                    back.start()
                    splice(plug, adbd)
                    back.join()
                    self._open.discard(adbd)
        self._open.discard(plug)

    def _let_in(self, plug: socket.socket) -> bool:
        """Ask for signatures until one is of an allowed key, or for the user's consent to the key that is shown."""
        while True:
            token = os.urandom(20)
            plug.sendall(_Message(_AUTH, _TOKEN, 0, token).pack())
            answer = _received(plug)
            if answer.command != _AUTH:
                return False
            if answer.first == _SIGNATURE and self._signed(token, answer.payload):
                return True
            if answer.first == _PUBLIC_KEY:
                return self._consent(plug, answer.payload.rstrip(b"\0").split(b" ")[0])

    def _signed(self, token: bytes, signature: bytes) -> bool:
        with self._changed:
            keys = list(self._allowed)
        for key in keys:
            with contextlib.suppress(InvalidSignature):
                _public_key(key).verify(signature, token, padding.PKCS1v15(), utils.Prehashed(SHA1()))
                return True
        return False

    def _consent(self, plug: socket.socket, key: bytes) -> bool:
        """Wait for the user, as long as the computer does."""
        with self._changed:
            self._asking.add(key)
            while key not in self._allowed:
                if time.monotonic() < self._welcome_until:
                    self._allowed.add(key)
                    break
                self._changed.wait(0.1)
                if key not in self._asking or _hung_up(plug):
                    self._asking.discard(key)
                    return False
            self._asking.discard(key)
            return True


@contextlib.contextmanager
def gate(upstream: tuple[str, int], *, port: int = 0) -> Iterator[Gate]:
    """Keep a gate in front of the adbd at `upstream` until the block is left.

    Args:
        upstream: address and port of adbd.
        port: where it listens on this host's loopback, 0 for any free one.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        keeper = Gate(listener, upstream)
        serving = threading.Thread(target=keeper.serve, name="phone-gate", daemon=True)
        serving.start()
        try:
            yield keeper
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes `serve`, which closing alone does not
            serving.join()
            keeper.withdraw()


def _public_key(text: bytes) -> rsa.RSAPublicKey:
    _, _, modulus, _, exponent = _KEY.unpack(base64.b64decode(text))
    return rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "little")).public_key()


def _received(plug: socket.socket) -> _Message:
    command, first, second, length, _, _ = _HEADER.unpack(exactly(plug, _HEADER.size))
    if length > _LARGEST:
        raise EOFError("this is not ADB")
    return _Message(command, first, second, exactly(plug, length))


def _hung_up(plug: socket.socket) -> bool:
    try:
        return plug.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
