"""`recipe = "distill"`, `parameters = { width = 0.35, epochs = 25 }`: train a small MobileNetV2 to follow the baseline.

The student is made of inverted residuals (Sandler et al., "MobileNetV2") and learns from the labels and from the
parent's softened outputs on the train split. It takes the parent's input, whatever its size and number of channels.
Needs `pip install 'edgeward[train]'`; minutes for small images.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.ports import Build
from harness.recipes import _onnx_tools, _training
from harness.recipes._inputs import prepare

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnxruntime")
TAKES = ("float32", "int8", "int4")
LEAVES = "float32"


@dataclass(frozen=True, slots=True)
class Options:
    """The student and its training.

    Attributes:
        width: factor on every number of channels.
        epochs: passes over the train split.
        learning_rate: its highest value.
        augment: whether images are mirrored, shifted and changed in gain; no for images whose sides carry meaning.
        seed: of the student's first weights and of the order of images.
    """

    width: float = 0.35
    epochs: int = 25
    learning_rate: float = 4e-3
    augment: bool = True
    seed: int = 7

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ValueError(f"width = {self.width} must be above 0")


def build(job: Build, options: Options) -> None:
    """Write the trained student; raises RecipeError when torch is missing."""
    _onnx_tools.require("train", "torch", "onnxruntime")
    import torch

    from harness.recipes._mobilenet import Student

    samples = _training.labelled(job)
    inputs = prepare(samples.images, job.input)
    torch.manual_seed(options.seed)
    network = Student(samples.images.shape[-1], len(samples.classes), options.width, job.input.layout)
    schedule = _training.Schedule(options.epochs, options.learning_rate, augment=options.augment, seed=options.seed)
    teacher = _training.teacher(job.parent)
    _training.fit(network, inputs, samples.labels, schedule, teacher=teacher, layout=job.input.layout)
    _training.export_onnx(network, inputs.shape[1:], job.target)
