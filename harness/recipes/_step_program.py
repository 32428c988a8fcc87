"""A model as a program of torch that can learn on a device, and where the same steps on this host lead.

The graph of the .onnx file learns as it is deployed: a normalisation that was folded into its convolution stays so, one
that is there keeps its statistics. The program is traced for one size of batch and needs torch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.model import LocalStep
from harness.ports.recipes import Build
from harness.recipes import _lessons, _onnx2torch, _onnx_tools, _training

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, npt.NDArray[np.float32]]

#: Batches that are brought to a device, at most: steps go through them in turn.
BATCHES: Final = 8


@dataclass(frozen=True, slots=True)
class StepProgram:
    """What a device is given, and what it must come to.

    Attributes:
        file: the program.
        learns: names of the weights that change.
        inputs, labels: (N, ...) prepared images and (N,) places of their classes; N is a multiple of the batch.
        start: the weights before the first step.
        end: the weights that this host has after all steps.
    """

    file: Path
    learns: tuple[str, ...]
    inputs: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    start: Weights
    end: Weights

    @property
    def weights(self) -> int:
        """How many numbers learn."""
        return sum(one.size for one in self.start.values())

    def apart(self, found: Weights) -> float:
        """Return how far weights are from `end`, over the way from `start` to `end`: norms of all that learn."""
        far = [(found[name] - self.end[name]).astype(np.float64) for name in self.learns]
        way = [(self.end[name] - self.start[name]).astype(np.float64) for name in self.learns]
        return float(_norm(far) / _norm(way))


def make(job: Build, asked: LocalStep, steps: int, *, threads: int = 1) -> StepProgram:
    """Write the program to `job.target`, and make the same steps here, with the network itself instead of the program.

    Args:
        job: says what learns, how it is fed and read, and gives the train split.
        asked: what a step is.
        steps: all of them, with those that warm up.
        threads: that torch may take here.

    Raises:
        RecipeError: the model cannot be trained, the split has too few images, or the loss is not finite.
        MemoryError: torch has no room for a step.
    """
    if job.parent.suffix != ".onnx":
        raise RecipeError(
            f"{job.parent.name} is no .onnx file, and only those are made into programs that learn",
            remedy="name a variant in ONNX",
        )
    _onnx_tools.require("train", "torch")
    import torch

    from harness.recipes import _refining

    lesson = _lessons.lesson(job)
    inputs, labels = _batches(lesson.inputs, lesson.labels, asked, steps)
    trainable = _onnx2torch.Trainable(_onnx_tools.read_onnx(job.parent), job.parent)
    network = _refining.Logits(trainable.network, job.parent, job, lesson).eval()
    if asked.layers == "last":
        _only_last(trainable)
    learns = tuple(name for name, tensor in network.named_parameters() if tensor.requires_grad)
    start = {name: tensor.detach().numpy().copy() for name, tensor in network.named_parameters() if name in learns}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with _onnx_tools.quiet(), _training.room(f"{asked.batch} images of {inputs.shape[1:]} at once"):
            program = torch.jit.trace(network, (torch.from_numpy(inputs[: asked.batch]),), check_trace=False)
            with _onnx_tools.whole(job.target) as partial:
                program.save(str(partial))
            _train(network, learns, inputs, labels, asked, steps)
    finally:
        torch.set_num_threads(before)
    end = {name: tensor.detach().numpy().copy() for name, tensor in network.named_parameters() if name in learns}
    found = StepProgram(job.target, learns, inputs, labels, start, end)
    if all(np.array_equal(start[name], end[name]) for name in learns):
        raise RecipeError(
            f"{steps} steps change no weight of {job.parent.name}",
            remedy="raise `learning_rate` under [local_step], or leave this variant out",
        )
    return found


def _batches(
    inputs: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], asked: LocalStep, steps: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return whole batches of images, drawn at random with a seed of their own.

    Args:
        inputs: (N, ...) all images.
        labels: (N,) of them.
        asked: says how many are in a batch.
        steps: that are made with them.
    """
    if asked.batch > len(labels):
        raise RecipeError(
            f"a batch of {asked.batch} images is more than the split train has: {len(labels)}",
            remedy=f"write batch = {len(labels)} or less under [local_step]",
        )
    count = min(BATCHES, steps, len(labels) // asked.batch)
    rows = np.random.default_rng(7).permutation(len(labels))[: count * asked.batch]
    return np.ascontiguousarray(inputs[rows]), labels[rows]


def _only_last(trainable: _onnx2torch.Trainable) -> None:
    """Let the last layer with weights learn alone."""
    holder, _ = list(trainable.weights.values())[-1]
    own = {id(tensor) for tensor in holder.parameters(recurse=False) if tensor.requires_grad}
    for tensor in trainable.network.parameters():
        tensor.requires_grad_(id(tensor) in own)


def _train(
    network: torch.nn.Module,
    learns: tuple[str, ...],
    inputs: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    asked: LocalStep,
    steps: int,
) -> None:
    import torch

    tensors = [tensor for name, tensor in network.named_parameters() if name in learns]
    makers: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimiser = makers[asked.optimiser](tensors, lr=asked.learning_rate)
    for made in range(steps):
        begin = made * asked.batch % len(labels)
        rows = slice(begin, begin + asked.batch)
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(
            network(torch.from_numpy(inputs[rows])), torch.from_numpy(labels[rows])
        )
        loss.backward()
        optimiser.step()
        if not np.isfinite(loss.item()):
            raise RecipeError(
                f"the training diverged: the loss of step {made + 1} is {loss.item()} at a learning rate of "
                f"{asked.learning_rate:g}",
                remedy="lower `learning_rate` under [local_step]",
            )


def _norm(parts: list[npt.NDArray[np.float64]]) -> float:
    return float(np.sqrt(sum(float((part**2).sum()) for part in parts)))
