"""The one training loop, for the suite's baseline and every recipe that trains. Needs torch, imported inside."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.model import Samples
from harness.ports import Build
from harness.recipes._onnx_tools import require, whole

if TYPE_CHECKING:
    import torch

_LOG: Final = logging.getLogger(__name__)

Inputs = npt.NDArray[np.float32]
#: Prepared inputs (N, ...) -> outputs (N, K).
Teacher = Callable[[Inputs], Inputs]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a network is trained: AdamW with a one-cycle learning rate, or one that falls in steps.

    Attributes:
        epochs: passes over the data.
        learning_rate: its highest value.
        decay: epochs behind which the learning rate is a tenth of what it was; empty for one cycle.
        batch: images in a step.
        weight_decay: of AdamW.
        augment: whether images are mirrored left to right, shifted by up to 4 pixels and changed in gain.
        soft: weight of the teacher's outputs against the labels, 0..1.
        temperature: softening of the teacher's outputs.
        seed: of the order of images and of the augmentation.
    """

    epochs: int
    learning_rate: float = 2e-3
    decay: tuple[int, ...] = ()
    batch: int = 64
    weight_decay: float = 0.02
    augment: bool = True
    soft: float = 0.7
    temperature: float = 2.0
    seed: int = 7


def labelled(job: Build) -> Samples:
    """Return the train split; raises RecipeError unless it is labelled for classification, which is all this trains."""
    if job.task.kind != "classification":
        raise RecipeError(
            f"only classifiers can be trained here, not {job.task.kind}", remedy="bring this variant ready-made"
        )
    return job.samples("train")


def fit(
    network: torch.nn.Module,
    inputs: Inputs,
    labels: npt.NDArray[np.int64],
    schedule: Schedule,
    *,
    teacher: Teacher | None = None,
    layout: str = "NCHW",
    score: Callable[[], float] | None = None,
    progress: Callable[[str], None] = _LOG.info,
) -> None:
    """Train a classifier in place.

    With a teacher, cross-entropy is mixed with the divergence from its softened outputs on the same, augmented images
    (Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network").

    Args:
        network: maps inputs to (N, K) logits.
        inputs: (N, C, H, W) or (N, H, W, C), prepared.
        labels: (N,) indices of the classes.
        schedule: how long and how.
        teacher: a better model's logits for a batch.
        layout: of `inputs`.
        score: judges the network after every epoch, on images that it does not learn from; the weights of the best
            epoch, the earliest of equal ones, are what remains. Without it, those of the last epoch remain.
        progress: called with one line after every epoch.

    Raises:
        RecipeError: the loss is no longer a finite number, or memory ran out.
    """
    with enough_memory(schedule.batch, inputs.shape[1:]):
        _fit(network, inputs, labels, schedule, teacher=teacher, layout=layout, score=score, progress=progress)


