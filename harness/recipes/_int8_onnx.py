"""How `quantize_int8` and `qat` write .onnx: static QDQ by onnxruntime, its ranges found once for every file."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.recipes import _onnx_tools

if TYPE_CHECKING:
    import onnx

#: Images whose every activation is held in memory at once, where a histogram of all is made.
_AT_ONCE: Final = 8
_METHODS: Final = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
#: Of a histogram. By default onnxruntime's entropy has no more bins than it keeps, so that nothing could ever be
#: clipped; its time grows with their square.
_BINS: Final = {"entropy": 512, "percentile": 2048}

#: Operators with weights as onnxruntime runs them.
_IN_8_BITS: Final = ("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat")
_IN_FLOAT: Final = (*_onnx_tools.WEIGHTED, "FusedConv", "FusedGemm", "FusedMatMul")


class Int8:
    """Writes one .onnx model in 8 bits, with some of its nodes in float.

    Args:
        parent: the model.
        inputs: (N, ...) what its ranges are calibrated on.
        folder: for its scratch files.
        calibration_method: "minmax", "entropy" or "percentile".
        percentile: of the last one, in percent.
        per_channel: whether weights have one scale a channel.
        reduce_range: whether weights have 7 bits.
        exclude: names of nodes that stay float.

    Raises:
        RecipeError: the model is no float model of one input, or a node is not in it.
    """

    def __init__(
        self,
        parent: Path,
        inputs: npt.NDArray[np.float32],
        folder: Path,
        *,
        calibration_method: str = "minmax",
        percentile: float = 99.99,
        per_channel: bool = True,
        reduce_range: bool = False,
        exclude: Sequence[str] = (),
    ) -> None:
        _onnx_tools.require("build", "onnx", "onnxruntime")
        import onnx
        from onnxruntime.quantization.shape_inference import quant_pre_process

        model = _onnx_tools.modern(_onnx_tools.read_onnx(parent), parent)
        self._name, self._inputs = _onnx_tools.fed(model, parent, inputs)
        _onnx_tools.name_nodes(model.graph.node)
        self._parent, self._prepared, self._ranges = parent, folder / "prepared.onnx", folder / "ranges.json"
        self._method, self._percentile = calibration_method, percentile
        self._per_channel, self._reduce_range = per_channel, reduce_range
        onnx.save(model, self._prepared)
        quant_pre_process(str(self._prepared), str(self._prepared), skip_symbolic_shape=True)
        prepared = onnx.load(self._prepared)
        if _onnx_tools.name_nodes(prepared.graph.node):
            onnx.save(prepared, self._prepared)
        self._nodes = {node.name: node for node in prepared.graph.node}
        self._excluded = [_found(name, model.graph, self._nodes, parent) for name in exclude]

    @property
    def prepared(self) -> onnx.ModelProto:
        """The float model as it becomes 8 bits: batch normalisations are folded into what is before them."""
        import onnx

        return onnx.load(self._prepared)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and the highest value of each activation, found when the first file was written."""
        kept = json.loads(self._ranges.read_text("utf-8"))["data"]
        return {name: (one["lowest"]["data"][0], one["highest"]["data"][0]) for name, one in kept.items()}

    def trained(self, model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Take other weights, and other ranges than the calibrated ones.

        Args:
            model: `prepared` with its weights changed.
            ranges: lowest and highest value of activations; those not in it keep theirs.
        """
        import onnx

        onnx.save(model, self._prepared)
        kept = json.loads(self._ranges.read_text("utf-8"))
        for name, ends in ranges.items():
            for key, value in zip(("lowest", "highest"), ends, strict=True):
                kept["data"][name][key]["data"] = [value]
        self._ranges.write_text(json.dumps(kept), "utf-8")

    def layers(self) -> dict[str, bool]:
        """Return each node that computes in 8 bits, not those that hand numbers on, and whether it has weights."""
        from onnxruntime.quantization.operators.direct_q8 import QDQDirect8BitOp
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        computing = {
            name
            for name in {*QLinearOpsRegistry, *QDQRegistry}
            if not issubclass(QDQRegistry.get(name, object), QDQDirect8BitOp)
        }
        return {
            name: node.op_type in _onnx_tools.WEIGHTED
            for name, node in self._nodes.items()
            if node.op_type in computing and name not in self._excluded
        }

    def write(self, target: Path, *, floats: Collection[str] = (), only: str = "") -> None:
        """Write the model in 8 bits.

        Args:
            target: of the file.
            floats: nodes that stay float beside the excluded ones.
            only: the one node that becomes 8 bits; "" for all others.

        Raises:
            RecipeError: none of its nodes became 8 bits.
        """
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        with _onnx_tools.quiet():
            if self._method != "minmax" and not self._ranges.exists():
                self._calibrate()
            quantize_static(
                str(self._prepared),
                str(target),
                _Calibration(self._name, self._inputs),
                quant_format=QuantFormat.QDQ,
                per_channel=self._per_channel,
                reduce_range=self._reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=[only] if only else None,
                nodes_to_exclude=[*self._excluded, *floats],
                calibrate_method=CalibrationMethod[_METHODS[self._method]],
                calibration_cache_path=self._ranges,
            )
        if not only and not any(node.op_type == "QuantizeLinear" for node in onnx.load(target).graph.node):
            kinds_of = sorted({node.op_type for node in self._nodes.values()})
            raise RecipeError(
                f"none of the nodes of {self._parent.name} became 8 bits (it has {', '.join(kinds_of)})",
                remedy="leave fewer of them out, or leave this variant out",
            )

    def _calibrate(self) -> None:
        """Find ranges by histograms, a few images at a time: the tool would hold every activation of all in memory."""
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        tool = create_calibrator(
            self._prepared,
            list({*QLinearOpsRegistry, *QDQRegistry}),
            augmented_model_path=str(self._prepared.with_name("augmented.onnx")),
            calibrate_method=CalibrationMethod[_METHODS[self._method]],
            extra_options={"num_bins": _BINS[self._method], "percentile": self._percentile},
        )
        parts = -(-len(self._inputs) // _AT_ONCE)
        for part in range(parts):  # each spans all images: bins are as wide as the first part needs
            tool.collect_data(_Calibration(self._name, self._inputs[part::parts]))
        save_tensors_data(tool.compute_data(), self._ranges)


def operators(file: Path) -> tuple[dict[str, int], list[str]]:
    """Return what onnxruntime here makes of an 8-bit file.

    Returns:
        how many of its operators with weights run in 8 bits, by their kind, and the names of those that run in float.
    """
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        settings = onnxruntime.SessionOptions()
        settings.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        settings.log_severity_level = 3  # it warns that such a file is of this machine
        onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        nodes = onnx.load(settings.optimized_model_filepath).graph.node
    eight = Counter(node.op_type for node in nodes if node.op_type in _IN_8_BITS)
    return dict(sorted(eight.items())), [node.name for node in nodes if node.op_type in _IN_FLOAT]


class _Calibration:
    """Feeds one image at a time, as onnxruntime's quantizer asks for them."""

    def __init__(self, name: str, inputs: npt.NDArray[Any]) -> None:
        self._feeds = ({name: image[None]} for image in inputs)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feed, None at the end."""
        return next(self._feeds, None)


def _found(name: str, graph: onnx.GraphProto, prepared: dict[str, onnx.NodeProto], parent: Path) -> str:
    """Return the node of the prepared model that a node of the parent has become: some melt into their followers."""
    if name in prepared:
        return name
    known = {node.name: node for node in graph.node}
    if name not in known:
        raise _onnx_tools.unknown_node(name, known, parent)
    made: dict[str, str] = {output: node.name for node in prepared.values() for output in node.output}
    output = known[name].output[0]
    while output not in made:
        readers = [node for node in graph.node if output in node.input]
        if len(readers) != 1:
            raise RecipeError(
                f"exclude: the node {name!r} of {parent.name} is gone when the model is prepared: it is never 8 bits",
                remedy="take it out of `exclude`",
            )
        output = readers[0].output[0]
    return made[output]
