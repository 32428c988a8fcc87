"""Several labels an image: how answers are read, and what is a share or a mean over labels, of one model and of two."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.model import Answers, Estimate, FloatArray, IntArray, Reading

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Given:
    """What a model says of each label.

    Attributes:
        called: (N, K) whether it says that the image has the label.
        scores: (N, K) the higher, the surer; None where the model gives labels alone.
    """

    called: Flags
    scores: FloatArray | None


def columns(answers: Answers, classes: Sequence[str]) -> FloatArray:
    """Return (N, K) numbers, one a label in the data's order, without labels that only the model knows.

    Args:
        answers: what a model gave.
        classes: the data's labels; () for the model's own order.
    """
    values = np.asarray(answers.values, np.float64)
    values = values.reshape(len(values), -1)
    names = answers.reading.classes
    if names and classes and values.shape[1] == len(names):
        values = values[:, [names.index(name) for name in classes]]
    return values


def bound(reading: Reading) -> float:
    """Return what an output must exceed for its label to be called."""
    if reading.kind == "logits":
        return math.log(reading.threshold / (1 - reading.threshold))
    return 0.5 if reading.kind == "labels" else reading.threshold


def called(answers: Answers, classes: Sequence[str]) -> Flags:
    """Return (N, K) whether each label is called.

    Args:
        answers: what a model gave.
        classes: as for `columns`.
    """
    return np.asarray(columns(answers, classes) > bound(answers.reading))


def read(answers: Answers, truth: npt.NDArray[Any], classes: Sequence[str]) -> Given:
    """Return answers as they are judged.

    Args:
        answers: what a model gave.
        truth: (N, K) labels.
        classes: the K names.

    Raises:
        MeasurementError: they are not finite, do not fit the labels, or are no answers to several labels.
    """
    values, n = columns(answers, classes), len(truth)
    if truth.ndim != 2 or n == 0 or values.shape != truth.shape:
        raise MeasurementError(
            f"the model gives outputs of shape {answers.values.shape}, the labels are {truth.shape} "
            f"({', '.join(classes)})",
            remedy=f"export the model with one output per label, (N, {len(classes)})",
        )
    broken = int((~np.isfinite(values)).any(axis=1).sum())
    if broken:
        raise MeasurementError(
            f"{broken} of {n} images gave NaN or infinite outputs",
            remedy="check the model's conversion and [data.input]",
        )
    if answers.reading.kind not in ("sigmoid", "logits", "labels"):
        raise MeasurementError(
            "several labels an image are read from sigmoids, logits or labels",
            remedy='write output = { kind = "sigmoid" } (or "logits", "labels") under [task]',
        )
    scores = None if answers.reading.kind == "labels" else values
    return Given(values > bound(answers.reading), scores)


def _exact_match(models: Sequence[Given], truth: IntArray, groups: IntArray | None) -> Estimate | None:
    known = (truth >= 0).all(axis=1)
    if not known.any():
        return None
    right = [(one.called == (truth == 1)).all(axis=1)[known] for one in models]
    if groups is not None:
        change = right[-1].astype(np.float64) - (right[0] if len(right) == 2 else 0)
        return stats.mean_interval(change, least=1.0 - len(right), most=1, groups=groups[known])
    if len(right) == 1:
        return stats.wilson(int(right[0].sum()), len(right[0]))
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    return stats.paired_difference(gained, lost, len(right[0]))


def _hamming(models: Sequence[Given], truth: IntArray, groups: IntArray | None) -> Estimate | None:
    known, k = truth >= 0, truth.shape[1]
    if not known.any():
        return None
    right = [((one.called == (truth == 1)) & known).sum(axis=1) for one in models]
    change = right[-1] - right[0] if len(right) == 2 else right[0]
    units = np.column_stack([change, known.sum(axis=1)]).astype(np.float64)
    ends = np.array([[[-k if len(right) == 2 else 0, k]], [[k, k]]], np.float64)
    return _interval(units, ends, lambda sums: np.asarray(sums[:, 0] / sums[:, 1]), groups)


def _macro_f1(models: Sequence[Given], truth: IntArray, groups: IntArray | None) -> Estimate | None:
    known, there = truth >= 0, truth == 1
    if not there.any(axis=0).all():
        return None
    k = truth.shape[1]

    def statistic(sums: FloatArray) -> FloatArray:
        truths, *each = np.split(sums, 1 + 2 * len(models), axis=1)
        values = []
        for hits, calls in zip(each[::2], each[1::2], strict=True):
            below = truths + calls
            values.append(np.divide(2 * hits, below, out=np.zeros_like(below), where=below > 0).mean(axis=1))
        return np.asarray(values[-1] - values[0] if len(values) == 2 else values[0])

    # One more image that has every label and one that has none: the last model has both wrong, of two the first right.
    own = np.repeat(np.array([[True], [False]]), k, axis=1)
    every = np.ones_like(own)
    worst, best = _features(own, [own, ~own][-len(models) :], every), _features(own, [~own, own][-len(models) :], every)
    units = _features(there, [one.called for one in models], known)
    return _interval(units, np.stack([worst, best]), statistic, groups)


def _features(there: Flags, called: Sequence[Flags], known: Flags) -> FloatArray:
    """Return (N, K (1 + 2 models)): whether a label is there; of each model whether it has it right, and calls it."""
    parts = [there & known]
    for own in called:
        parts += [there & own & known, own & known]
    return np.concatenate(parts, axis=1).astype(np.float64)


def _macro_auroc(models: Sequence[Given], truth: IntArray, groups: IntArray | None) -> Estimate | None:
    scores = [one.scores for one in models if one.scores is not None]
    if len(scores) < len(models):
        return None
    return stats.mean_auroc(scores, truth == 1, truth >= 0, groups=groups)


def _interval(
    units: FloatArray,
    ends: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    groups: IntArray | None,
) -> Estimate:
    size, what = 1.0, "image"
    if groups is not None:
        units, size, what = stats.group_sums(units, groups), stats.group_size(groups), "patient"
    worst, best = ends * size
    method = f"Bayesian bootstrap of {len(units)} {what}s and pseudo-{what}s at each end"
    return stats.units_interval(units, statistic, worst=worst, best=best, method=method)


#: Each takes what one model gives, or two, the (N, K) truth and the patients.
STATISTICS: Final[dict[str, Callable[[Sequence[Given], IntArray, IntArray | None], Estimate | None]]] = {
    "exact_match": _exact_match,
    "hamming_accuracy": _hamming,
    "macro_f1": _macro_f1,
    "macro_auroc": _macro_auroc,
}
