"""Classification metrics against scikit-learn, published worked examples and plain definitions."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sk

from harness import stats
from harness.errors import MeasurementError
from harness.metrics import _answers, classification
from harness.model import Answers, FloatArray, Reading, Samples, Task, Truth

CLASSES = ("normal", "cyst", "solid")
TASK = Task("classification", "solid")


def a_split(n: int = 900, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> tuple[np.ndarray, Samples]:
    """Return (N, K) logits that are often right, and the samples they belong to."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), n)
    logits = rng.normal(size=(n, len(classes))) + 2 * np.eye(len(classes))[labels]
    return logits.astype(np.float32), Samples(np.zeros((n, 1, 1, 1), np.uint8), labels, classes, "synthetic")


def given(values: np.ndarray, kind: str = "logits") -> Answers:
    return Answers(values, Reading(kind=kind))


def disturbed(outputs: np.ndarray, amount: float, seed: int = 1) -> np.ndarray:
    return (outputs + np.random.default_rng(seed).normal(size=outputs.shape) * amount).astype(np.float32)


def test_points_equal_those_of_scikit_learn() -> None:
    outputs, samples = a_split()
    found = classification.evaluate(given(outputs), samples, TASK)
    points = {name: estimate.point for name, estimate in found.estimates.items()}
    predicted, positive = outputs.argmax(axis=1), samples.labels == 2
    shares = _answers.probabilities(given(outputs))
    assert points == pytest.approx(
        {
            "accuracy": sk.accuracy_score(samples.labels, predicted),
            "sensitivity": sk.recall_score(positive, predicted == 2),
            "specificity": sk.recall_score(~positive, predicted != 2),
            "precision": sk.precision_score(positive, predicted == 2),
            "f1": sk.f1_score(positive, predicted == 2),
            "macro_f1": sk.f1_score(samples.labels, predicted, average="macro"),
            "balanced_accuracy": sk.balanced_accuracy_score(samples.labels, predicted),
            "auroc": sk.roc_auc_score(positive, shares[:, 2]),
            "brier": sk.brier_score_loss(positive, shares[:, 2]),
            "calibration_error": points["calibration_error"],
        }
    )
    assert found.confusion is not None
    assert found.confusion.tolist() == sk.confusion_matrix(samples.labels, predicted).tolist()


def test_every_interval_encloses_its_point_and_stays_between_0_and_1() -> None:
    for outputs, samples in (a_split(60), a_split(900)):
        for name, estimate in classification.evaluate(given(outputs), samples, TASK).estimates.items():
            assert 0 <= estimate.low <= estimate.point <= estimate.high <= 1, name
            assert estimate.low < estimate.high, name


def test_the_same_outputs_always_give_the_same_intervals() -> None:
    outputs, samples = a_split()
    first = classification.evaluate(given(outputs), samples, TASK)
    assert first.estimates == classification.evaluate(given(outputs.copy()), samples, TASK).estimates


def test_calibration_error_is_the_weighted_gap_between_confidence_and_accuracy() -> None:
    # Ten images said with 0.8, six of them right; ten with 0.6, all right: (10 * 0.2 + 10 * 0.4) / 20.
    shares = np.array([[0.8, 0.2]] * 10 + [[0.6, 0.4]] * 10, np.float32)
    labels = np.array([0] * 6 + [1] * 4 + [0] * 10)
    samples = Samples(np.zeros((20, 1, 1, 1)), labels, ("a", "b"), "")
    found = classification.evaluate(given(shares, "probabilities"), samples, Task("classification", "b"))
    assert found.estimates["calibration_error"].point == pytest.approx(0.3, abs=1e-6)


def test_perfect_outputs_still_leave_room_for_doubt() -> None:
    _, samples = a_split(100)
    outputs = (10 * np.eye(3)[samples.labels]).astype(np.float32)
    found = classification.evaluate(given(outputs), samples, TASK).estimates
    for name in ("accuracy", "sensitivity", "f1", "macro_f1", "balanced_accuracy", "auroc"):
        assert found[name].point == 1.0
        assert 0.8 < found[name].low < 0.999, name
    for name in ("accuracy", "sensitivity", "f1", "macro_f1", "auroc"):
        change = classification.compare(given(outputs), given(outputs), Truth(samples.labels, CLASSES), TASK, name)
        assert change is not None
        assert change.low < 0 == change.point < change.high, name


