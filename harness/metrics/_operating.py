"""The threshold that `[task] operating_point` asks for, from the answers of one model for one split.

The rule: of all thresholds at which the share asked for is reached, the one that costs the other kind of images least;
it lies in the middle between the two probabilities beside it, so that rounding on another device moves no image across.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.metrics._answers import read
from harness.model import Answers, FloatArray, Samples, Task


def threshold(answers: Answers, samples: Samples, task: Task, positive: int) -> tuple[float, str]:
    """Return the probability above which the second of two classes is the answer, and what it reaches on the split.

    Args:
        answers: of the baseline for the split.
        samples: the split, which is never the one that is measured.
        task: says the share that must be reached.
        positive: the class that sensitivity speaks of, 0 or 1.

    Raises:
        MeasurementError: there are no probabilities of two classes, or no image of a kind.
    """
    point = task.operating_point
    assert point is not None
    one = read(answers, samples.labels, samples.classes)
    if one.shares is None or one.columns != 2:
        raise MeasurementError(
            f"an operating point needs probabilities of two classes, and the model gives {_what(one.columns, answers)}",
            remedy="remove operating_point from [task], or bring a model with one probability or logit of each class",
        )
    there = samples.labels == positive
    # The threshold is of the second class, so the first one is called where its probability is low.
    scores = one.shares[:, 1] if positive == 1 else -one.shares[:, 1]
    wanted = there if point.rate == "sensitivity" else ~there
    if not wanted.any() or wanted.all():
        raise MeasurementError(
            "has no image of one of the two classes, so no threshold can be fixed on it",
            remedy="give a validation split with images of both",
        )
    ends = (0.0, 1.0) if positive == 1 else (-1.0, 0.0)
    bound = _bound(scores, wanted, point.at_least, ends, above=point.rate == "sensitivity")
    value = bound if positive == 1 else -bound
    # At one half the larger of two outputs decides, which is not the same for a sigmoid of each class on its own.
    value = float(np.nextafter(0.5, 0)) if value == 0.5 else value
    called = (one.shares[:, 1] > value) == (positive == 1)
    return value, _reached(called, there)


def _bound(
    scores: FloatArray, wanted: npt.NDArray[np.bool_], at_least: float, ends: tuple[float, float], *, above: bool
) -> float:
    """Return what a score must exceed, so that a share of the wanted images lies above it, or else not above it."""
    own, every = np.sort(scores[wanted]), np.unique(scores)
    # A share is reached by whole images; the product may be a hair above a whole number.
    count = math.ceil(at_least * len(own) - 1e-9)
    last = float(own[-count] if above else own[count - 1])
    place = int(np.searchsorted(every, last))
    if above:
        beside = float(every[place - 1]) if place > 0 else ends[0]
    else:
        beside = float(every[place + 1]) if place + 1 < len(every) else ends[1]
    middle = (beside + last) / 2
    # The last image itself must lie on its side, also where there is nothing beyond it.
    return middle if middle != last else float(np.nextafter(last, -np.inf if above else np.inf))


def _reached(called: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_]) -> str:
    shares = (("sensitivity", called[there]), ("specificity", ~called[~there]))
    return " and ".join(_share(name, right) for name, right in shares)


def _share(name: str, right: npt.NDArray[Any]) -> str:
    found = stats.wilson(int(right.sum()), len(right))
    assert found is not None
    return f"a {name} of {found.point:.1%} ({found.low:.1%} to {found.high:.1%}, {len(right)} images)"


def _what(columns: int, answers: Answers) -> str:
    return "labels alone" if answers.reading.kind == "labels" else f"those of {columns}"


def unable(classes: Sequence[str], kind: str) -> str:
    """Return why a threshold could not decide a model's answers, "" if it can.

    Args:
        classes: what its outputs are called.
        kind: what their numbers stand for.
    """
    if kind == "labels":
        return "gives labels alone, which no threshold can move"
    return "" if len(classes) in (0, 2) else f"knows {len(classes)} classes, and a threshold decides between two"
