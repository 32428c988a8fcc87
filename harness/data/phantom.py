"""`[data] source = "phantom"`: synthetic ultrasound lesions, the same bytes for the same seed, nothing to download.

`seed = 20` draws other patients; `train`, `validation` and `test` set how many images a split has. `truth = "masks"` is
for segmentation: the masks of the lesions are the truth, and there are no labels. `frames = 30` makes each image a cine
loop of so many, one after another as at 30 Hz: the tissue of one patient, which moves with the pulse. `stack = 8` gives
a model that reads loops each frame with the 7 before it, oldest first, where images have their channels.

A B-mode image is made as a scanner makes one: point scatterers weighted by the tissue's echogenicity are convolved with
the point-spread function of the probe, attenuated on the way in and out, compensated for depth, demodulated to the
envelope and compressed to decibels. A cyst hardly attenuates, so the tissue behind it is bright; a solid lesion
attenuates more, so it throws a shadow. Fat lobules, layers and poor contact appear in every class, to be mistaken for
lesions. The method is that of Field's simplified form: Bamber and Dickinson, "Ultrasonic B-scanning: a computer
simulation", Phys. Med. Biol. 25 (1980).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from harness.errors import NoSplit
from harness.model import FloatArray, Samples

#: Part of the cache's name: raise it whenever a byte of any image changes.
VERSION: Final = 1
CLASSES: Final = ("normal", "cyst", "solid")
SPLITS: Final = ("train", "validation", "test")
PIXELS: Final = 64
#: Axial samples per pixel; the carrier needs a finer grid than the picture.
_AXIAL_STEPS: Final = 2
_DYNAMIC_RANGE_DB: Final = 40.0
#: Compounding: pictures of the same tissue from different angles, averaged to calm the speckle.
_LOOKS: Final = 2

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Options:
    """What `[data]` may say besides the source's name.

    Attributes:
        seed: of the whole phantom.
        train: images, or loops, of this split.
        validation: the same of this one.
        test: the same of this one.
        frames: of a loop; 1 for single images.
        stack: frames in one image, a frame and those before it; the first frames of a loop have too few before them.
        truth: "labels" for classification, "masks" for segmentation.
    """

    seed: int = 7
    train: int = 3000
    validation: int = 300
    test: int = 900
    frames: int = 1
    stack: int = 1
    truth: Literal["labels", "masks"] = "labels"

    def __post_init__(self) -> None:
        for name in (*SPLITS, "frames", "stack"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.stack > self.frames:
            raise ValueError(f"stack = {self.stack} is more than a loop has: set frames to {self.stack} or more")


def load(options: Options, *, split: str, base: Path, cache: Path) -> Samples:
    """Return a split: images (N, 64, 64, stack) uint8, labels (N,), masks (N, 64, 64) with the label in the lesion.

    The frames of a loop follow one another and are one patient. Of several frames in one image, the mask is the last's.

    Args:
        options: seed and sizes.
        split: one of `SPLITS`.
        base: folder of the suite; only named in errors, since nothing is read from it.
        cache: folder that keeps the images once made.

    Raises:
        NoSplit: there is no such split.
    """
    if split not in SPLITS:
        raise NoSplit(
            f"the phantom has no split {split!r}",
            remedy=f"use one of {', '.join(SPLITS)}",
            file=str(base),
            key="data.split",
        )
    count: int = getattr(options, split)
    identity = json.dumps([VERSION, options.seed, split, count, *([options.frames] if options.frames > 1 else [])])
    file = cache / f"phantom-{split}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
    arrays = _cached(file)
    if arrays is None:
        made = [loop(options.seed, split, index, options.frames) for index in range(count)]
        arrays = np.concatenate([images for images, _ in made]), np.concatenate([masks for _, masks in made])
        _keep(file, *arrays)
    loops = options.frames > 1
    what = f"cine loops of {options.frames} frames of synthetic" if loops else "synthetic"
    behind = f", each frame with the {options.stack - 1} before it" if options.stack > 1 else ""
    images, masks = _stacked(*arrays, options)
    patients = np.repeat(np.arange(count, dtype=np.int64), options.frames - options.stack + 1)
    return Samples(
        images=images,
        labels=patients % len(CLASSES) if options.truth == "labels" else np.empty(0, np.int64),
        classes=CLASSES,
        description=f"{count} {what} ultrasound phantoms ({split}, seed {options.seed}){behind}: "
        "no patient, no scanner",
        masks=masks,
        synthetic=True,
        groups=patients if loops else None,
        group_names=tuple(f"{split} {index}" for index in range(count)) if loops else (),
    )


def example(folder: Path) -> Mapping[str, Any]:
    """Return the keys of a few images; they are drawn, so nothing is written."""
    del folder
    return {"train": 6, "validation": 6, "test": 9}


def _stacked(images: Bytes, masks: Bytes, options: Options) -> tuple[Bytes, Bytes]:
    """Return images (N, 64, 64, stack) of the frames (F, 64, 64) of all loops, and the last frame's mask of each."""
    if options.stack == 1:
        return images[..., None], masks
    loops = images.reshape(-1, options.frames, *images.shape[1:])
    windows = np.lib.stride_tricks.sliding_window_view(loops, options.stack, axis=1)
    last = masks.reshape(loops.shape)[:, options.stack - 1 :]
    return np.ascontiguousarray(windows.reshape(-1, *windows.shape[2:])), last.reshape(-1, *masks.shape[1:])


