"""What an adb server lists, and the one of its devices that a file means."""

from __future__ import annotations

import re
import shlex
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.transports.adb._server import Refusal, Server

#: What adb prints for a device that has no serial number.
_NAMELESS: Final = "(no serial number)"
#: What stands for bytes of a serial number that are no UTF-8: adb knows these, and a file cannot spell them.
_NO_TEXT: Final = "\N{REPLACEMENT CHARACTER}"
#: How often two lists are asked for that speak of the same moment.
_TRIES: Final = 5
_POLL_S: Final = 0.05
_TRANSPORT: Final = re.compile(r"(?:^|\s)transport_id:(\d+)\s*$")
#: Where a device is plugged in comes first behind its state.
_USB: Final = re.compile(r"\s*usb:(\S+)(?:\s|$)")


class Several(Exception):
    """More than one device is meant; the argument is which."""

    def __init__(self, devices: Sequence[Listed]) -> None:
        self.devices = devices
        super().__init__(", ".join(device.place for device in devices))


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `adb devices -l`.

    Attributes:
        serial: as it is, with whatever it holds.
        state: device, offline, unauthorized, no permissions (…), ...
        usb: where it is plugged in, `1-2`; "" if by no USB, or adb does not say.
        transport_id: number of the link, which no other one of this server had or will have; 0 if adb gives none.
    """

    serial: str
    state: str
    usb: str = ""
    transport_id: int = 0

    @property
    def place(self) -> str:
        """What tells it from another device of its serial number."""
        usb = f"usb {self.usb}, " if self.usb else ""
        return f"{usb}transport_id {self.transport_id} ({self.state})"


def listed(server: Server, ends_at: float) -> list[Listed]:
    """Return every device that a server sees; raises Refusal, Gone or TimeoutError.

    Where a serial number with spaces or a state of several words ends does not show in the long list. So they are read
    in the short one, where a tab parts them, and looked up in the long one.

    Args:
        server: it is asked.
        ends_at: deadline on the monotonic clock, s.
    """
    for _ in range(_TRIES):
        plain = short_list(server.ask("host:devices", ends_at))
        try:
            found = long_list(plain, server.ask("host:devices-l", ends_at))
        except Refusal:
            break
        if found is not None:
            return found
        time.sleep(_POLL_S)  # something was plugged in or changed its state in between
    return plain


def short_list(text: str) -> list[Listed]:
    """Return what `adb devices` prints without its headline: a serial number, a tab and a state a line."""
    parts = (line.rpartition("\t") for line in text.split("\n"))
    return [Listed(serial, state.strip()) for serial, tab, state in parts if tab]


def long_list(plain: Sequence[Listed], text: str) -> list[Listed] | None:
    """Return the devices of the short list with what the long one adds, None if they speak of different moments.

    Args:
        plain: the short list.
        text: what `adb devices -l` prints without its headline.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) != len(plain):
        return None
    found = []
    for device, line in zip(plain, lines, strict=True):
        columns = rf"{re.escape(device.serial)}[ \t]+{re.escape(device.state)}(?![^ \t])"
        match = re.match(columns, line)
        if match is None:
            return None
        usb, number = _USB.match(line, match.end()), _TRANSPORT.search(line, match.end())
        found.append(Listed(device.serial, device.state, usb[1] if usb else "", int(number[1]) if number else 0))
    return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """The device that a file means.

    Attributes:
        serial: what the adb server calls it.
        usb: where it must be plugged in, "" for anywhere.
        transport_id: the number its link must have, 0 for any.
        network: whether the adb server may be asked to connect to it.
    """

    serial: str
    usb: str = ""
    transport_id: int = 0
    network: bool = False

    def __str__(self) -> str:
        usb = f" at usb {self.usb}" if self.usb else ""
        return f"{self.serial}{usb}" + (f" with transport_id {self.transport_id}" if self.transport_id else "")

    @property
    def option(self) -> str:
        """What a command of adb takes to be about this device alone."""
        if self.transport_id and not self.usb:
            return f"-t {self.transport_id}"
        return f"-s {shlex.quote(f'usb:{self.usb}' if self.usb else self.serial)}"

    def among(self, devices: Sequence[Listed]) -> Listed | None:
        """Return it, None if it is not there; raises Several."""
        found = [
            device
            for device in devices
            if device.serial == self.serial
            and self.usb in ("", device.usb)
            and self.transport_id in (0, device.transport_id)
        ]
        if len(found) > 1:
            raise Several(found)
        return found[0] if found else None

    def choose(self, server: Server, plug: socket.socket, ends_at: float) -> None:
        """Let a socket speak to this device from now on; raises Refusal, Gone or TimeoutError.

        The number of a link is of one server's life alone, so the device is looked up by it each time.

        Args:
            server: the plug's.
            plug: connected to the server.
            ends_at: deadline on the monotonic clock, s.
        """
        if not (self.usb or self.transport_id or self.serial == _NAMELESS or _NO_TEXT in self.serial):
            return server.request(plug, f"host:transport:{self.serial}", ends_at)
        try:
            device = self.among(listed(server, ends_at))
        except Several as error:
            raise Refusal(f"several devices of this serial number: {error}") from error
        if device is None:
            raise Refusal("it is not plugged in any more")
        server.request(plug, f"host:transport-id:{device.transport_id}", ends_at)
        return None


def about(device: Listed, request: str) -> str:
    """Return a request to the server about a device, by its number: the other way a colon ends a serial number."""
    chosen = f"host-transport-id:{device.transport_id}" if device.transport_id else f"host-serial:{device.serial}"
    return f"{chosen}:{request}"
