"""Metrics of `[task] kind = "classification"`, with `positive = "CLASS"` naming the class that sensitivity speaks of.

Outputs are (N, K), one column a class, or with two classes (N, 1) or (N,), which speak of the second one; further axes
of one are no matter. What the numbers stand for is said by the model's reading: logits become probabilities by softmax,
probabilities are made to sum to one (quantised ones nearly do), a sigmoid's stay each on its own, labels are the answer
and have no probability. The label is the largest, or with two classes what the threshold decides. `brier` and `auroc`
are those of the positive class; `calibration_error` is that of the chosen label in 15 equal bins. With
`sensitivity_at_specificity = 0.9` that metric is the sensitivity of the positive class at the point of the ROC curve
that has this specificity, whatever threshold decides; `specificity_at_sensitivity` is the reverse. With
`ordinal = true` the classes are in order, and `quadratic_kappa` counts how far off an answer is; a model that knows
more classes than the data has none, since these have no place in the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.formats import Tensor
from harness.metrics import _calibration, _curve, _operating, _ordinal, _tables
from harness.metrics._answers import Read, labels_of, read, scores
from harness.model import Answers, Called, Estimate, Evaluation, FloatArray, IntArray, Reading, Samples, Task, Truth

#: Its intervals are of patients where the samples have groups.
PATIENTS = True
#: The accuracy that is the mean of `per_image`.
CHIEF = "accuracy"
#: Keys of `[task]` that have a part in it, beside `kind` and `positive`.
TASK_KEYS = ("ordinal", "operating_point", "sensitivity_at_specificity", "specificity_at_sensitivity")

Outputs = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


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
    table = _tables.table(one.columns, samples.labels, one.labels)
    found = {**_proportions(one, samples, positive), **_of_tables(one, samples, table.sum(axis=1), positive)}
    if task.ordinal:
        found["quadratic_kappa"] = _kappa((one,), samples.labels, samples.classes, samples.groups)
    if one.shares is not None:
        found |= _of_probabilities(one, samples, positive)
        found |= {
            name: _curve.point([one], samples.labels, positive, name, task, groups=samples.groups)
            for name in _curve.POINTS
        }
    kept = {name: estimate for name, estimate in found.items() if estimate is not None}
    return Evaluation(kept, table[: len(samples.classes)])


def compare(
    baseline: Answers,
    run: Answers,
    truth: Truth,
    task: Task,
    metric: str,
) -> Estimate | None:
    """Return run minus baseline in one metric with its 95 % interval, paired on the same images.

    Sensitivity is compared on the positives, specificity on the negatives, accuracy on all (Tango's score interval);
    AUROC by Newcombe's intervals with DeLong's correlation; Brier score, kappa and what is of the paired table by the
    Bayesian bootstrap with pseudo-images. Where patients have several images, all of them by that one of patients.

    Args:
        baseline: what the baseline gave.
        run: what the run gave, for the same images in the same order.
        truth: of these images: labels (N,).
        task: names the positive class.
        metric: a name of `harness.vocabulary.METRICS`.

    Returns:
        The difference in ratio units, or None where the metric has no cases or does not belong to this task.

    Raises:
        MeasurementError: as `evaluate`, for either outputs.
    """
    labels, groups = truth.labels, truth.groups
    before, after = (read(answers, labels, truth.classes) for answers in (baseline, run))
    positive = _positive(truth.classes, task)
    if metric in ("accuracy", "sensitivity", "specificity"):
        return _proportion_difference(before.labels, after.labels, truth, positive, metric)
    if metric in _tables.STATISTICS:
        return _table_difference(before, after, truth, positive, metric)
    if metric == "quadratic_kappa":
        return _kappa((before, after), labels, truth.classes, groups) if task.ordinal else None
    if before.shares is None or after.shares is None or (positive is None and metric in ("auroc", "brier")):
        return None
    if metric == "auroc" and positive is not None:
        there = labels == positive
        return stats.auroc_difference(scores(before, positive), scores(after, positive), there, groups=groups)
    if metric in _curve.POINTS:
        return _curve.point([before, after], labels, positive, metric, task, groups=groups)
    if metric == "brier":
        change = _losses(after, labels, positive) - _losses(before, labels, positive)
        return stats.mean_interval(change, least=-1, most=1, groups=groups)
    if metric == "calibration_error":
        return _calibration.interval((before, after), labels, groups)
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


def per_image(answers: Answers, truth: Truth, task: Task) -> FloatArray:
    """Return (N,) 1 for each image that is called what it is, else 0.

    Args:
        answers: of a model.
        truth: of these images.
        task: what the model is for.

    Raises:
        MeasurementError: as `evaluate`.
    """
    del task
    return np.asarray(read(answers, truth.labels, truth.classes).labels == truth.labels, np.float64)


def called(answers: Answers, truth: Truth, task: Task) -> Called:
    """Return what each image is and what a model calls it, as all metrics read it.

    Args:
        answers: of a model.
        truth: of these images: labels (N,).
        task: names the positive class; without it, the last of two classes is the positive one.

    Raises:
        MeasurementError: as `evaluate`.
    """
    one = read(answers, truth.labels, truth.classes)
    others = (name for name in answers.reading.classes if name not in truth.classes)
    names = np.array([*truth.classes, *others], object)
    shares = None if one.shares is None else _calibration.confidences(one)
    positive = _positive(truth.classes, task)
    flags = np.zeros(len(one.labels), bool) if positive is None else np.asarray(truth.labels) == positive
    return Called(names[truth.labels], names[one.labels], shares, flags)


def sureness(answers: Answers, classes: Sequence[str], chosen: IntArray) -> FloatArray:
    """Return (N,) how sure a model is of a class of each image: numbers in the order of its log odds.

    Args:
        answers: of a model.
        classes: the K classes of the data.
        chosen: (N,) the class that is meant of each image.

    Raises:
        MeasurementError: the model answers with labels, or as `evaluate`.
    """
    one = read(answers, chosen, classes)
    if one.shares is None:
        raise MeasurementError(
            "the model answers with labels, which do not say how sure it is",
            remedy="export it with a probability of each class",
        )
    found = np.zeros(len(chosen))
    for column in np.unique(chosen):
        found[chosen == column] = scores(one, int(column))[chosen == column]
    return found


def roc(answers: Answers, truth: Truth, task: Task) -> FloatArray | None:
    """Return (M, 2) corners of the ROC curve of the positive class: 1 - specificity and sensitivity, from 0 to 1.

    Args:
        answers: of a model.
        truth: of these images.
        task: names the positive class.

    Returns:
        None without a positive class, probabilities, or images of both kinds.

    Raises:
        MeasurementError: as `evaluate`.
    """
    one, positive = read(answers, truth.labels, truth.classes), _positive(truth.classes, task)
    if one.shares is None or positive is None:
        return None
    return stats.roc(scores(one, positive), truth.labels == positive)


def reliability(answers: Answers, truth: Truth, most: int = 10) -> list[_calibration.Bin]:
    """Return how often a model is right where it is about equally sure, the least sure images first.

    The probabilities are those of the label that is given, as in `calibration_error`.

    Args:
        answers: of a model; of one that gives labels alone there is nothing to return.
        truth: of these images.
        most: the largest number of bins, of about equally many images each.

    Raises:
        MeasurementError: as `evaluate`.
    """
    one = read(answers, truth.labels, truth.classes)
    if one.shares is None:
        return []
    sure, right = _calibration.confidences(one), one.labels == truth.labels
    places = _calibration.equal_counts(sure, most)
    found = []
    for place in np.unique(places):
        own = places == place
        share = _proportion(right, own, truth.groups)
        assert share is not None  # a bin has images
        found.append(_calibration.Bin(int(own.sum()), float(sure[own].mean()), share))
    return found


def threshold(answers: Answers, samples: Samples, task: Task) -> tuple[float, str]:
    """Return the threshold that the task's operating point asks for, and in words what it reaches.

    Args:
        answers: of the baseline for the validation split.
        samples: that split.
        task: says what must be reached.

    Raises:
        MeasurementError: no threshold can decide between two classes.
    """
    positive = _positive(samples.classes, task)
    if positive is None or len(samples.classes) != 2:
        raise MeasurementError(
            f"an operating point is of two classes, and the data has {len(samples.classes)}",
            remedy="remove operating_point from [task]",
        )
    return _operating.threshold(answers, samples, task, positive)


def no_threshold(reading: Reading) -> str:
    """Return why a threshold cannot decide the answers of a model, "" if it can."""
    return _operating.unable(reading.classes, reading.kind)


def _positive(classes: Sequence[str], task: Task) -> int | None:
    if task.positive:
        if task.positive not in classes:
            raise MeasurementError(
                f"[task] positive = {task.positive!r} is no class of the data",
                remedy=f"choose one of {', '.join(classes)}",
            )
        return list(classes).index(task.positive)
    return 1 if len(classes) == 2 else None


def _proportions(one: Read, samples: Samples, positive: int | None) -> dict[str, Estimate | None]:
    truth, groups = samples.labels, samples.groups
    every = np.ones(len(truth), bool)
    found = {"accuracy": _proportion(one.labels == truth, every, groups)}
    if positive is None:
        return found
    there, called = truth == positive, one.labels == positive
    found["sensitivity"] = _proportion(called, there, groups)
    found["specificity"] = _proportion(~called, ~there, groups)
    found["precision"] = _proportion(there, called, groups) if there.any() else None
    return found


def _proportion(success: Flags, chosen: Flags, groups: IntArray | None) -> Estimate | None:
    """Return the share of successes among the chosen images; of patients' images, each patient is drawn as one."""
    if groups is None or not chosen.any():
        return stats.wilson(int((success & chosen).sum()), int(chosen.sum()))
    return stats.mean_interval(success[chosen].astype(np.float64), least=0, most=1, groups=groups[chosen])


def _of_tables(one: Read, samples: Samples, truths: IntArray, positive: int | None) -> dict[str, Estimate]:
    names = [name for name in _tables.STATISTICS if name != "precision" and _tables.has_cases(name, truths, positive)]
    if samples.groups is None:
        # Precision is a proportion: Wilson's is better.
        return {name: _tables.alone(one.columns, samples.labels, one.labels, positive, name) for name in names}
    return {
        name: _tables.interval(one.columns, samples.labels, [one.labels], positive, name, groups=samples.groups)
        for name in names
    }


def _table_difference(before: Read, after: Read, truth: Truth, positive: int | None, metric: str) -> Estimate | None:
    k = max(before.columns, after.columns)
    if k > len(truth.classes) and metric in _tables.OF_ALL:
        return None
    if not _tables.has_cases(metric, np.bincount(truth.labels, minlength=k), positive):
        return None
    if metric == "precision" and not ((before.labels == positive).any() and (after.labels == positive).any()):
        return None
    answers = before.labels, after.labels
    return _tables.interval(k, truth.labels, answers, positive, metric, groups=truth.groups)


def _kappa(
    models: Sequence[Read], labels: npt.NDArray[Any], classes: Sequence[str], groups: IntArray | None
) -> Estimate | None:
    if any(one.columns > len(classes) for one in models):
        return None
    return _ordinal.interval(len(classes), labels, [one.labels for one in models], groups=groups)


def _proportion_difference(
    before: IntArray, after: IntArray, truth: Truth, positive: int | None, metric: str
) -> Estimate | None:
    labels, groups = truth.labels, truth.groups
    if metric == "accuracy":
        chosen, right = np.ones(len(labels), bool), (before == labels, after == labels)
    elif positive is None:
        return None
    elif metric == "sensitivity":
        chosen, right = labels == positive, (before == positive, after == positive)
    else:
        chosen, right = labels != positive, (before != positive, after != positive)
    if groups is not None and chosen.any():
        change = right[1][chosen].astype(np.float64) - right[0][chosen]
        return stats.mean_interval(change, least=-1, most=1, groups=groups[chosen])
    gained = int((chosen & right[1] & ~right[0]).sum())
    lost = int((chosen & right[0] & ~right[1]).sum())
    return stats.paired_difference(gained, lost, int(chosen.sum()))


def _of_probabilities(one: Read, samples: Samples, positive: int | None) -> dict[str, Estimate | None]:
    labels, groups = samples.labels, samples.groups
    calibration = _calibration.interval((one,), labels, groups)
    if positive is None:
        return {"calibration_error": calibration}
    return {
        "brier": stats.mean_interval(_losses(one, labels, positive), least=0, most=1, groups=groups),
        "calibration_error": calibration,
        "auroc": stats.auroc(scores(one, positive), labels == positive, groups=groups),
    }


def _losses(one: Read, labels: npt.NDArray[Any], positive: int | None) -> FloatArray:
    """Return (N,) the squared error of the positive class's probability."""
    assert one.shares is not None
    return np.asarray((one.shares[:, positive or 0] - (labels == positive)) ** 2)
