"""Where the time of an inference goes, as a traced session saw it, held against itself before it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from harness.agent import contract
from harness.model import Case, Run
from harness.units import NS_PER_S

#: Key of the notes under which a run keeps it, or under "absent" why there is none.
KEY: Final = "profile"
#: By how much the sum of rounded means may differ, and by how much two clocks of one device may run apart.
_ROUNDING: Final = 1e-6
_CLOCKS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Operator:
    """What the nodes of one type that one provider ran take of an inference; both are "" for all types not listed."""

    type: str
    provider: str
    nodes: int
    time_s: float


@dataclass(frozen=True, slots=True)
class Node:
    """What a single node takes of an inference."""

    name: str
    type: str
    provider: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Profile:
    """The mean of traced inferences, which are slower than those that are measured: its shares are what may be read.

    Attributes:
        inferences: how many count: the faster half of the traced, or all where the time depends on the image.
        inference_s: wall time of one.
        nodes: how many ran.
        nodes_s: what they take of it together.
        operators: the slowest types first, all others in one behind them.
        slowest: some single nodes, the slowest first.
    """

    inferences: int
    inference_s: float
    nodes: int
    nodes_s: float
    operators: tuple[Operator, ...]
    slowest: tuple[Node, ...]

    def share(self, time_s: float) -> float:
        """Return the share of a time in that of all operators, 0..1."""
        return time_s / self.nodes_s


def notes(events: Sequence[contract.Profile]) -> dict[str, Any]:
    """Return what a run keeps of a model's profile, nothing where none was asked for."""
    if not events:
        return {}
    seen = events[0]
    why = seen.absent or _contradiction(seen)
    if why:
        return {KEY: {"absent": why}}
    kept = asdict(_profile(seen))
    # As it comes back from the store.
    return {KEY: {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}}


def of_tool(case: Case) -> dict[str, Any]:
    """Return the same of a case that a vendor's tool measured, which is not asked for it."""
    why = f"the {case.device.runner} runner asks the tool for no times of single operators"
    return {KEY: {"absent": why}} if case.suite.load.profile else {}


def of(run: Run) -> Profile | str | None:
    """Return a run's profile, why it has none, or None where nobody asked for one."""
    kept: Mapping[str, Any] | None = run.notes.get(KEY)
    if kept is None:
        return None
    if "absent" in kept:
        return str(kept["absent"])
    operators = tuple(Operator(**one) for one in kept["operators"])
    return Profile(**{**kept, "operators": operators, "slowest": tuple(Node(**one) for one in kept["slowest"])})


def _profile(seen: contract.Profile) -> Profile:
    return Profile(
        seen.inferences or 0,
        (seen.inference_ns or 0.0) / NS_PER_S,
        seen.nodes or 0,
        (seen.nodes_ns or 0.0) / NS_PER_S,
        tuple(Operator(one.type, one.provider, one.nodes, one.ns / NS_PER_S) for one in seen.operators or ()),
        tuple(Node(one.name, one.type, one.provider, one.ns / NS_PER_S) for one in seen.slowest or ()),
    )


def _contradiction(seen: contract.Profile) -> str:
    """Return what is wrong with the numbers of a profile, "" if they are in agreement with each other."""
    operators, slowest = seen.operators or [], seen.slowest or []
    times = [*(one.ns for one in operators), *(one.ns for one in slowest)]
    whole, wall = seen.nodes_ns or 0.0, seen.inference_ns or 0.0
    wrong = {
        "it holds no inference": not seen.inferences or seen.inferences < 1 or wall <= 0,
        "its operators take no time": not operators or whole <= 0,
        "a time or a count is below zero": any(ns < 0 for ns in times) or any(one.nodes < 1 for one in operators),
        "a type of operators has no name": any(not one.type for one in operators[: contract.PROFILE_TYPES]),
        "its operators have other nodes than it says": sum(one.nodes for one in operators) != seen.nodes,
        "its operators take another time than it says": abs(sum(one.ns for one in operators) - whole)
        > _ROUNDING * whole,
        "its operators take longer than the inference": whole > (1 + _CLOCKS) * wall,
        "a node takes longer than all": any(one.ns > (1 + _ROUNDING) * whole for one in slowest),
        "it lists more than it may": len(operators) > contract.PROFILE_TYPES + 1
        or len(slowest) > contract.PROFILE_NODES,
    }
    found = next((said for said, holds in wrong.items() if holds), "")
    return found and f"what the device said of it contradicts itself: {found}"
