"""The recipes that train really train, at a tiny size: which half of a small image is bright."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from devices.virtual.requirements import lacking, require
from harness.errors import RecipeError
from harness.model import InputSpec, Samples, Task
from harness.ports.recipes import Build
from harness.recipes import _training, distill, prune_filters
from harness.recipes._inputs import prepare

SPEC = InputSpec(layout="NCHW", scale=1 / 255, mean=(0.5,), std=(0.25,))
LITTLE = _training.Schedule(epochs=6, learning_rate=1e-2, batch=16, augment=False)

if not lacking("extra:train=torch"):
    import torch
    from torch import nn


@pytest.fixture(autouse=True)
def _torch() -> Iterator[None]:
    require("extra:train=torch", "extra:train=onnx2torch", "extra:train=torch_pruning")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other are slow where other tests run, too
    yield
    torch.set_num_threads(threads)


def halves(count: int, seed: int) -> Samples:
    """Return noise of 16x16 pixels, brighter on the left (class 0) or on the right (class 1)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 120, (count, 16, 16, 1))
    for image, label in zip(images, labels, strict=True):
        image[:, 8 * label : 8 * label + 8] += 100
    return Samples(images.astype(np.uint8), labels, ("left", "right"), "bright halves", synthetic=True)


def plain() -> nn.Module:
    """Return three convolutions and a linear layer."""
    torch.manual_seed(3)
    filters = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1)]
    return nn.Sequential(*filters, nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("extra:train=torch")
    network, samples = plain(), halves(64, 1)
    _training.fit(network, prepare(samples.images, SPEC), samples.labels, LITTLE)
    path = tmp_path_factory.mktemp("parent") / "parent.onnx"
    _training.export_onnx(network, (1, 16, 16), path)
    assert right(path) > 0.95
    return path


def answers(model: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return (64, 2) logits of images that nothing was trained on."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    (logits,) = session.run(None, {name: prepare(halves(64, 2).images, SPEC)})
    return logits


def right(model: Path) -> float:
    """Return the share of correct answers."""
    return float(np.mean(answers(model).argmax(1) == halves(64, 2).labels))


def job(parent: Path, target: Path) -> Build:
    return Build(parent, target, lambda _: halves(256, 1), SPEC, Task("classification", "right"))


def losses(caplog: pytest.LogCaptureFixture) -> list[float]:
    """Return the loss of every epoch."""
    return [float(one) for one in re.findall(r"loss (\d+\.\d+)", caplog.text)]


def filters(model: Path) -> list[int]:
    """Return how many filters each convolution has."""
    weights = {one.name: one.dims[0] for one in onnx.load(model).graph.initializer}
    return [weights[node.input[1]] for node in onnx.load(model).graph.node if node.op_type == "Conv"]


def test_prune_filters_leaves_half_of_the_filters_and_trains_them_to_follow_the_parent(
    parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    target = tmp_path / "narrow.onnx"
    prune_filters.build(job(parent, target), prune_filters.Options(ratio=0.5, epochs=4, augment=False))
    assert filters(parent) == [8, 16, 16]
    assert filters(target) == [4, 8, 8]
    assert len(losses(caplog)) == 4
    assert losses(caplog)[-1] < 0.75 * losses(caplog)[0]
    assert right(target) > 0.9


def test_distill_trains_a_student_that_learns_from_its_teacher(
    parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    target = tmp_path / "student.onnx"
    distill.build(job(parent, target), distill.Options(width=0.1, epochs=6, augment=False))
    assert len(losses(caplog)) == 6
    assert losses(caplog)[-1] < 0.75 * losses(caplog)[0]
    assert answers(target).shape == (64, 2)
    assert len(filters(target)) > 30, "a MobileNetV2"


def test_what_remains_is_the_epoch_that_the_held_out_images_are_best_in() -> None:
    network, samples = plain(), halves(64, 1)
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([0.5, 0.9, 0.9, 0.1])

    def score() -> float:
        assert not network.training
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(scores)

    _training.fit(network, prepare(samples.images, SPEC), samples.labels, replace(LITTLE, epochs=4), score=score)
    same = [all(torch.equal(one[name], value) for name, value in network.state_dict().items()) for one in seen]
    assert same == [False, True, False, False]


def test_where_no_epoch_has_a_score_no_weights_are_chosen() -> None:
    network, samples = plain(), halves(64, 1)
    inputs = prepare(samples.images, SPEC)
    with pytest.raises(RecipeError, match="the score of no epoch is a number"):
        _training.fit(network, inputs, samples.labels, replace(LITTLE, epochs=2), score=lambda: math.nan)


def test_a_rate_that_falls_in_steps_is_a_tenth_behind_each() -> None:
    network = nn.Linear(1, 1)
    schedule = _training.Schedule(epochs=4, learning_rate=1e-3, decay=(1, 3), weight_decay=0.0)
    step = _training._optimiser(network, schedule, steps=2)
    moved = []
    for _ in range(8):
        before = network.weight.item()
        step((network.weight * 1e3).sum())  # Adam moves by its rate where the gradient stays the same
        moved.append(before - network.weight.item())
    assert moved == pytest.approx([1e-3] * 2 + [1e-4] * 4 + [1e-5] * 2, rel=0.01)


def test_a_training_that_diverges_says_so(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training diverged: its loss is nan .*; lower `learning_rate`"):
        prune_filters.build(job(parent, tmp_path / "x.onnx"), prune_filters.Options(learning_rate=1e30))
    assert not list(tmp_path.iterdir())
