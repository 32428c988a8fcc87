"""A tiny task for recipes: which half of an image is brighter; and models whose sensitive layers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.model import InputSpec, Samples, Task
from harness.ports.recipes import Build
from harness.recipes import _host
from harness.recipes._inputs import prepare
from tests.tflite_models import Graph

SIZE = 16
SPEC = InputSpec(layout="NCHW", scale=1 / 255)
TASK = Task("classification", "bottom")
#: What the first layer adds to both halves, whose difference alone counts: 8 bits cannot hold both.
LIFT = 1000.0


def samples(split: str = "test") -> Samples:
    """Return 40 images, half of them brighter above and half below, of other noise for each split."""
    rng = np.random.default_rng(["train", "validation", "test"].index(split))
    labels = np.arange(40, dtype=np.int64) % 2
    images = rng.normal(60, 10, (40, SIZE, SIZE, 1))
    images[labels == 0, : SIZE // 2] += 100
    images[labels == 1, SIZE // 2 :] += 100
    return Samples(np.clip(images, 0, 255).astype(np.uint8), labels, ("top", "bottom"), "made here", synthetic=True)


def job(parent: Path, target: Path) -> Build:
    """Return what a recipe is given."""
    return Build(parent, target, samples, SPEC, TASK)


def answers(file: Path) -> npt.NDArray[Any]:
    """Return (40, 2) logits of the test split."""
    return _host.answers(file, prepare(samples().images, SPEC))


def accuracy(file: Path) -> float:
    """Return the share of the test split that a model is right about."""
    return float(np.mean(answers(file).argmax(axis=1) == samples().labels))


def _layers(lift: float) -> list[tuple[str, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Return name, (inputs, outputs) weights and bias of the three layers: halves, their difference, the same again."""
    upper = np.repeat([True, False], SIZE * SIZE // 2)
    halves = np.stack([upper, ~upper], axis=1).astype(np.float32) * np.float32(2 / SIZE**2)
    differ = np.array([[8, -8], [-8, 8]], np.float32)
    same = np.array([[1, 0.25], [0.25, 1]], np.float32)
    none = np.zeros(2, np.float32)
    return [("lift", halves, none + np.float32(lift)), ("differ", differ, none), ("last", same, none)]


def onnx_model(path: Path, *, lift: float = LIFT, opset: int = 17) -> Path:
    """Write the three layers as Gemm nodes of these names, behind a Flatten; the last has no name."""
    nodes = [helper.make_node("Flatten", ["x"], ["flat"], name="flatten")]
    weights, last = [], "flat"
    for name, matrix, bias in _layers(lift):
        weights += [numpy_helper.from_array(matrix, f"{name}.w"), numpy_helper.from_array(bias, f"{name}.b")]
        output = "logits" if name == "last" else f"{name}.y"
        nodes.append(
            helper.make_node(
                "Gemm", [last, f"{name}.w", f"{name}.b"], [output], name=name if output != "logits" else ""
            )
        )
        last = output
    return save(path, nodes, weights, opset=opset)


def save(
    path: Path, nodes: list[Any], weights: list[Any], *, opset: int = 17, shape: tuple[Any, ...] = (1, 1, SIZE, SIZE)
) -> Path:
    """Write a model that takes `x` and gives `logits`.

    Args:
        path: of the file.
        nodes: of ONNX.
        weights: its initialisers.
        opset: of its operators.
        shape: of its input.
    """
    entrance = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "halves", [entrance], [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def tflite_model(path: Path, *, lift: float = LIFT) -> Path:
    """Write the three layers as fully connected ones of these names."""
    graph = Graph()
    first = last = graph.tensor("x", (1, 1, SIZE, SIZE))
    for name, matrix, bias in _layers(lift):
        last = graph.linear(name, last, matrix, bias)
    return graph.write(path, [graph.subgraph([first], [last])], [("serving", 0)])


MODELS = {"onnx": onnx_model, "tflite": tflite_model}
