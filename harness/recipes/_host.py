"""What a model file answers on this host, and what the answers are worth on a split that is not measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import formats, registry
from harness.errors import RecipeError
from harness.model import Answers, Reading
from harness.ports.recipes import Build
from harness.recipes import _onnx_tools
from harness.recipes._inputs import prepare


def answers(file: Path, inputs: npt.NDArray[np.float32], place: int = 0) -> npt.NDArray[Any]:
    """Return (N, ...) of one output of a file, fed one image at a time as on a device.

    Args:
        file: .onnx or .tflite.
        inputs: (N, ...) as `prepare` makes them.
        place: of the output among those of the file.
    """
    rows = (_onnx if file.suffix == ".onnx" else _tflite)(file, inputs, place)
    return np.concatenate(rows) if rows[0].ndim and rows[0].shape[0] == 1 else np.stack(rows)


def _onnx(file: Path, inputs: npt.NDArray[np.float32], place: int) -> list[npt.NDArray[Any]]:
    _onnx_tools.require("build", "onnxruntime")
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    entrance, output = session.get_inputs()[0], session.get_outputs()[place].name
    feeds = inputs.astype(np.float16) if entrance.type == "tensor(float16)" else inputs
    return [np.asarray(session.run([output], {entrance.name: image[None]})[0]) for image in feeds]


def _tflite(file: Path, inputs: npt.NDArray[np.float32], place: int) -> list[npt.NDArray[Any]]:
    _onnx_tools.require("build", "ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    with _onnx_tools.quiet():
        interpreter = Interpreter(model_path=str(file))
        interpreter.allocate_tensors()
    entrance, output = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[place]["index"]
    rows = []
    for image in inputs:
        interpreter.set_tensor(entrance, image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output).copy())
    return rows


def place_of(file: Path, reading: Reading) -> int:
    """Return which of a file's outputs is judged."""
    outputs = [one.name for one in formats.read(file).outputs]
    return outputs.index(reading.output) if reading.output in outputs else 0


class Judge:
    """Says what a model file is worth by one metric, on a split that is not measured.

    Args:
        job: of the recipe.
        metric: its name, as in `[accept]`.
        split: "train" or "validation".

    Attributes:
        inputs: (N, ...) the split's images as a model takes them.

    Raises:
        RecipeError: the split has no truth, or is what is measured.
    """

    def __init__(self, job: Build, metric: str, split: str) -> None:
        self._job, self._metric, self.split = job, metric, split
        self._samples = job.samples(split)
        self.inputs, self.place = prepare(self._samples.images, job.input), place_of(job.parent, job.reading)
        self._judging = registry.load("metrics", job.task.kind, file=job.parent.name, key="task.kind")

    def score(self, file: Path) -> float:
        """Return the metric of a file.

        Raises:
            RecipeError: the metric has no value on this split.
            MeasurementError: the answers do not fit the labels.
        """
        return self.worth(answers(file, self.inputs, place_of(file, self._job.reading)).astype(np.float32), file)

    def worth(self, given: npt.NDArray[np.float32], file: Path) -> float:
        """Return the metric of answers to this split's images, in their order; raises as `score`.

        Args:
            given: (N, ...) answers.
            file: what gave them, for messages.
        """
        found: Mapping[str, Any] = self._judging.evaluate(
            Answers(given, self._job.reading), self._samples, self._job.task
        ).estimates
        if self._metric not in found:
            raise RecipeError(
                f"{file.name} has no {self._metric} on the split {self.split}",
                remedy=registry.suggestion(self._metric, found),
            )
        return float(found[self._metric].point)
