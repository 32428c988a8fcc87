"""What stored DICOM values mean and how they are shown: modality, window, what is dark and what is bright, colours.

PS3.3, C.7.6.3.1.2 (photometric interpretation), C.11.1 and C.11.2 (modality and VOI transformations); the arithmetic is
pydicom's (pydicom.github.io, "pydicom.pixels").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.data import _pictures

Array = npt.NDArray[Any]
#: `[data] window`: centre and width, the file's own, or none at all.
Window = tuple[float, float] | Literal["file", "none"]
#: Grey values are as a screen shows them, 0 to 255, or what the modality means by them.
Shown = Literal["window", "stored", "colour"]


def frames(data: Any, stored: Array, window: Window, path: Path) -> tuple[Array, Shown]:
    """Return (F, H, W, 1 or 3) uint8 or float32, and how grey values became these.

    Args:
        data: the file's elements.
        stored: (F, H, W) as decoded, or (F, H, W, 3) red, green and blue.
        window: what `[data]` says of grey values.
        path: of the file, for messages.

    Raises:
        LabError: several windows leave open how the values are shown.
    """
    if data.PhotometricInterpretation == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        entries = np.iinfo(apply_color_lut(stored[0], data).dtype).max
        coloured = np.stack([apply_color_lut(frame, data)[..., :3] for frame in stored])
        return np.rint(coloured * (255 / entries)).astype(np.uint8), "colour"
    if stored.ndim == 4:
        whole = np.ascontiguousarray(stored)
        return (whole if whole.dtype == np.uint8 else whole.astype(np.float32)), "colour"
    made = [_grey(data, frame, index, window, path) for index, frame in enumerate(stored)]
    if len({shown for _, shown in made}) > 1:
        remedy = 'write window = [CENTRE, WIDTH] or window = "none" under [data]'
        raise _pictures.wrong(path, "has a window for some of its frames and none for others", remedy=remedy)
    return np.stack([frame for frame, _ in made])[..., np.newaxis], made[0][1]


def _grey(data: Any, stored: Array, index: int, window: Window, path: Path) -> tuple[Array, Shown]:
    """Return one frame (H, W) of grey values, and how they became so."""
    from pydicom.pixels import apply_modality_lut

    meaning = group(data, index, "PixelValueTransformationSequence", "RescaleSlope")
    values = apply_modality_lut(stored, meaning)
    dark = str(data.PhotometricInterpretation) == "MONOCHROME1"
    shown = _windowed(values, group(data, index, "FrameVOILUTSequence", "WindowCenter"), window, path)
    if shown is not None:
        return (255 - shown if dark else shown), "window"
    if dark:
        values = _inverted(values, data, meaning)
    as_stored = (
        "ModalityLUTSequence" not in meaning
        and float(meaning.get("RescaleSlope") or 1) == 1
        and not float(meaning.get("RescaleIntercept") or 0)
    )
    return values.astype(np.uint8 if as_stored and stored.dtype == np.uint8 else np.float32), "stored"


def _inverted(values: Array, data: Any, meaning: Any) -> Array:
    """Return values of which the smallest is the brightest, turned round within what a file of this type can store."""
    from pydicom.pixels import apply_modality_lut

    bits, signed = int(data.BitsStored), int(data.get("PixelRepresentation", 0))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = apply_modality_lut(np.array([[low, high]], np.int64), meaning)
    return np.asarray(float(ends.min()) + float(ends.max()) - values)


def group(data: Any, index: int, sequence: str, element: str) -> Any:
    """Return what holds an element of one frame: its functional group, the shared one, or the file itself.

    Args:
        data: the file's elements.
        index: of the frame.
        sequence: of the functional groups that may hold it.
        element: its keyword.
    """
    for name, place in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        groups = data.get(name) or []
        if len(groups) > place and element in (found := (groups[place].get(sequence) or [{}])[0]):
            return found
    return data


def _windowed(values: Array, group: Any, window: Window, path: Path) -> Array | None:
    """Return (H, W) uint8 as a screen shows values, None where nobody wants a window or there is none."""
    from pydicom.pixels import apply_voi

    if window == "none":
        return None
    if window != "file":
        return _through(values, *window, "LINEAR")
    tables = group.get("VOILUTSequence") or []
    centres, widths = (_numbers(group.get(name)) for name in ("WindowCenter", "WindowWidth"))
    windows = list(dict.fromkeys(zip(centres, widths, strict=False)))
    if len(windows) + len(tables) > 1:
        lines = " or ".join(f"window = [{centre:g}, {width:g}]" for centre, width in windows)
        lines += "" if windows else 'window = [CENTRE, WIDTH] or window = "none"'
        text = f"holds {len(windows)} windows and {len(tables)} tables, and one alone can be shown"
        raise _pictures.wrong(path, text, remedy=f"write {lines} under [data]")
    if tables:
        bits = int(tables[0].LUTDescriptor[2])
        entries: Array = apply_voi(values.astype(np.int64), group)
        return np.asarray(np.rint(entries * (255 / (2**bits - 1))), np.uint8)
    return _through(values, *windows[0], str(group.get("VOILUTFunction") or "LINEAR")) if windows else None


def _numbers(value: Any) -> list[float]:
    return [float(one) for one in (value if hasattr(value, "__iter__") else [value])] if value is not None else []


def _through(values: Array, centre: float, width: float, function: str) -> Array:
    """Return values through a window, as 0 to 255."""
    import pydicom
    from pydicom.pixels import apply_windowing

    screen = pydicom.Dataset()
    screen.PhotometricInterpretation, screen.BitsStored, screen.PixelRepresentation = "MONOCHROME2", 8, 0
    screen.WindowCenter, screen.WindowWidth, screen.VOILUTFunction = centre, width, function
    shown: Array = apply_windowing(values.astype(np.float64), screen)
    return np.asarray(np.rint(shown), np.uint8)
