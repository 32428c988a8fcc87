"""Metrics of `[task] kind = "multilabel"`: each image has any number of K labels, each a question of its own.

The truth is (N, K), 1 where an image has a label, 0 where not, -1 where nobody knows, which counts for nothing. Outputs
are (N, K), one column a label: a probability of each on its own (`sigmoid`), logits, which a sigmoid makes so, or the
answers themselves, 0 and 1 (`labels`). Probabilities that exclude each other are refused. A label is called where its
probability is above the threshold, one half unless `output = { threshold = ... }` says another for all of them.

`exact_match` is the share of images of which every label is right, among those of which all are known;
`hamming_accuracy` that of right labels; `macro_f1` and `macro_auroc` are means over the labels, absent where one has no
image. The report gives each label apart. `positive = "LABEL"` names the one that sensitivity, specificity, precision,
F1, AUROC, Brier score, calibration error and points of the curve speak of, as a classifier's of two classes: these have
a paired difference too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from harness import stats
from harness.errors import MeasurementError
from harness.formats import Tensor
from harness.metrics import _several, classification
from harness.model import Answers, Estimate, Evaluation, Reading, Samples, Subgroup, Task, Truth

#: Its intervals are of patients where the samples have groups.
PATIENTS = True
#: Keys of `[task]` that have a part in it, beside `kind` and `positive`.
TASK_KEYS = ("sensitivity_at_specificity", "specificity_at_sensitivity")
#: The truth is (N, K), and a threshold decides each label on its own.
SEVERAL_LABELS = True
#: What is given of the positive label; accuracy and means over classes would be mistaken for those over labels.
_OF_ONE = (
    "sensitivity", "specificity", "precision", "f1", "auroc", "brier", "calibration_error",
    "sensitivity_at_specificity", "specificity_at_sensitivity",
)  # fmt: skip
_OF_EACH = ("auroc", "sensitivity", "specificity", "f1")


def fits(output: Tensor, samples: Samples, columns: int) -> bool | None:
    """Return whether an output has the shape of answers to this task, None where its file does not say.

    Args:
        output: of a model's file.
        samples: the split.
        columns: how many labels the model knows.
    """
    if output.type in ("text", "map") or (samples.masks is not None and not len(samples.labels)):
        return False
    if output.shape is None:
        return None
    sizes = [size for size in output.shape[1:] if size != 1]
    if len(sizes) > 1:
        return False
    if not sizes:
        return columns == 1
    return None if sizes[0] is None else sizes[0] == columns


def needs_kind(output: Tensor) -> bool:
    """Return True: a threshold decides each label."""
    del output
    return True


def unreadable(reading: Reading) -> str:
    """Return why answers that are read so are none to several labels, "" if they are."""
    if reading.kind == "probabilities":
        return (
            "gives probabilities of classes that exclude each other (a softmax), and an image may have several labels"
        )
    return ""


def evaluate(answers: Answers, samples: Samples, task: Task) -> Evaluation:
    """Return exact match, Hamming accuracy, macro F1 and AUROC, and what is asked of the positive label.

    Args:
        answers: (N, K) raw model outputs.
        samples: the split, whose (N, K) labels they belong to.
        task: may name the positive label.

    Raises:
        MeasurementError: if outputs are not finite, or do not fit the labels.
    """
    given = _several.read(answers, samples.labels, samples.classes)
    found = {name: _several.STATISTICS[name]([given], samples.labels, samples.groups) for name in _several.STATISTICS}
    if task.positive:
        one, truth, own = _of_label(answers, samples, task)
        part = replace(samples.without(np.flatnonzero(~own)), labels=truth.labels, classes=truth.classes, masks=None)
        of_one = classification.evaluate(one, part, replace(task, kind="classification")).estimates
        found |= {name: of_one[name] for name in _OF_ONE if name in of_one}
    return Evaluation({name: estimate for name, estimate in found.items() if estimate is not None})


def compare(
    baseline: Answers,
    run: Answers,
    truth: Truth,
    task: Task,
    metric: str,
) -> Estimate | None:
    """Return run minus baseline in one metric with its 95 % interval, paired on the same images.

    Args:
        baseline: what the baseline gave.
        run: what the run gave, for the same images in the same order.
        truth: of these images: labels (N, K).
        task: may name the positive label.
        metric: a name of `harness.vocabulary.METRICS`.

    Returns:
        The difference in ratio units, or None where the metric has no cases or does not belong to this task.

    Raises:
        MeasurementError: as `evaluate`, for either outputs.
    """
    if metric in _several.STATISTICS:
        both = [_several.read(answers, truth.labels, truth.classes) for answers in (baseline, run)]
        return _several.STATISTICS[metric](both, truth.labels, truth.groups)
    if metric not in _OF_ONE or not task.positive:
        return None
    before, own_truth, _ = _of_label(baseline, truth, task)
    after = _of_label(run, truth, task)[0]
    return classification.compare(before, after, own_truth, replace(task, kind="classification"), metric)


def agreement(baseline: Answers, run: Answers) -> Estimate:
    """Return the share of labels that both models give alike, averaged over images.

    Args:
        baseline: what the baseline gave.
        run: what the run gave, for the same images in the same order.

    Raises:
        MeasurementError: if the two do not have as many labels of as many images, or there are none.
    """
    classes = baseline.reading.classes if run.reading.classes else ()
    called = [_several.called(answers, classes) for answers in (baseline, run)]
    if called[0].shape != called[1].shape or not len(called[0]):
        raise MeasurementError(
            f"outputs of shape {run.values.shape} cannot be compared with {baseline.values.shape}",
            remedy="measure both on the same images",
        )
    return stats.mean_interval((called[0] == called[1]).mean(axis=1), least=0, most=1)


def flips(reference: Answers, own: Answers, near: float) -> tuple[int, int]:
    """Return how many images have another label than the host's, and for how many of those each such one was a tie.

    Args:
        reference: what the host gave.
        own: what the device gave.
        near: how close to the threshold the host's output is a tie.
    """
    changed = _several.called(reference, ()) != _several.called(own, ())
    values = np.asarray(reference.values, np.float64).reshape(changed.shape)
    tied = np.abs(values - _several.bound(reference.reading)) <= near
    any_changed = changed.any(axis=1)
    return int(any_changed.sum()), int((any_changed & (tied | ~changed).all(axis=1)).sum())


def by_label(answers: Answers, samples: Samples) -> Iterator[Subgroup]:
    """Yield what a model is worth for each label; its images are those that have it.

    Args:
        answers: of the model.
        samples: the split.
    """
    for number, name in enumerate(samples.classes):
        one, truth, own = _of_label(answers, samples, Task("multilabel", name))
        if not len(truth.labels):
            continue
        part = replace(samples.without(np.flatnonzero(~own)), labels=truth.labels, classes=truth.classes, masks=None)
        found = classification.evaluate(one, part, Task("classification", name)).estimates
        there = samples.labels[:, number] == 1
        patients = len(np.unique(samples.groups[there])) if samples.groups is not None else None
        estimates = {metric: found[metric] for metric in _OF_EACH if metric in found}
        yield Subgroup("label", name, int(there.sum()), patients, estimates)


def _of_label(
    answers: Answers, truth: Samples | Truth, task: Task
) -> tuple[Answers, Truth, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return a model's answers to one label alone, the truth of it as two classes, and of which images it is known."""
    classes: Sequence[str] = truth.classes
    if task.positive not in classes:
        raise MeasurementError(
            f"[task] positive = {task.positive!r} is no label of the data", remedy=f"choose one of {', '.join(classes)}"
        )
    number = list(classes).index(task.positive)
    _several.read(answers, truth.labels, classes)
    labels = np.asarray(truth.labels[:, number])
    known = labels >= 0
    values = _several.columns(answers, classes)[known, number].astype(np.float32)
    groups = truth.groups[known] if truth.groups is not None else None
    names = (f"no {task.positive}", task.positive)
    reading = replace(answers.reading, classes=())
    return Answers(values[:, np.newaxis], reading), Truth(labels[known], names, groups), known
