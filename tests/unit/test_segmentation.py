"""Segmentation metrics against SciPy, plain definitions and shapes worked out by hand."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.distance import cdist, directed_hausdorff

from harness.errors import MeasurementError
from harness.metrics import segmentation
from harness.model import Answers, Reading, Samples, Task, Truth
from tests.unit.test_noise import bounded

CLASSES = ("background", "lesion")
TASK = Task("segmentation", "lesion")


def a_split(n: int = 40) -> Samples:
    """Return (N, 32, 40) masks with one disc each, the last without."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :40]
    centres, radii = rng.uniform(10, 22, (n, 2)), rng.uniform(4, 9, n)
    masks = np.array([((y - a) ** 2 + (x - b) ** 2 < r * r) for (a, b), r in zip(centres, radii, strict=True)])
    masks[-1] = False
    return Samples(np.zeros((n, 32, 40, 1)), np.empty(0, np.int64), CLASSES, "discs", masks.astype(np.uint8))


def outputs_of(masks: np.ndarray) -> np.ndarray:
    """Return (N, 2, H, W) logits that say exactly `masks`."""
    return np.stack([1 - 2.0 * masks, 2.0 * masks - 1], axis=1).astype(np.float32)


def given(maps: np.ndarray, kind: str = "logits", threshold: float = 0.5) -> Answers:
    return Answers(maps, Reading(kind=kind, threshold=threshold))


def shifted(samples: Samples) -> np.ndarray:
    assert samples.masks is not None
    return outputs_of(np.roll(samples.masks, 2, axis=2))


def test_two_squares_that_half_overlap_have_the_figures_worked_out_by_hand() -> None:
    truth, said = np.zeros((1, 10, 10), np.uint8), np.zeros((1, 10, 10), np.uint8)
    truth[0, 2:6, 2:6], said[0, 2:6, 4:8] = 1, 1
    samples = Samples(np.zeros((1, 10, 10, 1)), np.empty(0, np.int64), CLASSES, "", truth)
    found = segmentation.evaluate(given(outputs_of(said)), samples, TASK).estimates
    assert found["dice"].point == pytest.approx(0.5)
    assert found["iou"].point == pytest.approx(1 / 3)
    assert found["hausdorff"].point == pytest.approx(2.0)


def test_hausdorff_equals_scipys_over_all_pairs_of_pixels() -> None:
    samples = a_split(6)
    assert samples.masks is not None
    said = np.roll(samples.masks, (3, 2), axis=(1, 2))
    found = segmentation.evaluate(given(outputs_of(said)), samples, TASK).estimates["hausdorff"]
    pairs = [(np.argwhere(a), np.argwhere(b)) for a, b in zip(said[:-1], samples.masks[:-1], strict=True)]
    expected = [max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0]) for a, b in pairs]
    assert found.point == pytest.approx(sum(expected) / 6)  # the last image is empty in both: distance 0


def test_perfect_outlines_are_perfect_and_false_ones_on_normal_images_cost() -> None:
    samples = a_split()
    assert samples.masks is not None
    assert segmentation.evaluate(given(outputs_of(samples.masks)), samples, TASK).estimates["dice"].point == 1.0
    wrong = samples.masks.copy()
    wrong[-1, 0, 0] = 1
    found = segmentation.evaluate(given(outputs_of(wrong)), samples, TASK).estimates
    assert found["dice"].point == pytest.approx(39 / 40)
    assert found["hausdorff"].point == pytest.approx(math.hypot(32, 40) / 40)
    assert found["dice"].low < found["dice"].point


def test_all_layouts_of_the_same_outputs_give_the_same_figures() -> None:
    samples = a_split()
    maps = shifted(samples)
    expected = segmentation.evaluate(given(maps), samples, TASK).estimates
    one = maps[:, 1:]
    for other in (np.moveaxis(maps, 1, -1), one, np.moveaxis(one, 1, -1), one[:, 0]):
        assert segmentation.evaluate(given(other), samples, TASK).estimates == expected


