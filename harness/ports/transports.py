"""The way onto a device, as the transports of harness/transports/ make it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from harness.model import Address, Device


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command on a device gave."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the trailing newline."""
        return self.out.decode("utf-8", "replace").rstrip("\n")


class Connection(Protocol):
    """An open way onto one device. Paths are the device's own, POSIX, absolute."""

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Run `argv` (quoted by the connection) and wait; raises TimedOut or Unreachable.

        The code is 127 for a program that does not exist and 128 + N for one killed by signal N. It waits for the
        output to end, so what is left running in the background must have its streams redirected.
        """

    def stream(self, argv: Sequence[str], *, silence_s: float) -> Iterator[bytes]:
        """Run `argv` and yield its output line by line, without newlines; leaving the loop early kills it.

        Raises TimedOut after `silence_s` without a line, DeviceError when it ends with a code other than 0.
        """

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device, making its folder; it appears under its name whole and verified, or not at all."""

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device; it appears under its name whole, or not at all."""

    def close(self) -> None:
        """Close the connection; never raises."""


class Transport(Protocol):
    """harness/transports/SCHEME.py: the way onto devices whose address begins with SCHEME.

    Attributes:
        EXAMPLE: such an address, for messages and the schema.
        ENCRYPTED: whether nobody on the way can read what is sent; confidential suites go over no other transport.
        Options: the keys of the table `[SCHEME]` in a device's file.
    """

    EXAMPLE: str
    ENCRYPTED: bool
    Options: type[Any]

    def address(self, text: str) -> Address:
        """Return what stands behind "SCHEME:" as an Address; raises ValueError when it is none."""

    def connect(self, device: Device, *, timeout_s: float | None = None) -> Connection:
        """Open a connection within `timeout_s`, or within what the device's file allows when that is None.

        Raises:
            Unreachable, TimedOut, Refused, HostKeyMismatch: no connection could be opened.
        """

    def workdir(self, device: Device) -> str:
        """Return where the harness lives on such a device when its file does not say (may start with ~/)."""
