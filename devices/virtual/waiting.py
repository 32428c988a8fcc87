"""Waiting for what a real server does in its own time."""

from __future__ import annotations

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
