"""Small images on disk, and the one way in which tests read a data source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness import registry
from harness.model import Samples

GREY = np.arange(6 * 8 * 10, dtype=np.uint8).reshape(6, 8, 10)


def save(path: Path, pixels: np.ndarray[Any, Any], mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def make_folder(base: Path) -> Mapping[str, Any]:
    for index, pixels in enumerate(GREY):
        save(base / f"data/test/{('normal', 'cyst', 'solid')[index % 3]}/{index}.png", pixels)
    return {"classes": ["normal", "cyst", "solid"]}


def read(source: str, table: Mapping[str, Any], base: Path, split: str = "test") -> Samples:
    module = registry.load("data", source, file="suite.toml", key="data.source")
    options = registry.options(module, table, file="suite.toml", key="data")
    samples = module.load(options, split=split, base=base, cache=base / "cache")
    assert isinstance(samples, Samples)
    return samples
