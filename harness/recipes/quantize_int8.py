"""`recipe = "quantize_int8"`, `parameters = { calibration = 300 }`: 8-bit weights and activations, no training.

`parameters = { bound = { metric = "sensitivity", margin = 0.01 } }` keeps what it costs within a margin: nodes are
given back to float, most sensitive first, until the loss of the metric on the split `validation` is within it, or the
build fails and says what was the best. The loss is against the suite's baseline, in a chain too, where it includes what
the steps before cost. It is that of the point estimates, by this host's runtime: whether the variant is not inferior is
for the measurement to say. The ledger keeps which nodes stayed float.

ONNX: static QDQ with unsigned activations and signed weights, one scale per channel. The signs matter: on x86 with VNNI
the other combinations run at half the speed or less. Without VNNI (x86 with AVX2 or AVX-512 alone) sums of pairs of
products are cut off at 16 bits, which costs accuracy there and nowhere else: `reduce_range = true` leaves weights 7
bits, so that nothing is cut off (onnxruntime.ai, "Quantize ONNX models"). TFLite: static, signed, one scale per
channel, inputs and outputs stay float32. Ranges are calibrated on evenly spaced images of the train split, and span all
that was seen: the tool's own moving average forgets the images that came first, and clips the outputs of classes that
stand there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from harness import registry
from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _bounded, _host, _onnx_tools
from harness.recipes._inputs import prepare
from harness.vocabulary import METRICS

FORMATS = ("onnx", "tflite")
TOOLS = ("numpy", "onnx", "onnxruntime", "ai-edge-quantizer")
TAKES = ("float32", "float16")
LEAVES = "int8"

#: Images by which nodes are ranked, each run once a node.
_RANKED_ON: Final = 32
#: What holds a model where the suite names no metric: that of the task's kind, else accuracy.
_METRICS: Final = {"segmentation": "dice", "multilabel": "hamming_accuracy"}


@dataclass(frozen=True, slots=True)
class Bound:
    """What the variant may lose, on images that are not measured.

    Attributes:
        margin: the largest loss of the metric: 0.01 is one point.
        metric: an accuracy of `[accept]`, such as "sensitivity"; "" for accuracy, of masks dice.
        split: "validation" or "train"; calibration images are of "train", so that one flatters.
        float_layers: how many nodes may stay float at most; as many as it takes, if not given.
    """

    margin: float
    metric: str = ""
    split: Literal["validation", "train"] = "validation"
    float_layers: int | None = None

    def __post_init__(self) -> None:
        accuracies = [name for name, one in METRICS.items() if one.paired]
        if not 0 <= self.margin < float("inf"):
            raise ValueError(f"margin = {self.margin} must be 0 or more")
        if self.metric and self.metric not in accuracies:
            raise ValueError(f"metric = {self.metric!r} is no accuracy; {registry.suggestion(self.metric, accuracies)}")
        if self.float_layers is not None and self.float_layers < 1:
            raise ValueError(f"float_layers = {self.float_layers} must be 1 or more")


@dataclass(frozen=True, slots=True)
class Options:
    """How ranges are found, and what stays float.

    Attributes:
        calibration: how many images of the train split the ranges are taken from.
        calibration_method: "minmax" (all that was seen), "entropy" or "percentile" (what is rare is clipped).
        percentile: of "percentile", in percent: the share of values that a range must hold.
        per_channel: whether weights have one scale a channel, or one a tensor.
        reduce_range: whether weights have 7 bits, for x86 processors without VNNI; of .onnx alone.
        exclude: nodes that stay float, by their names; in .tflite, by that of their output tensor.
        bound: what the variant may lose; None lets it cost what it costs.
    """

    calibration: int = 300
    calibration_method: Literal["minmax", "entropy", "percentile"] = "minmax"
    percentile: float = 99.99
    per_channel: bool = True
    reduce_range: bool = False
    exclude: tuple[str, ...] = ()
    bound: Bound | None = None

    def __post_init__(self) -> None:
        if self.calibration < 1:
            raise ValueError(f"calibration = {self.calibration} must be 1 image or more")
        if not 50 < self.percentile <= 100:
            raise ValueError(f"percentile = {self.percentile} must be above 50 and at most 100")


def build(job: Build, options: Options) -> Mapping[str, Any] | None:
    """Write the parent in 8 bits, and return what was given back to float where there is a bound.

    Raises:
        RecipeError: onnxruntime or ai-edge-quantizer is missing, the model cannot be quantised, a node to exclude is
            not in it, or the bound cannot be met.
    """
    samples = job.samples("train")
    rows = np.linspace(0, len(samples.images) - 1, min(options.calibration, len(samples.images))).astype(int)
    inputs = prepare(samples.images[rows], job.input)
    with tempfile.TemporaryDirectory() as folder, _onnx_tools.whole(job.target) as partial:
        quantiser = _quantiser(job.parent, inputs, Path(folder), options)
        if options.bound is not None:
            return _bounded_by(options.bound, job, quantiser, partial, inputs)
        quantiser.write(partial)
    return None


def _quantiser(parent: Path, inputs: npt.NDArray[np.float32], folder: Path, options: Options) -> _bounded.Quantiser:
    if parent.suffix == ".onnx":
        from harness.recipes import _int8_onnx

        return _int8_onnx.Int8(
            parent,
            inputs,
            folder,
            calibration_method=options.calibration_method,
            percentile=options.percentile,
            per_channel=options.per_channel,
            reduce_range=options.reduce_range,
            exclude=options.exclude,
        )
    if options.calibration_method != "minmax":
        raise RecipeError(
            f"{parent.name}: ai-edge-quantizer, which writes .tflite, has no {options.calibration_method} calibration",
            remedy='write calibration_method = "minmax", or build this variant as .onnx',
        )
    if options.reduce_range:
        _onnx_tools.check_reducible(parent)
    from harness.recipes import _int8_tflite

    return _int8_tflite.Int8(parent, inputs, per_channel=options.per_channel, exclude=options.exclude)


def _bounded_by(
    bound: Bound, job: Build, quantiser: _bounded.Quantiser, target: Path, inputs: npt.NDArray[np.float32]
) -> dict[str, Any]:
    metric = bound.metric or _METRICS.get(job.task.kind, "accuracy")
    limit = _bounded.Limit(_host.Judge(job, metric, bound.split), job.baseline, metric=metric, margin=bound.margin)
    ranked_on = inputs[np.linspace(0, len(inputs) - 1, min(_RANKED_ON, len(inputs))).astype(int)]
    most = bound.float_layers if bound.float_layers is not None else len(quantiser.layers())
    return _bounded.held(quantiser, limit, job.parent, target, inputs=ranked_on, most=most)
