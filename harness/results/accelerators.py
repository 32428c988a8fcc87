"""What really ran a model, held against the accelerator that its case asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.model import Case


def facts(case: Case, seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the fingerprint says of the accelerator that was asked for: wanted, got, and what it did not take.

    Args:
        case: whose suite may ask for one.
        seen: the `placement` event of its model, if there is one.
    """
    wanted = case.suite.load.accelerator
    if not wanted or not seen:
        return {"accelerator_wanted": wanted} if wanted else {}
    nodes = seen[0]["nodes"]
    got = wanted if nodes.get(wanted) else " + ".join(sorted(nodes))
    everything = sum(nodes.values())
    named = {"accelerator_wanted": wanted, "accelerator": got}
    return {**named, "nodes": everything, "nodes_fell_back": everything - nodes.get(wanted, 0)}


def shortfall(case: Case, seen: Sequence[Mapping[str, Any]]) -> str:
    """Return why the run did not have the accelerator it was asked for, "" if it had; arguments as for `facts`."""
    wanted = case.suite.load.accelerator
    if not wanted:
        return ""
    remedy = "take accelerator out of [load], or name one that is there"
    if not seen:
        runner = case.device.runner
        return (
            f'{wanted} was asked for, and the {runner} runner has no accelerators; set runner = "python", or {remedy}'
        )
    nodes, offered = seen[0]["nodes"], seen[0]["offered"]
    if nodes.get(wanted):
        return ""
    elsewhere = " and ".join(sorted(nodes))
    if wanted not in offered:
        has = f"{case.runtime} on this device offers {', '.join(offered) or 'none'}"
        return f"{wanted} was asked for and {has}: the model ran on {elsewhere}; {remedy}"
    return f"{wanted} was asked for and took none of {sum(nodes.values())} nodes: they ran on {elsewhere}; {remedy}"