@contextmanager
def enough_memory(batch: int, shape: tuple[int, ...]) -> Iterator[None]:
    """Raise RecipeError where memory runs out, which torch says in words alone.

    Args:
        batch: images in a step.
        shape: of one input.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        words = str(error).lower()
        if not isinstance(error, MemoryError) and not ("memory" in words and "alloc" in words):
            raise
        sizes = "x".join(map(str, shape))
        raise RecipeError(
            f"the training ran out of memory, at {batch} inputs of {sizes} a step",
            remedy="build where there is more of it, or with smaller images",
        ) from error


def _fit(
    network: torch.nn.Module,
    inputs: Inputs,
    labels: npt.NDArray[np.int64],
    schedule: Schedule,
    *,
    teacher: Teacher | None,
    layout: str,
    score: Callable[[], float] | None,
    progress: Callable[[str], None],
) -> None:
    import torch

    best, kept = -math.inf, network.state_dict()
    rng = np.random.default_rng(schedule.seed)
    torch.manual_seed(schedule.seed)
    steps = -(-len(inputs) // schedule.batch)
    step = _optimiser(network, schedule, steps)
    for epoch in range(schedule.epochs):
        network.train()
        total = 0.0
        for rows in np.array_split(rng.permutation(len(inputs)), steps):
            batch = augmented(inputs[rows], rng, layout) if schedule.augment else inputs[rows]
            logits = network(torch.from_numpy(batch))
            soft = None if teacher is None else torch.from_numpy(teacher(batch))
            total += step(_loss(logits, torch.from_numpy(labels[rows]), soft, schedule)) * len(rows)
        network.eval()
        reached = score() if score else 0.0
        if score and reached > best:
            best, kept = reached, {name: value.clone() for name, value in network.state_dict().items()}
        said = f", score {reached:.4f}" if score else ""
        progress(f"epoch {epoch + 1} of {schedule.epochs}: loss {total / len(inputs):.4f}{said}")
    if score:
        network.load_state_dict(kept)


def _optimiser(network: torch.nn.Module, schedule: Schedule, steps: int) -> Callable[[torch.Tensor], float]:
    """Return what takes a loss, makes one step down from it, and returns its value.

    Args:
        network: whose weights are changed.
        schedule: how fast.
        steps: of one epoch.

    Raises:
        RecipeError: by what is returned, for a loss that is not finite.
    """
    import torch

    rate = schedule.learning_rate
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=schedule.weight_decay)
    pace = (
        torch.optim.lr_scheduler.MultiStepLR(optimiser, [epoch * steps for epoch in schedule.decay])
        if schedule.decay
        else torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps * schedule.epochs, pct_start=0.2)
    )

    def step(loss: torch.Tensor) -> float:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        pace.step()
        value: float = loss.item()
        check_finite(value, rate)
        return value

    return step


def check_finite(loss: float, rate: float) -> None:
    """Raise RecipeError unless a loss is a finite number.

    Args:
        loss: of a step.
        rate: the learning rate that is to be lowered else.
    """
    if not math.isfinite(loss):
        raise RecipeError(
            f"the training diverged: its loss is {loss} at a learning rate of {rate:g}",
            remedy="lower `learning_rate` in the variant's parameters",
        )


def _loss(logits: torch.Tensor, labels: torch.Tensor, target: torch.Tensor | None, schedule: Schedule) -> torch.Tensor:
    from torch.nn import functional

    hard = functional.cross_entropy(logits, labels)
    if target is None:
        return hard
    student = functional.log_softmax(logits / schedule.temperature, dim=1)
    expected = functional.log_softmax(target / schedule.temperature, dim=1)
    divergence = functional.kl_div(student, expected, reduction="batchmean", log_target=True)
    return (1 - schedule.soft) * hard + schedule.soft * schedule.temperature**2 * divergence


def augmented(batch: Inputs, rng: np.random.Generator, layout: str) -> Inputs:
    """Return a changed copy: mirrored left to right or not, shifted by up to 4 pixels, and with another gain.

    Args:
        batch: (N, ...) prepared inputs.
        rng: of the changes.
        layout: NCHW or NHWC.
    """
    rows, columns = (2, 3) if layout == "NCHW" else (1, 2)
    changed = np.empty_like(batch)
    for index, image in enumerate(batch):
        view = np.flip(image, columns - 1) if rng.uniform() < 0.5 else image
        for axis in (rows - 1, columns - 1):
            size = view.shape[axis]
            view = view.take(np.clip(np.arange(size) + rng.integers(-4, 5), 0, size - 1), axis=axis)
        changed[index] = view * np.float32(rng.uniform(0.9, 1.1)) + np.float32(rng.uniform(-0.2, 0.2))
    return changed


def export_onnx(network: Any, shape: tuple[int, ...], target: Path) -> None:
    """Write a trained network as ONNX with a free batch axis, whole or not at all.

    Args:
        network: a torch module in evaluation mode.
        shape: of one input, without the batch.
        target: the file.
    """
    import torch

    with whole(target) as partial:
        torch.onnx.export(
            network,
            (torch.zeros((1, *shape)),),
            str(partial),
            dynamo=False,
            opset_version=17,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        )


def teacher(parent: Path) -> Teacher:
    """Return the function that runs a baseline's ONNX file on a batch.

    Raises:
        RecipeError: onnxruntime is missing or cannot load the file.
    """
    require("build", "onnxruntime")
    import onnxruntime

    try:
        settings = onnxruntime.SessionOptions()
        # Threads that spin while they wait would take the cores from torch, which has its own.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(parent), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise RecipeError(
            f"{parent.name} cannot be loaded by onnxruntime: {str(error).splitlines()[0]}", remedy="export it again"
        ) from error
    entrance = session.get_inputs()[0]
    free = not isinstance(entrance.shape[0], int)

    def answer(batch: Inputs) -> Inputs:
        parts = [batch] if free else [image[None] for image in batch]
        return np.concatenate([session.run(None, {entrance.name: part})[0] for part in parts])

    return answer
