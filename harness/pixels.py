"""How images are brought to the size and the colours that a model takes: on the host, once, for every device alike.

Filters are Pillow's (pillow.readthedocs.io, "Concepts: filters"). With `antialias` a filter is widened to cover all
pixels that become one, as Pillow's and torchvision's resize do; without it neighbours of one point are interpolated, as
OpenCV's and TensorFlow's older resize do. Pixel centres lie at half numbers in both.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.model import InputSpec

#: By Pillow's own names, in small letters.
FILTERS: Final = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
#: Those that can interpolate at a point; the others are means over an area.
POINTS: Final = ("nearest", "bilinear", "bicubic")
#: Longest side of the small copies that a report shows.
SHOWN: Final = 64
#: Weights of red, green and blue in grey (ITU-R BT.601-7, 2.5.1).
_GREY: Final = (0.299, 0.587, 0.114)


def channels(have: int, spec: InputSpec) -> int:
    """Return how many channels images have after `converted`.

    Args:
        have: how many they have.
        spec: says the colours.

    Raises:
        ValueError: images of so many channels cannot become that.
    """
    if not spec.color:
        return have
    if have not in (1, 3):
        raise ValueError(f"images of {have} channels cannot be made {spec.color}; bring them with 1 or 3")
    return 1 if spec.color == "grey" else 3


def converted(images: npt.NDArray[Any], spec: InputSpec) -> npt.NDArray[Any]:
    """Return images as a model's file takes them, before scale, mean and std; the same array where nothing differs.

    Args:
        images: (N, H, W, C), uint8 or float32; three channels are red, green and blue.
        spec: size, filter and colours.

    Returns:
        (N, height, width, channels) of the same type.

    Raises:
        ValueError: as `channels`, or a filter that cannot do without antialiasing.
    """
    wanted = channels(images.shape[-1], spec)
    coloured = _coloured(images, spec.color, wanted)
    if spec.size is None or tuple(images.shape[1:3]) == spec.size:
        return coloured
    if not spec.antialias and spec.resize not in POINTS:
        raise ValueError(f"{spec.resize} is a mean over an area; antialias = false goes with {', '.join(POINTS)}")
    return np.stack([_resized(image, spec) for image in coloured])


def small_copies(images: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | None:
    """Return copies of (N, H, W, C) images with every n-th pixel, no side longer than `SHOWN`, for people to look at.

    None for images that no screen shows as they are: others than uint8 with 1 or 3 channels.
    """
    if images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        return None
    step = -(-max(images.shape[1:3]) // SHOWN)
    return np.ascontiguousarray(images[:, ::step, ::step])


def _coloured(images: npt.NDArray[Any], color: str, wanted: int) -> npt.NDArray[Any]:
    have = images.shape[-1]
    if not color:
        return images
    if have == 3 and wanted == 1:
        grey = images.astype(np.float64) @ np.array(_GREY)
        rounded = np.round(grey) if images.dtype == np.uint8 else grey
        return np.asarray(rounded.astype(images.dtype)[..., np.newaxis])
    if have == 3 and color == "BGR":
        return images[..., ::-1]
    return np.repeat(images, wanted, axis=-1) if have == 1 else images


def _resized(image: npt.NDArray[Any], spec: InputSpec) -> npt.NDArray[Any]:
    """Resize one (H, W, C) image, channel by channel: Pillow has no images of three floats."""
    from PIL import Image

    height, width = spec.size or image.shape[:2]
    kind = Image.Resampling[spec.resize.upper()]
    layers = []
    for channel in range(image.shape[-1]):
        whole = Image.fromarray(np.ascontiguousarray(image[..., channel]))
        if spec.antialias:
            made = whole.resize((width, height), kind)
        else:
            steps = (image.shape[1] / width, 0.0, 0.0, 0.0, image.shape[0] / height, 0.0)
            made = whole.transform((width, height), Image.Transform.AFFINE, steps, kind)
        layers.append(np.asarray(made))
    return np.stack(layers, axis=-1)
