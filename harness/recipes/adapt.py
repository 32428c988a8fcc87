"""`recipe = "adapt"`, `parameters = { split = "scanner_b" }`: for images of another scanner or modality.

The means and deviations that a network normalises by are those of the images that it learnt from. Here they are taken
anew from images of the other kind, without labels (Li, Wang, Shi, Liu, Hou, "Revisiting batch normalization for
practical domain adaptation", 2016). Where the file has its batch normalisations folded into the convolutions, what each
convolution gives for the split `train` stands for what was normalised to. With `entropy_epochs`, the normalisations'
own weights are then moved to make answers surer, without labels, too (Wang, Shelhamer, Liu, Olshausen, Darrell, "Tent:
fully test-time adaptation by entropy minimization", 2021); with `label_epochs`, all weights learn from labels instead.

The images are those of another split, or of one `subgroup` of the train split; what is measured can be neither. They
must have the classes about as often as the images that come later: statistics of sick people alone adapt to sickness.
Needs `pip install 'edgeward[train]'`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness import registry
from harness.errors import RecipeError
from harness.model import Samples
from harness.ports.recipes import Build
from harness.recipes import _lessons, _normalising, _onnx2torch, _onnx_tools, _training
from harness.recipes._inputs import prepare

if TYPE_CHECKING:
    import torch

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnx2torch")
TAKES = ("float32",)
LEAVES = "float32"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Options:
    """To which images, and how.

    Attributes:
        split: of the suite's data that has the images; never the one that is measured.
        subgroup: of these, the ones whose value of `[data] subgroup` this is; "" for all.
        entropy_epochs: passes in which answers are made surer; 0 for none.
        label_epochs: passes in which all weights learn from labels; 0 for none.
        learning_rate: its highest value in either.
        batch: images whose statistics are taken together.
        seed: of the order of images.
    """

    split: str = "train"
    subgroup: str = ""
    entropy_epochs: int = 0
    label_epochs: int = 0
    learning_rate: float = 1e-3
    batch: int = 64
    seed: int = 7

    def __post_init__(self) -> None:
        if self.split == "train" and not self.subgroup:
            raise ValueError("the split train is what the network learnt from: name another `split`, or a `subgroup`")
        if min(self.entropy_epochs, self.label_epochs) < 0:
            raise ValueError("entropy_epochs and label_epochs must be 0 or more")
        if self.batch < 2:
            raise ValueError(f"batch = {self.batch} must be 2 or more: one image has no deviation")


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the adapted network, and return what it was adapted by.

    Raises:
        RecipeError: torch is missing, the network cannot be converted or has nothing to normalise, there are no such
            images, or labels are wanted where there are none or name a class that the network does not.
    """
    _onnx_tools.require("train", "torch")
    samples = _chosen(job, options)
    inputs = prepare(samples.images, job.input)
    network = _onnx2torch.network(job.parent)
    folded = _normalising.normalise(network)
    layers = _normalising.layers(network)
    if not layers:
        raise RecipeError(
            f"{job.parent.name} has no convolution, so nothing is normalised", remedy="leave this variant out"
        )
    trained = _trained(network, job, samples, inputs) if options.entropy_epochs or options.label_epochs else None
    with _training.room(f"{options.batch} images of {inputs.shape[1:]} at once"):
        if folded:
            _normalising.settle(network, prepare(job.samples("train").images, job.input), options.batch)
        _re_estimate(network, layers, inputs, options)
        if trained is not None and options.entropy_epochs:
            before = _classes(trained.logits, inputs, options.batch)
            _make_surer(trained.logits, layers, inputs, options)
            _re_estimate(network, layers, inputs, options)
            _check_kept(before, _classes(trained.logits, inputs, options.batch))
    used = ["statistics", *(["entropy"] if options.entropy_epochs else [])]
    if trained is not None and options.label_epochs:
        schedule = _training.Schedule(options.label_epochs, options.learning_rate, augment=False, seed=options.seed)
        _training.fit(trained.logits, inputs, trained.labels, schedule, layout=job.input.layout)
        used.append("labels")
    _training.export_onnx(network.eval(), inputs.shape[1:], job.target)
    return {
        "used": used,
        "split": options.split,
        **({"subgroup": options.subgroup} if options.subgroup else {}),
        "images": len(inputs),
        "normalisations": len(layers),
        "normalised_to": "what convolutions give for the split train" if folded else "the file's own",
    }


@dataclass(frozen=True, slots=True)
class _Trained:
    """What is trained, and towards what: the class of each image as the network calls its outputs."""

    logits: torch.nn.Module
    labels: npt.NDArray[np.int64]


