"""How large a pixel is, in millimetres: as `[data]` declares it, or as DICOM files say it.

PS3.3: Pixel Spacing (10.7.1.3, also in the functional group Pixel Measures), the regions of an ultrasound image
(C.8.5.5) and Imager Pixel Spacing (C.8.7.1), which is that of a detector and so larger than in the patient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness.data import _pictures
from harness.model import FloatArray

Size = tuple[float, float]
#: Of a region of an ultrasound image: it is a picture in two dimensions, and its axes are in centimetres.
_TWO_DIMENSIONS, _CENTIMETRES = 1, 3
#: Two statements of one size may differ by what rounding in a header makes.
_SAME: Final = 1e-3
DECLARE: Final = "write spacing = [HEIGHT, WIDTH] of a stored pixel in millimetres"


def checked(spacing: Size | str | None) -> None:
    """Raise ValueError for a declared size that no pixel has."""
    if isinstance(spacing, tuple) and not all(math.isfinite(one) and one > 0 for one in spacing):
        raise ValueError("`spacing` must be [HEIGHT, WIDTH] of a stored pixel in millimetres, both above 0")


def resized(sizes: Sequence[Size], stored: Sequence[tuple[int, int]], shape: tuple[int, int]) -> FloatArray:
    """Return (N, 2) how large a pixel of each image is once all are of one shape.

    Args:
        sizes: height and width of a stored pixel of each, in millimetres.
        stored: height and width of each in stored pixels.
        shape: of all, as they are measured.
    """
    return np.asarray(sizes, np.float64) * np.asarray(stored, np.float64) / np.asarray(shape, np.float64)


def said_by(data: Any, group: Any, path: Path) -> tuple[Size | None, bool]:
    """Return how large a DICOM file says a pixel is, None where it does not, and whether only its detector's is known.

    Args:
        data: the file's elements.
        group: what holds `PixelSpacing`: a functional group, or the file itself.
        path: of the file, for messages.

    Raises:
        LabError: it says two sizes, or one that no pixel has.
    """
    found = {
        "PixelSpacing": _pair(group.get("PixelSpacing"), path),
        **{f"its region {number + 1}": size for number, size in enumerate(_regions(data, path))},
    }
    sizes = {name: size for name, size in found.items() if size is not None}
    first = next(iter(sizes.values()), None)
    for name, size in sizes.items():
        if first is not None and not np.allclose(size, first, rtol=_SAME):
            lines = " or ".join(f"spacing = [{one[0]:g}, {one[1]:g}]" for one in dict.fromkeys(sizes.values()))
            text = f"says two sizes of a pixel: {name} has another than {next(iter(sizes))}"
            raise _pictures.wrong(path, text, remedy=f'write {lines} or spacing = "none" under [data]')
    if first is not None:
        return first, False
    detector = _pair(data.get("ImagerPixelSpacing"), path)
    return detector, detector is not None


def _regions(data: Any, path: Path) -> list[Size | None]:
    """Return the size of a pixel in each picture in two dimensions among the regions of an ultrasound image."""
    regions = [
        region
        for region in data.get("SequenceOfUltrasoundRegions") or []
        if int(region.get("RegionSpatialFormat") or 0) == _TWO_DIMENSIONS
        and {int(region.get(f"PhysicalUnits{axis}Direction") or 0) for axis in "XY"} == {_CENTIMETRES}
    ]
    return [
        _pair([abs(10 * float(region.get(f"PhysicalDelta{axis}") or 0)) for axis in "YX"], path) for region in regions
    ]


def _pair(value: Any, path: Path) -> Size | None:
    if value is None or not len(value):
        return None
    sizes = [float(one) for one in value]
    if len(sizes) != 2 or not all(math.isfinite(one) and one > 0 for one in sizes):
        text = f"says that a pixel is {' x '.join(f'{one:g}' for one in sizes)} mm"
        raise _pictures.wrong(path, text, remedy=f'{DECLARE} under [data], or spacing = "none"')
    return sizes[0], sizes[1]