def test_probabilities_and_their_logarithms_give_the_same_figures() -> None:
    outputs, samples = a_split(300)
    shares = _answers.probabilities(given(outputs)).astype(np.float32)
    from_logits = classification.evaluate(given(outputs), samples, TASK).estimates
    from_shares = classification.evaluate(given(shares, "probabilities"), samples, TASK).estimates
    for name, estimate in from_logits.items():
        assert from_shares[name].point == pytest.approx(estimate.point, abs=1e-5), name


def test_quantised_probabilities_whose_rows_sum_to_nearly_one_are_taken_as_such() -> None:
    outputs, _ = a_split(300)
    coarse = np.round(_answers.probabilities(given(outputs)) * 256) / 256
    found = _answers.probabilities(given(coarse.astype(np.float32), "probabilities"))
    assert found == pytest.approx(coarse, abs=0.01)


def test_labels_of_more_than_one_number_an_image_are_refused() -> None:
    outputs, samples = a_split(30)
    with pytest.raises(MeasurementError, match=r"labels of shape \(30, 3\), and a label is one number an image"):
        classification.evaluate(given(outputs, "labels"), samples, TASK)


def test_what_a_model_calls_an_image_is_named_with_the_probability_that_the_model_states_of_it() -> None:
    truth = Truth(np.array([0, 1, 1]), ("benign", "malignant"))
    sigmoid = Answers(np.array([[0.3], [0.45], [0.8]], np.float32), Reading(kind="sigmoid", threshold=0.4))
    found = classification.called(sigmoid, truth, Task("classification", "benign"))
    assert found.names.tolist() == ["benign", "malignant", "malignant"]
    assert found.truth.tolist() == ["benign", "malignant", "malignant"]
    assert found.shares == pytest.approx([0.7, 0.45, 0.8])
    assert found.positive.tolist() == [True, False, False]
    named = Answers(np.array([2, 0, 1], np.float32), Reading(kind="labels", classes=("malignant", "cyst", "x")))
    assert classification.called(named, truth, Task("classification")).names.tolist() == ["x", "malignant", "cyst"]
    assert classification.called(named, truth, Task("classification")).shares is None


def test_very_sure_logits_keep_their_order_for_auroc() -> None:
    labels = np.array([0, 0, 1, 1])
    outputs = np.array([[0, 100], [0, 200], [0, 300], [0, 400]], np.float32)
    samples = Samples(np.zeros((4, 1, 1, 1)), labels, ("a", "b"), "")
    assert classification.evaluate(given(outputs), samples, Task("classification", "b")).estimates["auroc"].point == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_refused_with_their_count(value: float) -> None:
    outputs, samples = a_split(50)
    outputs[[3, 7], 1] = value
    with pytest.raises(MeasurementError, match=r"2 of 50 images gave NaN or infinite outputs; check"):
        classification.evaluate(given(outputs), samples, TASK)


def test_a_wrong_number_of_outputs_is_refused_with_the_classes_named() -> None:
    outputs, samples = a_split(50)
    with pytest.raises(MeasurementError, match=r"shape \(50, 2\), the data has 3 classes \(normal, cyst, solid\)"):
        classification.evaluate(given(outputs[:, :2]), samples, TASK)
    with pytest.raises(MeasurementError, match="40 outputs for 50 labelled images"):
        classification.evaluate(given(outputs[:40]), samples, TASK)


def test_an_unknown_positive_class_or_label_is_refused() -> None:
    outputs, samples = a_split(50)
    with pytest.raises(MeasurementError, match="'tumour' is no class of the data; choose one of normal, cyst, solid"):
        classification.evaluate(given(outputs), samples, Task("classification", "tumour"))
    strange = Samples(samples.images, np.where(np.arange(50) < 3, 9, samples.labels), CLASSES, "")
    with pytest.raises(MeasurementError, match="3 of 50 labels are not among the 3 classes"):
        classification.evaluate(given(outputs), strange, TASK)


def test_without_positive_images_what_speaks_of_them_is_left_out() -> None:
    outputs, samples = a_split(90)
    keep = samples.labels != 2
    fewer = Samples(samples.images[keep], samples.labels[keep], CLASSES, "")
    found = classification.evaluate(given(outputs[keep]), fewer, TASK).estimates
    assert set(found) == {"accuracy", "specificity", "brier", "calibration_error"}
    for name in ("sensitivity", "precision", "f1", "auroc", "macro_f1"):
        assert (
            classification.compare(given(outputs[keep]), given(outputs[keep]), Truth(fewer.labels, CLASSES), TASK, name)
            is None
        )


