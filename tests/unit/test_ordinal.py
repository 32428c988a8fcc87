"""Quadratically weighted kappa against scikit-learn, and how often its intervals are wrong.

`pytest -s` prints the figures, which seeds make the same on every machine; `make figures` counts more trials.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from harness.metrics import classification
from harness.model import Answers, FloatArray, IntArray, Reading, Samples, Task, Truth
from tests.unit.test_noise import bounded

GRADES = ("none", "mild", "moderate", "severe", "proliferative")
TASK = Task("classification", ordinal=True)
TRIALS = int(os.environ.get("EDGEWARD_TRIALS", "60"))
FULL = "EDGEWARD_TRIALS" in os.environ


def labels(values: IntArray) -> Answers:
    return Answers(values.astype(np.float32)[:, np.newaxis], Reading(kind="labels"))


def a_split(n: int, seed: int = 0) -> tuple[Samples, IntArray]:
    """Return samples of five grades, and answers that are off by one now and then."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(5, n, p=[0.45, 0.15, 0.2, 0.15, 0.05])
    answers = np.clip(np.rint(truth + rng.normal(0, 0.6, n)), 0, 4).astype(np.int64)
    return Samples(np.zeros((n, 1, 1, 1), np.uint8), truth, GRADES, "synthetic"), answers


def test_kappa_and_its_differences_equal_those_of_scikit_learn() -> None:
    samples, before = a_split(400)
    after = np.where(np.random.default_rng(1).random(400) < 0.1, 4 - before, before)
    kappas = [cohen_kappa_score(samples.labels, one, weights="quadratic") for one in (before, after)]
    found = classification.evaluate(labels(before), samples, TASK).estimates["quadratic_kappa"]
    assert found.point == pytest.approx(kappas[0])
    assert found.low < found.point < found.high < 1
    truth = Truth(samples.labels, GRADES)
    change = classification.compare(labels(before), labels(after), truth, TASK, "quadratic_kappa")
    assert change is not None
    assert change.point == pytest.approx(kappas[1] - kappas[0])
    assert change.low < change.point < change.high < 0


def test_an_answer_far_off_costs_more_than_one_beside_the_truth() -> None:
    samples, _ = a_split(200)
    own = samples.labels
    near, far = own.copy(), own.copy()
    near[:10], far[:10] = np.abs(own[:10] - 1), np.where(own[:10] < 2, 4, 0)
    kappas = [
        classification.evaluate(labels(one), samples, TASK).estimates["quadratic_kappa"].point for one in (near, far)
    ]
    assert kappas[0] > 0.98
    assert kappas[1] < kappas[0] - 0.1


def test_without_an_order_or_with_one_grade_alone_there_is_no_kappa() -> None:
    samples, answers = a_split(60)
    assert "quadratic_kappa" not in classification.evaluate(labels(answers), samples, Task("classification")).estimates
    truth = Truth(samples.labels, GRADES)
    pair = labels(answers), labels(answers)
    assert classification.compare(*pair, truth, Task("classification"), "quadratic_kappa") is None
    one = Samples(samples.images, np.zeros(60, np.int64), GRADES, "")
    assert "quadratic_kappa" not in classification.evaluate(labels(answers), one, TASK).estimates
    assert classification.compare(*pair, Truth(one.labels, GRADES), TASK, "quadratic_kappa") is None


def test_a_model_that_answers_alike_every_time_has_a_kappa_of_zero() -> None:
    samples, answers = a_split(60)
    same = labels(np.zeros_like(answers))
    assert classification.evaluate(same, samples, TASK).estimates["quadratic_kappa"].point == pytest.approx(0)


def test_a_class_that_only_the_model_knows_has_no_place_in_the_order() -> None:
    samples, answers = a_split(60)
    given = Answers(labels(answers).values, Reading(kind="labels", classes=(*GRADES, "ungradable")))
    found = classification.evaluate(given, samples, TASK).estimates
    assert "accuracy" in found
    assert "quadratic_kappa" not in found


def test_by_patients_the_point_stays_and_the_interval_grows() -> None:
    samples, before = a_split(100)
    after = np.where(np.random.default_rng(1).random(100) < 0.1, 4 - before, before)
    whole, pair = np.repeat(samples.labels, 4), [labels(np.repeat(one, 4)) for one in (before, after)]
    alone = classification.compare(pair[0], pair[1], Truth(whole, GRADES), TASK, "quadratic_kappa")
    patients = Truth(whole, GRADES, np.repeat(np.arange(100), 4))
    found = classification.compare(pair[0], pair[1], patients, TASK, "quadratic_kappa")
    assert alone is not None
    assert found is not None
    assert found.point == pytest.approx(alone.point)
    assert found.high - found.low > 1.4 * (alone.high - alone.low)
    assert "100 patients" in found.method


