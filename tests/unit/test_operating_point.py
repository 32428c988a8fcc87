"""The threshold of an operating point: the rule, and that it holds where it was fixed."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import MeasurementError
from harness.metrics import classification
from harness.model import Answers, FloatArray, OperatingPoint, Reading, Samples, Task

CLASSES = ("benign", "malignant")


def a_split(n: int = 200, seed: int = 0) -> tuple[FloatArray, Samples]:
    """Return (N,) logits of the second class, and the samples."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    return rng.normal(size=n) + 2 * truth, Samples(np.zeros((n, 1, 1, 1), np.uint8), truth, CLASSES, "synthetic")


def task(rate: str, at_least: float, positive: str = "malignant") -> Task:
    return Task("classification", positive, operating_point=OperatingPoint(rate, at_least))


def given(logits: FloatArray, kind: str) -> Answers:
    shares = 1 / (1 + np.exp(-logits))
    values = {
        "logits": np.stack([np.zeros_like(logits), logits], axis=1),
        "probabilities": np.stack([1 - shares, shares], axis=1),
        "sigmoid": np.stack([0.3 * (1 - shares), shares], axis=1),
        "one": shares[:, np.newaxis],
    }[kind]
    return Answers(values.astype(np.float32), Reading(kind="sigmoid" if kind == "one" else kind))


@pytest.mark.parametrize("kind", ["logits", "probabilities", "sigmoid", "one"])
@pytest.mark.parametrize("positive", CLASSES)
@pytest.mark.parametrize(("rate", "at_least"), [("sensitivity", 0.95), ("specificity", 0.9), ("sensitivity", 0.3)])
def test_the_share_is_reached_and_one_image_more_is_not_given_away(
    rate: str, at_least: float, positive: str, kind: str
) -> None:
    logits, samples = a_split()
    answers, wanted = given(logits, kind), task(rate, at_least, positive)
    value, said = classification.threshold(answers, samples, wanted)
    there = samples.labels == CLASSES.index(positive)
    images = int((there if rate == "sensitivity" else ~there).sum())
    reached = classification.evaluate(
        Answers(answers.values, Reading(kind=answers.reading.kind, threshold=value)), samples, wanted
    ).estimates
    assert at_least <= reached[rate].point < at_least + 1 / images
    assert f"a sensitivity of {reached['sensitivity'].point:.1%}" in said
    assert f"a specificity of {reached['specificity'].point:.1%}" in said


def test_the_threshold_lies_in_the_middle_between_two_images() -> None:
    shares = np.array([0.1, 0.2, 0.4, 0.3, 0.7, 0.9])
    samples = Samples(np.zeros((6, 1, 1, 1)), np.array([0, 0, 0, 1, 1, 1]), CLASSES, "")
    answers = Answers(shares[:, np.newaxis].astype(np.float32), Reading(kind="sigmoid"))
    assert classification.threshold(answers, samples, task("sensitivity", 0.99))[0] == pytest.approx(0.25)
    assert classification.threshold(answers, samples, task("sensitivity", 0.5))[0] == pytest.approx(0.55)
    assert classification.threshold(answers, samples, task("specificity", 0.99))[0] == pytest.approx(0.55)
    assert classification.threshold(answers, samples, task("specificity", 0.6))[0] == pytest.approx(0.25)


@pytest.mark.parametrize("positive", CLASSES)
@pytest.mark.parametrize("rate", ["sensitivity", "specificity"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_images_that_all_have_the_same_probability_still_reach_the_share(
    value: float, rate: str, positive: str
) -> None:
    samples = Samples(np.zeros((6, 1, 1, 1)), np.array([0, 0, 0, 1, 1, 1]), CLASSES, "")
    values = np.full((6, 2), value, np.float32)
    wanted = task(rate, 0.9, positive)
    threshold, _ = classification.threshold(Answers(values, Reading(kind="sigmoid")), samples, wanted)
    reached = classification.evaluate(Answers(values, Reading(kind="sigmoid", threshold=threshold)), samples, wanted)
    assert reached.estimates[rate].point == 1.0


def test_labels_more_classes_and_a_split_of_one_kind_have_no_operating_point() -> None:
    logits, samples = a_split(20)
    wanted = task("sensitivity", 0.9)
    with pytest.raises(MeasurementError, match="gives labels alone; remove operating_point"):
        classification.threshold(Answers(samples.labels[:, np.newaxis], Reading(kind="labels")), samples, wanted)
    ill = Samples(samples.images, np.ones(20, np.int64), CLASSES, "")
    with pytest.raises(MeasurementError, match="no image of one of the two classes"):
        classification.threshold(given(logits, "logits"), ill, wanted)
    three = Samples(samples.images, samples.labels, (*CLASSES, "none"), "")
    with pytest.raises(MeasurementError, match="is of two classes, and the data has 3"):
        classification.threshold(given(logits, "logits"), three, wanted)
    assert "labels alone" in classification.no_threshold(Reading(kind="labels"))
    assert "knows 3 classes" in classification.no_threshold(Reading(kind="logits", classes=("a", "b", "c")))
    assert classification.no_threshold(Reading(kind="logits", classes=CLASSES)) == ""


def test_a_task_comes_back_from_plain_values() -> None:
    kept = {"kind": "classification", "positive": "x", "operating_point": {"rate": "sensitivity", "at_least": 0.9}}
    assert Task.of(kept) == Task("classification", "x", operating_point=OperatingPoint("sensitivity", 0.9))
    assert Task.of({"kind": "classification"}) == Task("classification")
