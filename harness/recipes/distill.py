"""`recipe = "distill"`, `parameters = { width = 0.35, epochs = 25 }`: train a small MobileNetV2 to follow the baseline.

The student is made of inverted residuals (Sandler et al., "MobileNetV2") and learns from the labels and from the
baseline's softened outputs on the train split. It takes the baseline's input, whatever its size and number of channels.
Behind other steps of a chain the student is what they have made, and is trained on to follow the baseline:
`["prune_filters", "distill"]`. Its weights that are zero stay zero.
Needs `pip install 'edgeward[train]'`; minutes for small images.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _lessons, _onnx_tools, _training
from harness.recipes._lessons import Lesson
from harness.recipes._training import Schedule

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnx2torch", "onnxruntime")
TAKES = ("float32",)
LEAVES = "float32"
#: What it makes may be another architecture than the baseline's.
ANOTHER = True


@dataclass(frozen=True, slots=True)
class Options:
    """The student and its training.

    Attributes:
        width: factor on every number of channels of a new student, 0.35 if not given.
        epochs: passes over the train split.
        learning_rate: its highest value; if not given, 4e-3 for a new student and 5e-4 for one that steps have made.
        augment: whether images are mirrored, shifted and changed in gain; no for images whose sides carry meaning.
        seed: of a new student's first weights and of the order of images.
    """

    width: float | None = None
    epochs: int = 25
    learning_rate: float | None = None
    augment: bool = True
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("width", "learning_rate"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} = {value} must be above 0")


def build(job: Build, options: Options) -> None:
    """Write the trained student.

    Raises:
        RecipeError: torch is missing, the student cannot be trained, or has a width of its own already.
    """
    _onnx_tools.require("train", "torch", "onnxruntime")
    lesson = _lessons.lesson(job)
    first = job.parent == job.baseline
    rate = options.learning_rate or (4e-3 if first else 5e-4)
    schedule = Schedule(options.epochs, rate, augment=options.augment, seed=options.seed)
    if first:
        _new(job, options.width or 0.35, lesson, schedule)
    elif options.width is None:
        _trained_on(job, lesson, schedule)
    else:
        raise RecipeError(
            f"width = {options.width:g} is that of a new student, and here {job.parent.name} is the student",
            remedy="leave `width` out, or the steps before `distill`",
        )


def _new(job: Build, width: float, lesson: Lesson, schedule: Schedule) -> None:
    import torch

    from harness.recipes._mobilenet import Student

    channels = lesson.inputs.shape[1 if job.input.layout == "NCHW" else 3]
    torch.manual_seed(schedule.seed)
    network = Student(channels, lesson.classes, width, job.input.layout)
    teacher = _lessons.teacher(job.baseline, job)
    _training.fit(network, lesson.inputs, lesson.labels, schedule, teacher=teacher, layout=job.input.layout)
    _training.export_onnx(network, lesson.inputs.shape[1:], job.target)


def _trained_on(job: Build, lesson: Lesson, schedule: Schedule) -> None:
    import onnx

    from harness.recipes import _onnx2torch, _refining

    model = _onnx2torch.Trainable(_onnx_tools.read_onnx(job.parent), job.parent)
    stepped = _training.holding_zeros(model.tensors().values())
    _refining.refine(model.network, job, lesson, schedule, by=job.baseline, stepped=stepped)
    with _onnx_tools.whole(job.target) as partial:
        onnx.save(model.write_back(), str(partial))
