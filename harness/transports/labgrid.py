"""address = "labgrid://PLACE"                # a place of a labgrid coordinator

A place of a lab that labgrid keeps, reached over SSH at its one `NetworkService`, whatever host and port that is today.
The coordinator is `coordinator` under `[labgrid]`, else what `LG_COORDINATOR` names, else 127.0.0.1:20408, as
for `labgrid-client`. `pip install edgeward[labgrid]` brings what talks to it.

`[labgrid]` takes the keys of `[ssh]`, too. While the device is measured the place is acquired
(`harness.leases.labgrid`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from harness.model import Address, Device
from harness.ports.transports import Connection
from harness.transports import ssh

EXAMPLE = "labgrid://PLACE"
ENCRYPTED = ssh.ENCRYPTED
#: What labgrid's own names are made of; one of another kind would need quoting in a command line.
_PLACE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Options(ssh.Options):
    """The keys of `[labgrid]`: one of its own, and those of `[ssh]`, which mean the same.

    These are `host_key`, `known_hosts`, `identity`, `config`, `legacy`, `connect_timeout_s`, `keepalive_s`,
    `stall_s`.

    Attributes:
        coordinator: HOST:PORT; "" for what `LG_COORDINATOR` says.
    """

    coordinator: str = ""


def address(text: str) -> Address:
    """Return the address of a place; raises ValueError when its name is none."""
    place = text.removeprefix("//")
    if place == text or not _PLACE.fullmatch(place):
        raise ValueError(
            "labgrid: must be followed by // and the name of a place, of letters, digits, '.', '_' and '-'"
        )
    return Address("labgrid", serial=place)


def connect(device: Device, *, timeout_s: float | None = None) -> Connection:
    """Open a connection to what the device's place leads to now.

    Args:
        device: `device.options` are the keys of `Options`.
        timeout_s: for the coordinator's answer, then for the log-in, s; None for `connect_timeout_s` of its options.

    Raises:
        Unreachable: the coordinator does not answer, or no exporter offers the place's service now.
        Refused: there is no such place, or it has several services.
        MissingTool: labgrid is not installed here.
    """
    from harness import coordinator

    with coordinator.session(device, timeout_s=timeout_s) as lab:
        service = lab.service()
    options = {key: value for key, value in device.options.items() if key != "coordinator"}
    return ssh.connect(replace(device, address=service, options=options), timeout_s=timeout_s)


def workdir(device: Device) -> str:
    """Return what a device of its kind has over SSH."""
    return ssh.workdir(device)
