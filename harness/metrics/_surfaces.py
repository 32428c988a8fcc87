"""Distances between outlines: Hausdorff's, its 95 % quantile and the normalised surface distance, image by image.

A pixel's size is (height, width), in millimetres where the data says it and (1, 1) for distances in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.model import FloatArray

Mask = npt.NDArray[np.bool_]
Size = FloatArray


def each(
    of: Callable[[Mask, Mask, Size], float], predicted: Mask, truth: Mask, spacing: FloatArray | None = None
) -> FloatArray:
    """Return (N,) a distance of each image.

    Args:
        of: the distance of one image.
        predicted: (N, H, W).
        truth: (N, H, W).
        spacing: (N, 2) height and width of a pixel of each image in millimetres; None for distances in pixels.
    """
    sizes = np.ones((len(truth), 2)) if spacing is None else spacing
    return np.array([of(a, b, size) for a, b, size in zip(predicted, truth, sizes, strict=True)], np.float64)


def diagonal(shape: tuple[int, ...], size: Size) -> float:
    """Return the diagonal of an image (H, W), in the unit of its pixels' size."""
    return math.hypot(shape[0] * size[0], shape[1] * size[1])


def hausdorff(a: Mask, b: Mask, size: Size) -> float:
    """Return the largest distance of a pixel of either from the other; the image's diagonal where one is empty.

    Args:
        a: (H, W) one mask.
        b: (H, W) the other.
        size: height and width of a pixel.
    """
    from scipy.ndimage import distance_transform_edt

    if not (a.any() and b.any()):
        return 0.0 if a.any() == b.any() else diagonal(a.shape, size)
    away = [distance_transform_edt(~one, sampling=size) for one in (a, b)]
    return float(max(away[1][a].max(), away[0][b].max()))


def hausdorff_95(a: Mask, b: Mask, size: Size) -> float:
    """Return the larger 95 % quantile of one outline's distances from the other; the diagonal where one is empty.

    Args:
        a: (H, W) one mask.
        b: (H, W) the other.
        size: height and width of a pixel.
    """
    found = _distances(a, b, size)
    if found is None:
        return 0.0 if a.any() == b.any() else diagonal(a.shape, size)
    return float(max(np.quantile(one, 0.95) for one in found))


def within(a: Mask, b: Mask, size: Size, *, tolerance: float) -> float:
    """Return the share of both outlines' pixels that is no farther from the other than a tolerance.

    Args:
        a: (H, W) one mask.
        b: (H, W) the other.
        size: height and width of a pixel.
        tolerance: in the unit of that size.
    """
    found = _distances(a, b, size)
    if found is None:
        return float(a.any() == b.any())
    # Four pixels of 0.2 mm may be a hair more than 0.8 mm.
    return float((np.concatenate(found) <= tolerance * (1 + 1e-9)).mean())


def _distances(a: Mask, b: Mask, size: Size) -> tuple[FloatArray, FloatArray] | None:
    """Return the distance of each pixel of either outline from the other outline, None where one of them is empty."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    if not (a.any() and b.any()):
        return None
    # What lies outside of both has no part in it, and a distance transform of the whole image takes long.
    either = a | b
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    outlines = [np.pad(one[part], 1) for one in (a, b)]
    outlines = [one & ~binary_erosion(one) for one in outlines]
    away = [distance_transform_edt(~one, sampling=size) for one in outlines]
    return away[1][outlines[0]], away[0][outlines[1]]