def _trained(network: torch.nn.Module, job: Build, samples: Samples, inputs: Floats) -> _Trained:
    """Return what gives a network's logits, and the labels in the order of these.

    Args:
        network: made of the parent.
        job: says what its outputs are called.
        samples: the images to adapt to.
        inputs: the same, prepared.

    Raises:
        RecipeError: it does not give one logit for each class, or does not know one of the data's.
    """
    from harness.recipes import _refining

    labels, classes = _lessons.placed(job, samples)
    return _Trained(_refining.Logits(network, job.parent, job, _lessons.Lesson(inputs, labels, classes)), labels)


def _chosen(job: Build, options: Options) -> Samples:
    """Return the images to adapt to; raises RecipeError where there are none, or no labels where they are wanted."""
    learns = options.label_epochs or options.entropy_epochs
    if learns and (job.task.kind != "classification" or job.reading.kind != "logits"):
        what = job.task.kind if job.task.kind != "classification" else f"with {job.reading.kind or 'unknown'} outputs"
        raise RecipeError(
            f"only classifiers that answer with logits can be trained here, not {job.parent.name} ({what})",
            remedy="leave out `label_epochs` and `entropy_epochs`, or export it without the softmax at its end",
        )
    samples = job.samples(options.split)
    if options.subgroup:
        names = samples.subgroup_names
        if samples.subgroups is None or options.subgroup not in names:
            raise RecipeError(
                f"no image of the split {options.split} is of a subgroup {options.subgroup!r}",
                remedy=registry.suggestion(options.subgroup, names) if names else "set `subgroup` in [data]",
            )
        samples = samples.without(np.flatnonzero(samples.subgroups != names.index(options.subgroup)))
    if len(samples.images) < 2 or (options.label_epochs and not len(samples.labels)):
        what = "labels" if len(samples.images) > 1 else "images"
        raise RecipeError(
            f"the split {options.split} has too few {what} to adapt to",
            remedy="leave out `label_epochs`" if what == "labels" else "name another split",
        )
    return samples


def _batches(inputs: Floats, size: int, rng: np.random.Generator) -> list[Floats]:
    """Return the inputs in random order, in batches of about one size."""
    parts = max(1, round(len(inputs) / size))
    return [inputs[rows] for rows in np.array_split(rng.permutation(len(inputs)), parts)]


def _re_estimate(
    network: torch.nn.Module, layers: list[torch.nn.BatchNorm2d], inputs: Floats, options: Options
) -> None:
    """Take means and variances anew: the mean over batches, each normalised by its own as in training."""
    import torch

    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    network.eval()
    for layer in layers:
        layer.train()
    with torch.no_grad():
        for batch in _batches(inputs, options.batch, np.random.default_rng(options.seed)):
            network(torch.from_numpy(batch))
    network.eval()


def _classes(network: torch.nn.Module, inputs: Floats, batch: int) -> set[int]:
    """Return which classes a network in evaluation mode answers with."""
    import torch

    found: set[int] = set()
    with torch.no_grad():
        for begin in range(0, len(inputs), batch):
            found |= set(network(torch.from_numpy(inputs[begin : begin + batch])).argmax(1).tolist())
    return found


def _check_kept(before: set[int], after: set[int]) -> None:
    """Raise RecipeError where entropy became small because every image is answered alike, as it does in the end."""
    if len(after) == 1 < len(before):
        raise RecipeError(
            f"with less entropy the network calls every image class {min(after)}, and without it answers with "
            f"{len(before)} classes",
            remedy="lower `learning_rate` or `entropy_epochs`",
        )


def _make_surer(network: torch.nn.Module, layers: list[torch.nn.BatchNorm2d], inputs: Floats, options: Options) -> None:
    """Lower the mean entropy of the answers by the normalisations' own weights alone.

    Raises:
        RecipeError: it is no longer a finite number.
    """
    import torch

    rng = np.random.default_rng(options.seed)
    optimiser = torch.optim.Adam([one for layer in layers for one in (layer.weight, layer.bias)], options.learning_rate)
    for layer in layers:
        layer.train()
    for _ in range(options.entropy_epochs):
        for batch in _batches(inputs, options.batch, rng):
            surprise = network(torch.from_numpy(batch)).log_softmax(1)
            entropy = -(surprise.exp() * surprise).sum(1).mean()
            optimiser.zero_grad(set_to_none=True)
            entropy.backward()
            optimiser.step()
            _training.check_finite(entropy.item(), options.learning_rate)
    network.eval()
