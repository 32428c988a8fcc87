"""Metrics of `[task] kind = "segmentation"`, with `positive = "CLASS"` naming the class that is outlined.

Outputs are (N, K, H, W) or (N, H, W, K), one map a class, of which the largest decides; with two classes also one map,
(N, 1, H, W), (N, H, W, 1) or (N, H, W), of the second class: where its probability is above the threshold; or one map
of labels. What the numbers stand for is said by the model's reading, never by the numbers.
Dice, IoU and Hausdorff distance are computed image by image and averaged; intervals resample images, with one more at
either end of what is possible, so that what was not seen is not ruled out. An image without
the class that is also predicted without it counts as right (Dice and IoU 1, distance 0), so that false outlines on
normal images cost something; where only one of truth and prediction is empty, the distance is the image's diagonal.

Distances are in pixels. `hausdorff` is of all pixels; `hausdorff_95` is of outlines, the pixels of the class that have
a neighbour (of four) of another class or lie at the image's edge: the larger of both 95 % quantiles of the distances
from one outline to the other. With `surface_tolerance = 2.0`, `nsd` is the normalised surface distance (Nikolov et al.
2018, "Deep learning to achieve clinically applicable segmentation of head and neck anatomy for radiotherapy"): the
share of both outlines' pixels that is no farther from the other one than that; 1 where both are empty, 0 where one is.
Pixels that count for nothing (`ignore_index`) are of no class.

Where the data says how large a pixel of each image is, `hausdorff_mm` and `hausdorff_95_mm` are the same distances in
millimetres, and with `surface_tolerance_mm = 1.0` `nsd_mm` is the share within that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.formats import Tensor
from harness.metrics import _surfaces
from harness.model import IGNORED, Answers, Estimate, Evaluation, FloatArray, Reading, Samples, Task, Truth

#: Its intervals are of patients where the samples have groups.
PATIENTS = True
#: The accuracy that is the mean of `per_image`.
CHIEF = "dice"
#: Keys of `[task]` that have a part in it, beside `kind` and `positive`.
TASK_KEYS = ("surface_tolerance", "surface_tolerance_mm")

Outputs = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]


def fits(output: Tensor, samples: Samples, columns: int) -> bool | None:
    """Return whether an output has the shape of answers to this task, None where its file does not say.

    Args:
        output: of a model's file.
        samples: the split, with masks.
        columns: how many classes the model knows.
    """
    if (samples.masks is None and len(samples.labels)) or output.type in ("text", "map"):
        return False
    if output.shape is None:
        return None
    # Images without any truth are held to agreement alone, of maps of their own size.
    size, rest = samples.images.shape[1:3] if samples.masks is None else samples.masks.shape[1:], output.shape[1:]
    single = (1,) if columns == 2 or output.kind == "labels" else ()
    wanted = [size] if single else []
    wanted += [shape for k in (columns, *single) for shape in ((k, *size), (*size, k))]
    found = [_alike(rest, shape) for shape in wanted]
    return True if True in found else None if None in found else False


def needs_kind(output: Tensor) -> bool:
    """Return whether an output is one map, which a threshold decides; of several the largest does in any case."""
    sizes = [size for size in (output.shape or ())[1:] if size != 1]
    return len(sizes) < 3


def _alike(have: Sequence[int | None], wanted: Sequence[int]) -> bool | None:
    if len(have) != len(wanted) or any(a is not None and a != b for a, b in zip(have, wanted, strict=True)):
        return False
    return None if None in have else True


def evaluate(answers: Answers, samples: Samples, task: Task) -> Evaluation:
    """Return Dice, IoU, Hausdorff and surface distances of the positive class with their 95 % intervals.

    Args:
        answers: raw model outputs, see this module's docstring for their shapes.
        samples: the split, whose (N, H, W) masks they belong to.
        task: names the positive class; without it, the second of two classes is the positive one.

    Raises:
        MeasurementError: if there are no masks, outputs are not finite, or do not fit the masks and classes.
    """
    if samples.masks is None:
        raise MeasurementError("the data has no masks", remedy="give images and masks, or another [task] kind")
    predicted, truth = _outlines(answers, samples.masks, samples.classes, task)
    per_image = _per_image(task, samples.spacing)
    most = {name: _most(name, truth, samples.spacing) for name in per_image}
    found = {name: of(predicted, truth) for name, of in per_image.items()}
    groups = samples.groups
    return Evaluation(
        {name: stats.mean_interval(values, least=0, most=most[name], groups=groups) for name, values in found.items()}
    )


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
        truth: of these images: masks (N, H, W).
        task: names the positive class.
        metric: "dice", "iou", or a distance.

    Returns:
        The mean difference (ratio units, pixels or millimetres), or None for another metric.

    Raises:
        MeasurementError: as `evaluate`, for either outputs.
    """
    of = _per_image(task, truth.spacing).get(metric)
    if of is None:
        return None
    masks = truth.labels
    before, after = (of(*_outlines(answers, masks, truth.classes, task)) for answers in (baseline, run))
    most = _most(metric, masks, truth.spacing)
    return stats.mean_interval(after - before, least=-most, most=most, groups=truth.groups)


