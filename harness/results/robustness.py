"""Outputs under conditions -> what a run keeps of them: the task's chief accuracy, level by level and on the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness import registry, stats
from harness.errors import MeasurementError, Reason
from harness.model import Answers, Condition, Estimate, FloatArray, IntArray, Probe, Run, Samples, Task, Truth
from harness.vocabulary import METRICS, UNDER

#: Key of the notes under which is kept why a run has nothing of some conditions, and what was left out of them.
NOTES: Final = "robustness"


@dataclass(frozen=True, slots=True)
class Given:
    """What a model gave for the split under conditions, or why it gave nothing.

    Attributes:
        conditions: each with its outputs (N, ...).
        absent: kind of condition -> why some or all of its outputs are missing.
        remarks: what must be known of the conditions.
    """

    conditions: tuple[tuple[Condition, npt.NDArray[Any]], ...] = ()
    absent: Mapping[str, Reason] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def more(self, conditions: Sequence[Condition], outputs: npt.NDArray[Any] | Reason) -> Given:
        """Return this with the outputs under more conditions, one behind the other, or the reason without them.

        Args:
            conditions: K of them.
            outputs: (K * N, ...), or why there are none.
        """
        if isinstance(outputs, Reason):
            return self.without(conditions[0].kind, outputs)
        parts = np.split(outputs, len(conditions))
        return replace(self, conditions=(*self.conditions, *zip(conditions, parts, strict=True)))

    def without(self, kind: str, reason: Reason) -> Given:
        """Return this with the reason why outputs of one kind of conditions are missing; the first one stays."""
        return replace(self, absent={kind: reason, **self.absent})


def attached(run: Run, given: Given | None, samples: Samples, task: Task) -> Run:
    """Return a run with what its model gave under conditions; unchanged where nothing was asked for.

    Args:
        run: of the images as they are.
        given: of the same model.
        samples: the split.
        task: what the model is for.
    """
    if given is None:
        return run
    notes: dict[str, Any] = {"remarks": list(given.remarks)} if given.remarks else {}
    probes: tuple[Probe, ...] = ()
    absent, means = dict(given.absent), dict[str, Estimate]()
    if not len(samples.labels) and samples.masks is None:
        absent = {"labels": Reason("the images have no labels, so nothing is right or wrong")}
    elif given.conditions and run.answers is not None:
        try:
            probes, means = _probes(run, given, samples, task)
        except MeasurementError as error:
            absent = {"outputs": Reason(error.text, error.remedy)}
    if absent:
        notes["absent"] = {kind: asdict(reason) for kind, reason in absent.items()}
    kept = {**run.notes, **({NOTES: notes} if notes else {})}
    return replace(run, probes=probes, accuracy={**run.accuracy, **means}, notes=kept)


def absences(run: Run, kind: str = "") -> tuple[Reason, ...]:
    """Return why a run has nothing under some conditions, nothing if none is missing.

    Reasons without a kind ("labels", "outputs") hold for every one.
    """
    kept = run.notes.get(NOTES, {}).get("absent", {})
    own = [one for name, one in kept.items() if not kind or name == kind or name not in UNDER]
    return tuple(dict.fromkeys(Reason(**one) for one in own))


def _probes(run: Run, given: Given, samples: Samples, task: Task) -> tuple[tuple[Probe, ...], dict[str, Estimate]]:
    metrics = registry.load("metrics", task.kind, file=run.case.suite, key="task.kind")
    truth = Truth(np.asarray(run.labels), samples.classes, samples.groups)
    reading = run.answers.reading if run.answers is not None else None
    assert reading is not None
    compact = getattr(metrics, "compact", None)
    probes, scored = [], dict[str, list[FloatArray]]()
    for condition, outputs in given.conditions:
        answers = Answers(outputs, reading)
        small = compact(answers) if compact else answers
        scores = metrics.per_image(small, truth, task)
        scored.setdefault(condition.kind, []).append(scores)
        own = small.reading if small.reading != reading else None
        level = level_of(scores, samples.groups)
        probes.append(Probe(condition, small.values, metrics.CHIEF, level, reading=own))
    # A mean over some of the conditions is not the one that the baseline and other variants have.
    whole = {kind: scores for kind, scores in scored.items() if kind not in given.absent}
    return tuple(probes), means(whole, metrics.CHIEF, samples.groups)


def worst_of(answers: Answers, samples: Samples, task: Task) -> npt.NDArray[Any]:
    """Return (N, ...) of each image what a model gave for the try at which it was least sure of the truth.

    Args:
        answers: for T tries of the whole split, one behind the other: (T * N, ...).
        samples: the split.
        task: what the model is for.

    Raises:
        MeasurementError: its answers do not say how sure it is.
    """
    metrics = registry.load("metrics", task.kind, file=task.kind, key="task.kind")
    count = len(samples.labels)
    labels = np.tile(samples.labels, len(answers.values) // count)
    truth = Truth(labels, samples.classes)
    # Wrong before unsure: a threshold may call an image wrongly that is surer of the truth than another.
    sure, right = metrics.sureness(answers, samples.classes, labels), metrics.per_image(answers, truth, task)
    order = np.lexsort((sure.reshape(-1, count), right.reshape(-1, count)), axis=0)
    chosen: npt.NDArray[Any] = answers.values.reshape(-1, count, *answers.values.shape[1:])[order[0], np.arange(count)]
    return chosen


def sure_and_called(answers: Answers, classes: Sequence[str], task: Task) -> FloatArray:
    """Return (N, 2 K): how sure a model is of each class, then 1 for the class that it calls an image, else 0.

    Args:
        answers: of a model, (N, ...).
        classes: the K classes of the data.
        task: what the model is for.

    Raises:
        MeasurementError: its answers do not say how sure it is.
    """
    metrics = registry.load("metrics", task.kind, file=task.kind, key="task.kind")
    each = [np.full(len(answers.values), number) for number in range(len(classes))]
    sure = [metrics.sureness(answers, classes, chosen) for chosen in each]
    called = [metrics.per_image(answers, Truth(chosen, tuple(classes)), task) for chosen in each]
    return np.stack([*sure, *called], axis=1)


def means(scored: Mapping[str, Sequence[FloatArray]], chief: str, groups: IntArray | None) -> dict[str, Estimate]:
    """Return metric -> the mean accuracy over all conditions of a kind, an image with all of them being one unit.

    Args:
        scored: kind -> (N,) numbers of each condition.
        chief: the accuracy that they are of.
        groups: the patient of each image, None where each is one.
    """
    found = {}
    for kind, scores in scored.items():
        name = f"{UNDER[kind]}_{chief}"
        if name in METRICS:
            found[name] = stats.mean_interval(np.mean(scores, axis=0), least=0, most=1, groups=groups)
    return found


def level_of(scores: FloatArray, groups: IntArray | None) -> Estimate:
    """Return the mean of (N,) numbers from 0 to 1: Wilson's interval of a share, else by resampling."""
    if groups is None and np.isin(scores, (0, 1)).all():
        share = stats.wilson(int(scores.sum()), len(scores))
        assert share is not None
        return share
    return stats.mean_interval(scores, least=0, most=1, groups=groups)
