"""How `quantize_int8` writes .tflite: static int8 by ai-edge-quantizer, its ranges calibrated once."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.recipes import _onnx_tools, _tflite_tools


class Int8:
    """Writes one .tflite model in 8 bits, with some of its operators in float; each is called as its output tensor.

    Args:
        parent: the model.
        inputs: (N, ...) what its ranges are calibrated on.
        per_channel: whether weights have one scale a channel.
        exclude: names of output tensors whose operators stay float.

    Raises:
        RecipeError: the model is no float model of one input, or an operator is not in it.
    """

    def __init__(
        self,
        parent: Path,
        inputs: npt.NDArray[np.float32],
        *,
        per_channel: bool = True,
        exclude: Sequence[str] = (),
    ) -> None:
        _onnx_tools.require("build", "ai_edge_quantizer")
        from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
        from ai_edge_quantizer.utils.qsv_utils import min_max_update

        self._parent, self._per_channel = parent, per_channel
        self._operators = {one.name: one for one in _tflite_tools.operators(parent)}
        self._excluded = [_tflite_tools.known(name, self._operators, parent) for name in exclude]
        signature, names = _tflite_tools.fed(parent)
        mode = CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS
        with _onnx_tools.quiet():
            seen = Calibrator(str(parent), mode=mode, qsv_update_func=min_max_update)
            seen.calibrate({signature: [{names[0]: image[None]} for image in inputs]}, self._rules())
            self._ranges = seen.get_model_qsvs()

    def layers(self) -> dict[str, bool]:
        """Return each operator that computes in 8 bits, and whether it has weights."""
        rules = self._rules()
        return {
            name: one.kind in _tflite_tools.WEIGHTED
            for name, one in self._operators.items()
            if _tflite_tools.chosen(rules, one)
        }

    def write(self, target: Path, *, floats: Collection[str] = (), only: str = "") -> None:
        """Write the model in 8 bits.

        Args:
            target: of the file.
            floats: operators that stay float beside the excluded ones.
            only: the one operator that becomes 8 bits; "" for all others.

        Raises:
            RecipeError: none of its operators would become 8 bits.
        """
        from ai_edge_quantizer import quantizer

        rules = self._rules(floats, only)
        if not any(_tflite_tools.chosen(rules, one) for one in self._operators.values()):
            kinds = sorted({one.kind for one in self._operators.values()})
            raise RecipeError(
                f"none of the operators of {self._parent.name} would become 8 bits (it has {', '.join(kinds)})",
                remedy="leave fewer of them out, or leave this variant out",
            )
        with _onnx_tools.quiet():
            target.unlink(missing_ok=True)  # the tool overwrites nothing
            tool = quantizer.Quantizer(str(self._parent), rules.get_quantization_recipe())
            tool.quantize(self._ranges).export_model(str(target))

    def _rules(self, floats: Collection[str] = (), only: str = "") -> Any:
        """Return which operators become 8 bits; a later rule holds before an earlier one."""
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
        from ai_edge_quantizer.recipe_manager import RecipeManager

        rules, every = RecipeManager(), TFLOperationName.ALL_SUPPORTED
        grain = QuantGranularity.CHANNELWISE if self._per_channel else QuantGranularity.TENSORWISE
        rules.add_static_config(
            regex=_exactly(self._operators[only].scope) if only else ".*",
            operation_name=every,
            activation_num_bits=8,
            weight_num_bits=8,
            weight_granularity=grain,
        )
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            rules.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
        for name in (*self._excluded, *floats):
            scope = _exactly(self._operators[name].scope)
            rules.add_quantization_config(scope, every, algorithm_key=AlgorithmName.NO_QUANTIZE)
        return rules


def _exactly(scope: str) -> str:
    return f"^{re.escape(scope)}$"
