"""`transfer` and `adapt` really train, at a tiny size: another task's trunk, and another scanner's images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from devices.virtual.requirements import lacking, require
from harness.errors import RecipeError
from harness.model import InputSpec, Reading, Samples, Task
from harness.ports.recipes import Build
from harness.recipes import _host, _normalising, _onnx2torch, _training, adapt, transfer
from harness.recipes._inputs import prepare

SPEC = InputSpec(layout="NCHW", scale=1 / 255, mean=(0.5,), std=(0.25,))
SHAPE = (1, 16, 16)

if not lacking("extra:train=torch"):
    import torch
    from torch import nn


def stripes(split: str, classes: int = 2, *, gain: float = 1.0, count: int = 96) -> Samples:
    """Return noise with bright stripes, upright (0), level (1) or none (2); a scanner's `gain` makes all darker."""
    rng = np.random.default_rng(["train", "validation", "other", "test"].index(split))
    labels = np.arange(count, dtype=np.int64) % classes
    images = rng.normal(90, 20, (count, 16, 16, 1))
    for image, label in zip(images, labels, strict=True):
        if label == 0:
            image[:, ::2] += 60
        elif label == 1:
            image[::2] += 60
    images = images * gain
    names = ("upright", "level", "none")[:classes]
    return Samples(np.clip(images, 0, 255).astype(np.uint8), labels, names, "made here", synthetic=True)


def trained(path: Path, classes: int) -> Path:
    torch.manual_seed(1)
    filters = [nn.Conv2d(1, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8)]
    network = nn.Sequential(*filters, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
    samples = stripes("train", classes)
    schedule = _training.Schedule(epochs=12, learning_rate=1e-2, batch=24, augment=False)
    _training.fit(network, prepare(samples.images, SPEC), samples.labels, schedule)
    _training.export_onnx(network.eval(), SHAPE, path)
    return path


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("extra:train=torch", "extra:train=onnx2torch")
    return trained(tmp_path_factory.mktemp("parent") / "parent.onnx", 2)


def other(split: str) -> Samples:
    """Return a suite's splits, of which `other` and `test` are another scanner's."""
    return stripes(split, gain=0.3 if split in ("other", "test") else 1.0)


def job(parent: Path, target: Path, **changes: Any) -> Build:
    given = Build(parent, target, other, SPEC, Task("classification", "level"), Reading(kind="logits"))
    return replace(given, **{"folder": parent.parent, **changes})


def answers(file: Path, samples: Samples) -> npt.NDArray[Any]:
    return _host.answers(file, prepare(samples.images, SPEC))


def right(file: Path, samples: Samples) -> float:
    return float(np.mean(answers(file, samples).argmax(1) == samples.labels))


def test_statistics_of_another_scanner_bring_back_what_it_costs_without_a_label(parent: Path, tmp_path: Path) -> None:
    target = tmp_path / "adapted.onnx"

    def unlabelled(split: str) -> Samples:
        return other(split) if split == "train" else replace(other(split), labels=np.empty(0, np.int64))

    found = dict(adapt.build(job(parent, target, samples=unlabelled), adapt.Options(split="other", batch=48)))
    assert right(parent, other("validation")) > 0.95
    assert right(parent, other("test")) < 0.8
    assert right(target, other("test")) > 0.95
    assert (found["used"], found["split"], found["images"]) == (["statistics"], "other", 96)


def test_adapting_to_the_images_that_a_network_learnt_from_changes_next_to_nothing(
    parent: Path, tmp_path: Path
) -> None:
    samples = stripes("train")
    one = replace(samples, subgroup="site", subgroups=np.zeros(len(samples.images), np.int64), subgroup_names=("A",))
    given = job(parent, tmp_path / "same.onnx", samples=lambda _: one)
    adapt.build(given, adapt.Options(subgroup="A", batch=96))
    np.testing.assert_allclose(answers(tmp_path / "same.onnx", one), answers(parent, one), atol=0.02)


def test_normalisations_that_are_put_in_change_nothing_until_something_learns(parent: Path) -> None:
    network, inputs = _onnx2torch.network(parent).eval(), prepare(stripes("train").images, SPEC)
    with torch.no_grad():
        before = network(torch.from_numpy(inputs))
        assert _normalising.normalise(network)
        _normalising.settle(network, inputs, 20)
        torch.testing.assert_close(network.eval()(torch.from_numpy(inputs)), before, atol=1e-3, rtol=1e-3)


def test_entropy_and_labels_are_used_where_they_are_asked_for(parent: Path, tmp_path: Path) -> None:
    def surprise(file: Path) -> float:
        shares = torch.from_numpy(answers(file, other("other"))).log_softmax(1)
        return float(-(shares.exp() * shares).sum(1).mean())

    statistics, entropy, labels = (tmp_path / f"{name}.onnx" for name in ("statistics", "entropy", "labels"))
    adapt.build(job(parent, statistics), adapt.Options(split="other"))
    found = dict(adapt.build(job(parent, entropy), adapt.Options(split="other", entropy_epochs=3, learning_rate=1e-2)))
    assert found["used"] == ["statistics", "entropy"]
    assert surprise(entropy) < surprise(statistics)
    found = dict(adapt.build(job(parent, labels), adapt.Options(split="other", label_epochs=3)))
    assert found["used"] == ["statistics", "labels"]
    assert right(labels, other("test")) > 0.95


def test_labels_are_learnt_in_the_order_in_which_the_network_gives_the_classes(parent: Path, tmp_path: Path) -> None:
    def turned(split: str) -> Samples:
        own = other(split)
        return replace(own, labels=1 - own.labels, classes=own.classes[::-1])

    reading = Reading(kind="logits", classes=other("other").classes)
    given = job(parent, tmp_path / "turned.onnx", samples=turned, reading=reading)
    adapt.build(given, adapt.Options(split="other", label_epochs=20, learning_rate=1e-2))
    assert right(given.target, other("test")) > 0.95


def test_a_trunk_of_another_task_learns_the_suites_classes(parent: Path, tmp_path: Path) -> None:
    trained(tmp_path / "trunk.onnx", 3)
    target = tmp_path / "transferred.onnx"
    given = job(parent, target, folder=tmp_path)
    found = dict(transfer.build(given, transfer.Options(Path("trunk.onnx"), 15, 0, learning_rate=5e-3)))
    assert (found["classes_before"], found["classes"]) == (3, 2)
    assert right(target, stripes("validation")) > 0.9
    trunk, frozen = (_onnx2torch.network(one).state_dict() for one in (tmp_path / "trunk.onnx", target))
    assert [one.shape for one in frozen.values()][-1] == (2,)
    for one, two in list(zip(trunk.values(), frozen.values(), strict=True))[:-2]:
        torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)
    transfer.build(given, transfer.Options(Path("trunk.onnx"), 2, 2, augment=False))
    moved = _onnx2torch.network(target).state_dict()
    assert any((one - two).abs().max() > 1e-3 for one, two in list(zip(trunk.values(), moved.values()))[:-2])  # noqa: B905


