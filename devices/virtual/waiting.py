"""Waiting for what a real server does in its own time."""

from __future__ import annotations

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
