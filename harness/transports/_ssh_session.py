"""An open SSH connection as `harness.ports.Connection`."""

from __future__ import annotations

import contextlib
import fcntl
import termios
import threading
from array import array
from collections.abc import Callable, Sequence
from typing import IO

import paramiko

from harness.errors import Transient, Unreachable
from harness.model import Device
from harness.transports._command import Command
from harness.transports._session import Session
from harness.transports._ssh_command import ChannelCommand


class SshSession(Session):
    """Commands and files on a device behind SSH.

    Args:
        device: for its id.
        transport: authenticated; closed with the session.
        where: host and port, for messages.
        stall_s: how long a copy may make no progress; s.
    """

    def __init__(self, device: Device, transport: paramiko.Transport, where: str, *, stall_s: float) -> None:
        super().__init__(device, table="ssh", stall_s=stall_s)
        self._transport = transport
        self._where = where

    def _start(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> Command:
        return ChannelCommand(self._transport, argv, stdin=stdin, sink=sink, at_end=at_end)

    def _broken(self, command: Command, name: str) -> Exception:
        self._transport.join(0.2)  # a dying transport tells its channels first, and only then that it is dead
        if not self._transport.is_active():
            message = f"the connection to {self._where} was lost during `{name}`; check power and link, then run again"
            return Unreachable(message, device=self._device)
        if isinstance(command.failure, paramiko.ChannelException):
            message = (
                f"{self._where} refused another session ({command.failure.text}); raise MaxSessions in its sshd_config"
            )
            return Transient(message, device=self._device)
        if isinstance(command.failure, paramiko.SSHException) or command.failure is None:
            message = f"`{name}` ended without an exit code; its shell was killed there, perhaps for want of memory"
            return Unreachable(message, device=self._device)
        return command.failure

    def _unsent(self) -> int:
        """Return how many bytes the other side has not acknowledged, 0 where the system does not tell."""
        count = array("i", [0])
        with contextlib.suppress(OSError, ValueError):  # the socket may just have been closed
            fcntl.ioctl(self._transport.sock.fileno(), termios.TIOCOUTQ, count)
        return count[0]

    def close(self) -> None:
        """Close the connection; what runs on it ends with Unreachable."""
        closer = threading.Thread(target=self._transport.close, name="ssh-close", daemon=True)
        closer.start()
        closer.join(self._grace_s)
