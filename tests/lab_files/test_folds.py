"""One pool divided into folds: by patient, alike in their classes, the same every time, each image measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from harness import lab
from harness.errors import LabError
from harness.lab import folds
from harness.model import Folds, IntArray, Samples

CLASSES = ("well", "ill")


def a_pool(patients: int = 60, seed: int = 0) -> Samples:
    """Return images of patients with one to six images each; every fourth patient is ill."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(patients), rng.integers(1, 7, patients)))
    images = rng.integers(0, 255, (len(groups), 4, 4, 1), dtype=np.uint8)
    names = tuple(f"P{number}" for number in range(patients))
    return Samples(images, (groups % 4 == 0).astype(np.int64), CLASSES, "made", groups=groups, group_names=names)


def uneven(labels: IntArray, fold_of: IntArray) -> float:
    """Return by how much the shares of each class differ between folds, at most."""
    shares = [[np.mean(fold_of[labels == kind] == fold) for fold in range(5)] for kind in (0, 1)]
    return float(np.ptp(shares, axis=1).max())


def test_no_patient_is_in_two_parts_and_every_image_is_measured_once() -> None:
    pool, seen = a_pool(), np.zeros(0, np.uint8)
    for fold in range(5):
        parts = [folds.part(pool, Folds(5, fold), split, file="s.toml") for split in ("test", "val", "train")]
        names = [set(one.group_names) for one in parts]
        assert all(not names[a] & names[b] for a, b in ((0, 1), (0, 2), (1, 2)))
        assert set.union(*names) == set(pool.group_names)
        assert sum(len(one.images) for one in parts) == len(pool.images)
        for one in parts:
            assert one.groups is not None
            assert set(one.groups.tolist()) == set(range(len(one.group_names)))
            assert len(one.labels) == len(one.images) == len(one.groups)
        seen = np.append(seen, parts[0].images)
        following = folds.part(pool, Folds(5, (fold + 1) % 5), "test", file="s.toml")
        assert np.array_equal(parts[1].images, following.images)
    assert np.array_equal(np.sort(seen), np.sort(pool.images, axis=None))


def test_classes_are_as_even_as_scikit_learn_makes_them() -> None:
    for seed in range(5):
        pool = a_pool(seed=seed)
        own = folds.assigned(pool, 5, file="s.toml")
        theirs = np.zeros(len(pool.labels), np.int64)
        kept = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for fold, (_, chosen) in enumerate(kept.split(pool.images, pool.labels, pool.groups)):
            theirs[chosen] = fold
        assert uneven(pool.labels, own) <= uneven(pool.labels, theirs) + 0.05


def test_what_patients_are_called_changes_nothing() -> None:
    pool = a_pool()
    assert pool.groups is not None
    other = np.random.default_rng(1).permutation(60)[pool.groups]
    renamed = Samples(pool.images, pool.labels, CLASSES, "", groups=other, group_names=pool.group_names)
    assert np.array_equal(folds.assigned(pool, 5, file=""), folds.assigned(renamed, 5, file=""))


def test_without_patients_images_are_divided_and_masks_by_the_classes_in_them() -> None:
    masks = np.zeros((20, 4, 4), np.uint8)
    masks[:10, 0] = 1
    pool = Samples(np.zeros((20, 4, 4, 1)), np.empty(0, np.int64), CLASSES, "", masks)
    fold_of = folds.assigned(pool, 5, file="")
    assert np.bincount(fold_of).tolist() == [4] * 5
    assert np.bincount(fold_of[:10]).tolist() == [2] * 5


def written(base: Path, more: str) -> Path:
    pool = a_pool(12)
    assert pool.groups is not None
    np.savez(base / "pool.npz", images=pool.images, labels=pool.labels, patient=pool.groups)
    (base / "s.toml").write_text(
        f'title = "a"\n[data]\nsource = "npz"\npath = "pool.npz"\n{more}\n[data.input]\nlayout = "NCHW"\nscale = 1.0\n'
        '[task]\nkind = "classification"\npositive = "1"\n[baseline]\nid = "m"\nmodel = "m.onnx"\n'
    )
    return base / "s.toml"


def test_a_suite_divides_its_pool_and_says_which_fold_it_is(tmp_path: Path) -> None:
    suite = lab.read_suite(written(tmp_path, 'group = "patient"\nfolds = 4\nfold = 1'))
    test, train = lab.read_split(suite, "test"), lab.read_split(suite, "train")
    assert f"{len(test.group_names)} patients, fold 1 of 4, of a pool" in test.description
    assert not set(test.group_names) & set(train.group_names)
    with pytest.raises(LabError, match="no fold is the split extra; write test, validation or train"):
        lab.read_split(suite, "extra")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("folds = 5", r"data: `folds` and `fold` belong together; write both"),
        ("folds = 2\nfold = 0", r"data\.folds: .*greater than or equal to 3"),
        ("folds = 5\nfold = 5", r"data: fold 5 is none of 5; write fold = 0 to 4"),
        ('folds = 5\nfold = 0\ntrain = "t.npz"', r"data: `train` stands beside `folds`, which divide one pool"),
        (
            'group = "patient"\nfolds = 20\nfold = 0',
            r"data\.folds: is 20, and the pool has 12 patients; write at most 12",
        ),
    ],
)
def test_folds_that_make_no_sense_are_refused(more: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=complaint):
        lab.read_split(lab.read_suite(written(tmp_path, more)), "test")


def test_data_with_splits_of_their_own_are_no_pool(tmp_path: Path) -> None:
    images, labels = np.zeros((4, 2, 2), np.uint8), np.arange(4) % 2
    path = written(tmp_path, "folds = 3\nfold = 0")
    np.savez(tmp_path / "pool.npz", test_images=images, test_labels=labels, train_images=images, train_labels=labels)
    with pytest.raises(LabError, match=r"data\.folds: divides one pool, and the data has a split train of its own"):
        lab.read_split(lab.read_suite(path), "test")
