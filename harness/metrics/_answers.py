"""Answers of a classifier, of any documented shape and kind, as they are judged: labels, probabilities, scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import MeasurementError
from harness.model import Answers, FloatArray, IntArray, Reading

Outputs = npt.NDArray[np.float32]


def labels_of(answers: Answers, classes: Sequence[str] = ()) -> IntArray:
    """Return (N,) the class that a model gives each image, as an index into the data's classes.

    Args:
        answers: what it gave.
        classes: the data's; needed where the model's own are in another order and the index itself matters.
    """
    return _labels(_columns(answers, classes), answers.reading)


def probabilities(answers: Answers, classes: Sequence[str] = ()) -> FloatArray:
    """Return (N, K) probabilities; those of models that give labels alone are 0 and 1."""
    return _shares(_columns(answers, classes), answers.reading.kind)


@dataclass(frozen=True, slots=True)
class Read:
    """Answers as they are judged.

    Attributes:
        values: (N, columns) in the data's order of classes, then those that only the model knows.
        labels: (N,) the class that is given.
        shares: (N, columns) probabilities, None where the model gives labels alone.
        kind: as `Reading.kind`.
    """

    values: FloatArray
    labels: IntArray
    shares: FloatArray | None
    kind: str

    @property
    def columns(self) -> int:
        """How many classes the data and the model have together."""
        return int(self.values.shape[1])


def read(answers: Answers, truth: npt.NDArray[Any], classes: Sequence[str]) -> Read:
    """Return answers as they are judged.

    Args:
        answers: what a model gave.
        truth: (N,) labels.
        classes: their names.

    Raises:
        MeasurementError: they are not finite, or do not fit the labels and classes.
    """
    _check(answers.values, truth, classes)
    values, kind = _columns(answers, classes), answers.reading.kind
    if values.ndim != 2 or values.shape[1] != len({*classes, *answers.reading.classes}):
        raise MeasurementError(
            f"the model gives outputs of shape {answers.values.shape}, the data has {len(classes)} classes "
            f"({', '.join(classes)})",
            remedy=f"export the model with one output per class, (N, {len(classes)})",
        )
    shares = None if kind == "labels" else _shares(values, kind)
    return Read(values, _labels(values, answers.reading), shares, kind)


def _columns(answers: Answers, classes: Sequence[str]) -> FloatArray:
    """Return (N, K) numbers, one a class in the data's order, of any documented shape."""
    values = np.asarray(answers.values, np.float64)
    if values.ndim > 2 and math.prod(values.shape[1:]) == max(values.shape[1:]):
        values = values.reshape(len(values), -1)
    names, k = answers.reading.classes, len(classes)
    extra = [name for name in names if name not in classes]
    if answers.reading.kind == "labels":
        if values.size != len(values):
            raise MeasurementError(
                f"the model gives labels of shape {answers.values.shape}, and a label is one number an image",
                remedy="name another kind of its output, or another output",
            )
        given = np.clip(values.reshape(len(values), -1)[:, 0], -1, np.iinfo(np.int32).max).astype(np.int64)
        if names and k:
            places = np.array([[*classes, *extra].index(name) for name in names])
            inside = (given >= 0) & (given < len(places))
            given = np.where(inside, places[np.clip(given, 0, len(places) - 1)], -1)
        width = max(k + len(extra), 1 if k else int(given.max(initial=0)) + 1)
        if ((given < 0) | (given >= width)).any():
            raise MeasurementError(
                f"the model gives labels that are not 0 to {width - 1}",
                remedy="declare `classes` under its output, or correct its labels",
            )
        return np.asarray(np.eye(width)[given])
    if values.ndim == 1 or (values.shape[1:] == (1,) and k != 1):
        # One number speaks of the second of two classes.
        one = values.reshape(-1)
        values = np.stack([np.zeros_like(one) if answers.reading.kind == "logits" else 1 - one, one], axis=1)
    if names and k and values.shape[1:] == (len(names),):
        order = [names.index(name) for name in (*classes, *extra)]
        values = values[:, order]
    return values


def _labels(values: FloatArray, reading: Reading) -> IntArray:
    """Return the class of each row: the largest, or of two the second where it is above a declared threshold."""
    if values.shape[1] == 2 and reading.threshold != 0.5 and reading.kind != "labels":
        return (_shares(values, reading.kind)[:, 1] > reading.threshold).astype(np.int64)
    return np.asarray(values.argmax(axis=1), np.int64)


def _shares(values: FloatArray, kind: str) -> FloatArray:
    """Return (N, K) probabilities of numbers of some kind."""
    if kind in ("sigmoid", "labels"):
        return values
    if kind == "probabilities" or (kind == "" and _look_like_distributions(values)):
        sums = values.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(values, sums, out=np.zeros_like(values), where=sums != 0))
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _look_like_distributions(values: FloatArray) -> bool:
    # Stores of version 0.1 and formats that nothing here can read do not say what numbers stand for.
    return bool(values.min() >= 0 and np.abs(values.sum(axis=1) - 1).max() <= 0.05)


def scores(one: Read, positive: int) -> FloatArray:
    """Return (N,) numbers that are the higher, the surer a model is of one class."""
    # Orders images as the positive class's probability does, without the ties softmax makes of very sure logits.
    assert one.shares is not None
    if one.kind in ("sigmoid", "probabilities") or (one.kind == "" and _look_like_distributions(one.values)):
        return np.asarray(one.shares[:, positive], np.float64)
    others = np.delete(one.values, positive, axis=1)
    return np.asarray(one.values[:, positive] - np.logaddexp.reduce(others, axis=1), np.float64)


def _check(outputs: Outputs, labels: npt.NDArray[Any], classes: Sequence[str]) -> None:
    n, k = len(labels), len(classes)
    if len(outputs) != n or n == 0:
        raise MeasurementError(
            f"{len(outputs)} outputs for {n} labelled images", remedy="measure the case again on the whole split"
        )
    broken = int((~np.isfinite(outputs)).reshape(n, -1).any(axis=1).sum())
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
