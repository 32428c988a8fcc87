"""The way to one device, kept open for a campaign: it can be renewed, and one measurer at a time holds the device."""

from __future__ import annotations

import getpass
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import ModuleType
from typing import TypeVar

from harness import registry
from harness.deploy import provision
from harness.errors import Busy, Transient
from harness.model import Device
from harness.ports import Connection

_HERE = f"{getpass.getuser()}@{socket.gethostname()}"
#: How often a busy device is looked at again.
_LOOK_S = 5.0
#: How often a step that needs the link all the time is begun.
_TRIES = 4
Result = TypeVar("Result")
#: How long a lost link is tried again before the cases are given up (a small board needs a minute to boot), and how
#: long between two tries.
_PATIENCE_S, _RECONNECT_S = 120.0, 4.0
#: Prints the jobs under a workdir whose first process still runs.
_RUNNING = r"""
for file in "$1"/jobs/*/pid; do
  job=${file%/pid} number=
  read -r number 2>/dev/null < "$file"
  [ -n "$number" ] && tr '\0' ' ' 2>/dev/null < "/proc/$number/cmdline" | grep -qF "$job" && echo "$job"
done
true
"""


class Link:
    """A device's connection that can be opened anew; only Transient errors are worth that."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._transport = registry.load("transports", device.address.scheme, file=str(device.file), key="address")
        self.connection: Connection = self._transport.connect(device)
        self._hopeless = False
        self._ending = threading.Event()

    @property
    def given_up(self) -> bool:
        """Whether whoever uses the link shall come to an end."""
        return self._ending.is_set()

    def give_up(self) -> None:
        """End whatever waits for the device just now, from another thread; the device is still tidied up."""
        self._ending.set()
        self.connection.close()

    def renew(self) -> None:
        """Open the connection again, trying for a while, but once only if that was in vain before.

        Raises:
            Transient: what the last try raised.
            Stable: the device is there and does not let us in any more; that is not tried again.
        """
        self.connection.close()
        ends_at = time.monotonic() + (0.0 if self._hopeless else _PATIENCE_S)
        while True:
            try:
                self.connection = self._transport.connect(self.device)
            except Transient:
                if self.given_up or time.monotonic() >= ends_at:
                    self._hopeless = True
                    raise
                self._ending.wait(_RECONNECT_S)
            else:
                self._hopeless = False
                return

    def persistently(self, step: Callable[[Connection], Result], say: Callable[[str], None]) -> Result:
        """Return what `step` gives; a link that is lost meanwhile is renewed, and the step begun again.

        Raises:
            Transient: the link was lost `_TRIES` times.
        """
        for last in (*[False] * (_TRIES - 1), True):
            try:
                return step(self.connection)
            except Transient as error:
                if last or self.given_up:
                    raise
                say(f"link lost ({error}); connecting again")
                self.renew()
        raise AssertionError("unreachable: the last try returns or raises")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


@contextmanager
def leased(link: Link, say: Callable[[str], None]) -> Iterator[None]:
    """Be the device's one measurer meanwhile, after waiting for the one before at most `limits.cooldown_s`.

    Raises:
        Busy: somebody else still is.
    """
    lease = registry.load("leases", "file", file=str(link.device.file), key="address")
    root = provision.workdir(link.connection, link.device)
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    owner = f"{_HERE} (process {os.getpid()}, since {since})"
    deadline = time.monotonic() + link.device.limits.cooldown_s
    while True:
        try:
            lease.take(link.connection, link.device, root, owner)
        except Busy as busy:
            if _gone(lease.holder(link.connection, root)):
                lease.free(link.connection, root)
                continue
            if time.monotonic() > deadline or link.given_up:
                raise
            say(f"waiting: {busy}")
            time.sleep(_LOOK_S)
        else:
            break
    try:
        _end_orphans(link, root, say)
        yield
    finally:
        _let_go(link, lease, root)


def _end_orphans(link: Link, root: str, say: Callable[[str], None]) -> None:
    """End jobs of earlier holders that could not be reached any more: two jobs at a time would falsify both."""
    for job in link.connection.run(["sh", "-c", _RUNNING, "sh", root]).text.splitlines():
        say(f"ending {job}, which an earlier campaign had to leave running")
        provision.runner(link.device).stop(link.connection, job)


def _let_go(link: Link, lease: ModuleType, root: str) -> None:
    """Free the device, also over a link that died with the last case or is closed by `give_up` at this very moment."""
    for _ in range(_TRIES - 1):
        try:
            lease.free(link.connection, root)
        except Transient:
            link.renew()
        else:
            return
    lease.free(link.connection, root)


def _gone(holder: str) -> bool:
    """Return whether a lease is held by a process of this host that no longer runs: killed before it could let go."""
    match = re.fullmatch(re.escape(_HERE) + r" \(process (\d+), since .*\)", holder)
    if match is None:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    return False
