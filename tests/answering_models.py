"""ONNX models of every documented way to answer, around one linear model of grey images 16 x 16, and what is true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 16
CLASSES = ("even", "above", "below")
_rng = np.random.default_rng(5)
LABELS: npt.NDArray[np.int64] = _rng.choice(3, 120, p=[0.5, 0.3, 0.2]).astype(np.int64)
_noise = _rng.normal(70, 20, (120, SIZE, SIZE))
_noise[:, : SIZE // 2] += _rng.normal(0, 13, (120, 1, 1))
_noise[LABELS == 1, : SIZE // 2] += 34
_noise[LABELS == 2, SIZE // 2 :] += 34
#: (120, 16, 16) uint8.
IMAGES: npt.NDArray[np.uint8] = np.clip(_noise, 0, 255).astype(np.uint8)
_up = np.repeat([1 / 128, 0], 128)
WEIGHTS = 40 * np.stack([0 * _up, _up - _up[::-1], _up[::-1] - _up], 1).astype(np.float32)
BIAS = np.array([2.5, 0, 0], np.float32)
#: (120, 3): what the linear model gives for pixels divided by 255.
LOGITS: npt.NDArray[np.float32] = (IMAGES.reshape(120, -1) / np.float32(255)).astype(np.float32) @ WEIGHTS + BIAS
PREDICTED: npt.NDArray[np.int64] = LOGITS.argmax(axis=1)
_powers = np.exp(LOGITS.astype(np.float64) - LOGITS.max(axis=1, keepdims=True))
SHARES = _powers / _powers.sum(axis=1, keepdims=True)

node = helper.make_node
Output = tuple[str, int, Sequence[Any] | None]


def model(
    path: Path,
    tail: Sequence[Any] = (),
    outputs: Sequence[Output] = (("logits", TensorProto.FLOAT, ["N", 3]),),
    *,
    before: Sequence[Any] = (),
    kind: int = TensorProto.FLOAT,
    shape: Sequence[Any] | None = ("N", 1, SIZE, SIZE),
    metadata: dict[str, str] | None = None,
    **constants: Any,
) -> Path:
    """Write the linear model with other operators around it.

    Args:
        path: of the file.
        tail: operators behind `logits`.
        outputs: name, type and shape of each.
        before: operators that make `xf` of the input `x`.
        kind: type of the input.
        shape: of the input; None leaves even the number of axes open.
        metadata: kept in the file.
        constants: further weights.
    """
    nodes = [
        *before,
        node("Flatten", ["xf" if before else "x"], ["flat"]),
        node("Gemm", ["flat", "W", "B"], ["logits"]),
    ]
    weights = {"W": WEIGHTS, "B": BIAS, **constants}
    graph = helper.make_graph(
        [*nodes, *tail],
        "answering",
        [helper.make_tensor_value_info("x", kind, shape)],
        [_value(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(made, metadata or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, path)
    return path


def _value(name: str, kind: int, shape: Sequence[Any] | None) -> Any:
    if kind >= 0:
        return helper.make_tensor_value_info(name, kind, shape)
    key = TensorProto.STRING if kind == MAP_OF_TEXTS else TensorProto.INT64
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    return helper.make_value_info(name, helper.make_sequence_type_proto(helper.make_map_type_proto(key, value)))


#: Types of an output that is a sequence of maps, of which ONNX's numbers have none.
MAP_OF_TEXTS, MAP_OF_NUMBERS = -1, -2


def zip_map(path: Path, names: Sequence[str] = ()) -> Path:
    """Write what scikit-learn's converter writes: a label, and a map from labels to probabilities.

    Args:
        path: of the file.
        names: of the classes in the model's own order; their numbers without.
    """
    order = [CLASSES.index(name) for name in names] if names else [0, 1, 2]
    own = {"classlabels_strings": list(names)} if names else {"classlabels_ints": order}
    key = {"classlabels_strings": list(names)} if names else {"classlabels_int64s": order}
    tail = [
        node("LinearClassifier", ["flat"], ["label", "scores"], domain="ai.onnx.ml", name="classifier",
             coefficients=WEIGHTS.T[order].ravel().tolist(), intercepts=BIAS[order].tolist(), multi_class=1,
             post_transform="SOFTMAX", **own),
        node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", **key),
    ]  # fmt: skip
    text = TensorProto.STRING if names else TensorProto.INT64
    outputs = [("label", text, ["N"]), ("probabilities", MAP_OF_TEXTS if names else MAP_OF_NUMBERS, None)]
    return model(path, tail, outputs)
