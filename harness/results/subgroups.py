"""What a model is worth on each part of the split: the images of one class, and those of one subgroup.

`[data] subgroup` names what the images are divided by: a scanner, a clinic, a sex. A model that is right on the whole
may fail one of them, and few images of one say little, which its interval shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from harness import stats
from harness.errors import MeasurementError
from harness.model import Answers, Estimate, IntArray, Samples, Subgroup, Task

#: More classes than this are not listed one by one: the table of truth by answers has them.
_MOST_CLASSES: Final = 32
CLASS: Final = "class"
#: What a kind with several labels an image gives apart.
LABEL: Final = "label"


def of(metrics: Any, answers: Answers, samples: Samples, task: Task) -> tuple[Subgroup, ...]:
    """Return what a model is worth on each class and each subgroup, those with the fewest images first.

    Args:
        metrics: the module of the task's kind.
        answers: of the model, for the whole split.
        samples: the split.
        task: what the model is for.
    """
    if not len(samples.labels) and samples.masks is None:
        return ()  # without a truth nothing is right or wrong
    of_labels = metrics.by_label(answers, samples) if hasattr(metrics, "by_label") else ()
    found = [*of_labels, *_classes(metrics, answers, samples), *_subgroups(metrics, answers, samples, task)]
    return tuple(sorted(found, key=lambda one: (one.by == CLASS, one.images, one.name)))


def _classes(metrics: Any, answers: Answers, samples: Samples) -> Iterator[Subgroup]:
    """Yield the sensitivity of each class: how many of its images are called so."""
    if not hasattr(metrics, "labels_of") or not 2 < len(samples.classes) <= _MOST_CLASSES:
        return  # of two classes they are sensitivity and specificity
    right = metrics.labels_of(answers, samples.classes) == samples.labels
    for number, name in enumerate(samples.classes):
        chosen = np.flatnonzero(samples.labels == number)
        if len(chosen):
            share, patients = _share(right[chosen].astype(np.float64), samples.groups, chosen)
            yield Subgroup(CLASS, name, len(chosen), patients, {"sensitivity": share})


def _share(right: Any, groups: IntArray | None, chosen: IntArray) -> tuple[Estimate, int | None]:
    if groups is not None:
        own = groups[chosen]
        return stats.mean_interval(right, least=0, most=1, groups=own), len(np.unique(own))
    share = stats.wilson(int(right.sum()), len(right))
    assert share is not None
    return share, None


def _subgroups(metrics: Any, answers: Answers, samples: Samples, task: Task) -> Iterator[Subgroup]:
    if samples.subgroups is None:
        return
    for number, name in enumerate(samples.subgroup_names):
        chosen = np.flatnonzero(samples.subgroups == number)
        if not len(chosen):
            continue
        part = samples.without(np.flatnonzero(samples.subgroups != number))
        own = replace(answers, values=answers.values[chosen])
        patients = len(np.unique(part.groups)) if part.groups is not None else None
        try:
            estimates = metrics.evaluate(own, part, task).estimates
        except MeasurementError:
            estimates = {}  # the whole split was judged, so it is what such few images lack
        yield Subgroup(samples.subgroup, name, len(chosen), patients, estimates)
