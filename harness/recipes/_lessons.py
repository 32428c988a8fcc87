"""What a network learns from: the train split as its model is fed and read, and the outputs of a better model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from harness import formats
from harness.errors import RecipeError
from harness.model import Samples
from harness.ports.recipes import Build
from harness.recipes import _host
from harness.recipes._inputs import prepare
from harness.recipes._onnx_tools import require
from harness.recipes._training import Inputs, Teacher

#: Probabilities below it count as it: that of 0 has no logarithm.
SMALLEST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Lesson:
    """The train split as a model is fed and read.

    Attributes:
        inputs: (N, C, H, W) or (N, H, W, C), prepared.
        labels: (N,) places of the classes among the model's outputs.
        classes: how many outputs there are.
    """

    inputs: Inputs
    labels: npt.NDArray[np.int64]
    classes: int


def lesson(job: Build) -> Lesson:
    """Return what is learnt from.

    Raises:
        RecipeError: the task is no classification, which is all this trains, a class has no image, or is not among the
            outputs.
    """
    if job.task.kind != "classification":
        raise RecipeError(
            f"only classifiers can be trained here, not {job.task.kind}", remedy="bring this variant ready-made"
        )
    samples = job.samples("train")
    empty = [name for name in samples.classes if not len(samples.labels) or not samples.of_class(name).any()]
    if empty:
        raise RecipeError(
            f"the split train has no image of {', '.join(map(repr, empty))}, and what is trained on it forgets that",
            remedy="add some to it, or bring this variant ready-made",
        )
    return Lesson(prepare(samples.images, job.input), *placed(job, samples))


def placed(job: Build, samples: Samples) -> tuple[npt.NDArray[np.int64], int]:
    """Return (N,) the place of each image's class among a model's outputs, and how many outputs there are.

    Args:
        job: says what the model calls its outputs.
        samples: images with labels.

    Raises:
        RecipeError: a class of the data is not among the outputs.
    """
    outputs = job.reading.classes or tuple(samples.classes)
    missing = [name for name in samples.classes if name not in outputs]
    if missing:
        raise RecipeError(
            f"the outputs of {job.parent.name} are {', '.join(outputs)}, and {missing[0]} of the data is none of them",
            remedy="correct `output.classes`, or leave this variant out",
        )
    places = np.array([outputs.index(name) for name in samples.classes], np.int64)
    return places[samples.labels], len(outputs)


def teacher(file: Path, job: Build) -> Teacher:
    """Return the function that gives the logits of an ONNX file for a batch.

    Args:
        file: the better model.
        job: says which output is meant, and how it is read where the file does not say it.

    Raises:
        RecipeError: onnxruntime is missing or cannot load the file, or it gives neither logits nor probabilities.
    """
    require("build", "onnxruntime")
    import onnxruntime

    place, probabilities = _host.place_of(file, job.reading), gives_probabilities(file, job)
    try:
        settings = onnxruntime.SessionOptions()
        # Threads that spin while they wait would take the cores from torch, which has its own.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise RecipeError(
            f"{file.name} cannot be loaded by onnxruntime: {str(error).splitlines()[0]}", remedy="export it again"
        ) from error
    entrance, output = session.get_inputs()[0], session.get_outputs()[place].name
    size = entrance.shape[0] if isinstance(entrance.shape[0], int) else 0

    def answer(batch: Inputs) -> Inputs:
        # A file that takes a fixed number of images at once gets the last ones again to fill its last batch.
        short = -len(batch) % size if size else 0
        filled = np.concatenate([batch, np.repeat(batch[-1:], short, axis=0)])
        parts = np.split(filled, len(filled) // size) if size else [filled]
        given: Inputs = np.concatenate([session.run([output], {entrance.name: part})[0] for part in parts])[
            : len(batch)
        ]
        return np.log(np.maximum(given, SMALLEST)) if probabilities else given

    return answer


def gives_probabilities(file: Path, job: Build) -> bool:
    """Return whether a model gives probabilities, the logarithms of which are logits; else it gives logits.

    Raises:
        RecipeError: it gives neither.
    """
    said = formats.read(file).outputs[_host.place_of(file, job.reading)].kind or job.reading.kind
    if said not in ("", "logits", "probabilities"):
        raise RecipeError(
            f"{file.name} gives {said}, and only logits, or probabilities of classes that exclude each other, can be "
            "trained",
            remedy="export it without its last operation, or leave this variant out",
        )
    return said == "probabilities"
