"""The way to one device, kept open for a campaign: it can be renewed, and one measurer at a time holds the device."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from harness import provision, registry
from harness.errors import Transient
from harness.model import Device
from harness.ports import Connection

#: How often a lost link is tried again before the cases are given up, and how long between two tries.
_RECONNECTS, _RECONNECT_S = 8, 4.0


class Link:
    """A device's connection that can be opened anew; only Transient errors are worth that."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._transport = registry.load("transports", device.address.scheme, file=str(device.file), key="address")
        self.connection: Connection = self._transport.connect(device)
        self.given_up = False

    def give_up(self) -> None:
        """End whatever waits for the device just now, from another thread; the device is still tidied up."""
        self.given_up = True
        self.connection.close()

    def renew(self) -> None:
        """Open the connection again, trying for a while; raises what the last try raised."""
        self.connection.close()
        for attempt in range(_RECONNECTS):
            try:
                self.connection = self._transport.connect(self.device)
            except Transient:
                if attempt == _RECONNECTS - 1:
                    raise
                time.sleep(_RECONNECT_S)
            else:
                return

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


@contextmanager
def leased(link: Link) -> Iterator[None]:
    """Be the device's one measurer meanwhile; raises Busy if somebody else is."""
    lease = registry.load("leases", "file", file=str(link.device.file), key="address")
    root = provision.workdir(link.connection, link.device)
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    owner = f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()}, since {since})"
    lease.take(link.connection, link.device, root, owner)
    try:
        yield
    finally:
        if link.given_up:
            link.renew()
        lease.free(link.connection, root)
