"""A device behind adb as `harness.ports.transports.Connection`."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from typing import IO, Final

from harness.errors import Unreachable
from harness.model import Device
from harness.transports._command import Command
from harness.transports._session import Session
from harness.transports.adb._command import SERVICE, ShellCommand
from harness.transports.adb._devices import Several, Wanted, listed
from harness.transports.adb._endpoint import Gone
from harness.transports.adb._server import LONGEST, Refusal, Server
from harness.transports.adb._states import PASSING, READY, trouble

#: How long the adb server may take to say what it thinks of a device that was lost; s.
_ASK_S: Final = 2.0
#: How long adb is given to find out why: it connects again, and a phone may then not know it any more; s.
_SETTLE_S: Final = 1.0
_POLL_S: Final = 0.05


class AdbSession(Session):
    """Commands and files on a device behind adb.

    Args:
        device: for its id.
        server: the adb server.
        wanted: which of its devices.
        stall_s: how long a copy may make no progress; s.
    """

    def __init__(self, device: Device, server: Server, wanted: Wanted, *, stall_s: float) -> None:
        super().__init__(device, table="adb", stall_s=stall_s)
        self._server = server
        self._wanted = wanted
        self._commands: weakref.WeakSet[ShellCommand] = weakref.WeakSet()
        self._lost = ""

    def _start(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> Command:
        if self._lost:
            raise Unreachable(self._lost, remedy="connect again", device=self._device)
        command = ShellCommand(self._server, self._wanted, argv, stdin=stdin, sink=sink, at_end=at_end)
        self._commands.add(command)
        return command

    def _longest(self) -> int:
        return LONGEST - len(SERVICE)

    def _broken(self, command: Command, name: str) -> Exception:
        if command.failure is not None and not isinstance(command.failure, Gone | Refusal):
            return command.failure
        # what comes back after this is another connection: the device may have been restarted in between
        self._lost = self._lost or f"the connection to {self._wanted} was lost during `{name}`"
        try:
            state = self._settled_state(time.monotonic() + _ASK_S)
        except (Gone, Refusal, TimeoutError):
            return Unreachable(
                f"{self._lost} together with the adb server at {self._server.endpoint}",
                remedy="run again, which starts it if it belongs to this host",
                device=self._device,
            )
        if state == READY or state in PASSING:
            return Unreachable(self._lost, remedy="check power and cable, then run again", device=self._device)
        return trouble(self._device, self._wanted, state)

    def _settled_state(self, ends_at: float) -> str:
        """Return what adb says of the device once it has found out why it was lost, or at last what it says now."""
        settled_at = time.monotonic() + _SETTLE_S
        while True:
            try:
                found = self._wanted.among(listed(self._server, ends_at))
            except Several:  # another one of its serial number came; connecting again says so
                found = None
            state = found.state if found else ""
            if state not in PASSING or time.monotonic() > settled_at:
                return state
            time.sleep(_POLL_S)

    def _unsent(self) -> int:
        """Return 0: the adb server takes no more than the device does, but for a few packets."""
        return 0

    def close(self) -> None:
        """Close the connection; what runs on it ends with Unreachable."""
        self._lost = self._lost or f"the connection to {self._wanted} was closed"
        for command in list(self._commands):
            command.close()
