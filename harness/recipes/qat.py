"""`recipe = "qat"`, `parameters = { epochs = 10, learning_rate = 3e-4 }`: 8 bits that the model was trained for.

Quantisation-aware fine-tuning (Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference"): batch normalisations are folded, weights and activations are rounded as 8 bits will
round them, and the network is trained on the train split to follow the labels and its own float outputs. Ranges begin
at what calibration finds, follow the batches, and are held in the last quarter, when only weights learn. The file is
that of `quantize_int8`, with weights, one scale a channel, and ranges from training. Weights that are zero stay zero.
Needs `pip install 'edgeward[train]'`; minutes for a small network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _host, _int8_onnx, _lessons, _onnx2torch, _onnx_tools, _training

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnx2torch", "onnxruntime")
TAKES = ("float32",)
LEAVES = "int8"

#: Images on which the file must answer as the network that was trained, and the share of them on which it must.
_TRIED, _ALIKE = 64, 0.9
#: Of the steps, in which ranges follow the batches.
_FOLLOWING: Final = 0.75


@dataclass(frozen=True, slots=True)
class Options:
    """How it is trained, and what stays float.

    Attributes:
        epochs: passes over the train split.
        learning_rate: its highest value.
        batch: images in a step.
        soft: weight of the float model's outputs against the labels, 0..1; 0 for the labels alone.
        augment: whether images are mirrored, shifted and changed in gain; no for images whose sides carry meaning.
        calibration: how many images of the train split the first ranges are taken from.
        exclude: nodes that stay float, by their names.
        seed: of the order of images and of the augmentation.
    """

    epochs: int = 10
    learning_rate: float = 3e-4
    batch: int = 64
    soft: float = 0.7
    augment: bool = True
    calibration: int = 300
    exclude: tuple[str, ...] = ()
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "calibration"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be 1 or more")
        if not 0 <= self.soft <= 1:
            raise ValueError(f"soft = {self.soft} must lie between 0 and 1")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate = {self.learning_rate} must be above 0")


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the parent in 8 bits as it was trained for them, and return which operators run in 8 bits and in float.

    Raises:
        RecipeError: a library is missing, the network cannot be trained or quantised, the training diverged, or
            onnxruntime runs none of its operators in 8 bits.
        MemoryError: a step of the training needs more than there is.
    """
    _onnx_tools.require("train", "torch", "onnxruntime")
    import onnx

    from harness.recipes import _fake_int8, _refining

    lesson = _lessons.lesson(job)
    inputs = lesson.inputs
    with tempfile.TemporaryDirectory() as folder, _onnx_tools.whole(job.target) as partial:
        seen = inputs[np.linspace(0, len(inputs) - 1, min(options.calibration, len(inputs))).astype(int)]
        eight = _int8_onnx.Int8(job.parent, seen, Path(folder), exclude=options.exclude)
        eight.write(partial)
        model = _onnx2torch.Trainable(eight.prepared, job.parent)
        rounding = _fake_int8.Rounding(model, _fake_int8.places(onnx.load(partial)), eight.ranges())
        schedule = _training.Schedule(
            options.epochs,
            options.learning_rate,
            batch=options.batch,
            augment=options.augment,
            soft=options.soft,
            seed=options.seed,
        )
        hold_zeros = _training.holding_zeros(model.tensors().values())
        following = _FOLLOWING * _training.steps_of(schedule, len(inputs))

        def stepped(made: int) -> None:
            hold_zeros(made)
            if made >= following:
                rounding.hold()

        network = _refining.refine(model.network, job, lesson, schedule, by=job.parent, stepped=stepped)
        eight.trained(model.write_back(), rounding.ranges())
        eight.write(partial)
        _check_alike(partial, network, seen[:_TRIED], job)
        return _run_in_8_bits(partial, job.parent)


def _check_alike(file: Path, network: Any, inputs: npt.NDArray[np.float32], job: Build) -> None:
    """Raise RecipeError where the file answers otherwise than the network that was trained."""
    import torch

    with torch.no_grad():
        trained = network(torch.from_numpy(inputs)).numpy()
    written = _host.answers(file, inputs, _host.place_of(file, job.reading))
    alike = float(np.mean(trained.argmax(1) == written.argmax(1)))
    if alike < _ALIKE:
        raise RecipeError(
            f"the 8-bit file answers as the network that was trained on {alike:.0%} of {len(inputs)} images only",
            remedy="take `quantize_int8` for this model, or bring this variant ready-made",
        )


def _run_in_8_bits(file: Path, parent: Path) -> dict[str, Any]:
    """Return which operators onnxruntime runs in 8 bits, and the nodes with weights that it runs in float."""
    eight, floats = _int8_onnx.operators(file)
    if not eight:
        raise RecipeError(
            f"onnxruntime here runs no operator of {parent.name} in 8 bits: {', '.join(floats)} stay float",
            remedy="leave this variant out",
        )
    return {"int8_operators": eight, "float_layers": floats}
