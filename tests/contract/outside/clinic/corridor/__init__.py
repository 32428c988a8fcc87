"""address = "corridor:"

[corridor]
folder = "/srv/bench"                      # where the harness lives there

This machine under another name: the way of `local:`, from a folder of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinic.corridor._door import Door
from harness.model import Address, Device
from harness.ports.transports import Connection

EXAMPLE = "corridor:"
ENCRYPTED = True  # nothing leaves the machine


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[corridor]`.

    Attributes:
        folder: where the harness lives there.
    """

    folder: str = "~/.cache/clinic"


def address(text: str) -> Address:
    """Return the one address that there is; raises ValueError if anything stands behind the scheme."""
    if text.strip("/"):
        raise ValueError("nothing may stand behind corridor:")
    return Address("corridor")


def connect(device: Device, *, timeout_s: float | None = None) -> Connection:
    """Return a connection to this machine; it cannot fail, so `timeout_s` is not needed."""
    del timeout_s
    return Door(device)


def workdir(device: Device) -> str:
    """Return the folder that the device's file names."""
    return Options(**device.options).folder
