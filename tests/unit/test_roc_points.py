"""Sensitivity at a given specificity against scikit-learn's curve, and how often its intervals are wrong.

`pytest -s` prints the figures, which seeds make the same on every machine; `make figures` counts more trials.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import roc_curve

from harness import stats
from harness.metrics import classification
from harness.model import Answers, FloatArray, Reading, Samples, Task, Truth
from tests.unit.test_noise import bounded

CLASSES = ("benign", "malignant")
TASK = Task("classification", "malignant", sensitivity_at_specificity=0.9, specificity_at_sensitivity=0.8)
TRIALS = int(os.environ.get("EDGEWARD_TRIALS", "60"))
FULL = "EDGEWARD_TRIALS" in os.environ


def by_scikit_learn(scores: FloatArray, truth: npt.NDArray[np.bool_], specificity: float) -> float:
    alarms, hits, _ = roc_curve(truth, scores, drop_intermediate=False)
    return float(hits[alarms <= 1 - specificity + 1e-9].max())


def logits(scores: FloatArray) -> Answers:
    return Answers(np.stack([np.zeros_like(scores), scores], axis=1).astype(np.float32), Reading(kind="logits"))


@pytest.mark.parametrize("decimals", [6, 1, 0])
@pytest.mark.parametrize("at", [0.5, 0.8, 0.9, 0.99])
def test_the_point_of_the_curve_is_that_of_scikit_learn_with_ties_and_without(decimals: int, at: float) -> None:
    rng = np.random.default_rng(decimals)
    truth = rng.random(200) < 0.3
    before, after = (np.asarray(np.round(rng.normal(size=200) + 1.5 * truth, decimals), float) for _ in range(2))
    expected = [by_scikit_learn(one, truth, at) for one in (before, after)]
    alone = stats.sensitivity_at([before], truth, at)
    change = stats.sensitivity_at([before, after], truth, at)
    assert alone is not None
    assert change is not None
    assert alone.point == pytest.approx(expected[0])
    assert change.point == pytest.approx(expected[1] - expected[0])
    assert 0 <= alone.low <= alone.point <= alone.high <= 1
    assert -1 <= change.low < change.point < change.high <= 1


def test_a_classifier_has_both_points_and_their_paired_differences() -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random(300) < 0.4).astype(np.int64)
    before, after = (np.asarray(np.round(rng.normal(size=300) + 2 * labels, 3), float) for _ in range(2))
    samples = Samples(np.zeros((300, 1, 1, 1), np.uint8), labels, CLASSES, "")
    found = classification.evaluate(logits(before), samples, TASK).estimates
    there = labels == 1
    curve = roc_curve(there, before.astype(np.float32), drop_intermediate=False)
    assert found["sensitivity_at_specificity"].point == pytest.approx(by_scikit_learn(before, there, 0.9))
    assert found["specificity_at_sensitivity"].point == pytest.approx(1 - curve[0][curve[1] >= 0.8 - 1e-9].min())
    for metric in ("sensitivity_at_specificity", "specificity_at_sensitivity"):
        change = classification.compare(logits(before), logits(after), Truth(labels, CLASSES), TASK, metric)
        assert change is not None
        other = classification.evaluate(logits(after), samples, TASK).estimates[metric].point
        assert change.point == pytest.approx(other - found[metric].point)


def test_without_the_key_a_positive_class_or_probabilities_there_is_no_point() -> None:
    labels = np.arange(40) % 2
    samples = Samples(np.zeros((40, 1, 1, 1), np.uint8), labels, CLASSES, "")
    given = logits(np.random.default_rng(6).normal(size=40))
    plain = Task("classification", "malignant")
    names = Answers(labels.astype(np.float32)[:, np.newaxis], Reading(kind="labels"))
    assert "sensitivity_at_specificity" not in classification.evaluate(given, samples, plain).estimates
    assert "sensitivity_at_specificity" not in classification.evaluate(names, samples, TASK).estimates
    truth = Truth(labels, CLASSES)
    assert classification.compare(given, given, truth, plain, "sensitivity_at_specificity") is None
    assert stats.sensitivity_at([np.zeros(4)], np.ones(4, bool), 0.9) is None


def test_a_perfect_order_is_not_certain_and_one_patient_is_less_than_four_images() -> None:
    truth = np.repeat(np.arange(40) < 20, 4)
    scores = np.where(truth, 1.0, 0.0) + np.arange(160) / 1000
    alone = stats.sensitivity_at([scores], truth, 0.9)
    patients = stats.sensitivity_at([scores], truth, 0.9, groups=np.repeat(np.arange(40), 4))
    assert alone is not None
    assert patients is not None
    assert alone.point == patients.point == alone.high == 1
    assert 1 - patients.low > 2 * (1 - alone.low) > 0
    assert "40 patients" in patients.method


def curve(area: float, specificity: float) -> tuple[float, float]:
    """Return by how much positives lie higher, as normal numbers, for an area, and the sensitivity that gives."""
    shift = float(np.sqrt(2) * norm.ppf(area))
    return shift, float(norm.sf(norm.ppf(specificity) - shift))


PLACES = [(42, 114, 0.9, 0.9), (10, 50, 0.85, 0.9), (100, 300, 0.95, 0.95), (40, 40, 0.98, 0.9)]


@pytest.mark.parametrize(("ill", "well", "area", "at"), PLACES if FULL else PLACES[:2])
def test_the_interval_covers_the_curves_own_point(ill: int, well: int, area: float, at: float) -> None:
    rng, truth = np.random.default_rng(51), np.arange(ill + well) < ill
    shift, right = curve(area, at)
    missed = 0
    for _ in range(TRIALS):
        found = stats.sensitivity_at([rng.normal(size=len(truth)) + shift * truth], truth, at)
        missed += found is not None and not found.low <= right <= found.high
    print(f"\nsensitivity at {at}, {ill} and {well} images, area {area}: {missed / TRIALS:.1%} missed (claimed: 5 %)")
    assert missed <= int(binom.ppf(0.999, TRIALS, 0.06))


@pytest.mark.parametrize(("ill", "well", "area", "at"), PLACES if FULL else PLACES[:1])
@pytest.mark.parametrize("each", [1, 3])
def test_a_run_whose_curve_is_worse_by_the_margin_is_hardly_ever_called_non_inferior(
    ill: int, well: int, area: float, at: float, each: int
) -> None:
    rng, margin, false, shown = np.random.default_rng(52), 0.1, 0, 0
    truth = np.repeat(np.arange(ill + well) < ill, each)
    groups = np.repeat(np.arange(ill + well), each) if each > 1 else None
    shift, right = curve(area, at)
    lower = float(norm.ppf(at) - norm.isf(right - margin))
    trials = TRIALS // each
    for _ in range(trials):
        common = np.repeat(rng.normal(size=ill + well), each)
        before, after, same = (np.sqrt(0.9) * common + np.sqrt(0.1) * rng.normal(size=len(truth)) for _ in range(3))
        found = stats.sensitivity_at([before + shift * truth, after + lower * truth], truth, at, groups=groups)
        equal = stats.sensitivity_at([before + shift * truth, same + shift * truth], truth, at, groups=groups)
        false += found is not None and found.low > -margin
        shown += equal is not None and equal.low > -margin
    print(
        f"\nsensitivity at {at}, {ill} and {well} times {each} images, area {area}: {false / trials:.1%} falsely "
        f"non-inferior (claimed: 2.5 %), equal models shown in {shown / trials:.0%}"
    )
    assert bounded(false, trials)
