"""Which images stand in two splits at once: the same bytes, or nearly the same picture."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.model import IntArray

#: Pictures are compared in grey, at no more than so many pixels a side.
_SIDE: Final = 32
#: Two pictures are nearly the same if they differ by less than this root mean square, as a share of all values' range,
_RMS: Final = 0.05
#: and by less than this share of how far the one is from its `_NEIGHBOUR`th nearest: among fundus pictures, or empty
#: ones, all are near one another, which says nothing.
_RATIO: Final = 0.4
_NEIGHBOUR: Final = 20
#: Distances held at once.
_AT_ONCE: Final = 20_000_000

Array = npt.NDArray[Any]
Thumbs = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Images of one set that another one holds too.

    Attributes:
        identical: (P, 2) pairs of indices, of the first and the second set, whose pixels are equal.
        near: (Q, 2) further pairs that are nearly the same.
    """

    identical: IntArray
    near: IntArray

    @property
    def first(self) -> IntArray:
        """Indices of all images of the first set that the second one holds too, each once and in order."""
        return np.unique(np.concatenate([self.identical[:, 0], self.near[:, 0]]))

    def disagreeing(self, first: Sequence[str], second: Sequence[str]) -> int:
        """Return how many pairs have labels that differ: one of the two is wrong, and no model can be right about both.

        Args:
            first: (N,) the label of each image of the first set.
            second: (M,) the same of the second set.
        """
        pairs = np.concatenate([self.identical, self.near])
        return sum(first[one] != second[other] for one, other in pairs)

    def __str__(self) -> str:
        return f"{len(self.identical)} identical and {len(self.near)} nearly identical pairs"


def overlap(first: Array, second: Array) -> Overlap:
    """Return what two sets of images have in common.

    On BreastMNIST's train and test splits it finds the 74 pairs that lie within a root mean square of 0.05. Of a second
    set with 20 images or fewer only equal ones are found: there is no telling what is near.

    Args:
        first: (N, H, W, C) images.
        second: (M, H, W, C) images, of any size.
    """
    identical = _identical(first, second)
    known = {(int(one), int(other)) for one, other in identical}
    side = min(_SIDE, *first.shape[1:3], *second.shape[1:3])
    scale = float(max(first.max(), second.max())) - float(min(first.min(), second.min())) or 1.0
    near = [pair for pair in _near(_thumbs(first, side) / scale, _thumbs(second, side) / scale) if pair not in known]
    return Overlap(identical, np.array(near, np.int64).reshape(-1, 2))


def repeats(images: Array) -> IntArray:
    """Return (P, 2) pairs of indices of images whose pixels are equal, each image with the first one that it repeats.

    Args:
        images: (N, H, W, C).
    """
    first: dict[bytes, int] = {}
    places = [first.setdefault(_digest(image), index) for index, image in enumerate(images)]
    return np.array([(place, index) for index, place in enumerate(places) if place != index], np.int64).reshape(-1, 2)


def common_groups(
    first: IntArray | None, first_names: Sequence[str], second: IntArray | None, second_names: Sequence[str]
) -> IntArray:
    """Return the indices of the images of one set whose patients another set has too; none where either names none.

    Args:
        first: (N,) the patient of each image, as an index into the names.
        first_names: what the patients of the first set are called.
        second: the same of the second set.
        second_names: the same.
    """
    if first is None or second is None:
        return np.empty(0, np.int64)
    known = {second_names[number] for number in np.unique(second)}
    shared = np.array([name in known for name in first_names])
    return np.flatnonzero(shared[first])


def _identical(first: Array, second: Array) -> IntArray:
    places = defaultdict(list)
    for index, image in enumerate(second):
        places[_digest(image)].append(index)
    pairs = [(index, other) for index, image in enumerate(first) for other in places.get(_digest(image), ())]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _digest(image: Array) -> bytes:
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()


def _thumbs(images: Array, side: int) -> Thumbs:
    """Return (N, side * side) grey pictures: the means of equal parts of each image."""
    found = np.empty((len(images), side, side), np.float32)
    rows, columns = (np.linspace(0, size, side + 1).round().astype(int) for size in images.shape[1:3])
    for start in range(0, len(images), 1024):
        grey = images[start : start + 1024].astype(np.float32).mean(axis=3)
        sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=1), columns[:-1], axis=2)
        found[start : start + 1024] = sums / (np.diff(rows)[:, np.newaxis] * np.diff(columns))
    return found.reshape(len(images), -1)


def _near(first: Thumbs, second: Thumbs) -> list[tuple[int, int]]:
    pairs = []
    step = max(1, _AT_ONCE // len(second))
    squares = np.einsum("ij,ij->i", second, second)
    for start in range(0, len(first), step):
        own = first[start : start + step]
        cross = np.einsum("ij,ij->i", own, own)[:, np.newaxis] + squares - 2 * (own @ second.T)
        distances = np.sqrt(np.maximum(cross, 0) / first.shape[1])
        far = np.partition(distances, _NEIGHBOUR, axis=1)[:, _NEIGHBOUR, np.newaxis] if len(second) > _NEIGHBOUR else 0
        close = (distances < _RMS) & (distances < _RATIO * far)
        pairs += [(start + int(one), int(other)) for one, other in zip(*np.nonzero(close), strict=True)]
    return pairs
