"""The calibration error of one model and of two compared, with what chance adds to it.

It is the mean gap between confidence and accuracy in 15 equal bins (Guo et al. 2017, "On calibration of modern neural
networks"). Chance makes a gap in every bin, also of a model that has none, so that the error of few images is too large
(Kumar, Liang and Ma 2019, "Verified uncertainty calibration"), and that of a good model by more than that of a bad one:
a difference looks smaller than it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.metrics._answers import Read
from harness.model import Estimate, FloatArray, IntArray

_BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """Images of which a model was about equally sure.

    Attributes:
        images: how many.
        stated: the mean probability that the model gave to the class it chose.
        right: the share of them that are of this class, with its 95 % interval.
    """

    images: int
    stated: float
    right: Estimate


def interval(models: Sequence[Read], truth: npt.NDArray[Any], groups: IntArray | None = None) -> Estimate:
    """Return the calibration error of one model, or the second's minus the first's.

    By how much chance has raised an error is not known; it is nothing at least, and at most about what it is for a
    model without a gap: the sum over bins of the mean size of a normal number with the bin's variance,
    sqrt(2 / pi) times its standard deviation. The interval allows for either.

    Args:
        models: answers of one model, or of two; each with probabilities.
        truth: (N,) labels.
        groups: (N,) the patient of each image, drawn as one; None where each image is a patient of its own.
    """
    each = [_gaps(one, truth) for one in models]
    units: FloatArray = np.concatenate([*each, np.ones((len(truth), 1))], axis=1)
    kind = "images"
    if groups is not None:
        units, kind = stats.group_sums(units, groups), "patients"

    def statistic(sums: FloatArray) -> FloatArray:
        errors = [
            np.abs(sums[:, number * _BINS : (number + 1) * _BINS]).sum(axis=1) / sums[:, -1]
            for number in range(len(models))
        ]
        return np.asarray(errors[0] if len(errors) == 1 else errors[1] - errors[0])

    # Patients of several images add the sum of their gaps, so what their gaps have in common is in the variance.
    variances = (units[:, :-1] ** 2).sum(axis=0).reshape(len(models), _BINS)
    raised = math.sqrt(2 / math.pi) * np.sqrt(variances).sum(axis=1) / len(truth)
    found = stats.deviation_interval(
        units,
        statistic,
        below=float(raised[-1]),
        above=float(raised[0]) if len(models) == 2 else 0.0,
        unseen=(1.0 if groups is None else stats.group_size(groups)) / len(truth),
        method=f"Bayesian bootstrap of {len(units)} {kind} and what chance adds to a calibration error",
    )
    least = 0.0 if len(models) == 1 else -1.0
    return Estimate(found.point, max(found.low, least), min(found.high, 1.0), found.confidence, found.method)


def confidences(one: Read) -> FloatArray:
    """Return (N,) the probability that a model gives to the class it chooses."""
    assert one.shares is not None
    return np.asarray(one.shares[np.arange(len(one.labels)), one.labels], np.float64)


def equal_counts(sure: FloatArray, most: int) -> IntArray:
    """Return (N,) the bin of each image: about equally many in each, at least ten where nothing is tied.

    Images of one confidence share a bin, so that their order in the split decides nothing.

    Args:
        sure: (N,) confidences.
        most: the largest number of bins.
    """
    count = max(1, min(most, len(sure) // 10))
    edges = np.unique(np.sort(sure)[np.arange(1, count) * len(sure) // count])
    return np.asarray(np.searchsorted(edges, sure, side="right"), np.int64)


def _gaps(one: Read, truth: npt.NDArray[Any]) -> FloatArray:
    """Return (N, bins): by how much each image's confidence is above what it should have been, in its bin."""
    n, sure = len(truth), confidences(one)
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = np.zeros((n, _BINS))
    gaps[np.arange(n), bins] = sure - (one.labels == truth)
    return gaps