def test_without_a_named_positive_class_three_classes_have_no_sensitivity_and_two_have() -> None:
    outputs, samples = a_split(90)
    assert "sensitivity" not in classification.evaluate(given(outputs), samples, Task("classification")).estimates
    outputs, samples = a_split(90, classes=("benign", "malignant"))
    named = classification.evaluate(given(outputs), samples, Task("classification", "malignant")).estimates
    assert classification.evaluate(given(outputs), samples, Task("classification")).estimates == named


def test_wilson_intervals_equal_newcombes_table() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I, method 3.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        estimate = stats.wilson(successes, trials)
        assert estimate is not None
        assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)


def test_paired_differences_equal_the_published_worked_examples() -> None:
    # Fagerland, Lydersen and Laake, "Statistical analysis of contingency tables" (2017), chapter 8: Tango's interval
    # and McNemar's exact test for Cavo et al. 2012 (6 and 16 discordant of 161) and Bentur et al. 2009 (1 and 7 of 21).
    cavo = stats.paired_difference(6, 16, 161)
    assert cavo is not None
    assert (round(cavo.point, 4), round(cavo.low, 4), round(cavo.high, 4)) == (-0.0621, -0.1240, -0.0054)
    assert stats.mcnemar(6, 16) == pytest.approx(0.052479, abs=1e-6)
    bentur = stats.paired_difference(1, 7, 21)
    assert bentur is not None
    assert (round(bentur.low, 3), round(bentur.high, 3)) == (-0.517, -0.026)


def test_paired_differences_cover_the_truth() -> None:
    rng = np.random.default_rng(2)
    for n in (30, 150):
        draws = rng.multinomial(n, [0.02, 0.06, 0.92], size=400)
        found = [stats.paired_difference(int(gained), int(lost), n) for gained, lost, _ in draws]
        assert np.mean([e is not None and e.low <= -0.04 <= e.high for e in found]) >= 0.93


def test_sensitivity_is_compared_on_the_positives_and_specificity_on_the_rest() -> None:
    outputs, samples = a_split(600)
    after = disturbed(outputs, 1.0)
    before, now = (classification.evaluate(given(o), samples, TASK).estimates for o in (outputs, after))
    positives = int((samples.labels == 2).sum())
    for name, images in (("accuracy", 600), ("sensitivity", positives), ("specificity", 600 - positives)):
        change = classification.compare(given(outputs), given(after), Truth(samples.labels, CLASSES), TASK, name)
        assert change is not None
        assert change.point == pytest.approx(now[name].point - before[name].point)
        assert f"n={images}," in change.method


@pytest.mark.parametrize(
    "name", ["precision", "f1", "macro_f1", "balanced_accuracy", "auroc", "brier", "calibration_error"]
)
def test_the_other_differences_are_run_minus_baseline_and_zero_against_oneself(name: str) -> None:
    outputs, samples = a_split(600)
    after = disturbed(outputs, 1.0)
    before, now = (classification.evaluate(given(o), samples, TASK).estimates[name].point for o in (outputs, after))
    change = classification.compare(given(outputs), given(after), Truth(samples.labels, CLASSES), TASK, name)
    same = classification.compare(given(outputs), given(outputs), Truth(samples.labels, CLASSES), TASK, name)
    assert change is not None
    assert same is not None
    assert change.point == pytest.approx(now - before)
    assert change.low < change.point < change.high
    assert same.point == 0
    assert same.low <= 0 <= same.high


def test_resampled_differences_of_f1_cover_the_truth() -> None:
    big, samples = a_split(60_000, seed=3)
    after = disturbed(big, 0.8)
    truth = classification.compare(given(big), given(after), Truth(samples.labels, CLASSES), TASK, "f1")
    assert truth is not None
    covered = 0
    for start in range(0, 60_000, 300):
        part = slice(start, start + 300)
        found = classification.compare(
            given(big[part]), given(after[part]), Truth(samples.labels[part], CLASSES), TASK, "f1"
        )
        assert found is not None
        covered += found.low <= truth.point <= found.high
    print(f"\nF1 differences: {covered / 200:.1%} of 200 intervals cover")
    assert covered / 200 >= 0.91


def structural_components_by_definition(scores: FloatArray, positive: np.ndarray) -> tuple[FloatArray, FloatArray]:
    wins = np.sign(scores[positive][:, None] - scores[~positive][None, :]) / 2 + 0.5
    return wins.mean(axis=1), wins.mean(axis=0)


