"""How much is taken of a device: beyond it a command, a line or a copy ends with an error, and this host has memory."""

from __future__ import annotations

from harness.agent import contract
from harness.errors import TooMuch
from harness.units import human


def too_much(device: str, what: str, limit: int) -> TooMuch:
    """Return the error for more than is taken.

    Args:
        device: its id.
        what: what gave it, as the beginning of a sentence.
        limit: how much is taken; bytes.
    """
    return TooMuch(
        f"{what} gives more than {human(limit, 'B')}, which is all that is taken",
        remedy="look there at what it prints or writes; no command of edgeward gives so much",
        device=device,
    )


class Output:
    """What a command printed, as far as it is taken.

    Args:
        device: its id, for the error.
        what: what prints.
    """

    def __init__(self, device: str, what: str) -> None:
        self._device, self._what = device, what
        self._taken = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take in a chunk; raises TooMuch."""
        if len(self._taken) + len(chunk) > contract.OUTPUT_BYTES:
            raise too_much(self._device, self._what, contract.OUTPUT_BYTES)
        self._taken += chunk

    def __bytes__(self) -> bytes:
        return bytes(self._taken)


class Splitter:
    """Chunks -> the lines that are complete, without their newline; each byte is looked at once.

    Args:
        device: its id, for the error.
        what: what prints.
    """

    def __init__(self, device: str, what: str) -> None:
        self._device, self._what = device, what
        self._tail = bytearray()

    def add(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes.

        Raises:
            TooMuch: one is longer than is taken.
        """
        first, newline, rest = chunk.partition(b"\n")
        if len(self._tail) + len(first) > contract.LINE_BYTES:
            raise too_much(self._device, f"a line of {self._what}", contract.LINE_BYTES)
        self._tail += first
        if not newline:
            return []
        *complete, tail = rest.split(b"\n")
        found = [bytes(self._tail), *complete]
        self._tail = bytearray(tail)
        return found

    @property
    def rest(self) -> bytes:
        """What came behind the last newline."""
        return bytes(self._tail)
