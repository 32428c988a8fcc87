"""Statistics of the table of truth by answers: F1, precision, balanced accuracy; of one model, and of two compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.model import Estimate, FloatArray, IntArray

#: Up to so many classes the whole table of truth by one model's answers is resampled.
_DENSE = 32
#: Those that are a mean over all classes, and not of the positive one.
OF_ALL: Final = ("macro_f1", "balanced_accuracy")


def table(k: int, *labels: npt.NDArray[Any]) -> IntArray:
    """Return (k, k, ...) how many images there are of each combination of labels.

    Args:
        k: how many classes there are.
        labels: (N,) each: the truth, and the answers of a model.
    """
    flat = np.ravel_multi_index([label.astype(np.int64) for label in labels], (k,) * len(labels))
    return np.bincount(flat, minlength=k ** len(labels)).reshape((k,) * len(labels)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the statistics of a table need of B tables: (B, K) right answers, images and answers of each class."""

    hits: FloatArray
    truths: FloatArray
    calls: FloatArray

    @classmethod
    def of(cls, tables: FloatArray) -> Self:
        """Return the sums of (B, K, K) tables, truth by prediction."""
        return cls(np.diagonal(tables, axis1=1, axis2=2), tables.sum(axis=2), tables.sum(axis=1))


def _quotient(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.asarray(np.divide(above, below, out=np.zeros_like(below), where=below > 0))


# Each takes sums over B tables and the positive class, and gives (B,).
STATISTICS: dict[str, Callable[[_Sums, int], FloatArray]] = {
    "f1": lambda sums, positive: _quotient(2 * sums.hits, sums.truths + sums.calls)[:, positive],
    "macro_f1": lambda sums, _: np.asarray(_quotient(2 * sums.hits, sums.truths + sums.calls).mean(axis=1)),
    "balanced_accuracy": lambda sums, _: np.asarray(_quotient(sums.hits, sums.truths).mean(axis=1)),
    "precision": lambda sums, positive: _quotient(sums.hits[:, positive], sums.calls[:, positive]),
}


def has_cases(metric: str, truths: IntArray, positive: int | None) -> bool:
    """Return whether there are images that a statistic speaks of.

    Args:
        metric: one of `STATISTICS`.
        truths: (K,) images of each class.
        positive: the class that sensitivity speaks of.
    """
    # A mean over classes needs an image of every class; what speaks of the positive class needs one of that.
    if metric in OF_ALL:
        return bool((truths > 0).all())
    return positive is not None and bool(truths[positive] > 0)


def alone(k: int, truth: IntArray, answers: IntArray, positive: int | None, metric: str) -> Estimate:
    """Return a statistic of one model with its interval, by resampling the table of truth by answers.

    Args:
        k: how many classes there are.
        truth: (N,) labels.
        answers: (N,) what the model gave.
        positive: the class that sensitivity speaks of.
        metric: one of `STATISTICS`.
    """
    of = STATISTICS[metric]
    if k > _DENSE:
        return _sparse_interval(k, truth, answers, lambda sums: of(sums, positive or 0))
    return stats.table_interval(table(k, truth, answers), lambda tables: of(_Sums.of(tables), positive or 0))


def interval(
    k: int,
    truth: IntArray,
    answers: Sequence[IntArray],
    positive: int | None,
    metric: str,
    *,
    groups: IntArray | None = None,
) -> Estimate:
    """Return a statistic of one model, or the second's minus the first's, with its interval by `stats.units_interval`.

    The pseudo-images of the lower end are those that the last model has wrong, and of two the first has right: what
    one more image can cost. Of a statistic of the positive class they are one of that class and one of another; of a
    mean over classes, two that are spread over all of them, which with two classes is the same.

    Args:
        k: how many classes there are.
        truth: (N,) labels.
        answers: (N,) of each model.
        positive: the class that sensitivity speaks of.
        metric: one of `STATISTICS`.
        groups: (N,) the patient of each image; None where each is its own.
    """
    of, models = STATISTICS[metric], len(answers)
    own = np.arange(k) if metric in OF_ALL else np.array([positive or 0, ((positive or 0) + 1) % k])
    other = np.roll(own, -1)
    right_and_wrong, wrong_and_right = [own, other][-models:], [other, own][-models:]
    prior = np.full(len(own), 2 / len(own))

    def statistic(sums: FloatArray) -> FloatArray:
        truths, *each = np.split(sums, 1 + 2 * models, axis=1)
        values = [
            of(_Sums(hits, truths, calls), positive or 0) for hits, calls in zip(each[::2], each[1::2], strict=True)
        ]
        return values[0] if models == 1 else np.asarray(values[1] - values[0])

    counts, size = None, 1.0
    if groups is None:
        cells, seen = np.unique(np.stack([truth, *answers], axis=1).astype(np.int64), axis=0, return_counts=True)
        units, counts = _features(k, cells[:, 0], list(cells.T[1:])), seen.astype(np.float64)
        method = f"Bayesian bootstrap of {len(truth)} images and pseudo-images at each end"
    else:
        units = stats.group_sums(_features(k, truth, answers), groups)
        size = stats.group_size(groups)
        method = f"Bayesian bootstrap of {units.shape[0]} patients and pseudo-patients at each end"
    return stats.units_interval(
        units,
        statistic,
        worst=_features(k, own, right_and_wrong) * size,
        best=_features(k, own, wrong_and_right) * size,
        counts=counts,
        prior=prior,
        method=method,
    )


def _features(k: int, truth: IntArray, answers: Sequence[IntArray]) -> Any:
    """Return a sparse (N, k (1 + 2 models)): one in the column of the truth, of a right answer and of the answer."""
    from scipy.sparse import coo_matrix

    rows, every = np.arange(len(truth)), [(np.arange(len(truth)), truth)]
    for number, own in enumerate(answers):
        right = own == truth
        every += [(rows[right], own[right] + (1 + 2 * number) * k), (rows, own + (2 + 2 * number) * k)]
    places = [np.concatenate([one[axis] for one in every]) for axis in (0, 1)]
    shape = (len(truth), k * (1 + 2 * len(answers)))
    return coo_matrix((np.ones(len(places[0])), (places[0], places[1])), shape=shape).tocsr()


def _sparse_interval(
    k: int,
    truth: IntArray,
    answers: IntArray,
    statistic: Callable[[_Sums], FloatArray],
) -> Estimate:
    """Return the same for many classes: a thousand of them have 1e9 cells, of which hardly any holds an image.

    Only cells that hold an image, and those where each answer is right or the next class, are drawn. The latter get the
    pseudo-observations of all cells of a class in which the same answers are wrong.
    """
    from scipy.sparse import csr_matrix

    seen, counted = np.unique(np.stack([truth, answers], axis=1).astype(np.int64), axis=0, return_counts=True)
    own, wrong = np.repeat(np.arange(k), 2), np.tile([0, 1], k)
    lumps = np.column_stack([own, (own + wrong) % k])
    shares = (k - 1.0) ** wrong / float(k) ** 2
    cells, where = np.unique(np.concatenate([seen, lumps]), axis=0, return_inverse=True)
    where = where.reshape(-1)
    counts = np.bincount(where[: len(seen)], counted, len(cells)).astype(np.int64)
    prior = np.bincount(where[len(seen) :], shares, len(cells)).astype(np.float64)

    def indicator(classes: IntArray, rows: npt.NDArray[np.bool_]) -> Any:
        places = np.flatnonzero(rows)
        return csr_matrix((np.ones(len(places)), (places, classes[places])), shape=(len(cells), k))

    every = np.ones(len(cells), bool)
    truths = indicator(cells[:, 0], every)
    hits, calls = indicator(cells[:, 0], cells[:, 0] == cells[:, 1]), indicator(cells[:, 1], every)

    def of(weights: FloatArray) -> FloatArray:
        return statistic(_Sums(weights @ hits, weights @ truths, weights @ calls))

    return stats.cells_interval(counts, prior, of)