def test_the_difference_of_areas_equals_the_direct_computation_over_all_pairs() -> None:
    rng = np.random.default_rng(4)
    positive = rng.random(120) < 0.4
    before = np.round(rng.normal(size=120) + positive, 1)  # ties on purpose
    after = np.round(before + rng.normal(size=120) * 0.5, 1)
    high0, low0 = structural_components_by_definition(before, positive)
    high1, low1 = structural_components_by_definition(after, positive)
    variance = np.cov(np.stack([high0, high1])) / len(high0) + np.cov(np.stack([low0, low1])) / len(low0)
    together = variance[0, 1] / np.sqrt(variance[0, 0] * variance[1, 1])
    first, second = stats.auroc(before, positive), stats.auroc(after, positive)
    assert first is not None
    assert second is not None
    above, below = second.high - second.point, first.point - first.low
    estimate = stats.auroc_difference(before, after, positive)
    assert estimate is not None
    assert estimate.point == pytest.approx(high1.mean() - high0.mean())
    half = np.sqrt(above**2 + below**2 - 2 * together * above * below)
    assert estimate.high - estimate.point == pytest.approx(half)
    assert stats.structural_components(before, positive)[1] == pytest.approx(high0)


def test_auroc_intervals_cover_the_truth_near_the_limit() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(5)
    truth = float(norm.cdf(2.0 / np.sqrt(2)))
    positive = np.arange(120) < 40
    found = [stats.auroc(rng.normal(size=120) + 2.0 * positive, positive) for _ in range(400)]
    assert np.mean([e is not None and e.low <= truth <= e.high for e in found]) >= 0.93


def test_agreement_is_the_share_of_equal_labels() -> None:
    outputs, _ = a_split(100)
    after = outputs.copy()
    after[:7] = np.roll(after[:7], 1, axis=1)
    found = classification.agreement(given(outputs), given(after))
    assert found.point == pytest.approx(0.93)
    assert found.low < 0.93 < found.high
    assert classification.agreement(given(outputs), given(outputs)).low > 0.95
    with pytest.raises(MeasurementError, match="measure both on the same images"):
        classification.agreement(given(outputs), given(outputs[:50]))


def test_ten_thousand_images_are_compared_in_bounded_memory() -> None:
    import tracemalloc

    outputs, samples = a_split(10_000)
    after = disturbed(outputs, 0.3)
    tracemalloc.start()
    change = classification.compare(given(outputs), given(after), Truth(samples.labels, CLASSES), TASK, "brier")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert change is not None
    assert peak < 100e6


def many(classes: int, images: int, *, right: float, seed: int = 8) -> tuple[npt.NDArray[np.float32], Samples]:
    """Return outputs of a model that is right in a share of the images, and the images' truth, every class in it."""
    rng = np.random.default_rng(seed)
    truth = np.arange(images) % classes
    answers = np.where(rng.random(images) < right, truth, rng.integers(0, classes, images))
    outputs = np.zeros((images, classes), np.float32)
    outputs[np.arange(images), answers] = 5
    names = tuple(f"class {index}" for index in range(classes))
    pixels = np.zeros((images, 1, 1, 1), np.uint8)
    return outputs, Samples(pixels, truth.astype(np.int64), names, "many classes")


def test_the_intervals_of_many_classes_are_those_of_the_whole_table() -> None:
    outputs, samples = many(40, 4000, right=0.8)
    found = classification.evaluate(given(outputs), samples, Task("classification"))
    expected = {"macro_f1": f1_of_all, "balanced_accuracy": recall_of_all}
    assert found.confusion is not None
    for name, statistic in expected.items():
        whole, own = stats.table_interval(found.confusion, statistic), found.estimates[name]
        assert own.point == pytest.approx(whole.point, abs=1e-12)
        assert (own.low, own.high) == pytest.approx((whole.low, whole.high), abs=0.002)


