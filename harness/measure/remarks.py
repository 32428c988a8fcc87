"""What must be doubted or cannot be shown, said before or beside the numbers; none of it is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness import lab, stats, units
from harness.errors import HarnessError, NoSplit
from harness.model import Run, Samples, Suite
from harness.vocabulary import METRICS

#: Inputs beyond this are no pixels of 8 bits, scaled or not: models that scale by themselves take 0 to 255.
_FAR = 300.0
#: Means of one number an image between 0 and 1.
_MEANS = ("dice", "iou", "nsd", "nsd_mm", "brier")
#: Split -> its names, and what it means that images of it are judged.
_SEEN = (
    ("train", ("train", "training"), "models that learnt from it may know them by heart"),
    ("validation", ("validation", "val", "valid"), "what was chosen by it, a threshold or when to stop, has seen them"),
)
#: So many pairs of images are looked at for being nearly the same, about a minute's work.
_MOST_PAIRS = 1_000_000_000


def of_data(suite: Suite, samples: Samples) -> list[str]:
    """Return what a suite's data and `[accept]` make doubtful, whatever will be measured.

    Args:
        suite: says how images become inputs, and what is accepted.
        samples: the split that is judged.
    """
    return [
        *samples.remarks,
        *_of_classes(suite, samples),
        *_of_inputs(suite, samples),
        *_of_common(suite, samples),
        *_of_margins(suite, samples),
    ]


def added(run: Run, *doubts: str) -> Run:
    """Return a run with more remarks behind those that it has."""
    return replace(run, notes={**run.notes, "remarks": [*run.notes.get("remarks", ()), *doubts]})


def of_retries(run: Run, reset: str, repeated: Sequence[str]) -> Run:
    """Return a run with what was tried again while its group was measured: what a lost link repeats is no secret.

    Args:
        run: one of the group.
        reset: what is said of resets of its device, "" where there were none.
        repeated: why a step was repeated, or a job gone on with, over a new connection: once for each time.
    """
    if repeated:
        run = replace(
            run, notes={**run.notes, "retries": {"count": len(repeated), "why": list(dict.fromkeys(repeated))}}
        )
    return added(run, reset) if reset else run


def of_baseline(run: Run) -> list[str]:
    """Return what makes a baseline doubtful: every comparison is worth as much as the baseline is.

    Args:
        run: of the baseline.
    """
    outputs, labels, accuracy = run.outputs, run.labels, run.accuracy.get("accuracy")
    if run.case.task != "classification" or outputs is None or labels is None or len(labels) < 2 or accuracy is None:
        return []
    if np.ptp(outputs, axis=0).max() == 0:
        return [
            f"{run.case.variant} gives the same outputs for every image: look whether [data.input] leaves anything of "
            "them (scaled twice, or a wrong mean and std)"
        ]
    counts = np.bincount(labels.astype(np.int64), minlength=len(run.classes))
    share, right = counts.max() / len(labels), accuracy.point
    if right > share:
        return []
    return [
        f"{run.case.variant} is right for {units.whole_percent(right)} of the images, no more than if it called every "
        f"one {run.classes[int(counts.argmax())]!r} ({units.whole_percent(share)}): look at [data.input] and at the "
        "order of `classes`"
    ]


def _of_classes(suite: Suite, samples: Samples) -> list[str]:
    """Return which classes no image is of: an accuracy says nothing of them."""
    empty = [name for name in samples.classes if len(samples.labels) and not samples.of_class(name).any()]
    if not empty:
        return []
    names = ", ".join(repr(name) for name in empty)
    return [f"no image of the split {suite.split} is of {names}: nothing that is measured speaks of it"]


def _of_common(suite: Suite, samples: Samples) -> list[str]:
    """Return how many images are in the splits train and validation too, where there are: a model may know them."""
    if samples.synthetic:
        return []
    found = _of_repeats(suite, samples)
    for split, names, why in _SEEN:
        if suite.split in names:
            continue
        try:
            other = lab.read_split(suite, split)
        except NoSplit:
            continue  # nothing can be said
        except HarnessError as error:
            # Nothing that is measured needs it.
            found.append(f"whether images of the split {split} are among them is not known: {error.text}")
            continue
        found += _of_patients(samples, other, split, why)
        if len(samples.images) * len(other.images) > _MOST_PAIRS:
            found.append(f"whether images of the split {split} are among them was not looked for: there are too many")
            continue
        common = stats.overlap(samples.images, other.images)
        if len(common.first):
            found.append(
                f"{units.count(len(common.first))} of {units.count(len(samples.images))} images are (nearly) in the "
                f"split {split} too ({common}{_disagreeing(common, samples, other)}): {why}"
            )
    return found


def _disagreeing(common: stats.Overlap, samples: Samples, other: Samples) -> str:
    """Return how many of the pairs have labels that differ, "" for none or without labels."""
    if not len(samples.labels) or not len(other.labels):
        return ""
    first, second = (_named(one) for one in (samples, other))
    count = common.disagreeing(first, second)
    return f", {units.count(count)} of them with different labels" if count else ""


def _named(samples: Samples) -> list[str]:
    """Return the label of each image by its name, or its several labels."""
    if samples.labels.ndim == 2:
        return [str(row) for row in samples.labels.tolist()]
    return [samples.classes[label] for label in samples.labels]


def _of_repeats(suite: Suite, samples: Samples) -> list[str]:
    """Return how many images repeat another one of their own split: they count as evidence twice."""
    pairs = stats.repeats(samples.images)
    if not len(pairs):
        return []
    labels = samples.labels
    unlike = labels[pairs[:, 0]] != labels[pairs[:, 1]] if len(labels) else np.zeros(0, bool)
    differ = int((unlike.any(axis=1) if unlike.ndim == 2 else unlike).sum())
    return [
        f"{units.count(len(pairs))} of {units.count(len(samples.images))} images repeat another one of the split "
        f"{suite.split}, pixel by pixel"
        + (f", {units.count(differ)} of them with a different label" if differ else "")
        + ": they are counted as if they were others"
    ]


def _of_patients(samples: Samples, other: Samples, split: str, why: str) -> list[str]:
    """Return how many images are of patients who are in another split too, where both name them.

    Args:
        samples: the split that is judged.
        other: the other one.
        split: its name.
        why: it matters.
    """
    shared = stats.common_groups(samples.groups, samples.group_names, other.groups, other.group_names)
    if samples.groups is None or not len(shared):
        return []
    patients = len(np.unique(samples.groups[shared]))
    return [
        f"{units.count(patients)} of {units.count(len(samples.group_names))} patients, with {units.count(len(shared))} "
        f"images, are in the split {split} too: {why}"
    ]


def _of_inputs(suite: Suite, samples: Samples) -> list[str]:
    low, high = float(samples.images.min()), float(samples.images.max())
    spec = suite.input
    if high <= 1 and low >= -1 and samples.images.dtype != np.uint8 and spec.scale < 0.1:
        return [
            f"the images hold values from {low:.3g} to {high:.3g}, and [data.input] scales them by {spec.scale:.3g} "
            "again; is scale = 1.0 meant?"
        ]
    # One value may stand for all channels, of the means as of the deviations.
    ends = np.stack([(value * spec.scale - np.array(spec.mean)) / np.array(spec.std) for value in (low, high)])
    if np.abs(ends).max() <= _FAR:
        return []
    return [
        f"the inputs reach from {ends.min():.3g} to {ends.max():.3g}, far outside what models are trained on; "
        f"the images hold {low:.3g} to {high:.3g}: look at scale, mean and std in [data.input]"
    ]


def _of_margins(suite: Suite, samples: Samples) -> list[str]:
    found = []
    for line in suite.accept:
        chosen, of_what = _images_of(line.metric, suite, samples)
        if line.rule != "non_inferior_by" or not chosen.any():
            continue
        images, counted = int(chosen.sum()), f"{units.count(int(chosen.sum()))} {of_what}"
        if samples.groups is None and line.metric in _MEANS:
            # A pseudo-image is to images what a pseudo-patient is to patients.
            least = -stats.mean_interval(np.zeros(images), least=-1, most=1).low
            needed = f"about {units.count(stats.patients_for_margin(line.bound))} images"
        elif samples.groups is None:
            least, needed = stats.smallest_margin(images), f"{units.count(stats.pairs_for_margin(line.bound))} images"
        else:
            groups = samples.groups[chosen]
            least = stats.smallest_margin_of_patients(images / stats.group_size(groups))
            needed = f"{units.count(stats.patients_for_margin(line.bound))} patients with as many images each"
            counted += f" of {units.count(len(np.unique(groups)))} patients"
        if least <= line.bound:
            continue
        unit = METRICS[line.metric].unit
        found.append(
            f"{line.metric} = {{ non_inferior_by = {line.bound:g} }} cannot be shown with {counted}, whatever is "
            f"measured: {units.gap(unit, least)} can, or {needed}"
        )
    return found


def _images_of(metric: str, suite: Suite, samples: Samples) -> tuple[npt.NDArray[np.bool_], str]:
    """Return which images a proportion or a mean is of, and what these are; none for any other metric."""
    positive, every = suite.task.positive, np.ones(len(samples.images), bool)
    if suite.task.kind != ("segmentation" if metric in ("dice", "iou", "nsd", "nsd_mm") else "classification"):
        return ~every, ""
    if metric == "accuracy" or metric in _MEANS:
        return every, "images"
    if metric not in ("sensitivity", "specificity") or positive not in samples.classes:
        return ~every, ""
    there = samples.of_class(positive)
    if metric == "sensitivity":
        return there, f"images of {positive!r}"
    return ~there, f"images that are not {positive!r}"