def test_differences_are_run_minus_baseline_on_the_same_images() -> None:
    samples = a_split()
    assert samples.masks is not None
    best, worse = outputs_of(samples.masks), shifted(samples)
    for name, sign in (("dice", -1), ("iou", -1), ("hausdorff", 1)):
        change = segmentation.compare(given(best), given(worse), Truth(samples.masks, CLASSES), TASK, name)
        same = segmentation.compare(given(worse), given(worse), Truth(samples.masks, CLASSES), TASK, name)
        assert change is not None
        assert same is not None
        assert sign * change.point > 0
        # The diagonal of an image is so far that forty images say little of a distance.
        assert (sign * change.low > 0 and sign * change.high > 0) == (name != "hausdorff")
        assert change.low <= change.point <= change.high
        # What was not seen among so few images is not ruled out.
        assert same.low < same.point == 0 < same.high
    assert segmentation.compare(given(best), given(worse), Truth(samples.masks, CLASSES), TASK, "auroc") is None


def test_agreement_is_the_share_of_equal_pixels() -> None:
    samples = a_split()
    assert samples.masks is not None
    best, other = outputs_of(samples.masks), shifted(samples)
    assert segmentation.agreement(given(best), given(best)).point == 1.0
    expected = (np.roll(samples.masks, 2, axis=2) == samples.masks).mean()
    assert segmentation.agreement(given(best), given(other)).point == pytest.approx(expected)
    assert segmentation.agreement(*(given(np.moveaxis(o, 1, -1)) for o in (best, other))).point == pytest.approx(
        expected
    )
    with pytest.raises(MeasurementError, match="measure both on the same images"):
        segmentation.agreement(given(best), given(other[:5]))


def test_outputs_that_do_not_fit_are_refused_with_the_right_shape() -> None:
    samples = a_split()
    maps = shifted(samples)
    with pytest.raises(MeasurementError, match=r"shape \(40, 2, 16, 40\).* one map per class, \(40, 2, 32, 40\)"):
        segmentation.evaluate(given(maps[:, :, ::2]), samples, TASK)
    maps[3, 0, 0, 0] = np.nan
    with pytest.raises(MeasurementError, match="1 of 40 images gave NaN or infinite outputs"):
        segmentation.evaluate(given(maps), samples, TASK)


def test_data_without_masks_or_without_the_positive_class_is_refused() -> None:
    samples = a_split()
    bare = Samples(samples.images, samples.labels, CLASSES, "")
    with pytest.raises(MeasurementError, match="the data has no masks"):
        segmentation.evaluate(given(shifted(samples)), bare, TASK)
    with pytest.raises(MeasurementError, match="'tumour' is no class of the data; choose one of background, lesion"):
        segmentation.evaluate(given(shifted(samples)), samples, Task("segmentation", "tumour"))


def test_answers_that_are_kept_as_labels_are_worth_the_same() -> None:
    samples = a_split()
    maps = shifted(samples)
    for answers in (given(maps), given(maps[:, 1:]), given(maps[:, 1]), given(np.moveaxis(maps, 1, -1), threshold=0.7)):
        small = segmentation.compact(answers)
        assert small.values.dtype == np.uint8
        assert small.values.nbytes <= answers.values.nbytes // 4
        before, after = (segmentation.evaluate(one, samples, TASK).estimates for one in (answers, small))
        assert before == after
        assert segmentation.agreement(answers, small).point == 1.0
        assert segmentation.compact(small) is small


def test_a_probability_is_held_against_its_threshold_and_never_against_its_range() -> None:
    samples = a_split()
    assert samples.masks is not None
    shares = np.where(samples.masks, 0.6, -6e-5).astype(np.float32)[:, np.newaxis]  # as a cubic resize leaves them
    assert segmentation.evaluate(given(shares, "sigmoid"), samples, TASK).estimates["dice"].point == 1.0
    assert segmentation.evaluate(given(shares + 0.2, "sigmoid", 0.7), samples, TASK).estimates["dice"].point == 1.0
    low = segmentation.evaluate(given(shares + 1e-3), samples, TASK).estimates["dice"].point
    assert low < 0.5, "read as logits, all is lesion"


