"""Where the graph of an ONNX file can be cut in two, and how the part behind the cut is run only where it is needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.formats import _onnx as onnx_format

if TYPE_CHECKING:
    import onnx

#: A probability above every probability: no image leaves.
NEVER: Final = 2.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A tensor that everything behind it is computed from.

    Attributes:
        node: the name of the node that makes it.
        tensor: its name.
        channels: of it, which is (1, channels, H, W).
        share: of the whole model's multiplications, those that are done by then, 0..1.
    """

    node: str
    tensor: str
    channels: int
    share: float


@dataclass(frozen=True, slots=True)
class Head:
    """A mean over pixels and a linear layer: weights (K, C) and bias (K,)."""

    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def logits(self, pooled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (N, K) of (N, C)."""
        return pooled @ self.weights.T + self.bias


def cuts(model: onnx.ModelProto, output: str, file: Path) -> list[Cut]:
    """Return where a model can be left early, the first one first: behind each, some multiplications are left.

    Args:
        model: whose nodes all have names, in the order in which they run.
        output: the tensor that is judged.
        file: it was read from.

    Raises:
        RecipeError: its sizes are open, or it has no such place.
    """
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model)
    shapes = {one.name: one.type.tensor_type for one in (*inferred.graph.value_info, *inferred.graph.output)}
    macs = onnx_format.macs_of_nodes(model)
    if not macs or None in macs.values():
        raise RecipeError(
            f"{file.name} does not say the sizes of all its maps, so what an early exit saves is not known",
            remedy="export it for images of one size",
        )
    found: dict[int, Cut] = {}
    nodes, total, done = list(model.graph.node), sum(one or 0 for one in macs.values()), 0
    for place, node in enumerate(nodes):
        done += macs.get(node.output[0]) or 0
        channels = _channels(shapes.get(node.output[0]))
        if channels and 0 < done < total and _is_waist(model, nodes, place, output):
            # Of several with nothing to multiply between them, the last one has seen the activation.
            found[done] = Cut(node.name, node.output[0], channels, done / total)
    if not found:
        raise RecipeError(
            f"{file.name} has no node between its convolutions that everything behind is computed from",
            remedy="leave this variant out",
        )
    return list(found.values())


def _channels(type_: onnx.TypeProto.Tensor | None) -> int:
    """Return the channels of float32 maps (1, C, H, W), 0 of any other tensor."""
    from onnx import TensorProto

    if type_ is None or type_.elem_type != TensorProto.FLOAT or len(type_.shape.dim) != 4:
        return 0
    return int(type_.shape.dim[1].dim_value)


def _is_waist(model: onnx.ModelProto, nodes: list[onnx.NodeProto], place: int, output: str) -> bool:
    """Return whether of all that is known behind the node at `place`, only what it makes is needed any more."""
    known = {name for node in nodes[: place + 1] for name in node.output} | {one.name for one in model.graph.input}
    needed = {name for node in nodes[place + 1 :] for name in node.input} | {output}
    return needed & known == {nodes[place].output[0]}


def early(model: onnx.ModelProto, cut: Cut, head: Head, *, output: str, softmax: bool) -> onnx.ModelProto:
    """Return a model of one image that ends at the cut: the exit alone.

    Args:
        model: the whole.
        cut: where it ends.
        head: what answers there.
        output: what its answer is called.
        softmax: whether it answers with probabilities, not logits.
    """
    nodes, weights = _head(cut, head)
    last = "Softmax" if softmax else "Identity"
    nodes.append(_node(last, [_LOGITS], [output], **({"axis": 1} if softmax else {})))
    return _assembled(model, [*_trunk(model, cut), *nodes], weights, output=output, classes=len(head.bias))


def cascade(
    model: onnx.ModelProto, cut: Cut, head: Head, threshold: float, *, output: str, softmax: bool
) -> onnx.ModelProto:
    """Return a model of one image whose part behind the cut runs only where the exit is not sure.

    Args:
        model: the whole.
        cut: where the exit is.
        head: what answers there.
        threshold: the exit's largest probability above which its answer is taken.
        output: the tensor that is judged, in the model and in what is returned.
        softmax: whether the model answers with probabilities, not logits.
    """
    from onnx import TensorProto, helper, numpy_helper

    trunk, (nodes, weights) = _trunk(model, cut), _head(cut, head)
    weights.append(numpy_helper.from_array(np.array(threshold, np.float32), f"{_EXIT}threshold"))
    nodes += [
        _node("Softmax", [_LOGITS], [f"{_EXIT}probabilities"], axis=1),
        _node("ReduceMax", [f"{_EXIT}probabilities"], [f"{_EXIT}confidence"], keepdims=1),
        # What is no number is above nothing, and goes through the rest.
        _node("Greater", [f"{_EXIT}confidence", f"{_EXIT}threshold"], [f"{_EXIT}is_sure"]),
    ]
    rest = list(model.graph.node)[len(trunk) :]
    inside = {name for node in rest for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in inside]
    answer = helper.make_tensor_value_info(f"{_EXIT}{output}", TensorProto.FLOAT, (1, len(head.bias)))
    last = helper.make_tensor_value_info(f"rest/{output}", TensorProto.FLOAT, (1, len(head.bias)))
    of_exit = [
        _node("Softmax" if softmax else "Identity", [_LOGITS], [answer.name], **({"axis": 1} if softmax else {}))
    ]
    branch = _node(
        "If",
        [f"{_EXIT}is_sure"],
        [output],
        then_branch=helper.make_graph(of_exit, "exit", [], [answer]),
        else_branch=helper.make_graph([_renamed(node, output, last.name) for node in rest], "rest", [], [last], kept),
    )
    made = _assembled(model, [*trunk, *nodes, branch], weights, output=output, classes=len(head.bias))
    # By it the device is asked which images leave: what a mean image costs hangs on it.
    made.graph.output.append(helper.make_tensor_value_info(f"{_EXIT}is_sure", TensorProto.BOOL, (1, 1)))
    return made


#: Begins the names of what is added.
_EXIT: Final = "exit/"
_LOGITS: Final = f"{_EXIT}logits_of_head"


def _trunk(model: onnx.ModelProto, cut: Cut) -> list[onnx.NodeProto]:
    nodes = list(model.graph.node)
    return nodes[: [node.name for node in nodes].index(cut.node) + 1]


def _head(cut: Cut, head: Head) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    from onnx import numpy_helper

    weights, bias = f"{_EXIT}weights", f"{_EXIT}bias"
    nodes = [
        _node("GlobalAveragePool", [cut.tensor], [f"{_EXIT}mean"]),
        _node("Flatten", [f"{_EXIT}mean"], [f"{_EXIT}features"]),
        _node("Gemm", [f"{_EXIT}features", weights, bias], [_LOGITS], transB=1),
    ]
    return nodes, [numpy_helper.from_array(head.weights, weights), numpy_helper.from_array(head.bias, bias)]


def _node(operator: str, inputs: list[str], outputs: list[str], **attributes: object) -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node(operator, inputs, outputs, name=f"{_EXIT}{operator}/{outputs[0]}", **attributes)


def _renamed(node: onnx.NodeProto, name: str, new: str) -> onnx.NodeProto:
    """Return a copy of a node that calls one tensor otherwise."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for names in (copy.input, copy.output):
        for place, one in enumerate(names):
            if one == name:
                names[place] = new
    return copy


def _assembled(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    *,
    output: str,
    classes: int,
) -> onnx.ModelProto:
    """Return a model of these nodes for one image, with the constants that they use."""
    import onnx
    from onnx import TensorProto, helper

    used = {name for node in nodes for name in node.input}
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.initializer[:], made.graph.output[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend([*(one for one in model.graph.initializer if one.name in used), *weights])
    made.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, (1, classes)))
    single(made)
    onnx.checker.check_model(made)
    return made


def single(model: onnx.ModelProto) -> None:
    """Make a model one of single images, in place."""
    size = model.graph.input[0].type.tensor_type.shape.dim[0]
    size.Clear()
    size.dim_value = 1


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return a copy of a model that gives these tensors, in this order."""
    import onnx
    from onnx import helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return copy
