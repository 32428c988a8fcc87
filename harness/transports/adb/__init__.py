"""address = "adb://SERIAL"                   # as `adb devices` lists it, or adb://HOST:PORT over the network

A phone, or anything else that runs Android's adbd. The adb server of this host is used, and started if there is none;
its port is 5037 or what ANDROID_ADB_SERVER_PORT says. The device needs a shell, cat, mv, rm, mkdir, df and something
that computes a sha256; no root, no Android service and no extra of toybox.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import Address, Device
from harness.ports import Connection

EXAMPLE = "adb://SERIAL"
ENCRYPTED = False


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[adb]`.

    Attributes:
        connect_timeout_s: how long the device may take until its first answer; s.
        stall_s: how long a copy may make no progress before it is given up; s.
    """

    connect_timeout_s: float = 15.0
    stall_s: float = 30.0

    def __post_init__(self) -> None:
        if min(self.connect_timeout_s, self.stall_s) <= 0:
            raise ValueError("connect_timeout_s and stall_s must be above 0")


def address(text: str) -> Address:
    """Return the address of a phone: HOST:PORT where there is a port, else its serial number."""
    found = Address.of_url("adb", text)
    if found.user:
        raise ValueError("adb knows no users")
    return found if found.port else Address("adb", serial=found.host)


def connect(device: Device, *, timeout_s: float | None = None) -> Connection:
    """Open a connection to a device that has answered.

    Args:
        device: `device.options` are the keys of `Options`.
        timeout_s: for all of it: this host's adb server, network, state, first answer; s; None for `connect_timeout_s`
            of its options.

    Raises:
        Unreachable: adb sees no such device (it says which it sees), cannot reach it, or calls it offline.
        TimedOut: no answer in time, whatever adb says of it.
        Refused: it has not authorised this computer, this user may not open it, or it does not run Android just now.
        Unsupported: it is older than Android 7.
        MissingTool: there is no adb on this host.
    """
    from harness.transports.adb import _attach

    options = Options(**device.options)
    wait_s = options.connect_timeout_s if timeout_s is None else timeout_s
    return _attach.attach(device, stall_s=options.stall_s, timeout_s=wait_s)


def workdir(device: Device) -> str:
    """Return a folder where every Android lets a shell write and run programs."""
    del device
    return "/data/local/tmp/edgeward"
