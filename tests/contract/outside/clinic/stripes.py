"""`[data] source = "stripes"`: bright and dark stripes, the same every time; `count = 24` says how many.

An image is bright on the left (class `left`) or on the right (class `right`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.model import Samples

CLASSES = ("left", "right")
SIZE = (4, 6)


@dataclass(frozen=True, slots=True)
class Options:
    """`count`: how many images there are."""

    count: int = 24


def load(options: Options, *, split: str, base: Path, cache: Path) -> Samples:
    """Return a split: images (count, 4, 6, 1) uint8 and labels (count,), the classes by turns.

    Args:
        options: how many.
        split: only named in the description.
        base: unused, since nothing is read.
        cache: unused, since nothing is kept.
    """
    del base, cache
    labels = np.arange(options.count, dtype=np.int64) % 2
    images = np.random.default_rng(1).integers(0, 60, (options.count, *SIZE, 1)).astype(np.uint8)
    half = SIZE[1] // 2
    for image, label in zip(images, labels, strict=True):
        image[:, half * label : half * (label + 1)] += 180
    return Samples(images, labels, CLASSES, f"{options.count} synthetic stripes, split {split}", synthetic=True)


def example(folder: Path) -> Mapping[str, Any]:
    """Return the keys of a few images; they are drawn, so nothing is written."""
    del folder
    return {"count": 6}
