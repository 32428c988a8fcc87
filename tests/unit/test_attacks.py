"""Attacks with the baseline's gradients: within epsilon, whole grey levels, worse than noise; refused where blind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from devices.virtual.requirements import require
from harness import lab
from harness.errors import RecipeError
from harness.measure import attacks, black_box
from harness.measure.grouping import groups
from harness.measure.jobs import Group, load_samples
from harness.model import Answers, Reading, Samples, Task
from harness.results.robustness import sure_and_called, worst_of
from tests import labs
from tests import small_models as small


@pytest.fixture(autouse=True)
def _extra() -> None:
    require("extra:train=torch", "extra:train=onnx2torch")


def a_group(folder: Path, output: str = "", *, steep: float = 1.0, table: str = 'attacks = ["fgsm", "pgd"]') -> Group:
    suites = folder / "suites"
    nodes, weights = small.classifier("x", out="plain")
    weights["mix"] = (weights["mix"] * steep).astype(np.float32)
    last = helper.make_node("Softmax", ["plain"], ["logits"], axis=-1) if output == "probabilities" else None
    nodes.append(last or helper.make_node("Identity", ["plain"], ["logits"]))
    small.save(suites / "models/base.onnx", nodes, [small.entrance_of()], weights)
    small.write_npz(suites / "data.npz", 30)
    (suites / "small.toml").write_text(
        labs.suite_toml(
            data=labs.npz(classes=small.CLASSES),
            normal="std = [0.5]\n",
            positive="top",
            model="models/base.onnx",
            more=f"output = {{ kind = '{output or 'logits'}' }}\n[robustness]\n{table}\n",
        )
    )
    small.write_device(folder, "here", workdir=folder / "work")
    cases = lab.cases(lab.read_suite(suites / "small.toml"), lab.select(folder, ["here"]))
    return groups(cases)[0]


def share_right(images: np.ndarray, labels: np.ndarray) -> float:
    halves = np.stack([images[:, :8].mean(axis=(1, 2, 3)), images[:, 8:].mean(axis=(1, 2, 3))], axis=1)
    return float(((halves @ np.array([[5, 20, -20], [5, -20, 20]])).argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_an_attack_stays_within_epsilon_and_harms_more_than_noise_of_that_size(tmp_path: Path, output: str) -> None:
    group = a_group(tmp_path, output, table='attacks = ["fgsm", "pgd"]\nepsilon = 50')
    samples = load_samples(group.suite)
    found, remarks = attacks.made(group, samples)
    noise = np.random.default_rng(0).choice([-50, 50], samples.images.shape)
    noisy = np.clip(samples.images.astype(int) + noise, 0, 255)
    assert share_right(samples.images, samples.labels) == 1
    for name, epsilon, images in found:
        assert images.dtype == np.uint8
        assert epsilon == 50
        assert np.abs(images.astype(int) - samples.images).max() <= 50
        assert share_right(images, samples.labels) < share_right(noisy, samples.labels) - 0.3, name
    again, _ = attacks.made(group, samples)
    assert [one[2].tobytes() for one in again] == [one[2].tobytes() for one in found]
    assert remarks == []


def test_a_baseline_that_is_too_sure_has_no_gradient_and_that_is_called_masking(tmp_path: Path) -> None:
    group = a_group(tmp_path, "probabilities", steep=1000)
    _, remarks = attacks.made(group, load_samples(group.suite))
    assert len(remarks) == 2
    assert remarks[0].startswith("gradient masking: 100% of the images have no gradient")


def test_what_cannot_be_attacked_is_refused_with_what_to_do(tmp_path: Path) -> None:
    group = a_group(tmp_path)
    samples = load_samples(group.suite)
    larger = replace(samples, images=samples.images.repeat(2, axis=1).repeat(2, axis=2))
    resized = {"size": [small.SIZE, small.SIZE], "resize": "bilinear"}
    head = replace(group.suite.variants[0], input=resized)
    cases: list[tuple[Group, Samples, str]] = [
        (
            replace(group, suite=replace(group.suite, variants=(head,))),
            larger,
            "takes more than the images as they are",
        ),
        (replace(group, suite=replace(group.suite, variants=())), samples, "is not there as .onnx"),
        (group, replace(samples, images=samples.images.astype(np.float32)), "attacks are of pixels of 8 bits"),
    ]
    for one, split, complaint in cases:
        with pytest.raises(RecipeError, match=complaint) as caught:
            attacks.made(one, split)
        assert "remove attacks from [robustness]" in caught.value.remedy


def asked_of(mix: np.ndarray, seen: list[int]) -> black_box.Asked:
    """Return a model whose three logits are a linear map of its image's halves; `seen` is how many are asked for."""

    def ask(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        halves = np.stack([images[:, :8].mean(axis=(1, 2, 3)), images[:, 8:].mean(axis=(1, 2, 3))], axis=1) / 255
        return np.asarray(halves @ mix, np.float32)

    def judge(outputs: np.ndarray) -> np.ndarray:
        return sure_and_called(Answers(outputs, Reading(kind="logits")), small.CLASSES, Task("classification", "top"))

    return black_box.Asked(ask, judge)


def test_the_square_attack_stays_within_epsilon_and_harms_at_least_as_much_as_its_stripes() -> None:
    require("extra:attacks=art")
    images, labels = small.samples(40)
    mix, seen, again = np.array([[5, 20, -20], [5, -20, 20]]), list[int](), list[int]()
    np.random.seed(5)
    drawn = np.random.random(3)
    np.random.seed(5)
    asked = asked_of(mix, seen)
    outputs = black_box.square(images, labels, 3, 30, asked)
    assert np.array_equal(np.random.random(3), drawn), "others draw what they would have drawn"
    # The device is asked once for the images as they are, for the stripes, and for each step, of those that still hold.
    assert seen[:2] == [40, 40]
    assert len(seen) <= 2 + black_box.ITERATIONS
    changed = np.stack([np.frombuffer(key, np.uint8).reshape(images.shape[1:]) for key in asked._known])
    nearest = [np.abs(images.astype(int) - one).max(axis=(1, 2, 3)).min() for one in changed]
    assert max(nearest) == 30
    sure = asked.judged(images)[np.arange(40), labels]
    last = sure_and_called(Answers(outputs, Reading(kind="logits")), small.CLASSES, Task("classification", "top"))
    assert (last[np.arange(40), labels] <= sure + 1e-6).all()
    assert (last[np.arange(40), labels] < sure).mean() > 0.9
    assert (outputs.argmax(axis=1) == labels).mean() <= (asked.outputs(images).argmax(axis=1) == labels).mean()
    assert np.array_equal(black_box.square(images, labels, 3, 30, asked_of(mix, again)), outputs)
    assert again == seen


@pytest.mark.parametrize("shape", [(4, 4), (6, 40), (40, 6)])
def test_squares_fit_into_images_of_any_shape(shape: tuple[int, int]) -> None:
    require("extra:attacks=art")
    images = np.random.default_rng(3).integers(60, 190, (5, *shape, 1), dtype=np.uint8)

    def ask(some: np.ndarray) -> np.ndarray:
        return np.asarray(some[:, :2].mean(axis=(1, 2, 3)) - some[:, 2:].mean(axis=(1, 2, 3)), np.float64)[:, None]

    def judge(outputs: np.ndarray) -> np.ndarray:
        sure = np.concatenate([outputs, -outputs], axis=1)
        return np.concatenate([sure, sure > 0], axis=1).astype(np.float64)

    outputs = black_box.square(images, np.array([0, 1, 0, 1, 0]), 2, 8, black_box.Asked(ask, judge))
    assert outputs.shape == (5, 1)


def test_the_black_box_draws_stripes_of_epsilon_and_the_worst_try_counts() -> None:
    images, labels = small.samples(9)
    found = attacks.stripes(images, 6)
    assert found.shape == (attacks.TRIES * 9, small.SIZE, small.SIZE, 1)
    change = found.reshape(attacks.TRIES, 9, small.SIZE, small.SIZE).astype(int) - images[..., 0]
    assert set(np.unique(np.abs(change[:, :, 4:12]))) <= set(range(7))
    assert np.array_equal(found, attacks.stripes(images, 6))
    split = Samples(images, labels, small.CLASSES, "made up")
    outputs = np.tile(np.eye(3, dtype=np.float32)[labels], (4, 1)) * 5
    outputs[9 + 2] *= 0.1  # less sure at the second try on the third image
    outputs[18 + 5] = [9, 9, 0]  # wrong at the third try on the sixth
    worst = worst_of(Answers(outputs, Reading(kind="logits")), split, Task("classification", "top"))
    assert np.array_equal(worst[2], outputs[11])
    assert np.array_equal(worst[5], outputs[23])
    assert np.array_equal(np.delete(worst, (2, 5), axis=0), np.delete(outputs[:9], (2, 5), axis=0))
