"""How this host resets a device that does not answer."""

from __future__ import annotations

from typing import Any, Protocol


class Recovery(Protocol):
    """harness/recoveries/NAME.py: resets a device from outside, by its power, its USB port or a program of the lab.

    What `[recover]` gives under the plug-in's name is its options: a table as it is, any other value as the option of
    the plug-in's own name.

    Attributes:
        Options: what `[recover]` may say of it.
    """

    Options: type[Any]

    def reset(self, options: Any, device: str, limit_s: float) -> None:
        """Reset a device and return when that is done; the device itself may still be starting.

        Args:
            options: what its file says, as `Options`.
            device: its id.
            limit_s: how long that may take, s.

        Raises:
            Stable: it can never be done so (a program that is not there, a hub that cannot): it is not tried again.
            DeviceError: it failed this time, with what the program said.
        """
