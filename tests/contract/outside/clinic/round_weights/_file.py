"""The .tiny file, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def read(path: Path) -> dict[str, Any]:
    """Return name -> array."""
    with np.load(path) as model:
        return dict(model)


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write the arrays under exactly that name: numpy.savez alone would add .npz to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **arrays)
