"""Waiting for what a real server does in its own time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import psutil

#: The kernel's number for a TCP socket that listens, in /proc/PID/net/tcp.
_LISTEN: Final = "0A"


def soon(condition: Callable[[], object], *, within_s: float = 30.0) -> bool:
    """Return whether `condition` becomes true within so many seconds; looks often."""
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.005)
    return True


def runs(*words: str, among: Iterable[psutil.Process] | None = None) -> bool:
    """Return whether a program whose command line ends with these words runs.

    Args:
        words: the last ones of its command line.
        among: processes to look at, some of which may have ended; all of this machine unless given.
    """
    for process in psutil.process_iter() if among is None else among:
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-len(words) :] == list(words):
                return True
    return False


def listens(pid: int, port: int) -> bool:
    """Return whether anything listens on a TCP port in the network of a process, however that network is cut off."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False


def accepts(address: tuple[str, int] | Path) -> bool:
    """Return whether a server takes a connection at an address, or at a socket's path."""
    kind = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(kind) as plug:
        plug.settimeout(1.0)
        plug.connect(str(address) if isinstance(address, Path) else address)
        return True
    return False


def ssh_answers(host: str, port: int, *, within_s: float = 30.0) -> bool:
    """Return whether an SSH server greets at an address within so many seconds."""
    patience_s = 1.0

    def greets() -> bool:
        nonlocal patience_s
        try:
            with socket.create_connection((host, port), timeout=patience_s) as plug:
                return plug.recv(4) == b"SSH-"
        except TimeoutError:
            # An emulated machine on a busy host greets late; who hangs up each time only gives it more to do.
            patience_s *= 2
        except OSError:
            return False
        return False

    return soon(greets, within_s=within_s)
