"""address = "adb://SERIAL"                   # as `adb devices` lists it, or adb://HOST:PORT over the network

A phone, or anything else that runs Android's adbd. The adb server that ADB_SERVER_SOCKET, ANDROID_ADB_SERVER_ADDRESS
and ANDROID_ADB_SERVER_PORT name is used, as by adb itself, and started if there is none on this host. The device needs
a shell, cat, mv, rm, mkdir, df and something that computes a sha256; no root, no Android service, no extra of toybox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from harness.model import Address, Device
from harness.ports.transports import Connection

EXAMPLE = "adb://SERIAL"
ENCRYPTED = False
#: HOST:PORT, with a user if somebody took adb for ssh; a number of six digits is no port.
_NETWORK: Final = re.compile(r"(?:[^@/]*@)?[A-Za-z0-9_][A-Za-z0-9._-]*:[0-9]{1,5}/*")
#: What may be an IP address alone; a scope may hold whatever the name of an interface does.
_LONE: Final = re.compile(r"(?:\[([^\]]*)\]|([^\[\]/]*))/*")
#: What no list of adb's could hold.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_USB: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*")


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[adb]`.

    Attributes:
        connect_timeout_s: how long the device may take until its first answer; s.
        stall_s: how long a copy may make no progress before it is given up; s.
        usb: where it is plugged in, as `adb devices -l` says behind `usb:`; chooses among several of one serial number.
        transport_id: number of its link there, likewise; it is another one each time the device is plugged in.
    """

    connect_timeout_s: float = 15.0
    stall_s: float = 30.0
    usb: str = ""
    transport_id: int = 0

    def __post_init__(self) -> None:
        if min(self.connect_timeout_s, self.stall_s) <= 0:
            raise ValueError("connect_timeout_s and stall_s must be above 0")
        if self.usb and not _USB.fullmatch(self.usb.removeprefix("usb:")):
            raise ValueError(f"usb is {self.usb!r}; write what `adb devices -l` says behind usb:, such as 1-2")
        if self.transport_id < 0:
            raise ValueError("transport_id must be above 0")


def address(text: str) -> Address:
    """Return the address of a phone: HOST:PORT or [IPV6]:PORT, else its serial number, whatever that holds."""
    serial = text.removeprefix("//")
    if serial == text or not serial:
        raise ValueError("adb: must be followed by // and a serial number")
    if _CONTROL.search(serial):
        raise ValueError("a serial number holds no tab and no other control character")
    if serial.startswith("usb:"):
        port = serial.removeprefix("usb:")
        raise ValueError(f'{serial} is a port; write the serial number, and usb = "{port}" under [adb]')
    lone = _lone_address(serial)
    if lone:
        raise ValueError(f"{serial} is the address of a machine, which has a port: {lone}:5555")
    if not serial.startswith("[") and not _NETWORK.fullmatch(serial):
        return Address("adb", serial=serial)
    found = Address.of_url("adb", text)
    if found.user:
        raise ValueError("adb knows no users")
    return found


def _lone_address(serial: str) -> str:
    """Return an IP address that stands without its port, as it is written before one; "" if this is none."""
    found = _LONE.fullmatch(serial)
    bare = (found[1] or found[2]) if found else ""
    try:
        number = ip_address(bare)
    except ValueError:
        return ""
    return f"[{bare}]" if number.version == 6 else bare


def connect(device: Device, *, timeout_s: float | None = None) -> Connection:
    """Open a connection to a device that has answered.

    Args:
        device: `device.options` are the keys of `Options`.
        timeout_s: for all of it: this host's adb server, network, state, first answer; s; None for `connect_timeout_s`
            of its options.

    Raises:
        Unreachable: adb sees no such device (it says which it sees), cannot reach it, or calls it offline; or there is
            no adb server.
        TimedOut: no answer in time, whatever adb says of it.
        Refused: it has not authorised this computer, this user may not open it, or it does not run Android just now;
            several have its serial number; this host's adb would end the adb server, or its place is no place.
        Unsupported: it is older than Android 7.
        MissingTool: there is no adb on this host.
    """
    from harness.transports.adb import _attach
    from harness.transports.adb._devices import Wanted

    options = Options(**device.options)
    wait_s = options.connect_timeout_s if timeout_s is None else timeout_s
    place = device.address
    serial = place.serial or str(place).removeprefix("adb://")
    wanted = Wanted(serial, options.usb.removeprefix("usb:"), options.transport_id, network=bool(place.port))
    return _attach.attach(device, wanted, stall_s=options.stall_s, timeout_s=wait_s)


def workdir(device: Device) -> str:
    """Return a folder where every Android lets a shell write and run programs."""
    del device
    return "/data/local/tmp/edgeward"
