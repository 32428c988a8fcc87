"""Waiting for what a real server does in its own time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable


def soon(condition: Callable[[], object], *, within_s: float = 10.0) -> bool:
    """Return whether `condition` becomes true within so many seconds; looks often."""
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.005)
    return True


def ssh_answers(host: str, port: int, *, within_s: float = 10.0) -> bool:
    """Return whether an SSH server greets at an address within so many seconds."""

    def greets() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1) as plug:
            return plug.recv(4) == b"SSH-"
        return False

    return soon(greets, within_s=within_s)