def kappa(shares: FloatArray, given: FloatArray) -> float:
    """Return the kappa of (K,) shares of the classes and (K, K) chances of each answer, without any chance."""
    k = len(shares)
    joint, far = shares[:, np.newaxis] * given, (np.arange(k)[:, np.newaxis] - np.arange(k)) ** 2
    return float(1 - (joint * far).sum() / (np.outer(shares, joint.sum(axis=0)) * far).sum())


def baseline_chances(k: int, right: float) -> FloatArray:
    """Return (K, K) chances of each answer: right, else a neighbour."""
    near = np.abs(np.arange(k)[:, np.newaxis] - np.arange(k)) == 1
    return np.asarray(right * np.eye(k) + (1 - right) * near / near.sum(axis=1, keepdims=True))


def lost(k: int, how: str) -> IntArray:
    """Return (K,) what a worse model says of each class now and then; itself where it is never wrong so."""
    same = np.arange(k)
    return {
        "far off": same[::-1].copy(),
        "one step": np.where(same == 0, 1, same - 1),
        "worst grade missed": np.where(same == k - 1, 0, same),
    }[how]


EVEN, SKEWED, FEW = (0.2,) * 5, (0.45, 0.15, 0.2, 0.15, 0.05), (0.6, 0.3, 0.1)
#: The first are nearest to the claim.
PLACES = [(200, SKEWED, "far off"), (200, EVEN, "worst grade missed"), (100, FEW, "far off")]
MORE = [
    (images, shares, how)
    for images in (60, 200, 400)
    for shares in (EVEN, SKEWED, FEW)
    for how in ("far off", "one step", "worst grade missed")
]


@pytest.mark.parametrize(("images", "shares", "how"), [*PLACES, *MORE] if FULL else PLACES)
def test_a_run_whose_kappa_is_worse_is_hardly_ever_called_non_inferior(
    images: int, shares: tuple[float, ...], how: str
) -> None:
    k, margin, patients = len(shares), 0.1, images // 4
    own, said = baseline_chances(k, 0.85), lost(k, how)
    least, most = 0.0, 1.0
    for _ in range(40):
        middle = (least + most) / 2
        worse = (1 - middle) * own + middle * np.eye(k)[said]
        enough = kappa(np.array(shares), worse) <= kappa(np.array(shares), own) - margin
        least, most = (least, middle) if enough else (middle, most)
    assert most < 1, "nothing of this kind costs the margin"
    rng, false, of_patients = np.random.default_rng(51), 0, 0
    for _ in range(TRIALS):
        truth = rng.choice(k, images, p=shares)
        before = (rng.random((images, 1)) > np.cumsum(own, axis=1)[truth]).sum(axis=1)
        after = np.where(rng.random(images) < least, said[truth], before)
        found = classification.compare(labels(before), labels(after), Truth(truth, GRADES[:k]), TASK, "quadratic_kappa")
        false += found is not None and found.low > -margin
        groups = np.repeat(np.arange(patients), 4)
        pair = [labels(np.repeat(one[:patients], 4)) for one in (before, after)]
        found = classification.compare(
            pair[0], pair[1], Truth(truth[:patients][groups], GRADES[:k], groups), TASK, "quadratic_kappa"
        )
        of_patients += found is not None and found.low > -margin
    print(
        f"\nkappa, {images} images, {k} grades, {how}: {false / TRIALS:.1%} falsely non-inferior (claimed: 2.5 %), "
        f"{of_patients / TRIALS:.1%} with patients of four images"
    )
    assert bounded(false, TRIALS)
    assert bounded(of_patients, TRIALS)


def test_intervals_of_one_kappa_cover_it() -> None:
    shares, k = np.array((0.45, 0.15, 0.2, 0.15, 0.05)), 5
    own = baseline_chances(k, 0.8)
    rng, covered = np.random.default_rng(52), 0
    for _ in range(TRIALS):
        truth = rng.choice(k, 200, p=shares)
        answers = (rng.random((200, 1)) > np.cumsum(own, axis=1)[truth]).sum(axis=1)
        samples = Samples(np.zeros((200, 1, 1, 1), np.uint8), truth, GRADES, "")
        found = classification.evaluate(labels(answers), samples, TASK).estimates["quadratic_kappa"]
        covered += found.low <= kappa(shares, own) <= found.high
    print(f"\nkappa of one model: {covered / TRIALS:.1%} of intervals cover (claimed: 95 %)")
    assert bounded(TRIALS - covered, TRIALS)


def test_four_hundred_images_show_that_equal_models_lose_no_tenth_of_kappa() -> None:
    shown = 0
    for seed in range(20):
        samples, before = a_split(400, seed)
        after = np.where(np.random.default_rng(seed).random(400) < 0.03, np.clip(before + 1, 0, 4), before)
        found = classification.compare(
            labels(before), labels(after), Truth(samples.labels, GRADES), TASK, "quadratic_kappa"
        )
        shown += found is not None and found.low > -0.1
    assert shown >= 15
