"""ONNX files, read with the `onnx` package: the graph, without the weights that lie in other files."""

from __future__ import annotations

import ast
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.formats import ModelFile, Tensor, Unreadable, _meaning

if TYPE_CHECKING:
    import onnx

#: Domains whose operators do what ONNX's of that name do.
_SAME_NAMES: Final = ("", "ai.onnx", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc")
#: Domains whose name need not be said.
_USUAL: Final = ("", "ai.onnx")
#: Classifiers of ai.onnx.ml: each gives a label and the scores that it comes from.
_CLASSIFIERS: Final = ("TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier")
#: Operators that give integers -> the place of their output's scale among their inputs; the zero point is behind it.
_QUANTISED_AT: Final = {
    "QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QLinearAdd": 6, "QLinearMul": 6, "QGemm": 7,
    "QLinearSigmoid": 3, "QLinearSoftmax": 3, "QLinearLeakyRelu": 3, "QLinearGlobalAveragePool": 3,
    "QLinearAveragePool": 3,
}  # fmt: skip
#: Operators that multiply with what was learnt.
_MULTIPLIES: Final = ("Conv", "Gemm", "MatMul", "ConvTranspose", "QLinearConv", "QLinearMatMul")
#: Keys of the metadata under which exporters keep the names of classes.
_NAMES: Final = ("names", "classes", "class_names", "labels")


def read(path: Path) -> ModelFile:
    """Return what an ONNX file says of itself."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # as onnx, which brings it

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise Unreadable(f"{path.name} is no ONNX model, or a damaged one", remedy="export it again") from error
    try:
        return _Graph(_with_shapes(model)).described()
    # A node that lacks inputs or outputs which its operator must have.
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is a damaged ONNX model", remedy="export it again") from error


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import shape_inference

    try:
        return shape_inference.infer_shapes(model)
    # A shape that is wrong, or a file that is too large for this, says less and still is a model.
    except (RuntimeError, ValueError, shape_inference.InferenceError):
        return model


def macs_of_nodes(model: onnx.ModelProto) -> dict[str, int | None]:
    """Return first output -> multiplications with an addition, of each node that has any; None where sizes are open."""
    return _Graph(_with_shapes(model)).macs_of_nodes()


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and the branches and bodies in it."""
    yield graph
    for node in graph.node:
        for branch in _branches(node):
            yield from _graphs(branch)


def _branches(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [one.g for one in node.attribute if one.HasField("g")]


class _Graph:
    """A model with its tensors by name, those of all branches among them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model, graphs = model, list(_graphs(model.graph))
        # No name stands for two tensors, in whatever branch they are made.
        self._nodes = [node for graph in graphs for node in graph.node]
        self._weights = {one.name: one for graph in graphs for one in graph.initializer}
        self._made = {name: node for node in self._nodes for name in node.output if name}
        self._shapes = {
            one.name: one.type for graph in graphs for one in (*graph.value_info, *graph.input, *graph.output)
        }
        self._constant: set[str] = {*self._weights}
        self._constant.update(one.values.name for graph in graphs for one in graph.sparse_initializer)
        for node in self._nodes:
            if node.op_type == "Constant":
                self._weights.update((node.output[0], one.t) for one in node.attribute if one.name == "value")
            # What is made of constants alone is one; random numbers are made of nothing and are none.
            of_constants = all(name in self._constant or not name for name in node.input)
            if of_constants and not node.op_type.startswith(("Random", "Multinomial", "Bernoulli")):
                self._constant.update(node.output)
            if node.op_type == "DynamicQuantizeLinear":
                # One scale and zero point for all numbers of an image: what is multiplied by it means what it meant.
                self._constant.update(node.output[1:])
        self._kinds: dict[str, str] = {}

    def described(self) -> ModelFile:
        model, graph = self._model, self._model.graph
        inputs = [one for one in graph.input if one.name not in self._weights]
        tests = {node.input[0] for node in graph.node if node.op_type == "If"}
        paths = tuple(one.name for one in graph.output if one.name in tests)
        versions = {f"opset{' ' + one.domain if one.domain else ''}": str(one.version) for one in model.opset_import}
        producer = f"{model.producer_name} {model.producer_version}".strip()
        return ModelFile(
            format="onnx",
            inputs=tuple(self._input(one) for one in inputs),
            outputs=tuple(self._output(one) for one in graph.output if one.name not in paths),
            classes=_classes({one.key: one.value for one in model.metadata_props}),
            operators=dict(Counter(_named(node) for node in self._nodes)),
            versions={**versions, **({"producer": producer} if producer else {})},
            parts=tuple(dict.fromkeys(_parts(model))),
            parameters=sum(math.prod(one.dims) for one in self._weights.values() if _is_weight(one)),
            macs=self._macs(),
            paths=paths,
        )

    def _input(self, one: onnx.ValueInfoProto) -> Tensor:
        type_, shape = _typed(one.type)
        readers = [node for node in self._nodes if one.name in node.input]
        scaled = len(readers) == 1 and readers[0].op_type == "DequantizeLinear"
        scale, zero_point = self._quantization(readers[0]) if scaled else (0.0, 0)
        return Tensor(one.name, type_, shape, scale, zero_point)

    def _output(self, one: onnx.ValueInfoProto) -> Tensor:
        type_, shape = _typed(one.type)
        node = self._made.get(one.name)
        scale, zero_point, source = 0.0, 0, one.name
        labels: tuple[str, ...] = ()
        root = self._root(one.name)
        maker = self._made.get(root)
        if maker is not None and maker.op_type in _QUANTISED_AT:
            scale, zero_point = self._constants_at(maker, _QUANTISED_AT[maker.op_type])
        if maker is not None:
            labels = _labels(maker) or (_labels(node) if node is not None else ())
            # A label is the place of the largest of the scores; both are one answer.
            source = maker.input[0] if maker.op_type == "ArgMax" else maker.name or maker.output[0]
            if maker.op_type not in ("ArgMax", *_CLASSIFIERS):
                source = root
        kind = _meaning.of_output(self._kind(one.name), self._back(one.name))
        if type_ == "map" and node is not None:
            labels = _labels(node)
        return Tensor(
            one.name, type_, shape, scale, zero_point, kind, _named(node) if node is not None else "", labels, source
        )

    def _root(self, name: str) -> str:
        """Return the tensor that an output is the same numbers as, in another shape or type or as a map."""
        while (node := self._made.get(name)) is not None and node.op_type in (
            "Identity", "Cast", "ZipMap", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Normalizer",
        ):  # fmt: skip
            name = node.input[0]
        return name

    def _back(self, name: str) -> Iterator[str]:
        """Yield the operators that made a tensor, the last one first, each by what it made of its first input."""
        while (node := self._made.get(name)) is not None:
            yield node.op_type
            if not node.input:
                return
            name = node.input[0]

    def _kind(self, name: str) -> str:
        if name not in self._kinds:
            self._kinds[name] = ""  # of a graph with a circle, which is none
            self._kinds[name] = self._found_kind(name)
        return self._kinds[name]

    def _found_kind(self, name: str) -> str:
        node = self._made.get(name)
        if node is None:
            return _meaning.OPEN
        if node.domain == "ai.onnx.ml":
            return self._classifier_kind(node, name)
        if node.domain not in _SAME_NAMES:
            return _meaning.OPEN
        if node.op_type == "Softmax" and not self._is_over_classes(node):
            return _meaning.OPEN
        if node.op_type == "If":
            place = list(node.output).index(name)
            ends = [branch.output[place].name for branch in _branches(node)]
            return _meaning.behind("Identity", (self._kind(end) for end in ends))
        inputs = list(node.input)[:1] if node.op_type in ("Reshape", "Resize", "Expand", "Pad") else node.input
        return _meaning.behind(node.op_type, (self._kind(one) for one in inputs if one and one not in self._constant))

    def _is_over_classes(self, node: onnx.NodeProto) -> bool:
        """Return whether a softmax makes the numbers of each image, or of each of its pixels, sum to one over classes.

        Before operator set 13 it was over all axes from its own on: over a whole map where it was meant for a pixel.
        """
        opset = next((one.version for one in self._model.opset_import if one.domain in _USUAL), 13)
        axis = _attribute(node, "axis", 1 if opset < 13 else -1)
        held = self._shapes.get(node.input[0])
        shape = _typed(held)[1] if held is not None else None
        if shape is None:
            return opset >= 13 and axis in (1, -1)
        axis %= max(len(shape), 1)
        if opset < 13:
            return axis >= 1 and all(size == 1 for size in shape[axis + 1 :])
        return axis in (1, len(shape) - 1) and axis != 0

    def _classifier_kind(self, node: onnx.NodeProto, name: str) -> str:
        if node.op_type in ("ZipMap", "Normalizer"):
            before = self._kind(node.input[0])
            if node.op_type == "Normalizer" and _attribute(node, "norm", b"MAX") == b"L1":
                return _meaning.PROBABILITIES  # scikit-learn's: shares of their sum
            return before
        if node.op_type not in _CLASSIFIERS:
            return _meaning.OPEN
        if name == node.output[0]:
            return _meaning.LABELS
        after = _attribute(node, "post_transform", b"NONE").decode()
        if node.op_type == "SVMClassifier" and _attribute(node, "prob_a", []):
            return _meaning.PROBABILITIES
        if node.op_type == "TreeEnsembleClassifier" and after == "NONE":
            return _meaning.PROBABILITIES if self._leaves_are_shares(node) else _meaning.OPEN
        known = {"SOFTMAX": _meaning.PROBABILITIES, "LOGISTIC": _meaning.SIGMOID, "NONE": _meaning.LOGITS}
        return known.get(after, _meaning.OPEN)

    def _leaves_are_shares(self, node: onnx.NodeProto) -> bool:
        """Return whether the leaves of all trees together can sum to no more than one: a forest's shares."""
        weights = _attribute(node, "class_weights", [])
        trees, ids = len(set(_attribute(node, "nodes_treeids", []))), len(set(_attribute(node, "class_ids", [])))
        return ids > 1 and bool(weights) and min(weights) >= 0 and max(weights) * trees <= 1 + 1e-4

    def _quantization(self, node: onnx.NodeProto) -> tuple[float, int]:
        """Return scale and zero point of a DequantizeLinear; (0.0, 0) where they are no single constants."""
        return self._constants_at(node, 1)

    def _constants_at(self, node: onnx.NodeProto, first: int) -> tuple[float, int]:
        """Return scale and zero point among the inputs of an operator, the scale first."""
        from onnx import numpy_helper

        found: list[float] = []
        for name, absent in zip([*node.input[first : first + 2], ""][:2], (0.0, 0), strict=True):
            held = self._weights.get(name)
            if held is None and name:
                return 0.0, 0
            values = numpy_helper.to_array(held).reshape(-1) if held is not None else [absent]
            if len(values) != 1:
                return 0.0, 0
            found.append(float(values[0]))
        return found[0], int(found[1])

    def _macs(self) -> int | None:
        each = self.macs_of_nodes().values()
        return None if None in each else sum(one or 0 for one in each)

    def macs_of_nodes(self) -> dict[str, int | None]:
        """Return the first output of each node that multiplies -> its multiplications, None where sizes are open."""
        return {node.output[0]: self._macs_of(node) for node in self._nodes if node.op_type in _MULTIPLIES}

    def _macs_of(self, node: onnx.NodeProto) -> int | None:
        weights = node.input[3 if node.op_type.startswith("QLinear") else 1]
        made = self._sizes(node.output[0])
        given = self._sizes(node.input[0])
        kernel = list(self._weights[weights].dims) if weights in self._weights else self._sizes(weights)
        if made is None or kernel is None or given is None:
            return None
        if node.op_type in ("Conv", "QLinearConv"):
            return math.prod(made) * math.prod(kernel[1:])
        if node.op_type == "ConvTranspose":
            return math.prod(given) * math.prod(kernel[1:])
        depth = given[0] if _attribute(node, "transA", 0) else given[-1]
        return math.prod(made) * depth

    def _sizes(self, name: str) -> list[int] | None:
        """Return the shape of a tensor for one image: what is open in front is 1."""
        held = self._shapes.get(name)
        shape = _typed(held)[1] if held is not None else None
        if shape is None or any(size is None for size in shape[1:]):
            return None
        first = 1 if shape and (shape[0] is None or len(shape) > 2) else shape[0] if shape else 1
        return [int(first or 1), *(int(size or 1) for size in shape[1:])]


def _typed(type_: onnx.TypeProto) -> tuple[str, tuple[int | None, ...] | None]:
    from onnx import TensorProto, helper

    if type_.HasField("sequence_type") and type_.sequence_type.elem_type.HasField("map_type"):
        return "map", None
    if not type_.HasField("tensor_type"):
        return str(type_.WhichOneof("value") or "nothing").removesuffix("_type"), None
    held = type_.tensor_type
    name = "text" if held.elem_type == TensorProto.STRING else str(helper.tensor_dtype_to_np_dtype(held.elem_type))
    if not held.HasField("shape"):
        return name, None
    return name, tuple(
        one.dim_value if one.HasField("dim_value") and one.dim_value > 0 else None for one in held.shape.dim
    )


def _is_weight(tensor: onnx.TensorProto) -> bool:
    """Return whether a constant is a number that was learnt: shapes, axes and flags are not."""
    from onnx import TensorProto

    return tensor.data_type not in (TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING)


def _named(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in _USUAL else f"{node.domain}.{node.op_type}"


def _attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), otherwise)


def _labels(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the labels that a classifier or a ZipMap holds, in its order."""
    for name in ("classlabels_strings", "classlabels_int64s", "classlabels_ints"):
        if found := _attribute(node, name, []):
            return tuple(one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in found)
    return ()


def _classes(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of classes that the metadata holds: a list, or a map from numbers, as JSON or as Python."""
    for key in _NAMES:
        if text := metadata.get(key, "").strip():
            return _listed(text)
    return ()


def _listed(text: str) -> tuple[str, ...]:
    found: Any = None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
            break
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    if isinstance(found, dict):
        places = {str(place): str(name) for place, name in found.items()}
        if set(places) == {str(place) for place in range(len(places))}:
            return tuple(places[str(place)] for place in range(len(places)))
        return ()
    if isinstance(found, (list, tuple)):
        return tuple(map(str, found))
    parts = [part.strip() for part in text.replace("\n", ",").split(",")]
    return tuple(parts) if len(parts) > 1 and all(parts) else ()


def _parts(model: onnx.ModelProto) -> Iterator[str]:
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    for tensor in _get_all_tensors(model):
        if uses_external_data(tensor):
            yield next((one.value for one in tensor.external_data if one.key == "location"), "")
