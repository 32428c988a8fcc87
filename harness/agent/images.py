"""How an image becomes the model's input; `harness.recipes._inputs` uses the same code on the host."""

from __future__ import annotations

from typing import Any

from harness.agent.contract import Input


class Misfit(ValueError):
    """The data does not fit the model."""


def prepare(images: Any, spec: Input) -> Any:
    """Return (N, C, H, W) or (N, H, W, C) float32 from (N, H, W, C): x = (pixel * scale - mean) / std."""
    import numpy as np

    mean = np.asarray(spec.mean, np.float32)
    std = np.asarray(spec.std, np.float32)
    channels = images.shape[-1]
    if not {len(mean), len(std)} <= {1, channels}:
        given = f"{len(mean)} means and {len(std)} deviations"
        raise Misfit(f"{given} do not fit images with {channels} channels; give one, or one a channel")
    for values in (mean, std):
        if values.size not in (1, images.shape[-1]):
            raise ValueError(f"{values.size} means or deviations do not fit images with {images.shape[-1]} channels")
    x = (images.astype(np.float32) * np.float32(spec.scale) - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if spec.layout == "NCHW" else x)


def quantize(x: Any, images: Any, spec: Input, dtype: str, scale: float, zero_point: int) -> Any:
    """Return `x` in the integer type a model takes; a uint8 model without quantisation parameters takes the pixels.

    Args:
        x: (N, ...) float32, prepared.
        images: the pixels it was made of.
        spec: how it was made.
        dtype: numpy's name of the type the model takes.
        scale: of the input; 0 where the model has none.
        zero_point: of the input.

    Raises:
        Misfit: the model has no such parameters, and pixels are not what it takes or are not what there is.
    """
    import numpy as np

    if scale == 0:
        if dtype != "uint8" or images.dtype != np.uint8:
            raise Misfit(
                f"the model takes {dtype} without saying what it stands for, and the images are {images.dtype}; "
                "export it with quantisation parameters, or with a float32 input"
            )
        raw = images.transpose(0, 3, 1, 2) if spec.layout == "NCHW" else images
        return np.ascontiguousarray(raw)
    limits = np.iinfo(dtype)
    return np.clip(np.round(x / scale) + zero_point, limits.min, limits.max).astype(dtype)


def unbatched(wanted: list[Any], batch: int, *, one_at_a_time: str = "") -> str:
    """Return "" if a model that wants an input of shape `wanted` takes `batch` images at once.

    Args:
        wanted: its sizes; names and what is below 1 are free.
        batch: how many are asked for.
        one_at_a_time: the runtime's name if it takes one image at a time, whatever the file says.
    """
    if batch > 1 and one_at_a_time:
        return (
            f"batch = {batch} is asked for and {one_at_a_time} is given one image at a time; "
            "take batch out of [load], or measure an .onnx file with a free batch dimension"
        )
    first = wanted[0] if wanted else None
    if batch == 1 or not (isinstance(first, int) and first > 0):
        return ""
    return (
        f"batch = {batch} is asked for and the model takes exactly {first}; "
        "export it with a free batch dimension, or take batch out of [load]"
    )


def misfit(wanted: list[Any], given: tuple[int, ...]) -> str:
    """Return "" if an input of shape `given` fits a model that wants `wanted` (named sizes are free)."""
    fixed = [size if isinstance(size, int) and size > 0 else None for size in wanted]
    # A model may leave even the number of axes open; runtimes then name none.
    fits = not fixed or (len(fixed) == len(given) and all(a is None or a == b for a, b in zip(fixed, given)))
    if fits:
        return ""
    shape = "(" + ", ".join("any" if size is None else str(size) for size in fixed) + ")"
    return (
        f"the model takes {shape} but the data gives {tuple(given)}; "
        "set layout under [data.input], or bring images of the model's size and channels"
    )
