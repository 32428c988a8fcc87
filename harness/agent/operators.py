"""Where the time of an inference goes: what a trace says of nodes, summed before it leaves the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.agent.contract import PROFILE_NAME, PROFILE_NODES, PROFILE_TYPES, Node, Operator

#: Name, type, provider and ns, in all traced inferences that count, of a node.
Traced = tuple[str, str, str, int]


def summed(nodes: Sequence[Traced], samples: Sequence[int]) -> dict[str, Any]:
    """Return the fields of `harness.agent.contract.Profile`.

    Means and no medians: the times of all operators are then the parts of one sum.

    Args:
        nodes: each once.
        samples: wall time of each traced inference that counts, ns.

    """
    if not any(ns for *_, ns in nodes):
        return {"absent": "its operators take less time than the trace can tell from none"}
    count = len(samples)
    types: dict[tuple[str, str], list[int]] = {}
    for _, kind, provider, ns in nodes:
        known = types.setdefault((_cut(kind), _cut(provider)), [0, 0])
        known[0] += 1
        known[1] += ns
    ordered = sorted(types.items(), key=lambda one: -one[1][1])
    listed = [Operator(kind, provider, found, ns / count) for (kind, provider), (found, ns) in ordered[:PROFILE_TYPES]]
    others = [each for _, each in ordered[PROFILE_TYPES:]]
    if others:
        listed.append(Operator("", "", sum(found for found, _ in others), sum(ns for _, ns in others) / count))
    slowest = sorted(nodes, key=lambda one: -one[3])[:PROFILE_NODES]
    return {
        "inferences": count,
        "inference_ns": sum(samples) / count,
        "nodes": len(nodes),
        "nodes_ns": sum(ns for *_, ns in nodes) / count,
        "operators": listed,
        "slowest": [Node(_cut(name), _cut(kind), _cut(provider), ns / count) for name, kind, provider, ns in slowest],
    }


def _cut(name: str) -> str:
    return name if len(name) <= PROFILE_NAME else name[: PROFILE_NAME - 1] + "…"