def _cached(file: Path) -> tuple[Bytes, Bytes] | None:
    try:
        with np.load(file) as arrays:
            return arrays["images"], arrays["masks"]
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None  # absent or damaged: made again, byte for byte


def _keep(file: Path, images: Bytes, masks: Bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", suffix=".npz", delete=False) as stream:
        partial = Path(stream.name)  # its own for each thread: several devices may ask at once
        try:
            np.savez(stream, images=images, masks=masks)
            stream.close()
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Tissue:
    """What the wave meets, on the fine grid: echogenicity (amplitude) and attenuation (relative to tissue)."""

    echo: FloatArray
    attenuation: FloatArray


def draw(seed: int, split: str, index: int) -> tuple[Bytes, Bytes]:
    """Return image and mask, each (64, 64) uint8, of one sample; its class is `index` modulo the number of classes.

    Args:
        seed: of the whole phantom.
        split: name of the split.
        index: of the sample in it.
    """
    images, masks = loop(seed, split, index, 1)
    return images[0], masks[0]


def loop(seed: int, split: str, index: int, frames: int) -> tuple[Bytes, Bytes]:
    """Return images and masks, each (F, 64, 64) uint8, of one sample, whose first frame is what `draw` gives.

    Args:
        seed: as for `draw`.
        split: as for `draw`.
        index: as for `draw`.
        frames: F, at 30 a second.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    label = index % len(CLASSES)
    depth, width = _grid()
    tissue = _background(rng, depth, width)
    inside = np.zeros(depth.shape, dtype=bool)
    if label:
        tissue, inside = _with_lesion(rng, tissue, depth, width, CLASSES[label])
    shifts = _pulse(seed, split, index, frames)
    images = _scan(rng, tissue, depth, shifts)
    masks = np.stack([_moved(inside, shift)[::_AXIAL_STEPS] * label for shift in shifts])
    return images, masks.astype(np.uint8)


def _pulse(seed: int, split: str, index: int, frames: int) -> list[int]:
    """Return how far the tissue is from where it was at first, in axial samples, for each frame."""
    rng = np.random.default_rng(
        [seed, SPLITS.index(split), index, 1]
    )  # apart: a loop's first frame is the single image
    beat = rng.uniform(22, 36)  # frames from beat to beat: 50 to 80 a minute at 30 Hz
    reach = rng.uniform(1.0, 3.0) * _AXIAL_STEPS
    return [round(reach * (1 - np.cos(2 * np.pi * frame / beat)) / 2) for frame in range(frames)]


def _moved(field: npt.NDArray[Any], shift: int) -> npt.NDArray[Any]:
    """Return (..., depth, width) pushed deeper by a shift; what comes in at the top is what was there, mirrored."""
    rows = np.abs(np.arange(field.shape[-2]) - shift)
    return field[..., rows, :]


def _grid() -> tuple[FloatArray, FloatArray]:
    depth = (np.arange(PIXELS * _AXIAL_STEPS) + 0.5) / (PIXELS * _AXIAL_STEPS)
    width = (np.arange(PIXELS) + 0.5) / PIXELS
    return np.meshgrid(depth, width, indexing="ij")


def _smooth(rng: np.random.Generator, depth_scale: float, width_scale: float) -> FloatArray:
    """Return a random field of about unit deviation that varies over these shares of the picture's depth and width.

    It is a cosine series whose coefficients fall off as a Gaussian, which costs far less than filtering white noise.
    """
    depth, width = (np.arange(n) + 0.5 for n in (PIXELS * _AXIAL_STEPS, PIXELS))
    order = np.arange(24)
    rows = np.cos(np.pi * depth[:, None] * order / depth.size) * np.exp(-0.5 * (np.pi * order * depth_scale) ** 2)
    columns = np.cos(np.pi * width[:, None] * order / width.size) * np.exp(-0.5 * (np.pi * order * width_scale) ** 2)
    field: FloatArray = rows @ rng.standard_normal((order.size, order.size)) @ columns.T
    field -= field.mean()
    field /= field.std()
    return field


def _level(
    rng: np.random.Generator, depth: FloatArray, width: FloatArray, radii: tuple[float, float], roughness: float
) -> FloatArray:
    """Return how far each point is from a blob's centre in units of its radius in that direction: below 1 is inside."""
    z = (depth - rng.uniform(0.25, 0.68)) / radii[0]
    x = (width - rng.uniform(0.22, 0.78)) / radii[1]
    angle = np.arctan2(z, x)
    radius = np.ones_like(depth)
    for lobe in range(2, 8):
        radius += roughness * rng.standard_normal() / np.sqrt(lobe) * np.cos(lobe * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(z, x) / np.maximum(radius, 0.4)


def _background(rng: np.random.Generator, depth: FloatArray, width: FloatArray) -> _Tissue:
    """Return layered tissue with fat lobules, some of them as dark as a lesion, but without lesion's shadow or glow."""
    waves = depth + 0.02 * _smooth(rng, 0.15, 0.2)
    layers = np.sin(2 * np.pi * (waves * rng.uniform(2.0, 5.0) + rng.uniform()))
    echo = np.exp(0.16 * layers + 0.2 * _smooth(rng, 0.11, 0.14))
    for _ in range(rng.integers(2, 6)):
        radii = (rng.uniform(0.05, 0.13), rng.uniform(0.09, 0.24))
        level = _level(rng, depth, width, radii, 0.1)
        factor = rng.uniform(0.38, 0.85) if rng.uniform() < 0.75 else rng.uniform(1.2, 1.8)
        echo *= factor ** _soft(level, rng.uniform(0.06, 0.2))
    attenuation = np.exp(0.25 * _smooth(rng, 0.08, 0.12))
    contact = 1.0 + 0.5 * np.abs(_smooth(rng, 2.0, 0.08))
    attenuation[:8] *= 4.0 * contact[:8]
    return _Tissue(echo, attenuation)


def _soft(level: FloatArray, blur: float) -> FloatArray:
    """Return 1 inside, 0 outside and a slope of width `blur` between."""
    return 1.0 / (1.0 + np.exp(np.clip((level - 1.0) / blur * 4.0, -60.0, 60.0)))


def _with_lesion(
    rng: np.random.Generator, tissue: _Tissue, depth: FloatArray, width: FloatArray, kind: str
) -> tuple[_Tissue, npt.NDArray[np.bool_]]:
    """Return the tissue with one lesion in it, and where it is."""
    size = rng.uniform(0.09, 0.18)
    if kind == "cyst":
        radii = (size * rng.uniform(0.7, 1.1), size)
        level = _level(rng, depth, width, radii, rng.uniform(0.0, 0.07))
        echo, blur, attenuation = rng.uniform(0.05, 0.4), rng.uniform(0.06, 0.14), rng.uniform(0.0, 0.25)
    else:
        radii = (size * rng.uniform(0.7, 1.3), size)
        level = _level(rng, depth, width, radii, rng.uniform(0.04, 0.16))
        echo, blur, attenuation = rng.uniform(0.12, 0.5), rng.uniform(0.08, 0.2), rng.uniform(2.0, 4.0)
    weight = _soft(level, blur)
    lesion = _Tissue(tissue.echo * echo**weight, tissue.attenuation * (1.0 + (attenuation - 1.0) * weight))
    return lesion, level < 1.0


def _scan(rng: np.random.Generator, tissue: _Tissue, depth: FloatArray, shifts: Sequence[int]) -> Bytes:
    """Return the B-mode pictures (F, 64, 64) of the tissue, pushed deeper by each shift; speckle moves with it."""
    per_depth = rng.uniform(1.1, 1.7)  # nepers over the whole depth, there and back
    compensated = rng.uniform(0.9, 1.25)
    scatterers = rng.standard_normal((_LOOKS, *depth.shape))
    beam_width = rng.uniform(0.75, 1.0)
    pictures, level = [], 0.0
    for shift in shifts:
        path = np.cumsum(_moved(tissue.attenuation, shift), axis=0) / depth.shape[0]
        gain = np.exp(per_depth * (depth * compensated - path))
        echoes = _moved(scatterers, shift) * (_moved(tissue.echo, shift) * gain)
        noise = rng.standard_normal((2, *echoes.shape))
        level = level or rng.uniform(0.01, 0.05)
        pictures.append(_envelope(echoes, beam_width, noise * level))
    # One setting for the loop: a picture of its own brightness a frame would flicker.
    brightest = np.quantile(pictures[0], 0.995)
    decibels = 20.0 * np.log10(np.stack(pictures) / brightest + 1e-6)
    images: Bytes = np.clip(np.rint((1.0 + decibels / _DYNAMIC_RANGE_DB) * 255.0), 0, 255).astype(np.uint8)
    return images


def _envelope(echoes: FloatArray, beam_width: float, noise: FloatArray) -> FloatArray:
    """Return (64, 64) what the probe receives of echoes (looks, depth, width), with noise in both phases."""
    from scipy.ndimage import correlate1d, gaussian_filter1d

    beam = gaussian_filter1d(echoes, beam_width, axis=2, mode="reflect")
    reach = np.arange(-6, 7)
    pulse = np.exp(-0.5 * (reach / 1.8) ** 2)
    inphase = correlate1d(beam, pulse * np.cos(2 * np.pi * reach / 4.0), axis=1, mode="reflect")
    quadrature = correlate1d(beam, pulse * np.sin(2 * np.pi * reach / 4.0), axis=1, mode="reflect")
    received: FloatArray = np.hypot(inphase + noise[0], quadrature + noise[1]).mean(axis=0)[::_AXIAL_STEPS]
    return received
