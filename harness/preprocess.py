"""How an image becomes the model's input on the host; the device agent does the same sums in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.model import InputSpec


def prepare(images: npt.NDArray[Any], spec: InputSpec) -> npt.NDArray[np.float32]:
    """Return x = (pixel * scale - mean) / std, computed in float32, in the model's layout.

    Args:
        images: (N, H, W, C), uint8 or float32.
        spec: layout, scale, and mean and std with one entry or C entries.

    Returns:
        (N, C, H, W) float32 for the layout NCHW, (N, H, W, C) for NHWC; contiguous.

    Raises:
        ValueError: `mean` or `std` has neither one entry nor one per channel.
    """
    mean = np.asarray(spec.mean, dtype=np.float32)
    std = np.asarray(spec.std, dtype=np.float32)
    for values in (mean, std):
        if values.size not in (1, images.shape[-1]):
            raise ValueError(f"{values.size} means or deviations do not fit images with {images.shape[-1]} channels")
    x = (images.astype(np.float32) * np.float32(spec.scale) - mean) / std
    return np.ascontiguousarray(np.moveaxis(x, -1, 1) if spec.layout == "NCHW" else x)
