"""A network that was made of a file, trained on to give better what it gives. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _host, _lessons, _training
from harness.recipes._lessons import Lesson
from harness.recipes._training import Schedule


class Logits(nn.Module):  # type: ignore[misc]
    """A network whose outputs are the logits of one of a file's outputs.

    Args:
        network: made of `file`, with all its outputs.
        file: says what they are.
        job: says which is meant.
        lesson: has images to try it with.

    Raises:
        RecipeError: they are no logits or probabilities of the classes.
    """

    def __init__(self, network: nn.Module, file: Path, job: Build, lesson: Lesson) -> None:
        super().__init__()
        self.network = network
        self._place = _host.place_of(file, job.reading)
        self._probabilities = _lessons.gives_probabilities(file, job)
        with torch.no_grad():
            shape = tuple(self.eval()(torch.from_numpy(lesson.inputs[:1])).shape)
        if shape != (1, lesson.classes):
            raise RecipeError(
                f"{file.name} gives numbers of shape {shape} for one image, and only one for each of the "
                f"{lesson.classes} classes can be trained",
                remedy="leave this variant out, or bring it ready-made",
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, K) logits."""
        given = self.network(x)
        one: torch.Tensor = given[self._place] if isinstance(given, (list, tuple)) else given
        return one.clamp(min=_lessons.SMALLEST).log() if self._probabilities else one


def refine(
    network: nn.Module,
    job: Build,
    lesson: Lesson,
    schedule: Schedule,
    *,
    by: Path,
    stepped: Callable[[int], None] = lambda _: None,
) -> Logits:
    """Train a network that was made of the parent in place, and return it as what gives its logits.

    Args:
        network: its layers.
        job: of the recipe.
        lesson: what it learns from.
        schedule: how long and how; without a teacher where `soft` is 0.
        by: the teacher's file.
        stepped: called behind every step with how many were made.

    Raises:
        RecipeError: its outputs cannot be trained, or the training diverged.
        MemoryError: torch has no room for a step.
    """
    logits = Logits(network, job.parent, job, lesson)
    teacher = _lessons.teacher(by, job) if schedule.soft else None
    _training.fit(
        logits, lesson.inputs, lesson.labels, schedule, teacher=teacher, layout=job.input.layout, stepped=stepped
    )
    return logits
