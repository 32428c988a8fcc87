"""Metrics of `[task] kind = "classification"`, with `positive = "CLASS"` naming the class that sensitivity speaks of.

Outputs are (N, K), one column a class. Rows that all look like distributions (no negative, sums within 5 % of 1, as
quantised models give them) are taken as probabilities, anything else as logits and passed through softmax.
The label is the largest output, as the device would choose it. `brier` and `auroc` are those of the positive class;
`calibration_error` is that of the chosen label in 15 equal bins (Guo et al. 2017, "On calibration of modern neural
networks").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.model import Estimate, Evaluation, FloatArray, IntArray, Samples, Task

Outputs = npt.NDArray[np.float32]
_BINS = 15
#: Up to so many classes the whole table of truth by two models' answers is resampled: 32,768 cells.
_DENSE = 32


def evaluate(outputs: Outputs, samples: Samples, task: Task) -> Evaluation:
    """Return accuracy, sensitivity, specificity, precision, F1, AUROC, Brier and the rest with their 95 % intervals.

    Args:
        outputs: (N, K) raw model outputs, logits or probabilities.
        samples: the split, whose N labels and K classes they belong to.
        task: names the positive class; without it, the last of two classes is the positive one.

    Raises:
        MeasurementError: if outputs are not finite, or do not fit the labels and classes.
    """
    _check(outputs, samples.labels, samples.classes)
    positive = _positive(samples.classes, task)
    predicted = outputs.argmax(axis=1)
    table = _table(len(samples.classes), samples.labels, predicted)
    found = {**_proportions(table, positive), **_of_tables(samples.labels, predicted, table, positive)}
    found |= _of_probabilities(outputs, samples.labels, positive)
    return Evaluation({name: estimate for name, estimate in found.items() if estimate is not None}, table)


def compare(
    baseline: Outputs, run: Outputs, truth: npt.NDArray[Any], classes: Sequence[str], task: Task, metric: str
) -> Estimate | None:
    """Return run minus baseline in one metric with its 95 % interval, paired on the same images.

    Sensitivity is compared on the positives, specificity on the negatives, accuracy on all (Tango's score interval);
    AUROC by DeLong; Brier and calibration error by bootstrap of images; the others by resampling the paired table.

    Args:
        baseline: (N, K) outputs of the baseline.
        run: (N, K) outputs of the run, on the same images in the same order.
        truth: (N,) labels.
        classes: the K names.
        task: names the positive class.
        metric: a name of `harness.vocabulary.METRICS`.

    Returns:
        The difference in ratio units, or None where the metric has no cases or does not belong to this task.

    Raises:
        MeasurementError: as `evaluate`, for either outputs.
    """
    for outputs in (baseline, run):
        _check(outputs, truth, classes)
    positive = _positive(classes, task)
    if metric in ("accuracy", "sensitivity", "specificity"):
        return _proportion_difference(baseline, run, truth, positive, metric)
    if metric in _TABLE_STATISTICS:
        return _table_difference(baseline, run, truth, len(classes), positive, metric)
    if positive is None and metric in ("auroc", "brier"):
        return None
    if metric == "auroc" and positive is not None:
        return stats.auroc_difference(_scores(baseline, positive), _scores(run, positive), truth == positive)
    if metric in ("brier", "calibration_error"):
        before = _weighted(metric, probabilities(baseline), truth, positive)
        after = _weighted(metric, probabilities(run), truth, positive)
        return stats.bootstrap_interval(len(truth), lambda weights: after(weights) - before(weights))
    return None


def agreement(baseline: Outputs, run: Outputs) -> Estimate:
    """Return the share of images to which both models give the same label, with Wilson's interval.

    Args:
        baseline: (N, K) outputs of the baseline.
        run: (N, K) outputs of the run, on the same images in the same order.

    Raises:
        MeasurementError: if the two do not have the same shape or there are no images.
    """
    if baseline.shape != run.shape:
        raise MeasurementError(
            f"outputs of shape {run.shape} cannot be compared with {baseline.shape}",
            remedy="measure both on the same images",
        )
    share = stats.wilson(int((baseline.argmax(axis=1) == run.argmax(axis=1)).sum()), len(run))
    if share is None:
        raise MeasurementError("there are no outputs to compare", remedy="check that the data's split is not empty")
    return share


def probabilities(outputs: Outputs) -> FloatArray:
    """Return (N, K) probabilities: the outputs, normalised, if they are distributions, else their softmax."""
    values = np.asarray(outputs, np.float64)
    if _are_distributions(values):
        return np.asarray(values / values.sum(axis=1, keepdims=True), np.float64)
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _are_distributions(values: FloatArray) -> bool:
    return bool(values.min() >= 0 and np.abs(values.sum(axis=1) - 1).max() <= 0.05)


def _scores(outputs: Outputs, positive: int) -> FloatArray:
    # Orders images as the positive class's probability does, without the ties softmax makes of very sure logits.
    values = np.asarray(outputs, np.float64)
    if _are_distributions(values):
        return np.asarray(values[:, positive] / values.sum(axis=1), np.float64)
    others = np.delete(values, positive, axis=1)
    return np.asarray(values[:, positive] - np.logaddexp.reduce(others, axis=1), np.float64)


def _check(outputs: Outputs, labels: npt.NDArray[Any], classes: Sequence[str]) -> None:
    n, k = len(labels), len(classes)
    if outputs.ndim != 2 or outputs.shape[1] != k:
        raise MeasurementError(
            f"the model gives outputs of shape {outputs.shape}, the data has {k} classes ({', '.join(classes)})",
            remedy=f"export the model with one output per class, (N, {k})",
        )
    if len(outputs) != n or n == 0:
        raise MeasurementError(
            f"{len(outputs)} outputs for {n} labelled images", remedy="measure the case again on the whole split"
        )
    broken = int((~np.isfinite(outputs)).any(axis=1).sum())
    if broken:
        raise MeasurementError(
            f"{broken} of {n} images gave NaN or infinite outputs",
            remedy="check the model's conversion and [data.input]",
        )
    strange = int(((labels < 0) | (labels >= k)).sum())
    if strange:
        raise MeasurementError(
            f"{strange} of {n} labels are not among the {k} classes", remedy="check the data's labels"
        )


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
    baseline: Outputs, run: Outputs, truth: npt.NDArray[Any], k: int, positive: int | None, metric: str
) -> Estimate | None:
    before, after = baseline.argmax(axis=1), run.argmax(axis=1)
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
    baseline: Outputs, run: Outputs, truth: npt.NDArray[Any], positive: int | None, metric: str
) -> Estimate | None:
    before, after = baseline.argmax(axis=1), run.argmax(axis=1)
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


def _of_probabilities(outputs: Outputs, labels: IntArray, positive: int | None) -> dict[str, Estimate | None]:
    shares = probabilities(outputs)
    found: dict[str, Estimate | None] = {
        name: stats.bootstrap_interval(len(labels), _weighted(name, shares, labels, positive))
        for name in ("brier", "calibration_error")
        if name != "brier" or positive is not None
    }
    if positive is not None:
        found["auroc"] = stats.auroc(_scores(outputs, positive), labels == positive)
    return found


def _weighted(
    metric: str, shares: FloatArray, labels: npt.NDArray[Any], positive: int | None
) -> Callable[[FloatArray], FloatArray]:
    n = len(labels)
    if metric == "brier":
        losses = (shares[:, positive or 0] - (labels == positive)) ** 2
        return lambda weights: np.asarray(weights @ losses / n)
    sure = shares.max(axis=1)
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = np.zeros((n, _BINS))
    gaps[np.arange(n), bins] = sure - (shares.argmax(axis=1) == labels)
    return lambda weights: np.asarray(np.abs(weights @ gaps).sum(axis=1) / n)
