"""Metrics of `[task] kind = "classification"`, with `positive = "CLASS"` naming the class that sensitivity speaks of.

Outputs are (N, K), one column a class, or with two classes (N, 1) or (N,), which speak of the second one; further axes
of one are no matter. What the numbers stand for is said by the model's reading: logits become probabilities by softmax,
probabilities are made to sum to one (quantised ones nearly do), a sigmoid's stay each on its own, labels are the answer
and have no probability. The label is the largest, or with two classes what the threshold decides. `brier` and `auroc`
are those of the positive class; `calibration_error` is that of the chosen label in 15 equal bins (Guo et al. 2017, "On
calibration of modern neural networks").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.formats import Tensor
from harness.metrics._answers import Read, labels_of, read, scores
from harness.model import Answers, Estimate, Evaluation, FloatArray, IntArray, Samples, Task

Outputs = npt.NDArray[np.float32]
_BINS = 15
#: Up to so many classes the whole table of truth by two models' answers is resampled: 32,768 cells.
_DENSE = 32


def fits(output: Tensor, samples: Samples, columns: int) -> bool | None:
    """Return whether an output has the shape of answers to this task, None where its file does not say.

    Args:
        output: of a model's file.
        samples: the split.
        columns: how many classes the model knows.
    """
    if samples.masks is not None and not len(samples.labels):
        return False
    if output.type in ("text", "map"):
        return True
    if output.shape is None:
        return None
    sizes = [size for size in output.shape[1:] if size != 1]
    if not sizes:
        return columns == 2 or output.kind == "labels"
    if len(sizes) > 1 or output.kind == "labels":  # a label is one number an image
        return False
    return None if sizes[0] is None else sizes[0] == columns


def needs_kind(output: Tensor) -> bool:
    """Return True: probabilities have a part in Brier score, AUROC and calibration."""
    del output
    return True


def evaluate(answers: Answers, samples: Samples, task: Task) -> Evaluation:
    """Return accuracy, sensitivity, specificity, precision, F1, AUROC, Brier and the rest with their 95 % intervals.

    Args:
        answers: (N, K) raw model outputs, or as this module's docstring says.
        samples: the split, whose N labels and K classes they belong to.
        task: names the positive class; without it, the last of two classes is the positive one.

    Raises:
        MeasurementError: if outputs are not finite, or do not fit the labels and classes.
    """
    one = read(answers, samples.labels, samples.classes)
    positive = _positive(samples.classes, task)
    predicted = one.labels
    table = _table(one.columns, samples.labels, predicted)
    found = {**_proportions(table, positive), **_of_tables(samples.labels, predicted, table, positive)}
    if one.shares is not None:
        found |= _of_probabilities(one, samples.labels, positive)
    kept = {name: estimate for name, estimate in found.items() if estimate is not None}
    return Evaluation(kept, table[: len(samples.classes)])


def compare(
    baseline: Answers, run: Answers, truth: npt.NDArray[Any], classes: Sequence[str], task: Task, metric: str
) -> Estimate | None:
    """Return run minus baseline in one metric with its 95 % interval, paired on the same images.

    Sensitivity is compared on the positives, specificity on the negatives, accuracy on all (Tango's score interval);
    AUROC by Newcombe's intervals with DeLong's correlation; Brier score by the Bayesian bootstrap and calibration error
    by the plain one; the others by resampling the paired table.

    Args:
        baseline: what the baseline gave.
        run: what the run gave, for the same images in the same order.
        truth: (N,) labels.
        classes: the K names.
        task: names the positive class.
        metric: a name of `harness.vocabulary.METRICS`.

    Returns:
        The difference in ratio units, or None where the metric has no cases or does not belong to this task.

    Raises:
        MeasurementError: as `evaluate`, for either outputs.
    """
    before, after = (read(answers, truth, classes) for answers in (baseline, run))
    positive = _positive(classes, task)
    if metric in ("accuracy", "sensitivity", "specificity"):
        return _proportion_difference(before.labels, after.labels, truth, positive, metric)
    if metric in _TABLE_STATISTICS:
        k = max(before.columns, after.columns)
        return _table_difference(before.labels, after.labels, truth, len(classes), k, positive, metric)
    if before.shares is None or after.shares is None or (positive is None and metric in ("auroc", "brier")):
        return None
    if metric == "auroc" and positive is not None:
        return stats.auroc_difference(scores(before, positive), scores(after, positive), truth == positive)
    if metric == "brier":
        change = _losses(after, truth, positive) - _losses(before, truth, positive)
        return stats.mean_interval(change, least=-1, most=1)
    if metric == "calibration_error":
        first, second = (_gaps(one, truth) for one in (before, after))
        return stats.bootstrap_interval(len(truth), lambda weights: second(weights) - first(weights))
    return None


def agreement(baseline: Answers, run: Answers) -> Estimate:
    """Return the share of images to which both models give the same label, with Wilson's interval.

    Args:
        baseline: what the baseline gave.
        run: what the run gave, for the same images in the same order.

    Raises:
        MeasurementError: if the two are not of as many images or there are no images.
    """
    if len(baseline.values) != len(run.values):
        raise MeasurementError(
            f"outputs of {len(run.values)} images cannot be compared with those of {len(baseline.values)}",
            remedy="measure both on the same images",
        )
    classes = baseline.reading.classes if run.reading.classes else ()
    same = labels_of(baseline, classes) == labels_of(run, classes)
    share = stats.wilson(int(same.sum()), len(run.values))
    if share is None:
        raise MeasurementError("there are no outputs to compare", remedy="check that the data's split is not empty")
    return share


def _positive(classes: Sequence[str], task: Task) -> int | None:
    if task.positive:
        if task.positive not in classes:
            raise MeasurementError(
                f"[task] positive = {task.positive!r} is no class of the data",
                remedy=f"choose one of {', '.join(classes)}",
            )
        return list(classes).index(task.positive)
    return 1 if len(classes) == 2 else None


def _table(k: int, *labels: npt.NDArray[Any]) -> IntArray:
    flat = np.ravel_multi_index([label.astype(np.int64) for label in labels], (k,) * len(labels))
    return np.bincount(flat, minlength=k ** len(labels)).reshape((k,) * len(labels)).astype(np.int64)


def _proportions(table: IntArray, positive: int | None) -> dict[str, Estimate | None]:
    found = {"accuracy": stats.wilson(int(np.trace(table)), int(table.sum()))}
    if positive is None:
        return found
    hits, truths, calls = int(table[positive, positive]), int(table[positive].sum()), int(table[:, positive].sum())
    negatives = int(table.sum()) - truths
    found["sensitivity"] = stats.wilson(hits, truths)
    found["specificity"] = stats.wilson(negatives - (calls - hits), negatives)
    found["precision"] = stats.wilson(hits, calls) if truths else None
    return found


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
_TABLE_STATISTICS: dict[str, Callable[[_Sums, int], FloatArray]] = {
    "f1": lambda sums, positive: _quotient(2 * sums.hits, sums.truths + sums.calls)[:, positive],
    "macro_f1": lambda sums, _: np.asarray(_quotient(2 * sums.hits, sums.truths + sums.calls).mean(axis=1)),
    "balanced_accuracy": lambda sums, _: np.asarray(_quotient(sums.hits, sums.truths).mean(axis=1)),
    "precision": lambda sums, positive: _quotient(sums.hits[:, positive], sums.calls[:, positive]),
}


def _has_cases(metric: str, truths: IntArray, positive: int | None) -> bool:
    # A mean over classes needs an image of every class; what speaks of the positive class needs one of that.
    if metric in ("macro_f1", "balanced_accuracy"):
        return bool((truths > 0).all())
    return positive is not None and bool(truths[positive] > 0)


def _of_tables(truth: IntArray, predicted: IntArray, table: IntArray, positive: int | None) -> dict[str, Estimate]:
    truths, k = table.sum(axis=1), len(table)
    return {
        name: _table_interval(k, truth, (predicted,), lambda sums, of=of: of(sums[0], positive or 0))  # type: ignore[misc]
        for name, of in _TABLE_STATISTICS.items()
        if name != "precision" and _has_cases(name, truths, positive)  # precision is a proportion: Wilson's is better
    }


def _table_difference(
    before: IntArray, after: IntArray, truth: npt.NDArray[Any], classes: int, k: int, positive: int | None, metric: str
) -> Estimate | None:
    if k > classes and metric in ("macro_f1", "balanced_accuracy"):
        return None
    if not _has_cases(metric, np.bincount(truth, minlength=k), positive):
        return None
    if metric == "precision" and not ((before == positive).any() and (after == positive).any()):
        return None
    of = _TABLE_STATISTICS[metric]
    return _table_interval(
        k, truth, (before, after), lambda sums: of(sums[1], positive or 0) - of(sums[0], positive or 0)
    )


def _table_interval(
    k: int,
    truth: IntArray,
    answers: tuple[IntArray, ...],
    statistic: Callable[[Sequence[_Sums]], FloatArray],
) -> Estimate:
    """Return a statistic of the table of truth by answers, with its interval by resampling.

    Args:
        k: how many classes there are.
        truth: (N,) labels.
        answers: (N,) answers of one model, or of two.
        statistic: of the sums of each model.
    """
    if k > _DENSE:
        return _sparse_interval(k, truth, answers, statistic)
    table = _table(k, truth, *answers)
    if len(answers) == 1:
        return stats.table_interval(table, lambda tables: statistic([_Sums.of(tables)]))
    # Before, the answers of the second model are summed over; after, those of the first.
    return stats.table_interval(
        table, lambda tables: statistic([_Sums.of(tables.sum(axis=3)), _Sums.of(tables.sum(axis=2))])
    )


def _sparse_interval(
    k: int,
    truth: IntArray,
    answers: tuple[IntArray, ...],
    statistic: Callable[[Sequence[_Sums]], FloatArray],
) -> Estimate:
    """Return the same for many classes: a thousand of them have 1e9 cells, of which hardly any holds an image.

    Only cells that hold an image, and those where each answer is right or the next class, are drawn. The latter get the
    pseudo-observations of all cells of a class in which the same answers are wrong.
    """
    from scipy.sparse import csr_matrix

    seen, counted = np.unique(np.stack([truth, *answers], axis=1).astype(np.int64), axis=0, return_counts=True)
    patterns = np.array(np.meshgrid(*[[0, 1]] * len(answers), indexing="ij")).reshape(len(answers), -1).T
    own = np.repeat(np.arange(k), len(patterns))
    wrong = np.tile(patterns, (k, 1))
    lumps = np.column_stack([own, (own[:, np.newaxis] + wrong) % k])
    shares = (k - 1.0) ** wrong.sum(axis=1) / float(k) ** (1 + len(answers))
    cells, where = np.unique(np.concatenate([seen, lumps]), axis=0, return_inverse=True)
    where = where.reshape(-1)
    counts = np.bincount(where[: len(seen)], counted, len(cells)).astype(np.int64)
    prior = np.bincount(where[len(seen) :], shares, len(cells)).astype(np.float64)

    def indicator(classes: IntArray, rows: npt.NDArray[np.bool_]) -> Any:
        places = np.flatnonzero(rows)
        return csr_matrix((np.ones(len(places)), (places, classes[places])), shape=(len(cells), k))

    every = np.ones(len(cells), bool)
    truths = indicator(cells[:, 0], every)
    each = [(indicator(cells[:, 0], cells[:, 0] == column), indicator(column, every)) for column in cells[:, 1:].T]

    def of(weights: FloatArray) -> FloatArray:
        images = weights @ truths
        return statistic([_Sums(weights @ hits, images, weights @ calls) for hits, calls in each])

    return stats.cells_interval(counts, prior, of)


def _proportion_difference(
    before: IntArray, after: IntArray, truth: npt.NDArray[Any], positive: int | None, metric: str
) -> Estimate | None:
    if metric == "accuracy":
        chosen, right = np.ones(len(truth), bool), (before == truth, after == truth)
    elif positive is None:
        return None
    elif metric == "sensitivity":
        chosen, right = truth == positive, (before == positive, after == positive)
    else:
        chosen, right = truth != positive, (before != positive, after != positive)
    gained = int((chosen & right[1] & ~right[0]).sum())
    lost = int((chosen & right[0] & ~right[1]).sum())
    return stats.paired_difference(gained, lost, int(chosen.sum()))


def _of_probabilities(one: Read, labels: IntArray, positive: int | None) -> dict[str, Estimate | None]:
    calibration = stats.bootstrap_interval(len(labels), _gaps(one, labels))
    if positive is None:
        return {"calibration_error": calibration}
    return {
        "brier": stats.mean_interval(_losses(one, labels, positive), least=0, most=1),
        "calibration_error": calibration,
        "auroc": stats.auroc(scores(one, positive), labels == positive),
    }


def _losses(one: Read, labels: npt.NDArray[Any], positive: int | None) -> FloatArray:
    """Return (N,) the squared error of the positive class's probability."""
    assert one.shares is not None
    return np.asarray((one.shares[:, positive or 0] - (labels == positive)) ** 2)


def _gaps(one: Read, labels: npt.NDArray[Any]) -> Callable[[FloatArray], FloatArray]:
    """Return the calibration error as a function of the images' weights."""
    n, shares = len(labels), one.shares
    assert shares is not None
    sure = shares[np.arange(n), one.labels]
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = np.zeros((n, _BINS))
    gaps[np.arange(n), bins] = sure - (one.labels == labels)
    return lambda weights: np.asarray(np.abs(weights @ gaps).sum(axis=1) / n)
