"""Brings the arrays of a job to this host, one file at a time, through `harness.results.arrays`."""

from __future__ import annotations

import posixpath
from typing import Any

import numpy.typing as npt

from harness import scratch
from harness.errors import Stable, TooMuch
from harness.ports.runners import Handle
from harness.results import arrays
from harness.results.events import Untrue


def fetched(handle: Handle, folder: str, model: int, name: str) -> npt.NDArray[Any]:
    """Return an array of a model.

    Args:
        handle: of the device.
        folder: of the job there.
        model: its place in the job.
        name: of the array.

    Raises:
        Untrue: there is no such file, or it cannot be accepted.
        DeviceError: the device could not be asked.
    """
    device = handle.device.id
    with scratch.held_folder() as work:
        target = work / f"{name}.npy"
        try:
            handle.pull(posixpath.join(folder, f"m{model}.{name}.npy"), target)
        except Stable as error:
            # Others of its kind, such as a full disk of this host, are no fault of the file.
            if type(error) not in (Stable, TooMuch):
                raise
            raise Untrue(f"the array {name} cannot be fetched ({error.text})", where=device, model=model) from error
        return arrays.read(target, name, device=device, model=model)
