"""`recipe = "low_rank"`, `parameters = { energy = 0.9 }`: each large layer becomes two smaller ones, no training.

The weights of a convolution or a matrix product, as a matrix of outputs x inputs, are cut to their largest singular
values: the first new layer has as many outputs as are kept, and the second one mixes them (for a convolution 1 x 1).
`energy` keeps the share of their squares, layer by layer; `ratio` instead the share of their number; `nodes` names the
only layers that are cut. A layer that would not become smaller is left as it is; the ledger says why, and the rank of
each that was cut. Without training afterwards accuracy falls fast: this is a step of a chain rather than its end.
(Denton, Zaremba, Bruna, LeCun, Fergus, "Exploiting linear structure within convolutional networks for efficient
evaluation", NIPS 2014.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _onnx_tools

if TYPE_CHECKING:
    import onnx

FORMATS = ("onnx",)
TOOLS = ("numpy", "onnx")
TAKES = ("float32",)
LEAVES = "float32"

_ENERGY: Final = 0.9

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Options:
    """How much is kept, of which layers.

    Attributes:
        energy: share of the squared singular values, above 0 and at most 1; 0.9 if neither is given.
        ratio: share of the number of singular values, instead.
        nodes: names of the layers to cut; all that become smaller, if empty.
    """

    energy: float | None = None
    ratio: float | None = None
    nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.energy is not None and self.ratio is not None:
            raise ValueError("energy and ratio exclude each other: write one of them")
        for name in ("energy", "ratio"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} = {value} must be above 0 and at most 1")


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the parent with smaller layers, and return the rank of each that was cut and why others were not.

    Raises:
        RecipeError: onnx is missing, a node of `nodes` is not in the model or cannot be cut, or none became smaller.
    """
    _onnx_tools.require("build", "onnx")
    import onnx

    model = _onnx_tools.read_onnx(job.parent)
    _onnx_tools.name_nodes(model.graph.node)
    asked = _onnx_tools.known_nodes(options.nodes, model, job.parent)
    ranks, kept = _cut(model, options)
    for name in asked:
        if name not in ranks:
            why = kept.get(name, "it is no convolution or matrix product with float32 weights of its own")
            raise RecipeError(
                f"{name} of {job.parent.name} cannot be cut: {why}", remedy="take it out of `nodes`, or keep less"
            )
    if not ranks:
        why = "; ".join(f"{name}: {reason}" for name, reason in kept.items()) or "it has no layers with float32 weights"
        raise RecipeError(
            f"no layer of {job.parent.name} can be cut ({why})", remedy="keep less, or leave this variant out"
        )
    onnx.checker.check_model(model)
    with _onnx_tools.whole(job.target) as partial:
        onnx.save(model, str(partial))
    return {"ranks": ranks, "kept": kept}


def _cut(model: onnx.ModelProto, options: Options) -> tuple[dict[str, str], dict[str, str]]:
    """Cut every layer that may be, and return "RANK of FULL" of these, and why each other one stays."""
    import onnx

    constants = {one.name: one for one in model.graph.initializer}
    ranks, kept = {}, {}
    for node in list(model.graph.node):
        tensor = constants.get(node.input[1]) if node.op_type in _onnx_tools.WEIGHTED else None
        if (
            tensor is None
            or tensor.data_type != onnx.TensorProto.FLOAT
            or (options.nodes and node.name not in options.nodes)
        ):
            continue
        why_not = _uncuttable(node, tensor)
        if why_not:
            kept[node.name] = why_not
            continue
        matrix = _matrix(node, onnx.numpy_helper.to_array(tensor))
        full, rank = min(matrix.shape), _rank(matrix, options)
        if rank * sum(matrix.shape) >= matrix.size:
            kept[node.name] = f"with rank {rank} of {full} it would not become smaller"
            continue
        replace(model, node, rank)
        ranks[node.name] = f"{rank} of {full}"
    return ranks, kept


def _uncuttable(node: onnx.NodeProto, tensor: onnx.TensorProto) -> str:
    """Return why a layer is not one matrix, "" where it is."""
    attributes = _attributes(node)
    if node.op_type == "ConvTranspose":
        return "a transposed convolution is not cut"
    if node.op_type == "Conv" and attributes.get("group", 1) != 1:
        return f"its convolution has {attributes['group']} groups"
    if node.op_type == "Gemm" and attributes.get("transA"):
        return "its Gemm turns its input round (transA)"
    if node.op_type == "MatMul" and len(tensor.dims) != 2:
        return f"its weights have {len(tensor.dims)} dimensions"
    return ""


def _rank(matrix: Matrix, options: Options) -> int:
    """Return how many singular values are kept, at least one."""
    if options.ratio is not None:
        return int(max(1, round(options.ratio * min(matrix.shape))))
    squares = np.linalg.svd(matrix.astype(np.float64), compute_uv=False) ** 2
    total = squares.sum()
    if not total:
        return 1
    energy = _ENERGY if options.energy is None else options.energy
    return min(int(np.searchsorted(np.cumsum(squares) / total, energy - 1e-12)) + 1, len(squares))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    import onnx

    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}


def _matrix(node: onnx.NodeProto, weights: Matrix) -> Matrix:
    """Return a layer's weights as (outputs, inputs)."""
    if node.op_type == "Conv":
        return weights.reshape(len(weights), -1)
    return weights if _attributes(node).get("transB") else weights.T


def factors(matrix: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """Return (outputs, rank) and (rank, inputs), whose product is the nearest of that rank (Eckart and Young).

    Both carry the root of the singular values, so that neither is much larger than the other.
    """
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    root = np.sqrt(values[:rank])
    return (left[:, :rank] * root).astype(np.float32), (root[:, None] * right[:rank]).astype(np.float32)


def replace(model: onnx.ModelProto, node: onnx.NodeProto, rank: int) -> None:
    """Put two layers in the place of one.

    Args:
        model: it stands in.
        node: a convolution of one group, Gemm or MatMul with a constant weight.
        rank: of the product of both.
    """
    from onnx import numpy_helper

    graph, old = model.graph, node.input[1]
    tensor = next(one for one in graph.initializer if one.name == old)
    weights = numpy_helper.to_array(tensor)
    names = (f"{node.name}_rank_first", f"{node.name}_rank_second")
    second, first = factors(_matrix(node, weights), rank)
    if node.op_type == "Conv":
        first = first.reshape(rank, *weights.shape[1:])
        second = second.reshape(*second.shape, *(1 for _ in weights.shape[2:]))
    else:
        first, second = first.T * np.float32(_attributes(node).get("alpha", 1.0)), second.T
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for one in reversed(_two(node, *names)):
        graph.node.insert(place, one)
    for name, values in zip(names, (first, second), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    if not any(old in one.input for one in graph.node):
        graph.initializer.remove(tensor)


def _two(node: onnx.NodeProto, first: str, second: str) -> list[onnx.NodeProto]:
    """Return the layers that take the place of one, each called as its weights; the second one adds the bias."""
    from onnx import helper

    attributes, bias, between = _attributes(node), list(node.input[2:]), f"{first}_output"
    if node.op_type == "Conv":
        return [
            helper.make_node("Conv", [node.input[0], first], [between], name=first, **attributes),
            helper.make_node("Conv", [between, second, *bias], node.output, name=second),
        ]
    beta = {"beta": attributes["beta"]} if "beta" in attributes and bias else {}
    kind = "Gemm" if bias else "MatMul"
    return [
        helper.make_node("MatMul", [node.input[0], first], [between], name=first),
        helper.make_node(kind, [between, second, *bias], node.output, name=second, **beta),
    ]
