"""`recipe = "early_exit"`, `parameters = { margin = 0.01 }`: an image that is easy leaves the network half-way.

A mean over pixels and a linear layer answer from maps inside the parent, whose own weights stay as they are; where the
largest probability of that answer is not above a threshold, the rest of the parent runs (Teerapittayanon, McDanel,
Kung, "BranchyNet: fast inference via early exiting from deep neural networks", 2016). One file holds both, with the
standard operator `If`, so the runtime really leaves the rest out; it takes one image at a time.

`exit` says which model is written, so that each can be measured by itself: "cascade"; "first", which always ends at
the exit; "last", which asks the exit and goes on whatever it says: the slowest that an image can be. All three have the
same exit and threshold. The threshold is the lowest at which the cascade, and it and every higher one, loses no more
than `margin` of the metric on the split `validation`; where `node` is not said, the exit is where a mean image of that
split then costs the fewest multiplications. The ledger keeps both, and how many images left. A graph with a branch is
what no other recipe takes: this one comes last in a chain. Needs `pip install 'edgeward[train]'`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from harness import registry
from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _branching, _host, _lessons, _onnx_tools, _training
from harness.recipes._branching import NEVER, Cut, Head
from harness.units import significant
from harness.vocabulary import METRICS

if TYPE_CHECKING:
    import onnx

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnxruntime")
TAKES = ("float32", "int8", "int4")
LEAVES = ""

#: Thresholds that are tried, from the highest down, at even steps of the rank of the images' probabilities.
_TRIED: Final = 32
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Options:
    """Where images leave, and when.

    Attributes:
        exit: which model is written: "cascade", "first" (the exit alone) or "last" (past the exit, whatever it says).
        node: behind which node the exit is, by its name; "" for where the mean image costs least.
        margin: how much of the metric the cascade may lose on the validation split: 0.01 is one point.
        metric: an accuracy of `[accept]`, such as "sensitivity".
        epochs: passes over the train split, of the exit alone.
        learning_rate: its highest value.
        seed: of the exit's first weights and of the order of images.
    """

    exit: Literal["cascade", "first", "last"] = "cascade"
    node: str = ""
    margin: float = 0.01
    metric: str = "accuracy"
    epochs: int = 40
    learning_rate: float = 1e-2
    seed: int = 7

    def __post_init__(self) -> None:
        accuracies = [name for name, one in METRICS.items() if one.paired]
        if not 0 <= self.margin < float("inf"):
            raise ValueError(f"margin = {self.margin} must be 0 or more")
        if self.metric not in accuracies:
            raise ValueError(f"metric = {self.metric!r} is no accuracy; {registry.suggestion(self.metric, accuracies)}")


@dataclass(frozen=True, slots=True)
class _Exit:
    """One place to leave at, and what it is worth on the validation split."""

    cut: Cut
    head: Head
    threshold: float
    left: float
    alone: float
    reached: float

    @property
    def cost(self) -> float:
        """The mean image's share of the whole model's multiplications; the exit's own are few and left out."""
        return self.left * self.cut.share + 1 - self.left


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write one of the three models, and return what was decided for all of them.

    Raises:
        RecipeError: torch is missing, the model has no place for an exit or no answer that it can give, or no image can
            leave within the margin.
    """
    _onnx_tools.require("train", "torch", "onnxruntime")
    lesson = _lessons.lesson(job)
    model, output = _answering(job)
    cuts = _wanted(_branching.cuts(model, output, job.parent), options.node, job.parent)
    judge = _host.Judge(job, options.metric, "validation")
    *learnt, _ = _passed(model, cuts, output, lesson.inputs)
    *seen, whole = _passed(model, cuts, output, judge.inputs)
    if whole.ndim != 2 or whole.shape[1] != lesson.classes:
        raise RecipeError(
            f"{job.parent.name} answers with numbers of the shape {whole.shape[1:]}, and the data has "
            f"{lesson.classes} classes",
            remedy="export it with one logit for each class, or leave this variant out",
        )
    trial = _Trial(job, options, judge, whole)
    exits = [
        trial.of(cut, _head(known, lesson.labels, whole.shape[1], options), pooled)
        for cut, known, pooled in zip(cuts, learnt, seen, strict=True)
    ]
    best = min(exits, key=lambda one: one.cost)
    if not best.left:
        raise trial.unmet(exits)
    softmax = job.reading.kind == "probabilities"
    if options.exit == "first":
        made = _branching.early(model, best.cut, best.head, output=output, softmax=softmax)
    else:
        threshold = best.threshold if options.exit == "cascade" else NEVER
        made = _branching.cascade(model, best.cut, best.head, threshold, output=output, softmax=softmax)
    _write(made, job.target)
    trial.check(job.target, {"cascade": best.reached, "first": best.alone, "last": trial.whole}[options.exit])
    return trial.said(best, exits, len(judge.inputs))


def _answering(job: Build) -> tuple[onnx.ModelProto, str]:
    """Return the parent for single images, and which of its outputs is judged.

    Raises:
        RecipeError: its answer is nothing that an exit can give, too.
    """
    if job.reading.kind not in ("logits", "probabilities"):
        kind = job.reading.kind or "numbers that nobody says the meaning of"
        raise RecipeError(
            f"{job.parent.name} answers with {kind}, and an early exit needs a number for each class",
            remedy="export it with one logit for each class, or leave this variant out",
        )
    model = _onnx_tools.read_onnx(job.parent)
    _onnx_tools.name_nodes(model.graph.node)
    _onnx_tools.fed(model, job.parent, np.zeros(1, np.float32))
    _branching.single(model)
    return model, model.graph.output[_host.place_of(job.parent, job.reading)].name


def _wanted(cuts: list[Cut], node: str, file: Path) -> list[Cut]:
    if not node:
        return cuts
    found = [one for one in cuts if one.node == node]
    if not found:
        names = ", ".join(f"{one.node} ({one.share:.0%})" for one in cuts)
        raise RecipeError(
            f"{file.name} cannot be left behind a node {node!r}",
            remedy=f"its exits, and the share of the work that is done there, are {names}",
        )
    return found


def _passed(model: onnx.ModelProto, cuts: list[Cut], output: str, inputs: Floats) -> list[Floats]:
    """Return (N, C) means over the pixels at each cut, and behind them (N, K), the model's answers."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    wanted = _branching.with_outputs(model, [*(one.tensor for one in cuts), output])
    session = onnxruntime.InferenceSession(wanted.SerializeToString(), providers=["CPUExecutionProvider"])
    entrance, rows = session.get_inputs()[0].name, []
    for image in inputs:
        *maps, answer = session.run(None, {entrance: image[None]})
        rows.append([*(one.mean(axis=(2, 3))[0] for one in maps), answer[0]])
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _head(pooled: Floats, labels: npt.NDArray[np.int64], classes: int, options: Options) -> Head:
    """Return the linear layer that answers best from what is known at a cut."""
    import torch

    mean, deviation = pooled.mean(axis=0), pooled.std(axis=0) + np.float32(1e-6)
    torch.manual_seed(options.seed)
    layer = torch.nn.Linear(pooled.shape[1], classes)
    schedule = _training.Schedule(options.epochs, options.learning_rate, augment=False, seed=options.seed)
    _training.fit(layer, (pooled - mean) / deviation, labels, schedule, progress=lambda _: None)
    weights = layer.weight.detach().numpy() / deviation
    return Head(weights, layer.bias.detach().numpy() - weights @ mean)


