"""Copies of some images with one square of a grid covered, through every model of a group on the device.

A black box is enough: any deployed file shows so where it looks (Zeiler and Fergus 2014, arXiv:1311.2901).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import deploy
from harness.deploy import DeviceHandle
from harness.errors import HarnessError, Stopped
from harness.measure.jobs import Group
from harness.measure.robustness import BYTES, answered
from harness.model import IntArray, Samples
from harness.pixels import small_copies
from harness.results.occlusion import GRID, Covered


def measured(group: Group, handle: DeviceHandle, samples: Samples, *, quick: bool) -> Mapping[str, Covered]:
    """Return case id -> what its model gave for the covered copies, nothing where the suite does not ask.

    Args:
        group: the cases.
        handle: of the device, which is leased.
        samples: the split that is judged.
        quick: whether durations are cut to a tenth.

    Raises:
        Stopped: the campaign is interrupted.
    """
    wanted = group.suite.robustness
    if wanted is None or not wanted.occlusion or not deploy.runner(group.device).OUTPUTS:
        return {}
    places = chosen(len(samples.images), wanted.occlusion)
    pictures = None if group.suite.confidential else small_copies(samples.images[places])
    found = {case.id: Covered(places, pictures) for case in group.cases}
    at_once = max(BYTES // (samples.images[:1].nbytes * GRID * GRID), 1)
    try:
        for first in range(0, len(places), at_once):
            some = places[first : first + at_once]
            handle.say(f"{GRID * GRID} squares of {len(some)} images are covered in turn")
            copies = np.concatenate([covered(image) for image in samples.images[some]])
            for name, outputs in answered(group, handle, samples, copies, quick=quick).items():
                found[name] = found[name].more(outputs)
    except Stopped:
        raise
    except HarnessError as error:
        handle.say(f"remark: where the models look is not known: {error.reason}")
        return {name: replace(one, absent=error.reason) for name, one in found.items()}
    return found


def chosen(count: int, wanted: int) -> IntArray:
    """Return which images of a split are covered: as many as wanted, evenly over all of it."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(np.int64))


def covered(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (GRID * GRID, H, W, C): an image with each square in turn set to its mean, row by row."""
    height, width = image.shape[:2]
    rows, columns = (np.linspace(0, size, GRID + 1).round().astype(int) for size in (height, width))
    mean = image.mean(axis=(0, 1))
    fill = np.rint(mean).astype(image.dtype) if np.issubdtype(image.dtype, np.integer) else mean.astype(image.dtype)
    copies = np.repeat(image[np.newaxis], GRID * GRID, axis=0)
    for y in range(GRID):
        for x in range(GRID):
            copies[y * GRID + x, rows[y] : rows[y + 1], columns[x] : columns[x + 1]] = fill
    return copies
