"""What really ran a model, held against the accelerator that its case asked for."""

from __future__ import annotations

from typing import Any

from harness.agent.contract import Placement
from harness.model import Case, Reason


def facts(case: Case, seen: Placement | None) -> dict[str, Any]:
    """Return what the fingerprint says of the accelerator that was asked for: wanted, got, and what it did not take.

    Args:
        case: whose suite may ask for one.
        seen: what ran the nodes of its model, None if nobody looked.
    """
    wanted = case.suite.load.accelerator
    if not wanted or seen is None:
        return {"accelerator_wanted": wanted} if wanted else {}
    got = wanted if seen.nodes.get(wanted) else " + ".join(sorted(seen.nodes))
    everything = sum(seen.nodes.values())
    named = {"accelerator_wanted": wanted, "accelerator": got}
    return {**named, "nodes": everything, "nodes_fell_back": everything - seen.nodes.get(wanted, 0)}


def shortfall(case: Case, seen: Placement | None) -> Reason | None:
    """Return why the run did not have the accelerator it was asked for, None if it had; arguments as for `facts`."""
    wanted = case.suite.load.accelerator
    if not wanted:
        return None
    remedy = "take accelerator out of [load], or name one that is there"
    if seen is None:
        text = f"{wanted} was asked for, and the {case.device.runner} runner has no accelerators"
        return Reason(text, f'set runner = "python", or {remedy}')
    if seen.nodes.get(wanted):
        return None
    elsewhere = " and ".join(sorted(seen.nodes))
    if wanted not in seen.offered:
        has = f"{case.runtime} on this device offers {', '.join(seen.offered) or 'none'}"
        return Reason(f"{wanted} was asked for and {has}: the model ran on {elsewhere}", remedy)
    taken = f"took none of {sum(seen.nodes.values())} nodes"
    return Reason(f"{wanted} was asked for and {taken}: they ran on {elsewhere}", remedy)
