"""`recipe = "prune_filters"`, `parameters = { ratio = 0.5, epochs = 12 }`: remove whole filters, then train again.

The parent's ONNX file becomes a torch network (onnx2torch), torch-pruning takes out the filters of least norm together
with everything that depends on them (Fang et al., "DepGraph: towards any structural pruning"), and the remainder is
trained on the train split to give the parent's outputs. What comes out is an ordinary, narrower network, fast on any
runtime. Needs `pip install 'edgeward[train]'`; minutes for a small network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _lessons, _normalising, _onnx2torch, _onnx_tools, _training

if TYPE_CHECKING:
    import torch

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnx2torch", "torch-pruning", "onnxruntime")
TAKES = ("float32",)
LEAVES = "float32"


@dataclass(frozen=True, slots=True)
class Options:
    """How much is removed and how long the rest is trained.

    Attributes:
        ratio: share of filters removed in every layer but the last, 0..1.
        epochs: passes over the train split.
        learning_rate: its highest value.
        augment: whether images are mirrored, shifted and changed in gain; no for images whose sides carry meaning.
        seed: of the order of images.
    """

    ratio: float = 0.5
    epochs: int = 12
    learning_rate: float = 3e-3
    augment: bool = True
    seed: int = 7

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio = {self.ratio} must lie between 0 and 1")


def build(job: Build, options: Options) -> None:
    """Write the narrower network; raises RecipeError when a library is missing or the network cannot be pruned."""
    _onnx_tools.require("train", "torch", "torch_pruning")
    from harness.recipes import _refining

    lesson = _lessons.lesson(job)
    network = _onnx2torch.network(job.parent)
    _prune(network, lesson.inputs.shape[1:], lesson.classes, options.ratio, job.parent)
    schedule = _training.Schedule(options.epochs, options.learning_rate, augment=options.augment, seed=options.seed)
    _normalising.normalise(network)
    _refining.refine(network, job, lesson, schedule, by=job.parent)
    _training.export_onnx(network, lesson.inputs.shape[1:], job.target)


def _prune(network: torch.nn.Module, shape: tuple[int, ...], classes: int, ratio: float, parent: Path) -> None:
    """Remove filters in place; the layers that give the classes keep all of theirs."""
    import torch
    import torch_pruning

    last = [
        layer
        for layer in network.modules()
        if getattr(layer, "out_features", None) == classes or getattr(layer, "out_channels", None) == classes
    ]
    before = _weights(network)
    try:
        torch_pruning.pruner.MagnitudePruner(
            network,
            torch.zeros((1, *shape)),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=last,
        ).step()
        network(torch.zeros((2, *shape)))
    except (RuntimeError, ValueError, ZeroDivisionError, AttributeError, KeyError) as error:
        raise RecipeError(
            f"torch-pruning cannot prune {parent.name}: {error}",
            remedy="leave this variant out, or bring it ready-made",
        ) from error
    if _weights(network) == before:
        raise RecipeError(f"torch-pruning found no filters to remove in {parent.name}", remedy="leave this variant out")


def _weights(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
