"""Where the adb server listens, by the rules of adb itself: ADB_SERVER_SOCKET goes before the other two variables."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import Refused
from harness.model import Address

_PORT: Final = 5037
_LAST_PORT: Final = 65535
#: Sockets do not take infinity.
_DAY_S: Final = 86400.0
#: What adb calls this machine; at any other name it starts no server, 127.0.0.1 included.
_HERE: Final = ("", "localhost")
_LOOPBACK: Final = ("127.0.0.1", "::1")
#: family and address, as sockets take them
_Place = tuple[socket.AddressFamily, Any]


class Gone(Exception):
    """The server hung up or could not be reached."""


class Absent(Gone):
    """Nothing listens there."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place where an adb server listens.

    Attributes:
        spec: its name, as `adb -L` takes it.
        variable: which one of the environment says so, "" where none does.
        host: a machine's name or address, "" for this one or where it is no network's socket.
        port: 0 where it is no network's socket.
        path: of the socket in the file system, or its abstract name behind a NUL.
    """

    spec: str
    variable: str = ""
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def startable(self) -> bool:
        """Whether a server can be started there from here."""
        return self.host in _HERE

    def __str__(self) -> str:
        return f"{self.spec}, which {self.variable} names" if self.variable else self.spec

    def dial(self, ends_at: float) -> socket.socket:
        """Return a socket to the server; raises TimeoutError once the moment `ends_at` has passed, Gone or Absent."""
        if self.path:
            return _dialled([(socket.AF_UNIX, self.path)], ends_at)
        if self.startable:
            kinds = (socket.AF_INET, socket.AF_INET6)
            return _dialled([(kind, (host, self.port)) for kind, host in zip(kinds, _LOOPBACK, strict=True)], ends_at)
        return _dialled(_resolved(self.host, self.port, ends_at), ends_at)


def left(ends_at: float) -> float:
    """Return how long is left; raises TimeoutError when nothing is, for a socket takes 0 to mean something else."""
    seconds = ends_at - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return min(seconds, _DAY_S)


def chosen(device: str) -> Endpoint:
    """Return where this host's environment says that the adb server is; raises Refused where that is no place.

    Args:
        device: the id of the device it is wanted for.
    """
    spec = os.environ.get("ADB_SERVER_SOCKET")
    if spec is not None:
        return _of_spec(spec, "ADB_SERVER_SOCKET", device)
    spelled = os.environ.get("ANDROID_ADB_SERVER_PORT", "") or str(_PORT)
    if not (spelled.isascii() and spelled.isdecimal() and 0 < int(spelled) <= _LAST_PORT):
        raise Refused(
            f"ANDROID_ADB_SERVER_PORT is {spelled!r}, which is no port", remedy="correct or unset it", device=device
        )
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS")
    if host is None:
        variable = "ANDROID_ADB_SERVER_PORT" if os.environ.get("ANDROID_ADB_SERVER_PORT") else ""
        return Endpoint(f"tcp:{int(spelled)}", variable, port=int(spelled))
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return _of_spec(f"tcp:{bracketed}:{int(spelled)}", "ANDROID_ADB_SERVER_ADDRESS", device)


def _of_spec(spec: str, variable: str, device: str) -> Endpoint:
    kind, _, rest = spec.partition(":")
    if kind in ("local", "localfilesystem") and rest:
        return Endpoint(spec, variable, path=rest)
    if kind == "localabstract" and rest:
        return Endpoint(spec, variable, path=f"\0{rest}")
    try:
        if kind != "tcp":
            raise ValueError("it is none of tcp:PORT, tcp:HOST:PORT, localfilesystem:PATH and localabstract:NAME")
        found = Address.of_url("tcp", "//" + (f"localhost:{rest}" if rest.isdecimal() else rest))
        if not found.port or found.user or "/" in rest:
            raise ValueError("it is neither tcp:PORT nor tcp:HOST:PORT")
    except ValueError as error:
        raise Refused(
            f"{variable} names no place of an adb server that can be reached ({spec!r}: {error})",
            remedy="correct or unset it",
            device=device,
        ) from error
    return Endpoint(spec, variable, host="" if found.host in _HERE else found.host, port=found.port)


def _resolved(host: str, port: int, ends_at: float) -> list[_Place]:
    """Return the addresses of a machine; its name is looked up in a thread, for that knows no deadline."""
    found: queue.Queue[list[_Place] | OSError] = queue.Queue()

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put([(family, address) for family, _, _, _, address in answers])
        except OSError as error:
            found.put(error)

    threading.Thread(target=look_up, name="adb-look-up", daemon=True).start()
    try:
        answer = found.get(timeout=left(ends_at))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise Absent(str(answer)) from answer
    return answer


def _dialled(places: list[_Place], ends_at: float) -> socket.socket:
    """Return a socket to the first of some places that takes one."""
    failures: list[OSError] = []
    for tried, (family, place) in enumerate(places):
        try:
            plug = socket.socket(family, socket.SOCK_STREAM)
            try:
                plug.settimeout(left(ends_at) / (len(places) - tried))
                plug.connect(place)
            except BaseException:
                plug.close()
                raise
            return plug
        except OSError as error:
            failures.append(error)
    worst = next((error for error in failures if isinstance(error, TimeoutError)), failures[0])
    if isinstance(worst, TimeoutError):
        raise worst
    # The first place counts: a machine without IPv6 has no ::1, which says nothing of what listens at 127.0.0.1.
    raise (Absent if isinstance(worst, ConnectionRefusedError | FileNotFoundError) else Gone)(str(worst))