@pytest.mark.parametrize("recipe", ["adapt", "transfer"])
def test_same_inputs_and_seed_give_the_same_answers(parent: Path, tmp_path: Path, recipe: str) -> None:
    made = []
    for name in ("one.onnx", "two.onnx"):
        given = job(parent, tmp_path / name)
        if recipe == "adapt":
            adapt.build(given, adapt.Options(split="other", entropy_epochs=1, label_epochs=1))
        else:
            transfer.build(given, transfer.Options(Path(parent.name), 2, 2))
        made.append(answers(given.target, other("test")))
    np.testing.assert_array_equal(made[0], made[1])


def test_what_does_not_fit_is_refused_with_the_reason(parent: Path, tmp_path: Path) -> None:
    def refused(match: str, recipe: Any, options: Any, **changes: Any) -> None:
        with pytest.raises(RecipeError, match=match):
            recipe.build(job(parent, tmp_path / "x.onnx", **changes), options)

    trunk = transfer.Options(Path(parent.name), 1, 1)
    coloured = replace(other("train"), images=np.repeat(other("train").images, 3, axis=3))
    refused(
        r"takes input \(float32 \[any, 1, 16, 16\]\), and .* \[3, 16, 16\]", transfer, trunk, samples=lambda _: coloured
    )
    softmax = tmp_path / "softmax.onnx"
    _training.export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(256, 2), nn.Softmax(1)), SHAPE, softmax)
    refused("does not end in one linear layer", transfer, trunk.__class__(softmax), folder=tmp_path)
    diverging = transfer.Options(Path(parent.name), 1, 1, learning_rate=1e30)
    refused("training diverged.*lower `learning_rate`", transfer, diverging)
    surer = adapt.Options(split="other", entropy_epochs=5, learning_rate=1e30)
    refused("calls every image class [01], .*lower `learning_rate`", adapt, surer)
    refused("no image of the split other is of a subgroup 'B'", adapt, adapt.Options(split="other", subgroup="B"))
    wanted = adapt.Options(split="other", label_epochs=1)
    refused("too few labels", adapt, wanted, samples=lambda split: replace(other(split), labels=np.empty(0, np.int64)))
    refused("answer with logits", adapt, wanted, reading=Reading(kind="probabilities"))
    single = tmp_path / "single.onnx"
    _training.export_onnx(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(784, 1)), SHAPE, single)
    for wanted in (adapt.Options(split="other", label_epochs=1), adapt.Options(split="other", entropy_epochs=1)):
        with pytest.raises(RecipeError, match=r"shape \(1, 1\) for one image, and only one for each of the 2 classes"):
            adapt.build(job(single, tmp_path / "x.onnx"), wanted)
    assert not (tmp_path / "x.onnx").exists()
    with pytest.raises(ValueError, match="the split train is what the network learnt from"):
        adapt.Options()
    with pytest.raises(ValueError, match="trunk is not set"):
        transfer.Options()
