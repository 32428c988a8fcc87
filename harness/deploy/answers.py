"""What a device prints in JSON, parsed in one place: whatever came instead is a DeviceError that shows it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from harness.deploy.handle import checked
from harness.errors import DeviceError
from harness.model import Device
from harness.ports import Completed

T = TypeVar("T")


def answer(done: Completed, device: Device, meaning: str) -> dict[str, Any]:
    """Return the JSON object that a command of the device side printed, the last line that is one.

    Start scripts of a shell or of an interpreter may print lines of their own before it.

    Args:
        done: how the command ended.
        device: the device, for the error.
        meaning: what it means if it did not end well.

    Raises:
        DeviceError: it did not end well, or printed no such line.
    """
    return _last(done, device, meaning, dict)


def listed(done: Completed, device: Device, meaning: str) -> list[Any]:
    """Return the JSON list that a command printed, as `answer` does an object.

    Args:
        done: how the command ended.
        device: the device, for the error.
        meaning: what it means if it did not end well.

    Raises:
        DeviceError: as `answer`.
    """
    return _last(done, device, meaning, list)


def _last(done: Completed, device: Device, meaning: str, kind: type[T]) -> T:
    printed = checked(done, device, meaning).text
    for line in reversed(printed.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, kind):
            return found
    shown = " ".join(printed.split())[:200] or "nothing"
    raise DeviceError(
        f"{meaning} (it printed {shown} where an answer in JSON is due)",
        device=device.id,
        remedy="keep the start files of its shell and of its Python from printing",
    )
