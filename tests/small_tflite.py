"""The small models of `small_models` that LiteRT takes, and those that it cannot run, or not as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.small_models import CLASSES, SIZE
from tests.tflite_models import Graph

SHAPE = (1, 1, SIZE, SIZE)
_NO_BIAS = np.zeros(len(CLASSES))


def _halves() -> npt.NDArray[np.float32]:
    """Return what compares the mean of the upper half with that of the lower, (pixels, classes)."""
    upper = np.repeat([True, False], SIZE * SIZE // 2)[:, None]
    return np.where(upper, [5, 20, -20], [5, -20, 20]).astype(np.float32) * np.float32(2 / SIZE**2)


def good(path: Path) -> Path:
    """Write a model that is right about every sample."""
    return of_shape(path, SHAPE)


def of_shape(path: Path, shape: tuple[int, ...], kind: str = "FLOAT32", sizes: tuple[int, ...] | None = None) -> Path:
    """Write the good model for an input of another shape or type.

    Args:
        path: of the file.
        shape: of the input; -1 for a size that is known only when the model runs.
        kind: type of the input, as the schema calls it.
        sizes: what an input with open sizes runs at; 1 in place of each without.
    """
    graph = Graph()
    first = last = graph.tensor("x", shape, kind=kind, sizes=sizes)
    if kind != "FLOAT32":
        last = graph.operator("CAST", [first], graph.tensor("f", shape), "CastOptions")
    last = graph.linear("logits", last, _halves(), _NO_BIAS)
    return graph.write(path, [graph.subgraph([first], [last])])


def segmenter(path: Path) -> Path:
    """Write a model that says of every pixel which of three levels of grey it has, as (1, 3, height, width)."""
    graph = Graph()
    first = graph.tensor("x", SHAPE)
    levels = np.array([-40, 0, 40], np.float32).reshape(3, 1, 1, 1)
    last = graph.convolution("maps", _as_nhwc(graph, first), (1, SIZE, SIZE, 3), levels)
    order = graph.tensor("order", (4,), np.array([0, 3, 1, 2], np.int32))
    last = graph.operator("TRANSPOSE", [last, order], graph.tensor("y", (1, 3, SIZE, SIZE)), "TransposeOptions")
    return graph.write(path, [graph.subgraph([first], [last])])


def _as_nhwc(graph: Graph, last: int) -> int:
    """Return the image, of one channel, as convolutions take it."""
    shape = graph.tensor("nhwc.shape", (4,), np.array([1, SIZE, SIZE, 1], np.int32))
    return graph.operator("RESHAPE", [last, shape], graph.tensor("nhwc", (1, SIZE, SIZE, 1)))


def two_inputs(path: Path) -> Path:
    """Write a model that wants two images."""
    graph = Graph()
    both = [graph.tensor("x", SHAPE), graph.tensor("y", SHAPE)]
    last = graph.linear(
        "logits", graph.operator("ADD", both, graph.tensor("sum", SHAPE), "AddOptions"), _halves(), _NO_BIAS
    )
    return graph.write(path, [graph.subgraph(both, [last])])


def of_operator(path: Path, name: str) -> Path:
    """Write the good model behind a custom operator of this name."""
    graph = Graph()
    first = graph.tensor("x", SHAPE)
    last = graph.linear("logits", graph.operator(name, [first], graph.tensor("own", SHAPE)), _halves(), _NO_BIAS)
    return graph.write(path, [graph.subgraph([first], [last])])


def of_signatures(path: Path, signatures: Sequence[tuple[str, int]]) -> Path:
    """Write the good model with another one as second subgraph, which answers the contrary.

    Args:
        path: of the file.
        signatures: (key, number of its subgraph) pairs.
    """
    graph = Graph()
    other = Graph(graph)
    subgraphs = []
    for one, sign in ((graph, 1), (other, -1)):
        first = one.tensor("x", SHAPE)
        subgraphs.append(one.subgraph([first], [one.linear("logits", first, _halves() * sign, _NO_BIAS)]))
    return graph.write(path, subgraphs, signatures)


def truncated(path: Path) -> Path:
    """Write the first half of a good model."""
    whole = good(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path
