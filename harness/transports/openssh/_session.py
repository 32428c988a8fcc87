"""A device behind OpenSSH's own client as `harness.ports.transports.Connection`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO

from harness.errors import Transient, Unreachable
from harness.model import Device
from harness.transports._command import Command
from harness.transports._session import Session
from harness.transports.openssh._command import ClientCommand
from harness.transports.openssh._masters import Masters, Refusal


class OpensshSession(Session):
    """Commands and files on a device behind OpenSSH's client.

    Args:
        device: for its id and name.
        masters: the connections to it; ended with the session.
        stall_s: how long a copy may make no progress; s.
    """

    def __init__(self, device: Device, masters: Masters, *, stall_s: float) -> None:
        super().__init__(device, table="openssh", stall_s=stall_s)
        self._masters = masters
        self._where = str(device.address)

    def _start(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> Command:
        return ClientCommand(self._masters, argv, stdin=stdin, sink=sink, at_end=at_end)

    def _broken(self, command: Command, name: str) -> Exception:
        assert isinstance(command, ClientCommand)
        if isinstance(command.failure, Refusal):
            return Transient(
                f"{self._where} grants no session ({command.failure})",
                remedy="raise MaxSessions in its sshd_config",
                device=self._device,
            )
        if command.failure is not None:
            return command.failure
        if not command.master.ended_soon():
            return Unreachable(
                f"`{name}` ended without an exit code",
                remedy="its shell was killed there, perhaps for want of memory",
                device=self._device,
            )
        last = command.master.said.strip().splitlines()
        return Unreachable(
            f"the connection to {self._where} was lost during `{name}`{f' ({last[-1]})' if last else ''}",
            remedy="check power and link, then run again",
            device=self._device,
        )

    def _unsent(self) -> int:
        """Return a figure that falls as bytes leave this host; where the system does not say it stays 0."""
        return -self._masters.acknowledged()

    def close(self) -> None:
        """Close the connection; what runs on it ends with Unreachable."""
        self._masters.close()
