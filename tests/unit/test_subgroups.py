"""A model's worth on each class and subgroup: the same figures as of a split of those images alone, kept and shown."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import recall_score

from harness import page
from harness.metrics import classification, segmentation
from harness.model import Answers, Reading, Samples, Subgroup, Task
from harness.results import subgroups
from harness.store import conversion, export
from tests.made_runs import a_run
from tests.pages import stored_runs

CLASSES = ("normal", "cyst", "solid")
TASK = Task("classification", "solid")


def a_split(n: int = 300) -> tuple[Answers, Samples]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    logits = (rng.normal(size=(n, 3)) + 2 * np.eye(3)[labels]).astype(np.float32)
    samples = Samples(
        np.zeros((n, 1, 1, 1), np.uint8),
        labels,
        CLASSES,
        "synthetic",
        subgroup="site",
        subgroups=(np.arange(n) % 10 == 0).astype(np.int64),
        subgroup_names=("Aachen", "Basel", "Como"),
    )
    return Answers(logits, Reading(kind="logits")), samples


def test_each_subgroup_has_the_figures_of_a_split_of_its_images_alone() -> None:
    answers, samples = a_split()
    found = {one.name: one for one in subgroups.of(classification, answers, samples, TASK) if one.by == "site"}
    assert list(found) == ["Basel", "Aachen"], "the smallest comes first, and one without an image not at all"
    assert [one.images for one in found.values()] == [30, 270]
    assert samples.subgroups is not None
    own = samples.subgroups == 1
    alone = Samples(samples.images[own], samples.labels[own], CLASSES, "")
    expected = classification.evaluate(Answers(answers.values[own], answers.reading), alone, TASK).estimates
    assert found["Basel"].estimates == expected
    assert found["Basel"].patients is None
    width = {name: one.estimates["accuracy"].high - one.estimates["accuracy"].low for name, one in found.items()}
    assert width["Basel"] > 2 * width["Aachen"], "few images say little"


def test_images_without_labels_have_no_parts_that_are_judged() -> None:
    answers, samples = a_split()
    assert subgroups.of(classification, answers, replace(samples, labels=np.empty(0, np.int64)), TASK) == ()


def test_each_class_of_more_than_two_has_its_own_sensitivity() -> None:
    answers, samples = a_split()
    found = {one.name: one for one in subgroups.of(classification, answers, samples, TASK) if one.by == "class"}
    recalls = recall_score(samples.labels, answers.values.argmax(axis=1), average=None)
    assert {name: one.estimates["sensitivity"].point for name, one in found.items()} == pytest.approx(
        dict(zip(CLASSES, recalls, strict=True))
    )
    two = Samples(samples.images, samples.labels % 2, ("benign", "malignant"), "")
    pair = Answers(answers.values[:, :2], answers.reading)
    assert subgroups.of(classification, pair, two, Task("classification", "malignant")) == ()


def test_patients_are_counted_and_drawn_in_a_subgroup_too() -> None:
    answers, samples = a_split()
    patients = replace(samples, groups=np.arange(300) // 20)
    alone, drawn = (
        {(one.by, one.name): one for one in subgroups.of(classification, answers, own, TASK)}
        for own in (samples, patients)
    )
    assert drawn["site", "Basel"].patients == 15
    assert drawn["class", "cyst"].patients == 15
    for key in drawn:
        for name, estimate in drawn[key].estimates.items():
            assert estimate.point == pytest.approx(alone[key].estimates[name].point), name
        assert "15 patients" in next(iter(drawn[key].estimates.values())).method


def test_a_subgroup_without_an_ill_patient_lacks_what_speaks_of_them() -> None:
    answers, samples = a_split()
    assert samples.subgroups is not None
    parts = np.where(samples.labels == 2, 0, samples.subgroups)
    found = subgroups.of(classification, answers, replace(samples, subgroups=parts), TASK)
    (basel,) = [one for one in found if one.name == "Basel"]
    assert "accuracy" in basel.estimates
    assert "sensitivity" not in basel.estimates


def test_segmentations_have_subgroups_too() -> None:
    masks = np.zeros((20, 6, 6), np.uint8)
    masks[:, 1:4, 1:4] = 1
    said = masks.copy()
    said[:5, 1:4, 3] = 0
    samples = Samples(
        np.zeros((20, 6, 6, 1)), np.empty(0, np.int64), ("background", "lesion"), "", masks,
        subgroup="site", subgroups=(np.arange(20) >= 5).astype(np.int64), subgroup_names=("old", "new"),
    )  # fmt: skip
    found = subgroups.of(segmentation, Answers(said, Reading(kind="labels")), samples, Task("segmentation", "lesion"))
    dice = [(one.name, one.images, one.estimates["dice"].point) for one in found]
    assert dice == [("old", 5, pytest.approx(12 / 15)), ("new", 15, 1.0)]


def kept_parts() -> tuple[Subgroup, ...]:
    return subgroups.of(classification, *a_split(), TASK)


def test_they_come_back_from_the_store_and_stand_in_the_export() -> None:
    run = replace(a_run("base", np.full(32, 0.01)), subgroups=kept_parts())
    assert conversion.run_of(conversion.run_row(run)).subgroups == run.subgroups
    (exported,) = json.loads(export.to_json([run], []))["runs"]
    (basel,) = [one for one in exported["subgroups"] if one["name"] == "Basel"]
    assert (basel["by"], basel["n"], basel["patients"]) == ("site", 30, None)
    assert basel["accuracy"]["point"] == run.subgroups[0].estimates["accuracy"].point


def test_the_report_shows_them_with_their_images_the_smallest_first() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    text = page.render(
        replace(report, runs=tuple(replace(run, subgroups=kept_parts()) for run in report.runs))
    ).decode()
    assert text.index("Basel") < text.index("Aachen")
    assert "Sensitivity (solid) by site, the smallest first" in text
    assert "Sensitivity by class, the smallest first" in text
    assert " by site" not in page.render(report).decode()
