"""Reads what a device prints: the one place, so that whatever came is a value or a DeviceError that shows it.

A device's Python may be a script that prints a line before it starts, its disk may have cut an answer short: what was
asked for is the last line that is such a value, and anything else is said with its first words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from harness.agent import plain_json
from harness.deploy.handle import checked
from harness.errors import DeviceError
from harness.model import Device
from harness.ports.transports import Completed
from harness.units import printable_value

T = TypeVar("T", dict[str, Any], list[Any])


def answer(done: Completed, device: Device, meaning: str, *, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Return the JSON object that a command of the device side printed.

    Args:
        done: how the command ended.
        device: the device, for the error.
        meaning: what it means if it did not end well.
        keys: what the object must have.

    Raises:
        DeviceError: it did not end well, or printed no such object.
    """
    return _found(done, device, meaning, dict, keys)


def listed(done: Completed, device: Device, meaning: str) -> list[str]:
    """Return the JSON list that a command of the device side printed, as texts; raises as `answer` does."""
    return [str(item) for item in _found(done, device, meaning, list, ())]


def _found(done: Completed, device: Device, meaning: str, kind: type[T], keys: Sequence[str]) -> T:
    printed = checked(done, device, meaning).out
    found = value(printed, kind)
    if found is not None and all(key in found for key in keys):
        return found
    shown = " ".join(printed.decode("utf-8", "replace").split())[:200] or "nothing"
    raise DeviceError(
        f"{meaning} (it printed {shown} where an answer in JSON is due)",
        device=device.id,
        remedy="keep the start files of its shell and of its Python from printing",
    )


def value(out: bytes, kind: type[T]) -> T | None:
    """Return the last line of what was printed that is a JSON value of a kind, None if none is.

    Args:
        out: standard output.
        kind: `dict` or `list`.
    """
    for line in reversed(out.decode("utf-8", "replace").splitlines()):
        try:
            found = printable_value(plain_json.read(line.encode()))
        except ValueError:
            continue
        if isinstance(found, kind):
            return found
    return None


def words(printed: bytes) -> str:
    """Return on one line why a program failed, by its own output: a traceback's last line, else the first ones."""
    lines = [line.strip() for line in printed.decode("utf-8", "replace").splitlines() if line.strip()]
    if any(line.startswith("Traceback ") for line in lines):
        lines = lines[-1:]
    return " ".join(lines)[:300]
