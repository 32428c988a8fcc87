"""The corruptions themselves, on 8-bit pixels, with Pillow, NumPy and SciPy alone.

What is random is drawn from the corruption's name and the image's place in the split, and not from the severity: every
model is given the very same pixels, and a higher severity is more of the same. Lengths are of an image of 224 pixels,
for which MedMNIST-C states them, and shrink with the image: what they cover stays the same share of it.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.corruptions.severities import Step

Pixels = npt.NDArray[np.uint8]
#: (H, W, C) from 0 to 1.
Shares = npt.NDArray[np.float64]
_SIDE: Final = 224
#: Decibels from black to white of a compressed ultrasound picture.
_RANGE_DB: Final = 60.0


def corrupted(images: Pixels, name: str, step: Step) -> Pixels:
    """Return images as a corruption leaves them.

    Args:
        images: (N, H, W, C) uint8.
        name: one of `KNOWN`.
        step: how strong it is, as `harness.corruptions.severities` explains.

    Returns:
        (N, H, W, C) uint8, the same for the same images in the same order and the same versions of the libraries.

    Raises:
        ValueError: the pixels are not of 8 bits.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"corruptions are of pixels of 8 bits, and these are {images.dtype}")
    strength, extent = step if isinstance(step, tuple) else (step, 0.0)
    found = np.empty_like(images)
    for place, image in enumerate(images):
        drawn = np.random.default_rng([zlib.crc32(name.encode()), place])
        made = KNOWN[name](image / 255, drawn, float(strength), float(extent))
        found[place] = np.rint(np.clip(made, 0, 1) * 255)
    return found


def _gaussian_noise(image: Shares, drawn: np.random.Generator, sigma: float, _: float) -> Shares:
    return image + sigma * drawn.standard_normal(image.shape)


def _speckle_noise(image: Shares, drawn: np.random.Generator, sigma: float, _: float) -> Shares:
    return image * (1 + sigma * drawn.standard_normal(image.shape))


def _impulse_noise(image: Shares, drawn: np.random.Generator, share: float, _: float) -> Shares:
    hit, white = drawn.random(image.shape), drawn.random(image.shape) < 0.5
    return np.where(hit < share, white.astype(np.float64), image)


def _shot_noise(image: Shares, drawn: np.random.Generator, photons: float, _: float) -> Shares:
    return drawn.poisson(image * photons) / photons


def _pixelate(image: Shares, drawn: np.random.Generator, share: float, _: float) -> Shares:
    del drawn
    from PIL import Image

    height, width = image.shape[:2]
    small = max(int(width * share), 1), max(int(height * share), 1)

    def coarse(layer: Any) -> Any:
        return layer.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return _by_pillow(image, coarse)


def _jpeg_compression(image: Shares, drawn: np.random.Generator, quality: float, _: float) -> Shares:
    del drawn
    from PIL import Image

    def written(layer: Any) -> Any:
        file = io.BytesIO()
        layer.save(file, "JPEG", quality=int(quality))
        return Image.open(io.BytesIO(file.getvalue()))

    return _by_pillow(image, written)


def _by_pillow(image: Shares, change: Callable[[Any], Any]) -> Shares:
    """Change an image by Pillow: one of three channels as colours, any other channel by channel."""
    from PIL import Image

    pixels = np.rint(image * 255).astype(np.uint8)
    if pixels.shape[-1] == 3:
        return np.asarray(change(Image.fromarray(pixels))) / 255
    layers = [change(Image.fromarray(np.ascontiguousarray(pixels[..., i]))) for i in range(pixels.shape[-1])]
    return np.stack([np.asarray(layer) for layer in layers], axis=-1) / 255


def _gaussian_blur(image: Shares, drawn: np.random.Generator, kernel: float, _: float) -> Shares:
    del drawn
    from scipy import ndimage

    # The deviation that goes with a kernel's width where nobody says one (OpenCV, getGaussianKernel).
    sigma = (0.3 * ((kernel - 1) / 2 - 1) + 0.8) * _scale(image)
    return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest"))


