"""Which images two splits share: the same bytes, and nearly the same picture."""

from __future__ import annotations

import numpy as np
import pytest

from harness import stats
from tests.real_images import real


def pictures(count: int, seed: int, side: int = 48) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return smooth random pictures, each unlike the others."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 6, 6, 1))
    return coarse.repeat(side // 6, axis=1).repeat(side // 6, axis=2).astype(np.uint8)


def test_an_image_that_stands_in_both_sets_is_found() -> None:
    first, second = pictures(40, 1), pictures(60, 2)
    second[17] = first[5]
    found = stats.overlap(first, second)
    assert found.identical.tolist() == [[5, 17]]
    assert len(found.near) == 0
    assert found.first.tolist() == [5]
    assert str(found) == "1 identical and 0 nearly identical pairs"


def test_one_that_was_saved_again_a_little_darker_or_at_another_size_is_nearly_the_same() -> None:
    first, second = pictures(40, 1), pictures(60, 2)
    noise = np.random.default_rng(3).normal(0, 4, first[5].shape)
    second[17] = np.clip(first[5] * 0.98 + noise, 0, 255).astype(np.uint8)
    smaller = second.reshape(60, 24, 2, 24, 2, 1).mean(axis=(2, 4)).astype(np.uint8)
    for others in (second, smaller):
        found = stats.overlap(first, others)
        assert len(found.identical) == 0
        assert found.near.tolist() == [[5, 17]]


def test_pictures_that_are_all_alike_are_not_taken_for_one() -> None:
    common = pictures(1, 4).astype(np.float32)
    rng = np.random.default_rng(5)
    one, other = (np.clip(common + rng.normal(0, 9, (50, 48, 48, 1)), 0, 255).astype(np.uint8) for _ in range(2))
    assert len(stats.overlap(one, other).first) == 0


def test_sets_of_one_image_are_compared_by_their_bytes_alone() -> None:
    one = pictures(1, 6)
    assert stats.overlap(one, one).identical.tolist() == [[0, 0]]
    assert len(stats.overlap(one, one + 1).first) == 0


def test_images_of_patients_that_another_set_has_too_are_found_by_the_patients_names() -> None:
    first, second = np.array([0, 0, 1, 2]), np.array([0, 1])
    assert stats.common_groups(first, ("a", "b", "c"), second, ("c", "a")).tolist() == [0, 1, 3]
    assert stats.common_groups(first, ("a", "b", "c"), second[:1], ("b", "a")).tolist() == [2], "a has no image here"
    assert stats.common_groups(first, ("a", "b", "c"), None, ()).tolist() == []


@pytest.mark.parametrize(
    ("name", "identical", "pairs"), [("breastmnist", 1, 74), ("pneumoniamnist", 0, 0), ("retinamnist", 0, 8)]
)
def test_the_pairs_of_published_splits_are_found(name: str, identical: int, pairs: int) -> None:
    with np.load(real(name, f"{name}.npz")) as arrays:
        train, test = arrays["train_images"], arrays["test_images"]
    grey = train.ndim == 3
    found = stats.overlap(*((split[..., np.newaxis] if grey else split) for split in (test, train)))
    assert len(found.identical) == identical
    assert len(found.identical) + len(found.near) == pairs
