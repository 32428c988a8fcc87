"""`[goal]` and `[[space]]` of a suite: what `edgeward search` makes small, and which candidates it may try."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import LabError
from harness.lab.models import Models
from harness.lab.strict import ID
from harness.lab.tables import SpaceTable, SuiteTable, VariantTable
from harness.model import Criterion, Variant
from harness.vocabulary import METRICS

#: The ratio to the baseline that each goal makes small.
RATIOS: Final = {
    "latency": "latency_ratio",
    "energy": "energy_ratio",
    "memory": "memory_ratio",
    "size": "size_ratio",
}
_LINES: Final = """write for example
[goal]
minimise = "latency"

[[space]]
id = "low-rank"
recipe = "low_rank"
parameters = { energy = { low = 0.8, high = 0.99 } }"""
#: The keys of a range.
_RANGE: Final = frozenset({"low", "high", "log"})
#: The longest id that is made of the values of a candidate.
_LONGEST: Final = 60
#: The key of a file that was chosen among those of `model`.
_MODEL: Final = "model"


@dataclass(frozen=True, slots=True)
class Free:
    """One parameter that a search may choose: one of `values`, or anything from `low` to `high`.

    Attributes:
        name: of the parameter; of a chain with its step, as in `2.calibration`.
        values: those to choose from; empty for a range.
        low: the smallest value of a range.
        high: the largest.
        log: whether factors count in a range, not differences.
    """

    name: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether a range holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def corners(self) -> tuple[Any, ...]:
        """The values that show whether all of them may be taken."""
        return self.values or (self.low, self.high)


@dataclass(frozen=True, slots=True)
class Family:
    """One `[[space]]`: its table, and what of it is free."""

    table: SpaceTable
    free: tuple[Free, ...]

    @property
    def id(self) -> str:
        """What the ids of its candidates begin with."""
        return self.table.id

    @property
    def size(self) -> int | None:
        """How many candidates it has; None for one with a range of fractions."""
        if any(not one.values and not one.whole for one in self.free):
            return None
        return math.prod(len(one.values) or int(one.high) - int(one.low) + 1 for one in self.free)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield the values of every candidate of a family that has a size."""
        names = [one.name for one in self.free]
        every = [one.values or range(int(one.low), int(one.high) + 1) for one in self.free]
        for values in itertools.product(*every):
            yield dict(zip(names, values, strict=True))

    def candidate(self, values: Mapping[str, Any]) -> VariantTable:
        """Return the `[[variant]]` that some values make; its id is the same whenever the values are.

        Args:
            values: name of a free parameter -> its value; fractions are taken to three digits.
        """
        taken = {name: _rounded(value) for name, value in values.items()}
        table, given = self.table, self.table.parameters
        if isinstance(given, list):
            parameters: Any = [_filled(one, f"{number}.", taken) for number, one in enumerate(given, 1)]
        else:
            parameters = _filled(given, "", taken)
        return VariantTable(
            id=_name(table.id, [taken[one.name] for one in self.free]),
            recipe=table.recipe,
            parameters=parameters,
            model=(taken.get(_MODEL) or table.model[0]) if table.model else None,
            input=table.input,
            output=table.output,
            inputs=table.inputs,
        )


@dataclass(frozen=True, slots=True)
class Search:
    """What a suite says of a search.

    Attributes:
        minimise: the cost, as `[goal]` calls it.
        accuracy: the metric that is weighed against it.
        families: of candidates.
        models: makes variants of candidates.
        baseline: from which they are built, one a format.
    """

    minimise: str
    accuracy: str
    families: tuple[Family, ...]
    models: Models
    baseline: tuple[Variant, ...]

    @property
    def ratio(self) -> str:
        """The metric of the cost."""
        return RATIOS[self.minimise]

    @property
    def size(self) -> int | None:
        """How many candidates there are; None where a range of fractions leaves that open."""
        sizes = [family.size for family in self.families]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def family(self, name: str) -> Family:
        """Return a family by its id."""
        return next(one for one in self.families if one.id == name)

    def variants(self, table: VariantTable) -> list[Variant]:
        """Return the nouns of a candidate, one a format; raises LabError where it cannot be one."""
        return self.models.variant(table, self.baseline)


def search_of(
    table: SuiteTable, models: Models, baseline: Sequence[Variant], accept: Sequence[Criterion], *, file: str
) -> Search | None:
    """Return what a suite says of a search, None where it says nothing.

    Args:
        table: of the suite.
        models: of its folder.
        baseline: its nouns, one a format.
        accept: its lines.
        file: its name, for errors.

    Raises:
        LabError: one of the two tables is missing, or a candidate would be no variant that can be built.
    """
    if table.goal is None and not table.space:
        return None
    if table.goal is None or not table.space:
        missing = "goal" if table.goal is None else "space"
        raise LabError("there is none, and a search needs both", remedy=_LINES, file=file, key=missing)
    metric = table.goal.accuracy or next((one.metric for one in accept if one.rule == "non_inferior_by"), "")
    if metric not in METRICS or not METRICS[metric].paired:
        known = [name for name, info in METRICS.items() if info.paired]
        raise LabError(
            f"{metric!r} is no accuracy that is compared"
            if metric
            else "no line of [accept] says which accuracy counts",
            remedy=f'write accuracy = "{known[0]}", or another of {", ".join(known)}',
            file=file,
            key="goal.accuracy",
        )
    families = tuple(_family(one, file=file) for one in table.space)
    found = Search(table.goal.minimise, metric, families, models, tuple(baseline))
    _check_ids(table, file=file)
    for family in families:
        _check(found, family, file=file)
    return found


