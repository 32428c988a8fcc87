"""What must be doubted of data and baseline, and what cannot be shown, is said with its cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness import lab, stats
from harness.errors import LabError
from harness.measure import remarks
from harness.measure.jobs import load_samples
from harness.model import Criterion, InputSpec, Samples, Suite
from tests import labs
from tests.made_runs import BASELINE, LABELS
from tests.real_images import real

CLASSES = ("benign", "malignant")
BASE = replace(BASELINE, case=replace(BASELINE.case, task="classification"))


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "base.onnx").write_bytes(b"a model")
    (tmp_path / "s.toml").write_text(labs.suite_toml(positive="malignant", normal=""))
    # A file of the split test alone; the tests bring the samples that they speak of.
    np.savez(tmp_path / "data.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    return lab.read_suite(tmp_path / "s.toml")


def samples(malignant: int, benign: int) -> Samples:
    labels = np.array([1] * malignant + [0] * benign, np.int64)
    images = np.random.default_rng(1).integers(0, 255, (len(labels), 4, 4, 1), dtype=np.uint8)
    return Samples(images, labels, CLASSES, "images")


def with_margin(suite: Suite, metric: str, bound: float) -> Suite:
    return replace(suite, accept=(Criterion(metric, "non_inferior_by", bound),))


@pytest.mark.parametrize("pairs", [1, 2, 42, 125, 5000])
def test_the_smallest_margin_is_what_an_equal_variant_reaches(pairs: int) -> None:
    found = stats.paired_difference(0, 0, pairs)
    assert found is not None
    assert stats.smallest_margin(pairs) == pytest.approx(-found.low, abs=1e-9)
    assert stats.pairs_for_margin(stats.smallest_margin(pairs)) == pairs


def test_a_margin_that_so_few_images_cannot_show_is_said_with_what_they_can(suite: Suite) -> None:
    few = samples(malignant=42, benign=114)
    (said,) = remarks.of_data(with_margin(suite, "sensitivity", 0.03), few)
    assert said == (
        "sensitivity = { non_inferior_by = 0.03 } cannot be shown with 42 images of 'malignant', whatever is measured: "
        "8.4 pp can, or 125 images"
    )
    (said,) = remarks.of_data(with_margin(suite, "specificity", 0.01), few)
    assert "with 114 images that are not 'malignant'" in said
    (said,) = remarks.of_data(with_margin(suite, "accuracy", 0.02), few)
    assert "with 156 images, whatever" in said
    assert remarks.of_data(with_margin(suite, "sensitivity", 0.09), few) == []
    assert remarks.of_data(with_margin(suite, "sensitivity", 0.03), samples(malignant=125, benign=9)) == []


@pytest.mark.parametrize(("metric", "kind"), [("dice", "segmentation"), ("brier", "classification")])
def test_a_margin_of_a_mean_that_so_few_images_cannot_show_is_said_too(metric: str, kind: str, suite: Suite) -> None:
    few = samples(malignant=20, benign=30)
    asked = with_margin(replace(suite, task=replace(suite.task, kind=kind)), metric, 0.03)
    (said,) = remarks.of_data(asked, few)
    assert "cannot be shown with 50 images, whatever is measured: " in said
    assert said.endswith(" can, or about 122 images")
    same = stats.mean_interval(np.zeros(50), least=-1, most=1)
    assert stats.smallest_margin_of_patients(50) == pytest.approx(-same.low, rel=0.1), "as far as 2,000 draws can say"
    assert remarks.of_data(with_margin(asked, metric, 0.08), few) == []


def test_images_that_were_scaled_before_are_not_scaled_again_in_silence(suite: Suite) -> None:
    scaled = replace(samples(3, 3), images=np.random.default_rng(1).random((6, 4, 4, 1), np.float32))
    (said,) = remarks.of_data(suite, scaled)
    assert said.startswith("the images hold values from 0.")
    assert said.endswith("and [data.input] scales them by 0.00392 again; is scale = 1.0 meant?")
    assert remarks.of_data(replace(suite, input=InputSpec("NCHW", 1.0)), scaled) == []


def test_inputs_far_outside_what_models_are_trained_on_are_remarked(suite: Suite) -> None:
    hounsfield = replace(samples(3, 3), images=np.linspace(-1000, 3000, 96, dtype=np.float32).reshape(6, 4, 4, 1))
    (said,) = remarks.of_data(replace(suite, input=InputSpec("NCHW", 1.0)), hounsfield)
    assert said.startswith("the inputs reach from -1e+03 to 3e+03, far outside what models are trained on")
    assert said.endswith("look at scale, mean and std in [data.input]")
    for unscaled in (suite, replace(suite, input=InputSpec("NCHW", 1.0))):
        assert remarks.of_data(unscaled, samples(3, 3)) == [], "a model may scale by itself"


def test_a_baseline_that_is_no_better_than_one_answer_for_all_is_remarked() -> None:
    assert remarks.of_baseline(BASE) == []
    assert BASE.outputs is not None
    outputs = np.roll(BASE.outputs, 1, axis=1)
    share = stats.wilson(int((outputs.argmax(axis=1) == LABELS).sum()), len(LABELS))
    assert share is not None
    turned = replace(BASE, outputs=outputs, accuracy={**BASE.accuracy, "accuracy": share})
    (said,) = remarks.of_baseline(turned)
    assert said.startswith("fp32 is right for ")
    assert said.endswith("look at [data.input] and at the order of `classes`")
    assert f"called every one {BASE.classes[int(np.bincount(LABELS).argmax())]!r}" in said


def test_a_baseline_that_does_not_look_at_its_images_is_remarked() -> None:
    assert BASE.outputs is not None
    deaf = replace(BASE, outputs=np.repeat(BASE.outputs[:1], len(BASE.outputs), axis=0))
    (said,) = remarks.of_baseline(deaf)
    assert said.startswith("fp32 gives the same outputs for every image: look whether [data.input] leaves anything")


def test_a_margin_is_held_against_patients_where_the_data_names_them(suite: Suite) -> None:
    few = replace(samples(malignant=40, benign=120), groups=np.arange(160) // 4, group_names=tuple(map(str, range(40))))
    (said,) = remarks.of_data(with_margin(suite, "accuracy", 0.05), few)
    assert said == (
        "accuracy = { non_inferior_by = 0.05 } cannot be shown with 160 images of 40 patients, whatever is measured: "
        "8.8 pp can, or 72 patients with as many images each"
    )
    (said,) = remarks.of_data(with_margin(suite, "sensitivity", 0.1), few)
    assert "with 40 images of 'malignant' of 10 patients, whatever" in said
    assert remarks.of_data(with_margin(suite, "accuracy", 0.1), few) == []
    assert remarks.of_data(with_margin(suite, "accuracy", 0.05), replace(few, groups=None)) == []


@pytest.mark.parametrize("patients", [1, 8, 40, 72, 1000])
def test_the_smallest_margin_of_patients_is_what_an_equal_variant_reaches(patients: int) -> None:
    found = stats.mean_interval(np.zeros(3 * patients), least=-1, most=1, groups=np.arange(3 * patients) // 3)
    assert stats.smallest_margin_of_patients(patients) == pytest.approx(-found.low, rel=0.1)
    assert stats.patients_for_margin(stats.smallest_margin_of_patients(patients)) == patients


def two_splits(folder: Path, common: int) -> Suite:
    """Return a suite whose test split shares images with its train split."""
    rng = np.random.default_rng(3)
    test, train = (rng.integers(0, 255, (count, 16, 16), dtype=np.uint8) for count in (40, 60))
    train[:common] = test[:common]
    arrays = {
        "test_images": test,
        "test_labels": np.arange(40) % 3,
        "train_images": train,
        "train_labels": np.arange(60) % 3,
    }
    np.savez(folder / "data.npz", **arrays)  # type: ignore[arg-type]
    (folder / "base.onnx").write_bytes(b"a model")
    (folder / "s.toml").write_text(labs.suite_toml())
    return lab.read_suite(folder / "s.toml")


@pytest.mark.parametrize("common", [0, 3])
def test_images_that_the_train_split_has_too_are_counted_in_every_campaign(common: int, tmp_path: Path) -> None:
    suite = two_splits(tmp_path, common)
    said = [one for one in remarks.of_data(suite, load_samples(suite)) if "the split train" in one]
    if common:
        assert said == [
            "3 of 40 images are (nearly) in the split train too (3 identical and 0 nearly identical pairs): "
            "models that learnt from it may know them by heart"
        ]
    else:
        assert said == []


def test_a_train_split_that_cannot_be_read_is_not_taken_for_one_that_is_not_there(tmp_path: Path) -> None:
    suite = two_splits(tmp_path, 0)
    arrays = dict(np.load(tmp_path / "data.npz"))
    arrays["train_labels"] = arrays["train_labels"][:5]
    np.savez(tmp_path / "data.npz", **arrays)
    said = [one for one in remarks.of_data(suite, load_samples(suite)) if "the split" in one]
    assert len(said) == 1
    assert said[0].startswith("whether images of the split train are among them is not known: ")


def test_patients_that_the_train_split_has_too_are_counted_in_every_campaign(tmp_path: Path) -> None:
    suite = two_splits(tmp_path, 0)
    with np.load(tmp_path / "data.npz") as arrays:
        kept = dict(arrays)
    patients = {"test_who": np.arange(40) // 4, "train_who": np.arange(60) // 4 + 8}
    np.savez(tmp_path / "data.npz", **kept, **patients)  # type: ignore[arg-type]
    suite = replace(suite, data={**suite.data, "group": "who"})
    said = [one for one in remarks.of_data(suite, load_samples(suite)) if "the split train" in one]
    assert said == [
        "2 of 10 patients, with 8 images, are in the split train too: models that learnt from it may know them by heart"
    ]


def test_pairs_with_different_labels_and_repeats_are_called_so(tmp_path: Path) -> None:
    suite = two_splits(tmp_path, 3)
    with np.load(tmp_path / "data.npz") as arrays:
        kept = dict(arrays)
    kept["train_labels"][0] = 2
    kept["test_images"][39] = kept["test_images"][38] = kept["test_images"][20]  # of the classes 0, 2 and 2
    kept |= {"val_images": kept["test_images"][5:7], "val_labels": kept["test_labels"][5:7]}
    np.savez(tmp_path / "data.npz", **kept)
    said = remarks.of_data(suite, load_samples(suite))
    assert said[:3] == [
        "2 of 40 images repeat another one of the split test, pixel by pixel, 1 of them with a different label: they "
        "are counted as if they were others",
        "3 of 40 images are (nearly) in the split train too (3 identical and 0 nearly identical pairs, 1 of them with "
        "different labels): models that learnt from it may know them by heart",
        "2 of 40 images are (nearly) in the split validation too (2 identical and 0 nearly identical pairs): what was "
        "chosen by it, a threshold or when to stop, has seen them",
    ]


def test_the_pairs_of_breastmnist_are_said_in_every_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWARD_MEDMNIST", str(real("breastmnist", "breastmnist.npz").parent))
    (tmp_path / "base.onnx").write_bytes(b"a model")
    data = 'source = "medmnist"\nname = "breastmnist"'
    (tmp_path / "s.toml").write_text(labs.suite_toml(data=data, positive="malignant"))
    suite = lab.read_suite(tmp_path / "s.toml")
    assert (
        "60 of 156 images are (nearly) in the split train too (1 identical and 73 nearly identical pairs, 5 of them "
        "with different labels): models that learnt from it may know them by heart"
    ) in remarks.of_data(suite, load_samples(suite))


def test_a_class_without_an_image_is_said_and_the_positive_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.onnx").write_bytes(b"a model")
    np.savez(tmp_path / "data.npz", images=np.eye(16, dtype=np.uint8).reshape(4, 8, 8), labels=[0, 2, 0, 2])
    (tmp_path / "s.toml").write_text(labs.suite_toml())
    suite = lab.read_suite(tmp_path / "s.toml")
    said = remarks.of_data(suite, load_samples(suite))
    assert said[0] == "no image of the split test is of 'cyst': nothing that is measured speaks of it"
    (tmp_path / "s.toml").write_text(labs.suite_toml(positive="cyst"))
    with pytest.raises(
        LabError, match=r"task\.positive: no image of the split test is of the class 'cyst', so nothing"
    ):
        load_samples(lab.read_suite(tmp_path / "s.toml"))


def test_what_a_data_source_remarks_is_passed_on(suite: Suite) -> None:
    found = remarks.of_data(suite, replace(samples(3, 5), remarks=("2 of 8 images are turned",)))
    assert found[0] == "2 of 8 images are turned"
