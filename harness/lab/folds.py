"""`[data] folds = 5` and `fold = 0`: train, validation and test of a data set that is one pool.

The pool is divided by patient where there are patients, so none is in two parts, and so that each fold has about the
same share of every class: the patients, in an order drawn from a fixed seed and those with the most uneven images
first, each go to the fold where that keeps the classes most even (as StratifiedGroupKFold of scikit-learn does it).
Fold `fold` is the split `test`, the next one `validation`, all others `train`. The same files give the same folds.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import LabError
from harness.model import Folds, IntArray, Samples

_SEED: Final = 20261129
#: The names of the split that is measured, of the fold after it, and of all others.
_PARTS: Final = (("test", "testing"), ("validation", "val", "valid"), ("train", "training"))


def part(pool: Samples, folds: Folds, split: str, *, file: str) -> Samples:
    """Return one split of a pool.

    Args:
        pool: all images there are.
        folds: how many folds there are, and which one is measured.
        split: "test", "validation" or "train".
        file: of the suite, for messages.

    Raises:
        LabError: there is no such split, or there are fewer patients than folds.
    """
    place = next((number for number, names in enumerate(_PARTS) if split in names), None)
    if place is None:
        remedy = "write test, validation or train"
        raise LabError(f"no fold is the split {split}", remedy=remedy, file=file, key="data.split")
    each = assigned(pool, folds.count, file=file)
    test, validation = each == folds.fold, each == (folds.fold + 1) % folds.count
    chosen = (test, validation, ~(test | validation))[place]
    found = pool.without(np.flatnonzero(~chosen))
    groups, names = found.groups, found.group_names
    if groups is not None:
        kept, groups = np.unique(groups, return_inverse=True)
        groups, names = groups.reshape(-1).astype(np.int64), tuple(names[number] for number in kept)
    of = f" of {len(names)} patients" if names else ""
    fold = f"fold {folds.fold} of {folds.count}"
    said = {0: fold, 1: f"the fold after {fold}", 2: f"all but {fold} and the one after it"}[place]
    digest = hashlib.sha256(np.ascontiguousarray(pool.images).data).hexdigest()[:16]
    description = f"{int(chosen.sum())} images{of}, {said}, of a pool: {pool.description}"
    return replace(found, groups=groups, group_names=names, description=description, pool=digest)


def assigned(pool: Samples, count: int, *, file: str) -> IntArray:
    """Return (N,) the fold of each image.

    Args:
        pool: all images there are.
        count: how many folds.
        file: of the suite, for messages.

    Raises:
        LabError: there are fewer patients, or images where nobody names patients, than folds.
    """
    units = _units(pool)
    number, what = int(units.max()) + 1, "images" if pool.groups is None else "patients"
    if number < count:
        raise LabError(
            f"is {count}, and the pool has {number} {what}",
            remedy=f"write at most {number}" if number >= 3 else "bring more of them",
            file=file,
            key="data.folds",
        )
    kinds = _kinds(pool)
    totals = np.zeros((number, kinds.shape[1]))
    np.add.at(totals, units, kinds)
    sizes = np.bincount(units, minlength=number)
    order = np.random.default_rng(_SEED).permutation(number)
    order = order[np.argsort(-totals[order].std(axis=1), kind="stable")]
    every, filled = np.maximum(totals.sum(axis=0), 1), np.zeros((count, totals.shape[1]))
    images, fold_of = np.zeros(count), np.zeros(number, np.int64)
    for unit in order:
        uneven = [(filled + totals[unit] * (np.arange(count) == at)[:, np.newaxis]) / every for at in range(count)]
        scores = [round(float(one.std(axis=0).mean()), 12) for one in uneven]
        at = min(range(count), key=lambda one: (scores[one], images[one], one))
        filled[at] += totals[unit]
        images[at] += sizes[unit]
        fold_of[unit] = at
    return np.asarray(fold_of[units])


def _units(pool: Samples) -> IntArray:
    """Return (N,) numbers of the patients by their first image: what they are called may differ from run to run."""
    if pool.groups is None:
        return np.arange(len(pool.images))
    _, first, own = np.unique(pool.groups, return_index=True, return_inverse=True)
    places = np.empty(len(first), np.int64)
    places[np.argsort(first)] = np.arange(len(first))
    return np.asarray(places[own.reshape(-1)])


def _kinds(pool: Samples) -> npt.NDArray[Any]:
    """Return (N, K + 1): one, then for each class or label whether an image is of it, or its mask has any."""
    n, k = len(pool.images), len(pool.classes)
    if len(pool.labels) and pool.labels.ndim == 2:
        there = pool.labels == 1
    elif len(pool.labels):
        there = pool.labels[:, np.newaxis] == np.arange(k)
    elif pool.masks is not None:
        there = np.stack([(pool.masks == number).any(axis=(1, 2)) for number in range(k)], axis=1)
    else:
        there = np.zeros((n, 0), bool)
    return np.column_stack([np.ones(n), there])
