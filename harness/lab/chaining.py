"""The steps of a variant, loaded and held against each other: a chain that cannot be built is refused unbuilt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from harness import registry
from harness.errors import LabError
from harness.lab.tables import VariantTable
from harness.model import Step, Variant


@dataclass(frozen=True, slots=True)
class Loaded:
    """One step with its plug-in.

    Attributes:
        step: as the suite gives it.
        module: the recipe.
        options: its `Options`, defaults filled in; None where it takes none.
        key: of the suite that names the recipe.
        name: what messages call it: `quantize_int8`, or `step 2, quantize_int8` of a chain.
    """

    step: Step
    module: ModuleType
    options: Any
    key: str
    name: str


def steps(table: VariantTable, *, file: str) -> tuple[Step, ...]:
    """Return the recipes of a variant in their order, each with its parameters; none for a model that is brought.

    Args:
        table: its `[[variant]]`.
        file: the suite's, for errors.

    Raises:
        LabError: the parameters are not one table for one recipe, or a list of as many tables as the chain has recipes.
    """
    key = f"variant[{table.id}].parameters"
    recipe, given = table.recipe, table.parameters
    if recipe is None:
        return ()
    if isinstance(recipe, str):
        if isinstance(given, list):
            raise LabError("one recipe has one table", remedy="write parameters = { … }", file=file, key=key)
        return (Step(recipe, given),)
    if not given:
        return tuple(map(Step, recipe))
    if not isinstance(given, list) or len(given) != len(recipe):
        raise LabError(
            f"gives {len(given) if isinstance(given, list) else 1} tables to a chain of {len(recipe)} recipes",
            remedy="write a list with one table for each recipe, in their order, { } where it keeps its defaults",
            file=file,
            key=key,
        )
    return tuple(map(Step, recipe, given))


def load(variant: str, steps: Sequence[Step], *, file: str, key: str = "") -> list[Loaded]:
    """Return the steps of a variant with their plug-ins.

    Args:
        variant: its id.
        steps: in their order.
        file: the suite's, for errors.
        key: of the suite that names them; "" for that of a variant.

    Raises:
        LabError: an unknown recipe, or an option that it does not have.
    """
    found = []
    for number, step in enumerate(steps, 1):
        place, named = (f"[{number}]", f"step {number}, ") if len(steps) > 1 else ("", "")
        where = key or f"variant[{variant}].recipe{place}"
        module = registry.load("recipes", step.recipe, file=file, key=where)
        options = registry.options(module, step.parameters, file=file, key=f"variant[{variant}].parameters{place}")
        found.append(Loaded(step, module, options, where, f"{named}{step.recipe}"))
    return found


def parents(chain: Sequence[Loaded], baseline: Sequence[Variant], *, file: str) -> list[tuple[Variant, str]]:
    """Return the files of the baseline, one a format, from which a chain can be built, and what format each gives.

    Args:
        chain: its steps.
        baseline: the files that there are.
        file: the suite's, for errors.

    Raises:
        LabError: a step does not take what the one before it writes, or the first none of the baseline's formats.
    """
    left = [(parent, parent.format) for parent in baseline]
    for before, one in zip([None, *chain], chain, strict=False):
        gives = getattr(one.module, "GIVES", "")
        taken = [(parent, gives or format_) for parent, format_ in left if format_ in one.module.FORMATS]
        if not taken and before is None:
            raise LabError(
                f"{one.step.recipe!r} takes a baseline in {_endings(one.module.FORMATS)}",
                remedy="add one to baseline.model",
                file=file,
                key=one.key,
            )
        if not taken:
            written = _endings(sorted({format_ for _, format_ in left}))
            raise LabError(
                f"{one.name} takes {_endings(one.module.FORMATS)}, and the steps before it write {written}",
                remedy="leave this step out, or add a baseline in a format that all steps take",
                file=file,
                key=one.key,
            )
        left = taken
    _check_weights(chain, file=file)
    return left


def _check_weights(chain: Sequence[Loaded], *, file: str) -> None:
    """Raise LabError where a step cannot work on the weights that an earlier one leaves.

    Only what recipes say of themselves is held against each other: of one that says nothing, nothing is known.
    """
    weights, since = "", ""
    for one in chain:
        takes: tuple[str, ...] = getattr(one.module, "TAKES", ())
        if weights and takes and weights not in takes:
            raise LabError(
                f"{one.name} takes weights in {' or '.join(takes)}, and {since} before it leaves them in {weights}",
                remedy=f"put it before {since}, or leave it out",
                file=file,
                key=one.key,
            )
        leaves: str | None = getattr(one.module, "LEAVES", None)
        if leaves != "":  # else they stay as they were
            weights, since = leaves or "", one.step.recipe


def _endings(formats: Iterable[str]) -> str:
    return ", ".join(f".{one}" for one in formats)
