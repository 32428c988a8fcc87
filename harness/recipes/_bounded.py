"""Quantisation that may cost only so much: nodes are given back to float, most sensitive first, until it holds."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.recipes import _host
from harness.units import significant
from harness.vocabulary import METRICS


class Quantiser(Protocol):
    """Writes one model with any of its nodes in float."""

    def layers(self) -> dict[str, bool]:
        """Return the name of each node that may be given back, and whether it has weights."""

    def write(self, target: Path, *, floats: Collection[str] = (), only: str = "") -> None:
        """Write the model.

        Args:
            target: of the file.
            floats: nodes that stay float.
            only: the one node that is quantised; "" for all others.
        """


class Limit:
    """What a variant may lose against the suite's baseline, by one metric on one split.

    Args:
        judge: says what a file is worth.
        baseline: the file that the variant is measured against.
        metric: its name, as in `[accept]`.
        margin: the largest loss.
    """

    def __init__(self, judge: _host.Judge, baseline: Path, *, metric: str, margin: float) -> None:
        self._judge, self.metric, self.margin = judge, metric, margin
        self.split, self.place, self.baseline = judge.split, judge.place, baseline
        self._lower = METRICS[metric].lower_is_better
        self.whole = judge.score(baseline)

    def of(self, file: Path) -> float:
        """Return the metric of a file."""
        return self._judge.score(file)

    def loss(self, score: float) -> float:
        """Return how much worse than the baseline a variant is."""
        return score - self.whole if self._lower else self.whole - score

    def holds(self, score: float) -> bool:
        """Return whether a variant is good enough; what arithmetic rounds away is no loss."""
        return self.loss(score) <= self.margin + 1e-9


def held(
    quantiser: Quantiser, limit: Limit, parent: Path, target: Path, *, inputs: npt.NDArray[np.float32], most: int
) -> dict[str, Any]:
    """Write the variant with as few nodes in float as the limit needs, and return what the ledger keeps of it.

    Args:
        quantiser: of the model.
        limit: what the variant may lose.
        parent: the model.
        target: of the file.
        inputs: (N, ...) by which nodes are ranked.
        most: how many nodes may be given back.

    Raises:
        RecipeError: the limit cannot be met.
    """
    quantiser.write(target)
    first = best = limit.of(target)
    floats: list[str] = []
    best_floats: list[str] = []
    if not limit.holds(first):
        for layer in _by_sensitivity(quantiser, parent, target, inputs, limit.place)[:most]:
            floats.append(layer)
            quantiser.write(target, floats=floats)
            score = limit.of(target)
            if limit.loss(score) < limit.loss(best):
                best, best_floats = score, list(floats)
            if limit.holds(score):
                break
        else:
            raise _unmet(limit, parent, best, best_floats)
    return {
        "metric": limit.metric,
        "split": limit.split,
        "baseline": limit.whole,
        "all_int8": first,
        "reached": best,
        "float_layers": floats,
    }


def _by_sensitivity(
    quantiser: Quantiser, parent: Path, scratch: Path, inputs: npt.NDArray[np.float32], place: int
) -> list[str]:
    """Return the nodes by what each alone quantised adds to the judged output's squared error, the worst first.

    The last node with weights stays quantised, as a model without any is no variant; so do nodes that alone change no
    output.
    """
    exact, errors = _host.answers(parent, inputs, place).astype(np.float64), {}
    layers = quantiser.layers()
    for layer in layers:
        quantiser.write(scratch, only=layer)
        given = _host.answers(scratch, inputs, place).astype(np.float64)
        errors[layer] = float(np.mean((given - exact) ** 2))
    worst_first = sorted((one for one in errors if errors[one] > 0), key=lambda one: -errors[one])
    weighted = [one for one in worst_first if layers[one]]
    if weighted and len(weighted) == sum(layers.values()):
        worst_first.remove(weighted[-1])
    return worst_first


def _unmet(limit: Limit, parent: Path, best: float, floats: list[str]) -> RecipeError:
    few = f"with {len(floats)} nodes in float: {', '.join(floats)}" if floats else "with no node in float"
    if parent != limit.baseline:
        few += f"; {parent.name}, which is quantised, has {significant(limit.of(parent), 4)} in float"
    return RecipeError(
        f"the bound cannot be met: {limit.metric} of {limit.baseline.name} is {significant(limit.whole, 4)} and may "
        f"lose {significant(limit.margin, 4)}; best was {significant(best, 4)}, {few}",
        remedy="widen `margin`, allow more `float_layers`, calibrate otherwise, or leave this variant out",
    )
