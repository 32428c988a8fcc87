"""How an image becomes the model's input on the host: by the very code that does it on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.agent.contract import Input
from harness.agent.images import prepare as on_device
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
    prepared: npt.NDArray[np.float32] = on_device(
        images, Input("", spec.layout, spec.scale, list(spec.mean), list(spec.std))
    )
    return prepared
