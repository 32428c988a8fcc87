"""Robustness from suite to store, on this machine: the very same changed images through baseline and variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices.virtual.requirements import require
from harness import corruptions, lab
from harness.errors import HarnessError
from harness.measure import black_box
from harness.measure.attacks import TRIES, stripes
from harness.measure.campaign import CampaignRunner, Settings
from harness.measure.occlusion import covered
from harness.model import Comparison, Run, Verdict
from harness.store import Store
from tests import labs
from tests import small_models as small

pytestmark = pytest.mark.usefixtures("no_jobs")
TABLE = """
[robustness]
corruptions = ["speckle_noise", "contrast_down", "gain"]
registry = "breastmnist"
severities = [1, 3]
attacks = ["fgsm", "pgd", "stripes"]
epsilon = 40
occlusion = 4
[accept]
corrupted_accuracy = { non_inferior_by = 0.03 }
"""


def lopsided(path: Path) -> Path:
    """Write a model that is right about the images as they are, and sees the upper half darker than it is."""
    nodes, weights = small.classifier("x")
    weights["mix"] = np.array([[5, 20, -20], [5, -20, 20]], np.float32) * np.array([[1, 0.55, 1]], np.float32)
    return small.save(path, nodes, [small.entrance_of()], weights)


def a_suite(folder: Path, workdir: Path) -> Path:
    suites = folder / "suites"
    small.good(suites / "models/base.onnx")
    lopsided(suites / "models/lopsided.onnx")
    small.write_npz(suites / "data.npz", 48)
    more = labs.variant("lopsided", model="models/lopsided.onnx") + TABLE
    text = labs.suite_toml(
        data=labs.npz(classes=small.CLASSES), normal="", positive="top", load="max_duration_s = 1",
        model="models/base.onnx", more=more,
    )  # fmt: skip
    (suites / "small.toml").write_text(text)
    small.write_device(folder, "here", workdir=workdir)
    return suites / "small.toml"


def measured(folder: Path, suite: Path) -> tuple[dict[str, Run], dict[str, Comparison], list[HarnessError | None]]:
    cases = lab.cases(lab.read_suite(suite), lab.select(folder, ["here"]))
    store = Store(f"sqlite:///{folder}/results.sqlite")
    campaign = CampaignRunner(cases, store, Settings("pytest", lambda _, __: None, quick=True))
    results = [campaign.future(case).result(300) for case in cases]
    campaign.stop()
    runs = {run.case.variant: run for run in store.runs()}
    changes = {one.metric: one for one in store.comparisons(campaign.campaign.id)}
    store.close()
    return runs, changes, [one.error for one in results]


def expected(images: np.ndarray, file: str) -> np.ndarray:
    """Return (N, 3) what the models compute, in plain NumPy."""
    halves = np.stack([images[:, :8].mean(axis=(1, 2, 3)), images[:, 8:].mean(axis=(1, 2, 3))], axis=1) / 255
    mix = np.array([[5, 20, -20], [5, -20, 20]]) * ([1, 0.55, 1] if file == "lopsided" else 1)
    return np.asarray(halves @ mix)


def test_every_model_is_given_the_same_changed_images_on_the_device(tmp_path: Path, device_workdir: Path) -> None:
    runs, changes, errors = measured(tmp_path, a_suite(tmp_path, device_workdir))
    assert errors == [None, None]
    images, labels = small.samples(48)
    steps = corruptions.steps("breastmnist")
    scores: dict[str, list[np.ndarray]] = {}
    for name, run in runs.items():
        tried = [(one.condition.name, one.condition.severity) for one in run.probes]
        assert tried == [
            ("speckle_noise", 1), ("speckle_noise", 3), ("contrast_down", 1), ("contrast_down", 3), ("gain", 1),
            ("gain", 3), ("fgsm", 40), ("pgd", 40), ("stripes", 40),
        ]  # fmt: skip
        for probe in run.probes[:-3]:
            step = steps[probe.condition.name][probe.condition.severity - 1]
            wanted = expected(corruptions.corrupted(images, probe.condition.name, step), name)
            assert np.allclose(probe.outputs, wanted, atol=1e-4)
            right = wanted.argmax(axis=1) == labels
            scores.setdefault(name, []).append(right)
            assert probe.level.point == pytest.approx(right.mean())
            assert (probe.change is None) is run.is_baseline
        assert run.probes[-1].condition.pixels_sha256 == runs["base"].probes[-1].condition.pixels_sha256
    change = np.mean(scores["lopsided"]) - np.mean(scores["base"])
    assert change < 0
    found = changes["corrupted_accuracy"]
    assert found.change is not None
    assert found.change.point == pytest.approx(change)
    assert found.verdict in (Verdict.REGRESSED, Verdict.WORSE, Verdict.INCONCLUSIVE)
    # The attack follows the baseline's gradients: it harms it, and what was made of it too.
    assert runs["base"].accuracy["accuracy"].point == 1
    assert all(run.accuracy["attacked_accuracy"].point < 0.8 for run in runs.values())
    # The black box asks each file itself: of its tries on an image one that this model has wrong, if there is one.
    for name, run in runs.items():
        tries = [expected(some, name) for some in np.split(stripes(images, 40), TRIES)]
        right = np.all([each.argmax(axis=1) == labels for each in tries], axis=0)
        assert np.array_equal(run.probes[-1].outputs.argmax(axis=1) == labels, right)
        assert run.probes[-1].level.point == pytest.approx(right.mean())
    assert runs["base"].accuracy["corrupted_accuracy"].point == pytest.approx(np.mean(scores["base"]))
    where_they_look(runs, images)


def test_the_square_attack_asks_each_file_on_its_device(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("extra:attacks=art")
    monkeypatch.setattr(black_box, "ITERATIONS", 2)
    file = a_suite(tmp_path, device_workdir)
    table = '[robustness]\nattacks = ["stripes", "square"]\nepsilon = 40\n'
    file.write_text(file.read_text().replace(TABLE, table))
    runs, changes, errors = measured(tmp_path, file)
    assert errors == [None, None]
    images, labels = small.samples(48)

    def sure(logits: np.ndarray) -> np.ndarray:
        others = np.exp(logits.astype(np.float64)) * (1 - np.eye(3)[labels])
        return np.asarray(logits[np.arange(48), labels] - np.log(others.sum(axis=1)))

    for name, run in runs.items():
        tried = {one.condition.name: one for one in run.probes}
        assert list(tried) == ["stripes", "square"]
        assert tried["square"].level.point == pytest.approx((tried["square"].outputs.argmax(axis=1) == labels).mean())
        # What is right is made less sure, step by step; what is wrong already is left as it is.
        before, after = sure(expected(images, name)), sure(tried["square"].outputs)
        assert (after <= before + 1e-4).all()
        assert (after[before > 0] < before[before > 0]).mean() > 0.9
        assert (tried["square"].change is None) is run.is_baseline, name
    assert changes["attacked_accuracy"].change is not None


def where_they_look(runs: dict[str, Run], images: np.ndarray) -> None:
    """Hold the maps of the device against those of the models in plain NumPy."""
    places = np.array([0, 16, 31, 47])
    called = expected(images[places], "base").argmax(axis=1)

    def sure(shown: np.ndarray, name: str, column: int) -> np.ndarray:
        logits = expected(shown, name)
        return np.asarray(logits[:, column] - np.log(np.exp(np.delete(logits, column, axis=1)).sum(axis=1)))

    for name, run in runs.items():
        assert run.occlusion is not None
        assert np.array_equal(run.occlusion.places, places)
        assert np.array_equal(run.occlusion.classes, called)
        for at, place in enumerate(places):
            image = images[place : place + 1]
            less = sure(covered(image[0]), name, called[at])
            wanted = sure(image, name, called[at]) - less
            assert np.allclose(run.occlusion.maps[at].ravel(), wanted, atol=1e-3)
    assert runs["base"].occlusion is not None
    assert runs["base"].occlusion.agreement is None
    assert runs["lopsided"].occlusion is not None
    agreement = runs["lopsided"].occlusion.agreement
    assert agreement is not None
    assert agreement.low < agreement.point < 1
