"""How `quantize_int8` writes .tflite: static int8 by ai-edge-quantizer, its ranges calibrated once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
            if _tflite_tools.chosen(rules, one) and name not in self._excluded
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
        _tflite_tools.write(
            self._parent, target, self._rules(only), exclude=[*self._excluded, *floats], ranges=self._ranges
        )

    def _rules(self, only: str = "") -> Any:
        """Return which operators become 8 bits; a later rule holds before an earlier one."""
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
        from ai_edge_quantizer.recipe_manager import RecipeManager

        rules = RecipeManager()
        rules.add_static_config(
            regex=_tflite_tools.exactly(self._operators[only]) if only else ".*",
            operation_name=TFLOperationName.ALL_SUPPORTED,
            activation_num_bits=8,
            weight_num_bits=8,
            weight_granularity=QuantGranularity.CHANNELWISE if self._per_channel else QuantGranularity.TENSORWISE,
        )
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            rules.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
        return rules
