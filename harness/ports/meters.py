"""Where energy is read."""

from __future__ import annotations

from typing import Any, Protocol


class Reader(Protocol):
    """An open meter, as `Meter.Meter` makes it. What cannot be read raises OSError or ValueError with the reason.

    Attributes:
        resolution: the smallest step between readings, in the unit of `read`.
    """

    resolution: float

    def read(self) -> float:
        """Return the joules used since some fixed moment, or the watts drawn now."""

    def charging(self) -> bool:
        """Return whether the device is being charged, which hides what it draws."""

    def close(self) -> None:
        """Let go of the meter."""


class Meter(Protocol):
    """harness/meters/NAME.py is read by the host, harness/agent/meters/NAME.py by the device.

    A meter for devices imports nothing of ours, as the agent; the host can read it, too (`side = "host"`).

    Attributes:
        QUANTITY: "joules" or "watts".
        UNTESTED: why its numbers are to be taken with care, if it never saw its hardware.
        Options: the keys of `[meter]`.
    """

    QUANTITY: str
    UNTESTED: str = ""
    Options: type[Any]

    def Meter(self, options: Any) -> Reader:  # noqa: N802 a class
        """Open the meter; raises OSError or ValueError when it cannot be read."""
