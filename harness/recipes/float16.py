"""`recipe = "float16"`, `parameters = { exclude = [] }`: weights, and in .onnx the arithmetic, of 16-bit floats.

The file halves. ONNX: onnxruntime's converter; inputs and outputs stay float32. Time is won where the device computes
in 16 bits (a GPU, an NPU, newer ARM cores); elsewhere the runtime turns each layer back into float32 and loses some.
Operators that have no 16-bit form stay float32; the ledger says which nodes. TFLite: ai-edge-quantizer writes weights
in 16 bits, which the interpreter turns into float32; the arithmetic stays that of float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _onnx_tools, _tflite_tools

if TYPE_CHECKING:
    import onnx

FORMATS = ("onnx", "tflite")
TOOLS = ("numpy", "onnx", "onnxruntime", "ai-edge-quantizer")
TAKES = ("float32",)
LEAVES = "float16"

_LARGEST: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Options:
    """`exclude`: nodes that stay float32, by their names; in .tflite, by those of their output tensors."""

    exclude: tuple[str, ...] = ()


def build(job: Build, options: Options) -> Mapping[str, Any] | None:
    """Write the parent in 16-bit floats, and return which nodes of an .onnx file stayed float32.

    Raises:
        RecipeError: a library is missing, a node to exclude is not in the model, it has no 32-bit weights, or one of
            them is larger than 16 bits can say.
    """
    with _onnx_tools.whole(job.target) as partial:
        if job.parent.suffix == ".onnx":
            return {"float32_nodes": _onnx(job.parent, partial, options)}
        _tflite(job.parent, partial, options)
    return None


def _onnx(parent: Path, target: Path, options: Options) -> list[str]:
    _onnx_tools.require("build", "onnx", "onnxruntime")
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = _onnx_tools.read_onnx(parent)
    _onnx_tools.name_nodes(model.graph.node)
    excluded = _onnx_tools.known_nodes(options.exclude, model, parent)
    kept = [node.name for node in model.graph.node if node.name in excluded or node.op_type in DEFAULT_OP_BLOCK_LIST]
    _check_weights(model, parent, kept)
    with _onnx_tools.quiet():
        half = convert_float_to_float16(model, keep_io_types=True, node_block_list=excluded)
    onnx.save(half, str(target))
    return kept


def _check_weights(model: onnx.ModelProto, parent: Path, kept: list[str]) -> None:
    """Raise RecipeError unless the model has float32 weights that 16 bits can say: larger ones would be cut."""
    from onnx import TensorProto, numpy_helper

    converted = [one for one in model.graph.node if one.name not in kept and not one.op_type.endswith("eLinear")]
    readers = {name: node.name for node in converted for name in node.input}
    weights = [one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and one.name in readers]
    if not weights:
        raise RecipeError(
            f"{parent.name} has no node with float32 weights to convert",
            remedy="leave fewer of them out, or leave this variant out",
        )
    for one in weights:
        largest = float(np.abs(numpy_helper.to_array(one)).max(initial=0.0))
        if largest > _LARGEST:
            raise RecipeError(
                f"the weights {one.name} of {readers[one.name]} in {parent.name} reach {largest:.3g}, and 16 bits end "
                f"at {_LARGEST:.0f}",
                remedy=f'write exclude = ["{readers[one.name]}"], or leave this variant out',
            )


def _tflite(parent: Path, target: Path, options: Options) -> None:
    _onnx_tools.require("build", "ai_edge_quantizer")
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    rules = RecipeManager()
    rules.add_weight_only_config(
        regex=".*",
        operation_name=TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    _tflite_tools.write(parent, target, rules, exclude=options.exclude)
