"""`recipe = "quantize_dynamic"`, `parameters = { exclude = [] }`: 8-bit weights, activations made 8-bit as they come.

No images are needed: the range of each activation is found anew at every inference. That saves the file what int8 saves
and costs time in each layer, so large matrix products gain and convolutions often do not: it is here to be measured.
ONNX: onnxruntime's, with unsigned activations and signed weights (MatMulInteger, ConvInteger). TFLite: the dynamic int8
of ai-edge-quantizer. One scale a channel; inputs and outputs stay float32.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _onnx_tools, _tflite_tools

#: What onnxruntime's dynamic quantisation writes.
_INTEGER: Final = ("MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "QAttention")

FORMATS = ("onnx", "tflite")
TOOLS = ("numpy", "onnx", "onnxruntime", "ai-edge-quantizer")
TAKES = ("float32",)
LEAVES = "int8"


@dataclass(frozen=True, slots=True)
class Options:
    """`exclude`: nodes that stay float, by their names (in .tflite, of their outputs); `per_channel`: scales.

    `reduce_range`: whether weights have 7 bits, for x86 processors without VNNI, as for `quantize_int8`, in .onnx.
    """

    exclude: tuple[str, ...] = ()
    per_channel: bool = True
    reduce_range: bool = False


def build(job: Build, options: Options) -> None:
    """Write the parent with 8-bit weights.

    Raises:
        RecipeError: onnxruntime or ai-edge-quantizer is missing, a node to exclude is not in the model, nothing in it
            can be quantised so, or weights of a .tflite are to have 7 bits.
    """
    if options.reduce_range:
        _onnx_tools.check_reducible(job.parent)
    with _onnx_tools.whole(job.target) as partial:
        if job.parent.suffix == ".onnx":
            _onnx(job.parent, partial, options)
        else:
            _tflite(job.parent, partial, options)


def _onnx(parent: Path, target: Path, options: Options) -> None:
    _onnx_tools.require("build", "onnx", "onnxruntime")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = _onnx_tools.modern(_onnx_tools.read_onnx(parent), parent)
    _onnx_tools.name_nodes(model.graph.node)
    excluded = _onnx_tools.known_nodes(options.exclude, model, parent)
    halves = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT16}
    for node in model.graph.node:
        if node.op_type in _onnx_tools.WEIGHTED and node.input[1] in halves:
            raise RecipeError(
                f"{node.name} of {parent.name} has weights of 16-bit floats, which onnxruntime does not quantise so",
                remedy="give a baseline of 32-bit floats, or use quantize_int8",
            )
    with tempfile.TemporaryDirectory() as folder, _onnx_tools.quiet():
        prepared = Path(folder) / "prepared.onnx"
        onnx.save(model, prepared)
        quantize_dynamic(
            str(prepared),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=options.per_channel,
            reduce_range=options.reduce_range,
            # The tool makes a matrix product and a sum of each Gemm, and calls them so.
            nodes_to_exclude=[*excluded, *(f"{name}_MatMul" for name in excluded)],
        )
    if not any(node.op_type in _INTEGER for node in onnx.load(target).graph.node):
        kinds = sorted({node.op_type for node in model.graph.node})
        raise RecipeError(
            f"none of the nodes of {parent.name} became 8 bits (it has {', '.join(kinds)}; those that can are "
            "convolutions, matrix products and LSTMs)",
            remedy="leave fewer of them out, or leave this variant out",
        )


def _tflite(parent: Path, target: Path, options: Options) -> None:
    _onnx_tools.require("build", "ai_edge_quantizer")
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    rules = RecipeManager()
    rules.add_dynamic_config(
        regex=".*",
        operation_name=TFLOperationName.ALL_SUPPORTED,
        num_bits=8,
        granularity=QuantGranularity.CHANNELWISE if options.per_channel else QuantGranularity.TENSORWISE,
    )
    _tflite_tools.write(parent, target, rules, exclude=options.exclude)
