"""The count itself, in a file beside the meter that goes to the device with it."""

from __future__ import annotations

import time


def joules(watts: float) -> float:
    """Return the joules that so many watts have made since the machine started."""
    return watts * time.monotonic()