def outline(mask: np.ndarray) -> np.ndarray:
    """Return (P, 2) places of the pixels of a mask beside which one of four neighbours is not of it, one by one."""
    height, width = mask.shape

    def at_edge(y: int, x: int) -> bool:
        beside = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        return any(not (0 <= a < height and 0 <= b < width and mask[a, b]) for a, b in beside)

    return np.array([(y, x) for y, x in np.argwhere(mask) if at_edge(y, x)])


def blobs(n: int, seed: int) -> np.ndarray:
    """Return (N, 24, 30) masks of ragged shapes in several pieces, some at the image's edge."""
    rng = np.random.default_rng(seed)
    rough = gaussian_filter(rng.normal(size=(n, 24, 30)), (0, 3, 3))
    return np.asarray(rough > np.quantile(rough, 0.8), np.uint8)


TOLERANT = Task("segmentation", "lesion", surface_tolerance=1.5)


def test_surface_distances_equal_their_definition_over_all_pairs_of_pixels() -> None:
    truth, said = blobs(12, 1), blobs(12, 2)
    samples = Samples(np.zeros((12, 24, 30, 1)), np.empty(0, np.int64), CLASSES, "", truth)
    found = segmentation.evaluate(given(outputs_of(said)), samples, TOLERANT).estimates
    tails, shares = [], []
    for one, other in zip(said, truth, strict=True):
        away = cdist(outline(one), outline(other))
        to, back = away.min(axis=1), away.min(axis=0)
        tails.append(max(np.percentile(to, 95), np.percentile(back, 95)))
        shares.append(((to <= 1.5).sum() + (back <= 1.5).sum()) / (len(to) + len(back)))
    assert found["hausdorff_95"].point == pytest.approx(np.mean(tails))
    assert found["nsd"].point == pytest.approx(np.mean(shares))


def test_squares_have_the_surface_distances_worked_out_by_hand() -> None:
    truth, said = np.zeros((1, 12, 12), np.uint8), np.zeros((1, 12, 12), np.uint8)
    # One outline lies one pixel inside the other; only its corners are farther: the diagonal of a pixel.
    truth[0, 2:10, 2:10], said[0, 3:9, 3:9] = 1, 1
    samples = Samples(np.zeros((1, 12, 12, 1)), np.empty(0, np.int64), CLASSES, "", truth)
    for tolerance, expected in ((0.0, 0.0), (1.0, (20 + 24) / (20 + 28)), (1.5, 1.0)):
        task = Task("segmentation", "lesion", surface_tolerance=tolerance)
        assert segmentation.evaluate(given(outputs_of(said)), samples, task).estimates["nsd"].point == expected
    found = segmentation.evaluate(given(outputs_of(said)), samples, TASK).estimates
    assert found["hausdorff_95"].point == pytest.approx(np.sqrt(2))  # 4 corners of 28 are more than 5 %
    assert "nsd" not in found, "nobody has said how far is near"


@pytest.mark.parametrize(
    ("there", "called", "tail", "share"), [(0, 0, 0.0, 1.0), (1, 0, 10.0, 0.0), (0, 1, 10.0, 0.0), (1, 1, 0.0, 1.0)]
)
def test_empty_masks_are_right_together_and_wholly_wrong_alone(
    there: int, called: int, tail: float, share: float
) -> None:
    truth, said = np.zeros((1, 8, 6), np.uint8), np.zeros((1, 8, 6), np.uint8)
    truth[0, 2, 2], said[0, 2, 2] = there, called
    samples = Samples(np.zeros((1, 8, 6, 1)), np.empty(0, np.int64), CLASSES, "", truth)
    found = segmentation.evaluate(given(outputs_of(said)), samples, TOLERANT).estimates
    assert (found["hausdorff_95"].point, found["nsd"].point) == (tail, share)


def test_surface_distances_are_compared_on_the_same_images_and_patients() -> None:
    samples = a_split()
    assert samples.masks is not None
    best, worse = given(outputs_of(samples.masks)), given(shifted(samples))
    groups = np.arange(40) // 4
    for name in ("hausdorff_95", "nsd"):
        levels = [segmentation.evaluate(one, samples, TOLERANT).estimates[name].point for one in (best, worse)]
        alone = segmentation.compare(best, worse, Truth(samples.masks, CLASSES), TOLERANT, name)
        patients = segmentation.compare(best, worse, Truth(samples.masks, CLASSES, groups), TOLERANT, name)
        assert alone is not None
        assert patients is not None
        assert (alone.point, patients.point) == pytest.approx((levels[1] - levels[0],) * 2)
        assert patients.high - patients.low > alone.high - alone.low
        assert "10 patients" in patients.method
    assert segmentation.compare(best, worse, Truth(samples.masks, CLASSES), TASK, "nsd") is None