class _Trial:
    """What exits are worth on the validation split, against the whole model."""

    def __init__(self, job: Build, options: Options, judge: _host.Judge, whole: Floats) -> None:
        self._job, self._options, self._judge, self._answers = job, options, judge, whole
        self.whole = judge.worth(whole, job.parent)

    def of(self, cut: Cut, head: Head, pooled: Floats) -> _Exit:
        """Return an exit with the lowest threshold that holds, and every higher one, too.

        Args:
            cut: where it is.
            head: what answers there.
            pooled: (N, C) what it is given for each image.
        """
        logits = head.logits(pooled)
        probabilities = _softmax(logits)
        given = probabilities if self._job.reading.kind == "probabilities" else logits
        sure = probabilities.max(axis=1)
        threshold, left, reached = NEVER, 0.0, self.whole
        for tried in _thresholds(sure):
            score = self._judge.worth(np.where((sure > tried)[:, None], given, self._answers), self._job.parent)
            if self._loss(score) > self._options.margin + 1e-9:
                break
            threshold, left, reached = tried, float(np.mean(sure > tried)), score
        return _Exit(cut, head, threshold, left, self._judge.worth(given, self._job.parent), reached)

    def check(self, file: Path, expected: float) -> None:
        """Raise RecipeError unless the file that was written is worth what was reckoned for it."""
        score = self._judge.score(file)
        if abs(score - expected) > 0.5 / len(self._answers):
            file.unlink()
            raise RecipeError(
                f"early_exit wrote a file whose {self._options.metric} is {significant(score, 4)} on the split "
                f"validation, and its parts give {significant(expected, 4)}",
                remedy="report this as a fault of the recipe, with the model",
            )

    def unmet(self, exits: list[_Exit]) -> RecipeError:
        """Return the error of a margin within which no image can leave."""
        best = min(exits, key=lambda one: self._loss(one.alone))
        return RecipeError(
            f"no image of the split validation can leave {self._job.parent.name} early: its {self._options.metric} is "
            f"{significant(self.whole, 4)} and may lose {significant(self._options.margin, 4)}; the best exit alone, "
            f"behind {best.cut.node}, has {significant(best.alone, 4)}",
            remedy="widen `margin`, or leave this variant out",
        )

    def said(self, best: _Exit, exits: list[_Exit], images: int) -> dict[str, Any]:
        """Return what the ledger keeps.

        Args:
            best: the exit that is written.
            exits: all that were tried.
            images: of the split.
        """
        return {
            "node": best.cut.node,
            "threshold": best.threshold,
            "metric": self._options.metric,
            "split": "validation",
            "images": images,
            "left_early": round(best.left, 4),
            "parent": self.whole,
            "cascade": best.reached,
            "exit_alone": best.alone,
            "multiplications_at_exit": round(best.cut.share, 4),
            "multiplications_of_mean_image": round(best.cost, 4),
            "exits": {one.cut.node: {"left_early": round(one.left, 4), "alone": one.alone} for one in exits},
        }

    def _loss(self, score: float) -> float:
        lower = METRICS[self._options.metric].lower_is_better
        return score - self.whole if lower else self.whole - score


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def _thresholds(sure: Floats) -> list[float]:
    """Return thresholds half-way between the images' probabilities, the highest first; below the lowest, all leave."""
    steps = np.unique(sure)[::-1]
    below = [*((steps[:-1] + steps[1:]) / 2).tolist(), 0.0]
    # Two that float32 cannot tell apart have nothing between them.
    clear = [one for one, step in zip(below, steps, strict=True) if np.float32(one) < step]
    return [clear[place] for place in np.unique(np.linspace(0, len(clear) - 1, _TRIED).astype(int))]


def _write(model: onnx.ModelProto, target: Path) -> None:
    import onnx

    with _onnx_tools.whole(target) as partial:
        onnx.save(model, str(partial))
