"""Metrics of `[task] kind = "segmentation"`, with `positive = "CLASS"` naming the class that is outlined.

Outputs are (N, K, H, W) or (N, H, W, K), one map a class, of which the largest decides; with two classes also one map,
(N, 1, H, W), (N, H, W, 1) or (N, H, W): probabilities above 0.5, or logits above 0, are the second class.
Dice, IoU and Hausdorff distance are computed image by image and averaged; intervals resample images. An image without
the class that is also predicted without it counts as right (Dice and IoU 1, distance 0), so that false outlines on
normal images cost something; where only one of truth and prediction is empty, the distance is the image's diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.errors import MeasurementError
from harness.model import Estimate, Evaluation, FloatArray, Samples, Task

Outputs = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def evaluate(outputs: Outputs, samples: Samples, task: Task) -> Evaluation:
    """Return Dice, IoU and Hausdorff distance of the positive class with their 95 % intervals.

    Args:
        outputs: raw model outputs, see this module's docstring for their shapes.
        samples: the split, whose (N, H, W) masks they belong to.
        task: names the positive class; without it, the second of two classes is the positive one.

    Raises:
        MeasurementError: if there are no masks, outputs are not finite, or do not fit the masks and classes.
    """
    if samples.masks is None:
        raise MeasurementError("the data has no masks", remedy="give images and masks, or another [task] kind")
    predicted, truth = _outlines(outputs, samples.masks, samples.classes, task)
    return Evaluation({name: _mean(of(predicted, truth)) for name, of in _PER_IMAGE.items()})


def compare(
    baseline: Outputs, run: Outputs, truth: npt.NDArray[Any], classes: Sequence[str], task: Task, metric: str
) -> Estimate | None:
    """Return run minus baseline in one metric with its 95 % interval, paired on the same images.

    Args:
        baseline: outputs of the baseline.
        run: outputs of the run, on the same images in the same order.
        truth: (N, H, W) masks of class indices.
        classes: the K names.
        task: names the positive class.
        metric: "dice", "iou" or "hausdorff".

    Returns:
        The mean difference (ratio units, or pixels), or None for another metric.

    Raises:
        MeasurementError: as `evaluate`, for either outputs.
    """
    if metric not in _PER_IMAGE:
        return None
    before, after = (_PER_IMAGE[metric](*_outlines(outputs, truth, classes, task)) for outputs in (baseline, run))
    return _mean(after - before)


def agreement(baseline: Outputs, run: Outputs) -> Estimate:
    """Return the share of pixels that both models give the same label, averaged over images.

    Args:
        baseline: outputs of the baseline.
        run: outputs of the run, on the same images in the same order.

    Raises:
        MeasurementError: if the two do not have the same shape or there are no images.
    """
    if baseline.shape != run.shape or baseline.ndim not in (3, 4) or len(baseline) == 0:
        raise MeasurementError(
            f"outputs of shape {run.shape} cannot be compared with {baseline.shape}",
            remedy="measure both on the same images",
        )
    # The classes are the shortest axis but the first: images are larger than they have classes.
    axis = 1 if baseline.ndim == 4 and baseline.shape[1] < baseline.shape[-1] else -1
    same = _labels(baseline, axis) == _labels(run, axis)
    return _mean(same.reshape(len(same), -1).mean(axis=1))


def _outlines(outputs: Outputs, masks: npt.NDArray[Any], classes: Sequence[str], task: Task) -> tuple[Mask, Mask]:
    positive = _positive(classes, task)
    n, k, size = len(masks), len(classes), masks.shape[1:]
    axes = [axis for axis in (1, -1) if _fits(outputs, n, size, axis, (k, 1) if k == 2 else (k,))]
    plain = k == 2 and outputs.shape == masks.shape
    if n == 0 or not (axes or plain):
        raise MeasurementError(
            f"the model gives outputs of shape {outputs.shape}, the masks are {masks.shape} with {k} classes "
            f"({', '.join(classes)})",
            remedy=f"export the model with one map per class, {(n, k, *size)}",
        )
    broken = int((~np.isfinite(outputs)).reshape(n, -1).any(axis=1).sum())
    if broken:
        raise MeasurementError(
            f"{broken} of {n} images gave NaN or infinite outputs",
            remedy="check the model's conversion and [data.input]",
        )
    labels = _labels(outputs, -1 if plain else axes[0])
    return labels == positive, masks == positive


def _fits(outputs: Outputs, n: int, size: tuple[int, ...], axis: int, channels: tuple[int, ...]) -> bool:
    if outputs.ndim != 4 or len(outputs) != n or outputs.shape[axis] not in channels:
        return False
    return (outputs.shape[2:] if axis == 1 else outputs.shape[1:3]) == size


def _labels(outputs: Outputs, axis: int) -> npt.NDArray[np.int64]:
    if outputs.ndim == 4 and outputs.shape[axis] > 1:
        return np.asarray(outputs.argmax(axis=axis), np.int64)
    single = outputs if outputs.ndim == 3 else outputs.squeeze(axis)
    threshold = 0.5 if single.min() >= 0 and single.max() <= 1 else 0.0
    return (single > threshold).astype(np.int64)


def _positive(classes: Sequence[str], task: Task) -> int:
    if task.positive in classes:
        return list(classes).index(task.positive)
    if task.positive or len(classes) != 2:
        raise MeasurementError(
            f"[task] positive = {task.positive!r} is no class of the data", remedy=f"choose one of {', '.join(classes)}"
        )
    return 1


def _mean(values: FloatArray) -> Estimate:
    return stats.bootstrap_interval(len(values), lambda weights: np.asarray(weights @ values / len(values)))


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


def _hausdorff(predicted: Mask, truth: Mask) -> FloatArray:
    from scipy.ndimage import distance_transform_edt

    def distance(a: Mask, b: Mask) -> float:
        if not (a.any() and b.any()):
            return 0.0 if a.any() == b.any() else math.hypot(*a.shape)
        return float(max(distance_transform_edt(~b)[a].max(), distance_transform_edt(~a)[b].max()))

    return np.array([distance(a, b) for a, b in zip(predicted, truth, strict=True)])


_PER_IMAGE: dict[str, Callable[[Mask, Mask], FloatArray]] = {"dice": _dice, "iou": _iou, "hausdorff": _hausdorff}