def _motion_blur(image: Shares, drawn: np.random.Generator, radius: float, sigma: float) -> Shares:
    """Smear an image along a line, weights falling to one side as half a Gaussian of `sigma`."""
    angle = math.radians(drawn.uniform(-45, 45))
    at = np.linspace(0, 2 * radius, int(2 * radius) + 1)
    weights, at = np.exp(-0.5 * (at / sigma) ** 2), at * _scale(image)
    taps: dict[tuple[int, int], float] = {}
    for weight, y, x in zip(weights / weights.sum(), at * math.sin(angle), at * math.cos(angle), strict=True):
        top, left = math.floor(y), math.floor(x)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            part = (1 - abs(y - top - down)) * (1 - abs(x - left - right))
            taps[top + down, left + right] = taps.get((top + down, left + right), 0.0) + weight * part
    return _filtered(image, taps)


def _defocus_blur(image: Shares, drawn: np.random.Generator, radius: float, sigma: float) -> Shares:
    """Spread each pixel over a disk whose edge is softened by a Gaussian; pixels there count by how far inside."""
    del drawn
    from scipy import ndimage

    own = radius * _scale(image)
    reach = range(-math.ceil(own), math.ceil(own) + 1)
    taps = {(y, x): min(max(own + 0.5 - math.hypot(y, x), 0.0), 1.0) for y in reach for x in reach}
    total = sum(taps.values())
    spread = _filtered(image, {place: weight / total for place, weight in taps.items()})
    soft = sigma * _scale(image)
    return np.asarray(ndimage.gaussian_filter(spread, (soft, soft, 0), mode="nearest"))


def _filtered(image: Shares, taps: Mapping[tuple[int, int], float]) -> Shares:
    """Return the weighted sum of an image shifted by each (down, right); beyond the edge its last pixel goes on."""
    used = {place: weight for place, weight in taps.items() if weight > 0}
    reach = max(max(abs(y), abs(x)) for y, x in used)
    whole = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    total = np.zeros_like(image)
    for (y, x), weight in used.items():
        total += weight * whole[reach - y : reach - y + height, reach - x : reach - x + width]
    return total


def _scale(image: Shares) -> float:
    return float(min(image.shape[:2])) / _SIDE


def _brightness(image: Shares, drawn: np.random.Generator, factor: float, _: float) -> Shares:
    del drawn
    return image * factor


def _contrast(image: Shares, drawn: np.random.Generator, factor: float, _: float) -> Shares:
    del drawn
    mean = float(image.mean())
    return mean + factor * (image - mean)


def _gamma(image: Shares, drawn: np.random.Generator, exponent: float, _: float) -> Shares:
    del drawn
    return np.asarray(image**exponent)


def _gain(image: Shares, drawn: np.random.Generator, decibels: float, _: float) -> Shares:
    """Turn the gain of an ultrasound unit up: its picture is logarithmic, so each pixel gets as many grey levels."""
    del drawn
    return image + decibels / _RANGE_DB


def _shadow(image: Shares, drawn: np.random.Generator, share: float, left: float) -> Shares:
    """Darken a strip below a depth, as behind bone or gas, with edges that are soft over a quarter of its width."""
    height, width = image.shape[:2]
    depth, centre = drawn.uniform(0.1, 0.4), drawn.uniform(0.25, 0.75)
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    across = np.clip((share / 2 - np.abs(x - centre)) / (share / 4) + 0.5, 0, 1)
    down = np.clip((y - depth) / 0.05, 0, 1)
    return np.asarray(image * (1 - (1 - left) * down[:, np.newaxis] * across)[..., np.newaxis])


#: Name -> (image, what is drawn, strength, second number) -> image.
KNOWN: Final[Mapping[str, Callable[[Shares, np.random.Generator, float, float], Shares]]] = {
    "pixelate": _pixelate,
    "jpeg_compression": _jpeg_compression,
    "gaussian_noise": _gaussian_noise,
    "speckle_noise": _speckle_noise,
    "impulse_noise": _impulse_noise,
    "shot_noise": _shot_noise,
    "gaussian_blur": _gaussian_blur,
    "defocus_blur": _defocus_blur,
    "motion_blur": _motion_blur,
    "brightness_up": _brightness,
    "brightness_down": _brightness,
    "contrast_up": _contrast,
    "contrast_down": _contrast,
    "gamma_corr_up": _gamma,
    "gamma_corr_down": _gamma,
    "gain": _gain,
    "shadow": _shadow,
}
