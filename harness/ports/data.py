"""Labelled images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from harness.model import Samples


class DataSource(Protocol):
    """harness/data/NAME.py: labelled images.

    Attributes:
        Options: the keys of `[data]` besides those that every source has.
    """

    Options: type[Any]

    def load(self, options: Any, *, split: str, base: Path, cache: Path) -> Samples:
        """Return a split; paths in `options` are relative to `base`, `cache` is a folder to keep derived files in.

        Args:
            options: an `Options`.
            split: name of the split.
            base: folder that relative paths count from.
            cache: folder for derived files.
        """

    def example(self, folder: Path) -> Mapping[str, Any]:
        """Write a small labelled example into `folder` and return the keys of `[data]` that read its split `test`."""