def per_image(answers: Answers, truth: Truth, task: Task) -> FloatArray:
    """Return (N,) the Dice of each image.

    Args:
        answers: of a model.
        truth: of these images: masks (N, H, W).
        task: names the positive class.

    Raises:
        MeasurementError: as `evaluate`.
    """
    return _per_image(task, None)["dice"](*_outlines(answers, truth.labels, truth.classes, task))


def agreement(baseline: Answers, run: Answers) -> Estimate:
    """Return the share of pixels that both models give the same label, averaged over images.

    Args:
        baseline: what the baseline gave.
        run: what the run gave, for the same images in the same order.

    Raises:
        MeasurementError: if the two do not have pixels of the same images or there are no images.
    """
    known = [one.values for one in (baseline, run) if one.values.ndim in (3, 4) and len(one.values)]
    found = [_labels(one.values, _axis(one.values), one.reading) for one in (baseline, run)] if len(known) == 2 else []
    if not found or found[0].shape != found[1].shape:
        raise MeasurementError(
            f"outputs of shape {run.values.shape} cannot be compared with {baseline.values.shape}",
            remedy="measure both on the same images",
        )
    same = found[0] == found[1]
    return stats.mean_interval(same.reshape(len(same), -1).mean(axis=1), least=0, most=1)


def _axis(outputs: Outputs) -> int:
    # The classes are the shortest axis but the first: images are larger than they have classes.
    return 1 if outputs.ndim == 4 and outputs.shape[1] < outputs.shape[-1] else -1


def _outlines(answers: Answers, masks: npt.NDArray[Any], classes: Sequence[str], task: Task) -> tuple[Mask, Mask]:
    outputs, reading = answers.values, answers.reading
    positive = _positive(classes, task)
    n, size, names = len(masks), masks.shape[1:], reading.classes or tuple(classes)
    k, single = len(names), len(names) == 2 or reading.kind == "labels"
    axes = [axis for axis in (1, -1) if _fits(outputs, n, size, axis, (k, 1) if single else (k,))]
    plain = single and outputs.shape == masks.shape
    if n == 0 or not (axes or plain):
        raise MeasurementError(
            f"the model gives outputs of shape {outputs.shape}, the masks are {masks.shape} with {k} classes "
            f"({', '.join(classes)})",
            remedy=f"export the model with one map per class, {(n, k, *size)}",
        )
    broken = sum(not np.isfinite(image).all() for image in outputs)
    if broken:
        raise MeasurementError(
            f"{broken} of {n} images gave NaN or infinite outputs",
            remedy="check the model's conversion and [data.input]",
        )
    labels = _labels(outputs, -1 if plain else axes[0], reading)
    counted = masks != IGNORED
    return (labels == names.index(classes[positive])) & counted, (masks == positive) & counted


def _fits(outputs: Outputs, n: int, size: tuple[int, ...], axis: int, channels: tuple[int, ...]) -> bool:
    if outputs.ndim != 4 or len(outputs) != n or outputs.shape[axis] not in channels:
        return False
    return (outputs.shape[2:] if axis == 1 else outputs.shape[1:3]) == size