def required(found: Search | None, *, file: str) -> Search:
    """Return what a suite says of a search; raises LabError with the lines to write where it says nothing.

    Args:
        found: what `search_of` returned.
        file: the suite's name.
    """
    if found is None:
        raise LabError("has no [goal] and no [[space]]", remedy=_LINES, file=file)
    return found


def _check_ids(table: SuiteTable, *, file: str) -> None:
    taken = {table.baseline.id.lower(), *(one.id.lower() for one in table.variant)}
    for one in table.space:
        if one.id.lower() in taken:
            raise LabError(
                "this id stands twice", remedy="give each family its own", file=file, key=f"space[{one.id}].id"
            )
        taken.add(one.id.lower())


def _family(table: SpaceTable, *, file: str) -> Family:
    key = f"space[{table.id}]"
    if (table.recipe is None) == (not table.model):
        raise LabError("needs either `recipe` or `model`, and not both", remedy="leave one", file=file, key=key)
    if table.model:
        return Family(table, (Free(_MODEL, tuple(table.model)),) if len(table.model) > 1 else ())
    given = table.parameters
    if isinstance(given, list):
        free = [
            found
            for number, one in enumerate(given, 1)
            for found in _free(one, f"{number}.", file=file, key=f"{key}.parameters[{number}]")
        ]
    else:
        free = list(_free(given, "", file=file, key=f"{key}.parameters"))
    return Family(table, tuple(free))


def _free(given: Mapping[str, Any], before: str, *, file: str, key: str) -> Iterator[Free]:
    """Yield what a table of parameters leaves open, also in the tables in it."""
    for name, value in given.items():
        here = f"{key}.{name}"
        if isinstance(value, list):
            if not value or len({json.dumps(one, sort_keys=True, default=str) for one in value}) < len(value):
                raise LabError(
                    "must name each value once, and one at least",
                    remedy=f"write {name} = [A, B]; a list that is one value stands in a second pair of brackets",
                    file=file,
                    key=here,
                )
            yield Free(f"{before}{name}", tuple(value))
        elif isinstance(value, dict) and {"low", "high"} <= set(value) <= _RANGE:
            yield _range(f"{before}{name}", value, file=file, key=here)
        elif isinstance(value, dict):
            yield from _free(value, f"{before}{name}.", file=file, key=here)


def _range(name: str, value: Mapping[str, Any], *, file: str, key: str) -> Free:
    low, high, log = value["low"], value["high"], value.get("log", False)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (low, high))
    if not numbers or not isinstance(log, bool) or not low < high or (log and low <= 0):
        raise LabError(
            "is no range",
            remedy="write { low = A, high = B } with A below B, and log = true only where both are above 0",
            file=file,
            key=key,
        )
    return Free(name, (), low, high, log)


def _check(found: Search, family: Family, *, file: str) -> None:
    """Refuse a family of which a candidate could not be a variant: each value is tried, the others at their first."""
    first = {one.name: one.corners[0] for one in family.free}
    tried = [first, *({**first, one.name: value} for one in family.free for value in one.corners[1:])]
    ids: set[str] = set()
    for values in tried:
        table = family.candidate(values)
        if table.id in ids:
            raise LabError(
                f"two of its candidates would be called {table.id!r}",
                remedy="rename one of the files, or let values differ in the first three digits",
                file=file,
                key=f"space[{family.id}]",
            )
        ids.add(table.id)
        try:
            found.variants(table)
        except LabError as error:
            key = error.key.replace(f"variant[{table.id}]", f"space[{family.id}]")
            raise LabError(error.text, remedy=error.remedy, file=file, key=key) from error


def _filled(given: Mapping[str, Any], before: str, taken: Mapping[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, value in given.items():
        path = f"{before}{name}"
        if path in taken:
            filled[name] = taken[path]
        else:
            filled[name] = _filled(value, f"{path}.", taken) if isinstance(value, dict) else value
    return filled


def _rounded(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _name(family: str, values: Sequence[Any]) -> str:
    """Return the id of a candidate: its values where they may stand in an id, else a digest of them."""
    words = [Path(one).stem if isinstance(one, str) else f"{one}".lower() for one in values]
    name = "-".join([family, *words])
    if ID.fullmatch(name) and len(name) <= _LONGEST and not name.endswith("."):
        return name
    digest = hashlib.sha256(json.dumps(list(values), sort_keys=True, default=str).encode()).hexdigest()
    return f"{family[:_LONGEST]}-{digest[:8]}"
