"""How often a variant that is worse by exactly the margin is called non-inferior: 2.5 % are claimed, 3.5 % allowed.

`pytest -s` prints the figures, which seeds make the same on every machine; `make figures` counts more trials.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from harness import stats
from harness.metrics import classification
from harness.model import Answers, FloatArray, IntArray, Reading, Task, Truth
from tests.unit.test_noise import bounded

CLASSES = ("benign", "malignant")
TASK = Task("classification", "malignant")
#: As many as `make figures` says, else few: all of this takes some ten seconds.
TRIALS = int(os.environ.get("EDGEWARD_TRIALS", "60"))
FULL = "EDGEWARD_TRIALS" in os.environ


def labels(values: npt.NDArray[np.bool_]) -> Answers:
    """Return a model that gives labels: class 1 where `values` hold."""
    return Answers(values.astype(np.float32)[:, np.newaxis], Reading(kind="labels"))


def difference(
    before: Answers, after: Answers, truth: IntArray, metric: str, groups: IntArray | None = None
) -> tuple[float, float] | None:
    found = classification.compare(before, after, Truth(truth, CLASSES, groups), TASK, metric)
    return None if found is None else (found.low, found.high)


@dataclass(frozen=True)
class Place:
    """One point of the grid: a baseline, and a run that is worse by the margin in one metric.

    Attributes:
        images: how many there are.
        positive: share of the images that are of the positive class.
        sensitivity, specificity: of the baseline.
        alike: share of the images on which both models err alike, 0 for models that know nothing of one another.
        margin: by which the run is worse.
        by: how: it misses more, raises more false alarms, or does so while it misses less.
    """

    images: int
    positive: float
    sensitivity: float
    specificity: float
    alike: float
    margin: float
    by: str

    def score(self, metric: str, sensitivity: float, specificity: float) -> float:
        """Return what a metric is among so many images that chance is gone."""
        hits, alarms = self.positive * sensitivity, (1 - self.positive) * (1 - specificity)
        quiet = (1 - self.positive) * specificity
        f1 = 2 * hits / (self.positive + hits + alarms)
        of_rest = 2 * quiet / (1 - self.positive + quiet + self.positive - hits)
        return {
            "precision": hits / (hits + alarms),
            "f1": f1,
            "macro_f1": (f1 + of_rest) / 2,
            "balanced_accuracy": (sensitivity + specificity) / 2,
        }[metric]

    def worse(self, metric: str) -> tuple[float, float] | None:
        """Return sensitivity and specificity of the run, None where nothing of this kind costs the margin."""
        target, least, most = self.score(metric, self.sensitivity, self.specificity) - self.margin, 0.0, 1.0

        def at(share: float) -> tuple[float, float]:
            more = self.sensitivity + 0.8 * (1 - self.sensitivity)
            return {
                "misses": (self.sensitivity * (1 - share), self.specificity),
                "alarms": (self.sensitivity, self.specificity * (1 - share)),
                "trade": (more, self.specificity * (1 - share)),
            }[self.by]

        if self.score(metric, *at(0.99)) > target or self.score(metric, *at(0.0)) < target:
            return None
        for _ in range(50):
            middle = (least + most) / 2
            least, most = (middle, most) if self.score(metric, *at(middle)) > target else (least, middle)
        return at(least)

    def draw(self, rng: np.random.Generator, own: tuple[float, float]) -> tuple[IntArray, Answers, Answers]:
        """Return truth and the answers of baseline and run."""
        truth = rng.random(self.images) < self.positive
        chances = [np.where(truth, hit, 1 - right) for hit, right in ((self.sensitivity, self.specificity), own)]
        luck = rng.random((2, self.images))
        luck[1] = np.where(rng.random(self.images) < self.alike, luck[0], luck[1])
        before, after = (labels(one < chance) for one, chance in zip(luck, chances, strict=True))
        return truth.astype(np.int64), before, after


#: Where the intervals before these, by resampling the paired table, called most worse models non-inferior.
HARD = {
    "precision": [
        Place(30, 0.5, 0.99, 0.99, 0.5, 0.1, "trade"),
        Place(100, 0.3, 0.95, 0.95, 0.9, 0.1, "trade"),
        Place(200, 0.5, 0.7, 0.95, 0.0, 0.1, "trade"),
    ],
    "f1": [Place(50, 0.5, 0.85, 0.85, 0.9, 0.05, "misses"), Place(200, 0.3, 0.7, 0.7, 0.0, 0.1, "alarms")],
    "macro_f1": [Place(30, 0.3, 0.85, 0.85, 0.9, 0.1, "misses")],
    "balanced_accuracy": [Place(100, 0.1, 0.9, 0.99, 0.9, 0.1, "misses")],
}
#: The grid of which those are part.
GRID = [
    Place(images, positive, *kind, alike, margin, by)
    for images, positive, kind, alike, margin, by in itertools.product(
        (30, 50, 100, 200, 400),
        (0.1, 0.3, 0.5),
        ((0.7, 0.7), (0.7, 0.95), (0.85, 0.85), (0.95, 0.85), (0.95, 0.95), (0.9, 0.99), (0.99, 0.99)),
        (0.0, 0.3, 0.6, 0.9),
        (0.03, 0.05, 0.1),
        ("misses", "alarms", "trade"),
    )
]


def places(metric: str) -> list[Place]:
    chosen = np.random.default_rng(21).permutation(len(GRID))[: 30 if FULL else 0]
    return [*HARD[metric], *(GRID[index] for index in chosen)]


@pytest.mark.parametrize("metric", HARD)
def test_a_run_that_is_worse_by_the_margin_is_hardly_ever_called_non_inferior(metric: str) -> None:
    worst = (0.0, "")
    for place in places(metric):
        own = place.worse(metric)
        if own is None:
            continue
        rng, false = np.random.default_rng(31), 0
        for _ in range(TRIALS):
            truth, before, after = place.draw(rng, own)
            found = difference(before, after, truth, metric)
            false += found is not None and found[0] > -place.margin
        assert bounded(false, TRIALS), place
        worst = max(worst, (false / TRIALS, str(place)))
    print(f"\n{metric}: at most {worst[0]:.1%} falsely non-inferior (claimed: 2.5 %) at {worst[1]}")


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy"])
def test_means_over_five_classes_hold_as_those_over_two(metric: str) -> None:
    rng, false, classes = np.random.default_rng(32), 0, tuple("abcde")
    for _ in range(TRIALS):
        truth = rng.integers(0, 5, 100)
        wrong = (truth + rng.integers(1, 5, 100)) % 5
        before = np.where(rng.random(100) < 0.9, truth, wrong)
        after = np.where((before == truth) & (rng.random(100) < 0.05 / 0.9), wrong, before)
        given = [Answers(one.astype(np.float32)[:, np.newaxis], Reading(kind="labels")) for one in (before, after)]
        found = classification.compare(given[0], given[1], Truth(truth, classes), Task("classification"), metric)
        false += found is not None and found.low > -0.05
    print(f"\n{metric} of five classes: {false / TRIALS:.1%} falsely non-inferior (claimed: 2.5 %)")
    assert bounded(false, TRIALS)


def test_what_equal_models_can_show_of_precision_and_f1_is_still_shown() -> None:
    rng, shown = np.random.default_rng(33), {"precision": 0, "f1": 0}
    place = Place(400, 0.3, 0.9, 0.95, 0.9, 0.05, "alarms")
    for _ in range(50):
        truth, before, after = place.draw(rng, (0.9, 0.95))
        for metric in shown:
            found = difference(before, after, truth, metric)
            shown[metric] += found is not None and found[0] > -place.margin
    print("\n400 images, equal models, 5 pp: " + ", ".join(f"{name} shown {n / 50:.0%}" for name, n in shown.items()))
    assert shown["precision"] > 25
    assert shown["f1"] > 40


# Calibration


def sure(logits: FloatArray) -> Answers:
    return Answers(np.stack([np.zeros_like(logits), logits], axis=1).astype(np.float32), Reading(kind="logits"))


def calibration_error(logits: FloatArray, truth: npt.NDArray[np.bool_]) -> float:
    confidence = 1 / (1 + np.exp(-np.abs(logits)))
    bins = np.minimum((confidence * 15).astype(int), 14)
    return float(np.abs(np.bincount(bins, confidence - ((logits > 0) == truth), 15)).sum() / len(truth))


def too_sure(spread: float, own: float, margin: float) -> float:
    """Return by what logits are to be multiplied so that they are worse calibrated by the margin than `own` times."""
    rng = np.random.default_rng(34)
    logits = spread * rng.normal(size=200_000)
    truth = rng.random(len(logits)) < 1 / (1 + np.exp(-logits))
    target, least, most = calibration_error(own * logits, truth) + margin, max(own, 1.0), 50.0
    for _ in range(25):
        middle = (least + most) / 2
        least, most = (middle, most) if calibration_error(middle * logits, truth) < target else (least, middle)
    return most


@pytest.mark.parametrize(
    ("images", "spread", "own", "margin"), [(50, 5.0, 1.0, 0.05), (200, 5.0, 1.0, 0.05), (400, 2.0, 1.0, 0.1)]
)
def test_a_run_that_is_worse_calibrated_is_hardly_ever_called_non_inferior(
    images: int, spread: float, own: float, margin: float
) -> None:
    rng, false, worse = np.random.default_rng(35), 0, too_sure(spread, own, margin)
    for _ in range(TRIALS):
        logits = spread * rng.normal(size=images)
        truth = rng.random(images) < 1 / (1 + np.exp(-logits))
        found = difference(sure(own * logits), sure(worse * logits), truth.astype(np.int64), "calibration_error")
        false += found is not None and found[1] < margin
    print(f"\ncalibration error, {images} images, {margin}: {false / TRIALS:.1%} falsely non-inferior (claimed: 2.5 %)")
    assert bounded(false, TRIALS)


def test_a_thousand_images_still_show_that_calibration_is_kept() -> None:
    rng, shown = np.random.default_rng(36), 0
    for _ in range(20):
        logits = 5 * rng.normal(size=1000)
        truth = (rng.random(1000) < 1 / (1 + np.exp(-logits))).astype(np.int64)
        after = sure(1.5 * logits + rng.normal(0, 0.3, 1000))
        found = difference(sure(1.5 * logits), after, truth, "calibration_error")
        shown += found is not None and found[1] < 0.05
    assert shown >= 16


# Patients


def four_each(patients: int, rng: np.random.Generator) -> IntArray:
    del rng
    return np.full(patients, 4)


def from_one_to_sixteen(patients: int, rng: np.random.Generator) -> IntArray:
    return rng.choice([1, 1, 2, 3, 4, 8, 16], patients)


Sizes = Callable[[int, np.random.Generator], IntArray]


@pytest.mark.parametrize("patients", [10, 50])
@pytest.mark.parametrize("sizes", [four_each, from_one_to_sixteen])
@pytest.mark.parametrize("metric", ["accuracy", "sensitivity", "f1", "precision"])
def test_images_of_one_patient_that_fail_together_are_no_evidence_each(
    metric: str, sizes: Sizes, patients: int
) -> None:
    # All images of a patient are answered alike. Everybody is ill where sensitivity or accuracy is judged.
    rng, margin, false, apart = np.random.default_rng(37), 0.1, 0, 0
    place = Place(patients, 0.5, 0.95, 0.9, 1.0, margin, "alarms" if metric == "precision" else "misses")
    lost = (0.95 - margin, 0.9) if metric in ("accuracy", "sensitivity") else place.worse(metric)
    assert lost is not None
    if metric in ("accuracy", "sensitivity"):
        place = replace(place, positive=1.0)
    for _ in range(TRIALS):
        truth, before, after = place.draw(rng, lost)
        groups = np.repeat(np.arange(patients), sizes(patients, rng))
        whole = [Answers(one.values[groups], one.reading) for one in (before, after)]
        for own in (groups, None):
            found = difference(whole[0], whole[1], truth[groups], metric, own)
            held = found is not None and found[0] > -margin
            false, apart = (false + held, apart) if own is not None else (false, apart + held)
    print(
        f"\n{metric}, {patients} patients, {sizes.__name__}: {false / TRIALS:.1%} falsely non-inferior by patients, "
        f"{apart / TRIALS:.1%} as if each image were a patient"
    )
    assert bounded(false, TRIALS)


@pytest.mark.parametrize(("ill", "well", "trials"), [(10, 20, TRIALS // 2), (40, 60, TRIALS // 10)])
@pytest.mark.parametrize("sizes", [four_each, from_one_to_sixteen])
def test_areas_of_patients_with_several_images_hold(ill: int, well: int, trials: int, sizes: Sizes) -> None:
    rng, margin, area, false = np.random.default_rng(38), 0.1, 0.9, 0
    shifts = [np.sqrt(2) * norm.ppf(one) for one in (area, area - margin)]
    for _ in range(trials):
        groups = np.repeat(np.arange(ill + well), sizes(ill + well, rng))
        common, truth = rng.normal(size=ill + well), groups < ill
        scores = [
            (np.sqrt(0.6) * common + np.sqrt(0.4) * rng.normal(size=ill + well))[groups] * np.sqrt(0.9)
            + np.sqrt(0.1) * rng.normal(size=len(groups))
            + shift * truth
            for shift in shifts
        ]
        found = stats.auroc_difference(scores[0], scores[1], truth, groups=groups)
        false += found is not None and found.low > -margin
    print(f"\nAUROC, {ill} and {well} patients, {sizes.__name__}: {false / trials:.1%} falsely non-inferior")
    assert bounded(false, trials)


def test_ill_patients_that_are_misjudged_as_a_whole_are_not_ruled_out_by_an_area() -> None:
    # One in ten falls to the end of the order: among 36, none does in one of 44 test splits.
    rng, margin, false, trials = np.random.default_rng(42), 0.1, 0, TRIALS // 2
    groups = np.repeat(np.arange(72), 2)
    for _ in range(trials):
        before = rng.normal(size=144) + 6 * (groups < 36)
        missed = rng.random(72) < margin
        after = np.where(missed[groups] & (groups < 36), before - 100, before)
        found = stats.auroc_difference(before, after, groups < 36, groups=groups)
        false += found is not None and found.low > -margin
    print(f"\nAUROC, 36 and 36 patients, some misjudged as a whole: {false / trials:.1%} falsely non-inferior")
    assert bounded(false, trials)


def test_patients_that_differ_little_still_show_that_nothing_was_lost() -> None:
    rng, groups = np.random.default_rng(39), np.repeat(np.arange(100), 4)
    shown = [
        stats.mean_interval(rng.normal(0, 0.05, 400), least=-1, most=1, groups=groups).low > -0.06 for _ in range(30)
    ]
    assert np.mean(shown) > 0.9


# What the intervals are made of


def test_the_ends_of_one_proportion_are_those_of_clopper_and_pearson() -> None:
    units = np.array([[1.0, 1.0]] * 17 + [[0.0, 1.0]] * 3)
    found = stats.units_interval(
        units,
        lambda sums: np.asarray(sums[:, 0] / sums[:, 1]),
        worst=np.array([[0.0, 1.0]]),
        best=np.array([[1.0, 1.0]]),
        method="",
    )
    exact = binomtest(17, 20).proportion_ci(0.95, method="exact")
    assert found.point == 0.85
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_an_area_of_weighted_images_is_that_of_images_that_are_repeated() -> None:
    from harness.stats import discrimination

    rng = np.random.default_rng(40)
    scores, truth = np.round(rng.normal(size=40), 1), rng.random(40) < 0.4
    weights = rng.integers(1, 5, (3, 40))
    found = discrimination._weighted_area(scores, truth, weights.astype(np.float64))
    expected = [roc_auc_score(np.repeat(truth, one), np.repeat(scores, one)) for one in weights]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "metric",
    ["accuracy", "sensitivity", "specificity", "precision", "f1", "macro_f1", "auroc", "brier", "calibration_error"],
)
def test_by_patients_the_point_stays_and_the_interval_grows_with_what_their_images_share(metric: str) -> None:
    rng = np.random.default_rng(41)
    truth, logits = rng.integers(0, 2, 100), rng.normal(size=100)
    before = sure(np.repeat(logits + 2 * truth, 4))
    after = sure(np.repeat(logits + 2 * truth + 0.7 * rng.normal(size=100), 4))
    patients, whole = np.repeat(np.arange(100), 4), np.repeat(truth, 4)
    alone = classification.compare(before, after, Truth(whole, CLASSES), TASK, metric)
    found = classification.compare(before, after, Truth(whole, CLASSES, patients), TASK, metric)
    assert alone is not None
    assert found is not None
    assert found.point == pytest.approx(alone.point)
    assert found.high - found.low > 1.4 * (alone.high - alone.low)
    assert "100 patients" in found.method or "patients and" in found.method
