"""A program that learns, held against steps that were computed by hand."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from devices.virtual.requirements import require
from harness.errors import RecipeError
from harness.model import InputSpec, LocalStep, Samples, Task
from harness.ports.recipes import Build
from harness.recipes import _step_program
from tests import small_models as small

SPEC = InputSpec(scale=1 / 255)


def job(folder: Path) -> Build:
    """Return a build of the small model and its images."""
    images, labels = small.samples(30)
    samples = Samples(images, labels, small.CLASSES, "bright halves")
    return Build(small.good(folder / "base.onnx"), folder / "base.pt", lambda _: samples, SPEC, Task("classification"))


def softmax_steps(
    features: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    asked: LocalStep,
    steps: int,
) -> npt.NDArray[np.float64]:
    """Return the weights of a softmax regression after steps of gradient descent, by its formula."""
    for made in range(steps):
        rows = (np.arange(asked.batch) + made * asked.batch) % len(labels)
        logits = features[rows] @ weights
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(len(rows)), labels[rows]] -= 1
        weights = weights - asked.learning_rate * features[rows].T @ shares / len(rows)
    return weights


def test_the_last_layer_ends_where_the_formula_of_softmax_regression_ends(tmp_path: Path) -> None:
    require("extra:train=onnx2torch")
    build, asked = job(tmp_path), LocalStep(learning_rate=0.05, batch=5, layers="last")
    made = _step_program.make(build, asked, 9)
    (name,) = made.learns
    kept = {one.name: numpy_helper.to_array(one) for one in onnx.load(build.parent).graph.initializer}
    halves = made.inputs.astype(np.float64).reshape(len(made.inputs), 2, -1).mean(axis=2)
    by_hand = softmax_steps(halves, made.labels, kept["mix"].astype(np.float64), asked, 9)
    np.testing.assert_allclose(made.end[name], by_hand, rtol=1e-4)
    assert made.weights == 6
    assert made.apart({name: by_hand.astype(np.float32)}) < 1e-3
    assert made.apart(made.start) == pytest.approx(1.0)
    assert made.apart(made.end) == 0.0


def test_the_program_itself_gives_what_the_file_gives(tmp_path: Path) -> None:
    require("extra:train=onnx2torch")
    import torch

    build = job(tmp_path)
    made = _step_program.make(build, LocalStep(learning_rate=0.05, batch=5, optimiser="adam"), 4)
    assert len(made.learns) == 2
    program = torch.jit.load(str(made.file))
    halves = made.inputs[:5].reshape(5, 2, -1).mean(axis=2)
    mix = np.array([[5, 20, -20], [5, -20, 20]], np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(
            program(torch.from_numpy(made.inputs[:5])).numpy(), halves @ mix, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("recipe", "said"),
    [("quantize_dynamic", "quantised values (DynamicQuantizeLinear "), ("float16", "half floats (")],
)
def test_what_has_no_float32_weights_cannot_learn_and_that_is_said(tmp_path: Path, recipe: str, said: str) -> None:
    require("extra:train=onnx2torch")
    module, build = importlib.import_module(f"harness.recipes.{recipe}"), job(tmp_path)
    other = tmp_path / "other.onnx"
    module.build(replace(build, target=other), module.Options())
    with pytest.raises(RecipeError, match=re.escape(f"other.onnx computes with {said}") + ".*float32 weights becomes"):
        _step_program.make(replace(build, parent=other), LocalStep(learning_rate=0.05, batch=5), 4)
