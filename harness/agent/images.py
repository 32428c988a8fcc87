"""How an image becomes the model's input on the device; a test holds the host's twin, `harness.preprocess`, equal."""

from __future__ import annotations

from typing import Any


def prepare(images: Any, spec: dict[str, Any]) -> Any:
    """Return (N, C, H, W) or (N, H, W, C) float32 from (N, H, W, C): x = (pixel * scale - mean) / std."""
    import numpy as np

    mean = np.asarray(spec["mean"], np.float32)
    std = np.asarray(spec["std"], np.float32)
    x = (images.astype(np.float32) * np.float32(spec["scale"]) - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if spec["layout"] == "NCHW" else x)


def quantize(x: Any, images: Any, spec: dict[str, Any], dtype: str, scale: float, zero_point: int) -> Any:
    """Return `x` in the integer type a model takes; a model without quantisation parameters takes the pixels."""
    import numpy as np

    limits = np.iinfo(dtype)
    if scale == 0:
        raw = images.transpose(0, 3, 1, 2) if spec["layout"] == "NCHW" else images
        return np.ascontiguousarray(np.clip(raw, limits.min, limits.max).astype(dtype))
    return np.clip(np.round(x / scale) + zero_point, limits.min, limits.max).astype(dtype)


def misfit(wanted: list[Any], given: tuple[int, ...]) -> str:
    """Return "" if an input of shape `given` fits a model that wants `wanted` (named sizes are free)."""
    fixed = [size if isinstance(size, int) and size > 0 else None for size in wanted]
    fits = len(fixed) == len(given) and all(a is None or a == b for a, b in zip(fixed, given))
    if fits:
        return ""
    shape = "(" + ", ".join("any" if size is None else str(size) for size in fixed) + ")"
    return (
        f"the model takes {shape} but the data gives {tuple(given)}; "
        "set layout under [data.input], or bring images of the model's size and channels"
    )