def test_a_run_whose_outlines_are_worse_is_hardly_ever_called_non_inferior() -> None:
    # One outline in ten is lost as a whole, which among forty images is not seen in one split of 68.
    trials = int(os.environ.get("EDGEWARD_TRIALS", "60"))
    rng, false, margin = np.random.default_rng(61), 0, 0.1
    truth = np.zeros((40, 6, 6), np.uint8)
    truth[:, 1:5, 1:5] = 1
    before = given(outputs_of(truth))
    for _ in range(trials):
        lost = truth.copy()
        lost[rng.random(40) < margin] = 0
        found = segmentation.compare(before, given(outputs_of(lost)), Truth(truth, CLASSES), TOLERANT, "nsd")
        false += found is not None and found.low > -margin
    print(f"\nNSD, 40 images, outlines lost: {false / trials:.1%} falsely non-inferior (claimed: 2.5 %)")
    assert bounded(false, trials)


def test_distances_in_millimetres_are_those_between_pixels_of_their_own_size() -> None:
    samples = a_split(5)
    assert samples.masks is not None
    said = np.roll(samples.masks, (3, 2), axis=(1, 2))
    sizes = np.array([[0.2, 0.3], [0.5, 0.1], [1.0, 1.0], [0.25, 0.25], [2.0, 2.0]])
    spaced = replace(samples, spacing=sizes)
    task = replace(TASK, surface_tolerance=2.0, surface_tolerance_mm=0.8)
    found = segmentation.evaluate(given(outputs_of(said)), spaced, task).estimates
    whole, outer, near = [], [], []
    for mask, truth, size in zip(said[:-1], samples.masks[:-1], sizes, strict=False):
        full = [np.argwhere(one) * size for one in (mask, truth)]
        whole.append(max(directed_hausdorff(*full)[0], directed_hausdorff(*full[::-1])[0]))
        edges = [np.argwhere(one & ~binary_erosion(one)) * size for one in (mask > 0, truth > 0)]
        away = cdist(*edges)
        both = [away.min(axis=1), away.min(axis=0)]
        outer.append(max(np.quantile(one, 0.95) for one in both))
        near.append((np.concatenate(both) <= 0.8 + 1e-9).mean())
    assert found["hausdorff_mm"].point == pytest.approx(sum(whole) / 5)  # the last image is empty in both: distance 0
    assert found["hausdorff_95_mm"].point == pytest.approx(sum(outer) / 5)
    assert found["nsd_mm"].point == pytest.approx((sum(near) + 1) / 5)
    plain = segmentation.evaluate(given(outputs_of(said)), samples, task).estimates
    assert {name for name in found if not name.endswith("_mm")} == set(plain)
    assert all(plain[name] == found[name] for name in plain)
    one = segmentation.evaluate(given(outputs_of(said)), replace(samples, spacing=np.ones((5, 2))), task).estimates
    assert one["hausdorff_95_mm"].point == one["hausdorff_95"].point


def test_differences_in_millimetres_need_the_sizes_and_know_the_longest_diagonal() -> None:
    samples = a_split(10)
    assert samples.masks is not None
    sizes = np.tile([0.5, 0.25], (10, 1))
    best, worse = given(outputs_of(samples.masks)), given(shifted(samples))
    truth = Truth(samples.masks, CLASSES, spacing=sizes)
    change = segmentation.compare(best, worse, truth, TASK, "hausdorff_95_mm")
    assert change is not None
    assert change.point == pytest.approx(0.9 * 2 * 0.25, abs=0.05)
    assert -math.hypot(16, 10) < change.low < 0
    assert segmentation.compare(best, worse, Truth(samples.masks, CLASSES), TASK, "hausdorff_95_mm") is None
