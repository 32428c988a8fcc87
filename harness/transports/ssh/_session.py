"""An open SSH connection as `harness.ports.transports.Connection`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import IO, Final

import paramiko

from harness.errors import DeviceError, Transient, Unreachable
from harness.model import Device
from harness.transports._command import Command
from harness.transports._session import Session
from harness.transports.ssh._command import ChannelCommand
from harness.transports.ssh._lines import Lines

#: dropbear hangs up on a longer command line; bytes.
_DROPBEAR: Final = 9000


class SshSession(Session):
    """Commands and files on a device behind SSH.

    Args:
        device: for its id.
        lines: the connections to it; closed with the session.
        where: host and port, for messages.
        stall_s: how long a copy may make no progress; s.
    """

    def __init__(self, device: Device, lines: Lines, where: str, *, stall_s: float) -> None:
        super().__init__(device, table="ssh", stall_s=stall_s)
        self._connections = lines
        self._where = where

    def _start(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> ChannelCommand:
        return ChannelCommand(self._connections, argv, stdin=stdin, sink=sink, at_end=at_end)

    def _longest(self) -> int:
        return super()._longest() if self._connections.shared else _DROPBEAR

    def _broken(self, command: Command, name: str) -> Exception:
        assert isinstance(command, ChannelCommand)
        if isinstance(command.failure, DeviceError):
            return command.failure
        command.line.join(0.2)  # a dying transport tells its channels first, and only then that it is dead
        if not command.line.is_active():
            return Unreachable(
                f"the connection to {self._where} was lost during `{name}`",
                remedy="check power and link, then run again",
                device=self._device,
            )
        if isinstance(command.failure, paramiko.ChannelException):
            return Transient(
                f"{self._where} refused another session ({command.failure.text})",
                remedy="raise MaxSessions in its sshd_config",
                device=self._device,
            )
        if isinstance(command.failure, paramiko.SSHException) or command.failure is None:
            return Unreachable(
                f"`{name}` ended without an exit code",
                remedy="its shell was killed there, perhaps for want of memory",
                device=self._device,
            )
        return command.failure

    def _unsent(self) -> int:
        """Return how many bytes the other side has not acknowledged, 0 where the system does not tell."""
        return self._connections.unsent()

    def close(self) -> None:
        """Close the connection; what runs on it ends with Unreachable."""
        closer = threading.Thread(target=self._connections.close, name="ssh-close", daemon=True)
        closer.start()
        closer.join(self._grace_s)