def f1_of_all(tables: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    hits = np.diagonal(tables, axis1=1, axis2=2)
    found: npt.NDArray[np.float64] = (2 * hits / (tables.sum(axis=1) + tables.sum(axis=2))).mean(axis=1)
    return found


def recall_of_all(tables: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = (np.diagonal(tables, axis1=1, axis2=2) / tables.sum(axis=2)).mean(axis=1)
    return found


def test_a_thousand_classes_are_compared_in_bounded_memory() -> None:
    before, samples = many(1000, 3000, right=0.8)
    after, _ = many(1000, 3000, right=0.8, seed=9)
    task = Task("classification", positive="class 7")
    tracemalloc.start()
    try:
        change = classification.compare(
            given(before), given(after), Truth(samples.labels, samples.classes), task, "macro_f1"
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert change is not None
    assert change.low < change.point < change.high
    assert peak < 400e6


def test_no_error_among_many_classes_is_no_certainty() -> None:
    outputs, samples = many(50, 500, right=1.0)
    found = classification.evaluate(given(outputs), samples, Task("classification")).estimates["macro_f1"]
    assert found.point == 1
    assert found.low < 0.999


def test_bins_of_equal_counts_hold_every_image_once_with_the_share_that_is_right() -> None:
    outputs, samples = a_split()
    truth = Truth(samples.labels, samples.classes)
    bins = classification.reliability(given(outputs), truth)
    shares = _answers.probabilities(given(outputs))
    assert [one.images for one in bins] == [90] * 10
    assert [one.stated for one in bins] == sorted(one.stated for one in bins)
    first = np.argsort(shares.max(axis=1))[:90]
    right = int((outputs.argmax(axis=1) == samples.labels)[first].sum())
    assert bins[0].stated == pytest.approx(shares.max(axis=1)[first].mean())
    assert bins[0].right == stats.wilson(right, 90)
    patients = classification.reliability(given(outputs), Truth(samples.labels, samples.classes, np.arange(900) // 30))
    assert "patients" in patients[0].right.method
    assert not classification.reliability(given(outputs.argmax(axis=1)[:, None], "labels"), truth)


def test_images_of_which_a_model_is_equally_sure_share_a_bin_whatever_their_order() -> None:
    outputs, samples = a_split(200)
    shares = np.round(_answers.probabilities(given(outputs)), 1)
    order = np.random.default_rng(5).permutation(200)
    found = [
        [(one.images, one.right) for one in classification.reliability(
            given(shares[own], "sigmoid"), Truth(samples.labels[own], samples.classes)
        )]
        for own in (np.arange(200), order)
    ]  # fmt: skip
    assert found[0] == found[1]
    assert sum(images for images, _ in found[0]) == 200


def test_the_point_of_two_classes_lies_on_the_roc_curve_also_with_a_threshold() -> None:
    outputs, samples = a_split(classes=("a", "b"))
    truth = Truth(samples.labels, samples.classes)
    for positive in ("a", "b"):
        for threshold in (0.2, 0.5):
            answers, task = (
                Answers(outputs, Reading(kind="logits", threshold=threshold)),
                Task("classification", positive),
            )
            found = classification.evaluate(answers, samples, task).estimates
            curve = classification.roc(answers, truth, task)
            assert curve is not None
            at = found["sensitivity"].point
            across = 1 - found["specificity"].point
            column = np.interp(across, curve[:, 0], curve[:, 1]), curve[np.isclose(curve[:, 0], across), 1]
            assert np.isclose(at, column[0]) or column[1].min() - 1e-9 <= at <= column[1].max() + 1e-9


def test_no_roc_curve_is_made_without_a_positive_class_or_of_labels_alone() -> None:
    outputs, samples = a_split()
    truth = Truth(samples.labels, samples.classes)
    assert classification.roc(given(outputs), truth, Task("classification")) is None
    assert classification.roc(given(outputs.argmax(axis=1)[:, None], "labels"), truth, TASK) is None


def test_the_corners_of_the_roc_curve_are_those_of_scikit_learn_and_enclose_the_auroc() -> None:
    rng = np.random.default_rng(3)
    for steps in (1, 3, 20, 10_000):  # fewer steps make more ties
        positive = rng.random(300) < 0.3
        scores = np.round((rng.normal(size=300) + positive) * steps) / steps
        corners, area = stats.roc(scores, positive), stats.auroc(scores, positive)
        assert corners is not None
        assert area is not None
        assert np.trapezoid(corners[:, 1], corners[:, 0]) == pytest.approx(area.point, abs=1e-12)
        assert corners[0].tolist() == [0, 0]
        assert corners[-1].tolist() == [1, 1]
        theirs = np.stack(sk.roc_curve(positive, scores)[:2], axis=1)
        assert {tuple(one) for one in corners.round(9)} <= {tuple(one) for one in theirs.round(9)}


def test_one_score_for_all_is_a_straight_line_and_one_kind_alone_has_no_roc_curve() -> None:
    both = np.array([True, False, True])
    corners = stats.roc(np.full(3, 0.5), both)
    assert corners is not None
    assert corners.tolist() == [[0, 0], [1, 1]]
    assert stats.roc(np.arange(3.0), np.full(3, True)) is None