def _labels(outputs: Outputs, axis: int, reading: Reading) -> Labels:
    if outputs.ndim == 4 and outputs.shape[axis] > 1:
        if outputs.shape[axis] == 2 and reading.threshold != 0.5:
            return _above(outputs, axis, reading).astype(np.uint8)
        # Image by image: argmax gives eight bytes a pixel.
        return np.stack([image.argmax(axis=axis - 1 if axis > 0 else axis).astype(np.uint8) for image in outputs])
    single = outputs if outputs.ndim == 3 else outputs.squeeze(axis)
    if reading.kind == "labels":
        whole = single if single.dtype == np.uint8 else np.rint(np.clip(single, 0, 255))
        return whole.astype(np.uint8, copy=False)
    return (single > _bound(single, reading)).astype(np.uint8)


def compact(answers: Answers) -> Answers:
    """Return the same answers in fewer bytes: the label of each pixel, which is all that they are judged by."""
    if answers.reading.kind == "labels" or answers.values.ndim not in (3, 4):
        return answers
    labels = _labels(answers.values, _axis(answers.values), answers.reading)
    return Answers(labels, replace(answers.reading, kind="labels"))


def _bound(single: Outputs, reading: Reading) -> float:
    """Return what a single map must exceed to be the second class."""
    if reading.kind == "logits":
        return math.log(reading.threshold / (1 - reading.threshold))
    if reading.kind:
        return reading.threshold
    # Stores of version 0.1 do not say what numbers stand for.
    return 0.5 if single.min() >= 0 and single.max() <= 1 else 0.0


def _above(outputs: Outputs, axis: int, reading: Reading) -> Mask:
    """Return where the second of two maps has more than the threshold of both."""
    first, second = np.moveaxis(np.asarray(outputs, np.float64), axis, 0)
    if reading.kind == "logits":
        return np.asarray(second - first > math.log(reading.threshold / (1 - reading.threshold)))
    if reading.kind == "sigmoid":
        return np.asarray(second > reading.threshold)
    return np.asarray(second > reading.threshold * (first + second))


def _positive(classes: Sequence[str], task: Task) -> int:
    if task.positive in classes:
        return list(classes).index(task.positive)
    if task.positive or len(classes) != 2:
        raise MeasurementError(
            f"[task] positive = {task.positive!r} is no class of the data", remedy=f"choose one of {', '.join(classes)}"
        )
    return 1


def _most(metric: str, masks: npt.NDArray[Any], spacing: FloatArray | None) -> float:
    """Return the largest value that one image can have: 1, or for a distance the longest diagonal of an image."""
    if not metric.startswith("hausdorff"):
        return 1.0
    sizes = spacing if spacing is not None and metric.endswith("_mm") else np.ones((1, 2))
    return max(_surfaces.diagonal(masks.shape[1:], size) for size in sizes)


def _areas(predicted: Mask, truth: Mask) -> tuple[FloatArray, FloatArray]:
    both = (predicted & truth).sum(axis=(1, 2)).astype(np.float64)
    total = predicted.sum(axis=(1, 2)) + truth.sum(axis=(1, 2)).astype(np.float64)
    return both, np.asarray(total, np.float64)


def _dice(predicted: Mask, truth: Mask) -> FloatArray:
    both, total = _areas(predicted, truth)
    return np.divide(2 * both, total, out=np.ones_like(both), where=total > 0)


def _iou(predicted: Mask, truth: Mask) -> FloatArray:
    both, total = _areas(predicted, truth)
    return np.divide(both, total - both, out=np.ones_like(both), where=total > 0)


def _per_image(task: Task, spacing: FloatArray | None) -> dict[str, Callable[[Mask, Mask], FloatArray]]:
    """Return what is computed image by image: metric -> one number an image."""
    found: dict[str, Callable[[Mask, Mask], FloatArray]] = {"dice": _dice, "iou": _iou}
    distances = {"hausdorff": _surfaces.hausdorff, "hausdorff_95": _surfaces.hausdorff_95}
    found |= {name: partial(_surfaces.each, of) for name, of in distances.items()}
    if task.surface_tolerance is not None:
        found["nsd"] = partial(_surfaces.each, partial(_surfaces.within, tolerance=task.surface_tolerance))
    if spacing is None:
        return found
    found |= {f"{name}_mm": partial(_surfaces.each, of, spacing=spacing) for name, of in distances.items()}
    if task.surface_tolerance_mm is not None:
        near = partial(_surfaces.within, tolerance=task.surface_tolerance_mm)
        found["nsd_mm"] = partial(_surfaces.each, near, spacing=spacing)
    return found
