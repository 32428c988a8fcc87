"""Latencies of a model that takes one path or another through its file, depending on the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from harness.model import FloatArray, IntArray


def of_path(
    rounds: IntArray, paths: Sequence[int], path: int, samples: int
) -> tuple[npt.NDArray[np.bool_], IntArray, npt.NDArray[np.bool_]]:
    """Return which latencies are of one path, the rounds of these alone, and which rounds have any.

    Args:
        rounds: (R, 3) launch, start and stop index into the latencies.
        paths: of each image that was timed; the images come round and round in one order, from the first latency on.
        path: the one that is meant.
        samples: N, how many latencies there are.

    Returns:
        (N,) True for its latencies, (R, 3) the same rounds with indices into these alone, and (R,) True where one is.
    """
    own = np.asarray(paths)[np.arange(samples) % len(paths)] == path
    before = np.concatenate([[0], np.cumsum(own)])
    cut = np.column_stack([rounds[:, 0], before[rounds[:, 1]], before[rounds[:, 2]]])
    return own, cut, cut[:, 2] > cut[:, 1]


def path_medians(values: FloatArray, paths: Sequence[int]) -> dict[int, float]:
    """Return path -> the median of its latencies.

    Args:
        values: (N,) latencies; the images come round and round in one order.
        paths: of each of these images.
    """
    taken = np.asarray(paths)[np.arange(len(values)) % len(paths)]
    return {int(path): float(np.median(values[taken == path])) for path in np.unique(taken)}


def shares(paths: Sequence[int]) -> Mapping[int, float]:
    """Return path -> the share of images that take it."""
    found, counts = np.unique(np.asarray(paths), return_counts=True)
    return {int(path): float(count / len(paths)) for path, count in zip(found, counts, strict=True)}
