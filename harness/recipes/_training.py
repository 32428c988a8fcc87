"""The one training loop, of the suite's baseline and of every recipe that trains. Needs torch, imported inside."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.recipes._onnx_tools import quiet, whole

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


def fit(
    network: torch.nn.Module,
    inputs: Inputs,
    labels: npt.NDArray[np.int64],
    schedule: Schedule,
    *,
    teacher: Teacher | None = None,
    layout: str = "NCHW",
    score: Callable[[], float] | None = None,
    stepped: Callable[[int], None] = lambda _: None,
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
        stepped: called behind every step with how many were made.
        progress: called with one line after every epoch.

    Raises:
        RecipeError: the loss is no longer a finite number, or rose; or no epoch has a score.
        MemoryError: torch has no room for a step.
    """
    import torch

    best, kept = -math.inf, network.state_dict()
    losses: list[float] = []
    rng = np.random.default_rng(schedule.seed)
    torch.manual_seed(schedule.seed)
    steps = -(-len(inputs) // schedule.batch)
    step, made = _optimiser(network, schedule, steps), 0
    for epoch in range(schedule.epochs):
        network.train()
        total = 0.0
        for rows in np.array_split(rng.permutation(len(inputs)), steps):
            batch = augmented(inputs[rows], rng, layout) if schedule.augment else inputs[rows]
            soft = None if teacher is None else torch.from_numpy(teacher(batch))
            with room(f"{len(rows)} images of {inputs.shape[1:]} at once"):
                logits = network(torch.from_numpy(batch))
                total += step(_loss(logits, torch.from_numpy(labels[rows]), soft, schedule)) * len(rows)
            made += 1
            stepped(made)
        network.eval()
        reached = score() if score else 0.0
        if score and reached > best:
            best, kept = reached, {name: value.clone() for name, value in network.state_dict().items()}
        said = f", score {reached:.4f}" if score else ""
        losses.append(total / len(inputs))
        progress(f"epoch {epoch + 1} of {schedule.epochs}: loss {losses[-1]:.4f}{said}")
    if score:
        if best == -math.inf:
            raise RecipeError(
                "the score of no epoch is a number, so none can be chosen",
                remedy="score it on images of every class, or leave the score out",
            )
        network.load_state_dict(kept)
    else:
        _check_fell(losses, labels, schedule.learning_rate)


def steps_of(schedule: Schedule, images: int) -> int:
    """Return how many steps a training makes of so many images."""
    return schedule.epochs * -(-images // schedule.batch)


def holding_zeros(weights: Iterable[torch.Tensor]) -> Callable[[int], None]:
    """Return what, called behind every step, sets to zero again what is zero now: what was pruned stays pruned."""
    import torch

    kept = [(one, one.detach() != 0) for one in weights]

    def hold(_made: int) -> None:
        with torch.no_grad():
            for one, mask in kept:
                one.mul_(mask)

    return hold


@contextmanager
def room(what: str) -> Iterator[None]:
    """Raise MemoryError where torch, which has no such error of its own on a CPU, says that it got no memory.

    `what` is what the memory is for.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(said in str(error) for said in ("can't allocate memory", "not enough memory", "out of memory")):
            raise
        raise MemoryError(f"for {what}") from error


def _check_fell(losses: list[float], labels: npt.NDArray[np.int64], rate: float) -> None:
    """Raise RecipeError where training made a network worse than one that looks at no image."""
    shares = np.bincount(labels.ravel()) / labels.size
    blind = -float(sum(share * math.log(share) for share in shares if share))
    if len(losses) > 1 and losses[-1] > 1.5 * losses[0] and losses[-1] > blind:
        raise RecipeError(
            f"the training diverged: its loss rose from {losses[0]:.4f} in the first epoch to {losses[-1]:.4f} in the "
            f"last, at a learning rate of {rate:g}",
            remedy="lower `learning_rate` in the variant's parameters",
        )


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

    with whole(target) as partial, quiet():  # the tracer warns of each shape that it reads
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
