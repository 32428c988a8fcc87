"""`recipe = "prune_magnitude"`, `parameters = { sparsity = 0.5 }`: zero the weights of smallest magnitude.

One threshold holds for the whole network (Han, Pool, Tran, Dally, "Learning both weights and connections for efficient
neural networks"); a layer that it leaves empty is named. `epochs` trains what remains to follow the labels and the
parent's outputs, while what is zero stays zero; `schedule = "gradual"` removes weights meanwhile (Zhu, Gupta, "To
prune, or not to prune": sparsity rises as a cubic, fast at first). Training needs `pip install 'edgeward[train]'`.
Neither the file nor the latency shrinks unless a runtime has sparse kernels: this variant is here to be measured, not
because it helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _lessons, _onnx_tools, _training

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx
    import torch

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnx2torch", "onnxruntime")
TAKES = ("float32",)
LEAVES = "float32"

#: How often a gradual schedule removes weights: each time all of them are sorted.
_TIMES: Final = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How many weights are removed, when, and how long the others are trained.

    Attributes:
        sparsity: share of the weights that are zero in the end, 0..1; biases are left alone.
        epochs: passes over the train split; 0 for no training.
        schedule: "one_shot" removes all before training, "gradual" more and more of them while it trains.
        steps: of training over which "gradual" removes them; the first half, if not given.
        learning_rate: its highest value.
        soft: weight of the parent's outputs against the labels, 0..1; 0 for the labels alone.
        augment: whether images are mirrored, shifted and changed in gain; no for images whose sides carry meaning.
        seed: of the order of images and of the augmentation.
    """

    sparsity: float = 0.5
    epochs: int = 0
    schedule: Literal["one_shot", "gradual"] = "one_shot"
    steps: int | None = None
    learning_rate: float = 1e-3
    soft: float = 0.7
    augment: bool = True
    seed: int = 7

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity = {self.sparsity} must be at least 0 and below 1")
        if self.epochs < 0:
            raise ValueError(f"epochs = {self.epochs} must be 0 or more")
        if self.schedule == "gradual" and not self.epochs:
            raise ValueError('schedule = "gradual" removes weights in training: give `epochs`')
        if self.steps is not None and (self.schedule != "gradual" or self.steps < 1):
            raise ValueError(f'steps = {self.steps} must be 1 or more, and is of schedule = "gradual"')
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate = {self.learning_rate} must be above 0")
        if not 0 <= self.soft <= 1:
            raise ValueError(f"soft = {self.soft} must lie between 0 and 1")


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the parent with its smallest weights zeroed, and return which layers have nothing but zeros, if any.

    Raises:
        RecipeError: it has no weights, a library is missing, or it cannot be trained.
    """
    _onnx_tools.require("build", "onnx")
    import onnx

    model = _onnx_tools.read_onnx(job.parent)
    if not any(True for _ in _onnx_tools.onnx_weights(model)):
        raise RecipeError(
            f"{job.parent.name} has no convolution or matrix product with float32 weights to prune",
            remedy="leave this variant out",
        )
    if options.epochs:
        model = _trained(model, job, options)
    else:
        _zero(model, options.sparsity)
    with _onnx_tools.whole(job.target) as partial:
        onnx.save(model, str(partial))
    weights = [(node, onnx.numpy_helper.to_array(tensor)) for node, tensor in _onnx_tools.onnx_weights(model)]
    empty = [node.name or node.output[0] for node, values in weights if not values.any()]
    return {"empty_layers": empty} if empty else {}


def sparsity_at(step: int, steps: int, final: float) -> float:
    """Return the share of weights that are zero at a step: s + (0 - s) (1 - t / n)^3, equation 1 of Zhu and Gupta.

    Args:
        step: t, counted from 0.
        steps: n, from which on the share stays as it is.
        final: s, 0..1.
    """
    return final - final * (1 - min(step, steps) / steps) ** 3


def _zero(model: onnx.ModelProto, sparsity: float) -> None:
    from onnx import numpy_helper

    weights = [(tensor, numpy_helper.to_array(tensor)) for _, tensor in _onnx_tools.onnx_weights(model)]
    limit = _threshold([values for _, values in weights], sparsity)
    for tensor, values in weights:
        kept = np.where(np.abs(values) < limit, np.float32(0), values)
        tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))


def _threshold(weights: Sequence[npt.NDArray[np.float32]], sparsity: float) -> Any:
    """Return the magnitude below which a share of all weights lies."""
    return np.quantile(np.abs(np.concatenate([values.ravel() for values in weights])), sparsity)


def _trained(model: onnx.ModelProto, job: Build, options: Options) -> onnx.ModelProto:
    """Return the model pruned and trained."""
    _onnx_tools.require("train", "torch")
    from harness.recipes import _onnx2torch, _refining

    lesson = _lessons.lesson(job)
    network = _onnx2torch.Trainable(model, job.parent)
    schedule = _training.Schedule(
        options.epochs, options.learning_rate, soft=options.soft, augment=options.augment, seed=options.seed
    )
    weights = list(network.tensors().values())
    if options.schedule == "gradual":
        stepped = _gradually(weights, options, _training.steps_of(schedule, len(lesson.inputs)), job.parent)
    else:
        _prune(weights, options.sparsity)
        stepped = _training.holding_zeros(weights)
    _refining.refine(network.network, job, lesson, schedule, by=job.parent, stepped=stepped)
    return network.write_back()


def _gradually(weights: Sequence[torch.Tensor], options: Options, every: int, parent: Path) -> Callable[[int], None]:
    """Return what, called behind each of `every` steps, removes as many weights as the schedule says by then."""
    steps = options.steps or max(1, every // 2)
    if steps > every:
        raise RecipeError(
            f"steps = {steps} of {parent.name}, but {options.epochs} epochs have {every}: its sparsity would not "
            f"reach {options.sparsity:g}",
            remedy="give more `epochs`, or fewer `steps`",
        )
    between = -(-steps // _TIMES)
    hold = _training.holding_zeros(weights)

    def stepped(made: int) -> None:
        nonlocal hold
        hold(made)
        if made <= steps and (made % between == 0 or made == steps):
            _prune(weights, sparsity_at(made, steps, options.sparsity))
            hold = _training.holding_zeros(weights)

    return stepped


def _prune(weights: Sequence[torch.Tensor], sparsity: float) -> None:
    """Set a share of weights to zero, in place."""
    import torch

    limit = float(_threshold([one.detach().numpy() for one in weights], sparsity))
    with torch.no_grad():
        for one in weights:
            one.mul_(one.abs() >= limit)
