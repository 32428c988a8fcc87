"""`recipe = "quantize_int8"`, `parameters = { calibration = 300 }`: 8-bit weights and activations, no training.

ONNX: static QDQ with unsigned activations and signed weights, one scale per channel. The signs matter: on x86 with VNNI
the other combinations run at half the speed or less. TFLite: static, signed, one scale per channel, inputs and outputs
stay float32. Ranges are calibrated on evenly spaced images of the train split, and span all that was seen: the tool's
own moving average forgets the images that came first, and clips the outputs of classes that stand there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.ports import Build
from harness.recipes import _onnx_tools
from harness.recipes._inputs import prepare

FORMATS = ("onnx", "tflite")
TOOLS = ("numpy", "onnx", "onnxruntime", "ai-edge-quantizer")
TAKES = ("float32", "float16")
LEAVES = "int8"


@dataclass(frozen=True, slots=True)
class Options:
    """`calibration`: how many images of the train split the ranges are taken from."""

    calibration: int = 300


def build(job: Build, options: Options) -> None:
    """Write the parent in 8 bits; raises RecipeError when onnxruntime or ai-edge-quantizer is missing."""
    samples = job.samples("train")
    rows = np.linspace(0, len(samples.images) - 1, min(options.calibration, len(samples.images))).astype(int)
    inputs = prepare(samples.images[rows], job.input)
    with _onnx_tools.whole(job.target) as partial:
        (_onnx if job.parent.suffix == ".onnx" else _tflite)(job.parent, partial, inputs)


class _Calibration:
    """Feeds one image at a time, as onnxruntime's quantizer asks for them."""

    def __init__(self, name: str, inputs: npt.NDArray[np.float32]) -> None:
        self._batches = ({name: image[None]} for image in inputs)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feed, None at the end."""
        return next(self._batches, None)


def _onnx(parent: Path, target: Path, inputs: npt.NDArray[np.float32]) -> None:
    _onnx_tools.require("build", "onnx", "onnxruntime")
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = _onnx_tools.modern(_onnx_tools.read_onnx(parent), parent)
    if len(model.graph.input) != 1:
        raise RecipeError(
            f"{parent.name} has {len(model.graph.input)} inputs",
            remedy="export it with the image as its only input, or bring this variant ready-made",
        )
    entrance = model.graph.input[0]
    name, prepared = entrance.name, target.with_name(f"{target.stem}-prepared.onnx")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(entrance.type.tensor_type.elem_type)
    if dtype.kind != "f":
        raise RecipeError(
            f"{parent.name} takes {dtype}: it is quantised already",
            remedy="give a baseline with a float input, or bring this variant ready-made",
        )
    inputs = inputs.astype(dtype)
    try:
        onnx.save(model, prepared)
        quant_pre_process(str(prepared), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Calibration(name, inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        prepared.unlink(missing_ok=True)


def _tflite(parent: Path, target: Path, inputs: npt.NDArray[np.float32]) -> None:
    _onnx_tools.require("build", "ai_edge_quantizer")
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    with _onnx_tools.quiet():
        tool = quantizer.Quantizer(str(parent), recipe.static_wi8_ai8())
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            tool.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
        signature, names = _signature(parent)
        feeds = {signature: [{names[0]: image[None]} for image in inputs]}
        rules = RecipeManager()
        rules.load_quantization_recipe(tool.get_quantization_recipe())
        mode = CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS
        seen = Calibrator(str(parent), mode=mode, qsv_update_func=min_max_update)
        seen.calibrate(feeds, rules)
        tool.quantize(seen.get_model_qsvs()).export_model(str(target))


def _signature(file: Path) -> tuple[str, list[str]]:
    """Return the name of the file's first signature and those of its inputs."""
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(file)).get_signature_list()
    if not signatures:
        raise RecipeError(
            f"{file.name} has no signature, by which ai-edge-quantizer feeds a model",
            remedy="convert it again with a signature, or bring this variant ready-made",
        )
    name = next(iter(signatures))
    return name, list(signatures[name]["inputs"])
