"""What fresh processes say of a model: how long the first answer takes, and what it holds of the device's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from harness.agent.contract import Cold, Evicted, Memory, MemoryReading
from harness.model import Measurement
from harness.units import NS_PER_S

_CLOCK: Final = "CLOCK_MONOTONIC on the device"
_STARTS: Final = ("process_start", "load", "first_inference")
#: The page cache matters for these, so they are also given without it: the process starts before the model is read.
_EVICTED: Final = ("load", "first_inference")


def starts(cold: Sequence[Cold], evicted: Sequence[Evicted]) -> list[Measurement]:
    """Return what cold starts took, with the model's file in the page cache and, apart from that, without.

    Args:
        cold: the `cold` events of a model.
        evicted: its `evicted` events: those that hold no times say in `absent` why.
    """
    return [
        *(_seconds(f"{name}_s", name, cold, "") for name in _STARTS),
        *(_seconds(f"{name}_evicted_s", name, evicted, _resident(evicted)) for name in _EVICTED),
    ]


def cache(cold: Sequence[Cold], evicted: Sequence[Evicted]) -> dict[str, Any]:
    """Return the notes on the page cache: its states during cold starts, in words."""
    states = [event.page_cache for event in cold]
    if any(event.resident is not None for event in evicted):
        states.append("evicted")
    return {"page_cache": ", ".join(dict.fromkeys(states))}


def memory(events: Sequence[Memory]) -> list[Measurement]:
    """Return what a model holds of the memory, of `memory` events; what was swapped out is held, too, and added."""
    return [
        _bytes("peak_memory_bytes", events, ("after",), "peak_rss_bytes", "VmHWM", "swap_bytes", "VmSwap"),
        _bytes("peak_pss_bytes", events, ("after",), "pss_bytes", "Pss", "swap_pss_bytes", "SwapPss"),
        _bytes("swap_bytes", events, ("after",), "swap_bytes", "VmSwap"),
        _bytes("load_growth_bytes", events, ("before", "loaded"), "rss_bytes", "VmRSS", "swap_bytes", "VmSwap"),
        _bytes("inference_growth_bytes", events, ("loaded", "inferred"), "rss_bytes", "VmRSS", "swap_bytes", "VmSwap"),
    ]


def _seconds(metric: str, name: str, events: Sequence[Cold], also: str) -> Measurement:
    times = [getattr(event, f"{name}_ns") for event in events]
    taken = [ns for ns in times if ns is not None]
    if not taken:
        said = [event.absent for event in events if event.absent]
        return Measurement(metric, "s", absent_reason=said[0] if said else "no such starts were asked for")
    return Measurement(metric, "s", np.array(taken) / NS_PER_S, None, _CLOCK + also)


def _resident(events: Sequence[Evicted]) -> str:
    shares = [event.resident for event in events if event.resident is not None]
    return f", {100 * max(shares):.0f} % of the model file in the page cache before" if shares else ""


def _bytes(
    metric: str, events: Sequence[Memory], moments: Sequence[str], name: str, label: str, *added: str
) -> Measurement:
    """Return a reading of each process at a moment, or the growth between two; `added` names what swap adds to it."""
    swap, swap_label = added or ("", "")
    taken: list[list[MemoryReading]] = [[getattr(event, moment) for moment in moments] for event in events]
    known = [row for row in taken if all(getattr(one, name) is not None for one in row)]
    swapped = bool(swap) and all(getattr(one, swap) is not None for row in known for one in row)
    method = f"{label} + {swap_label}" if swapped else label
    if not known:
        unread = [row[0].unread for row in taken if row[0].unread]
        reason = f"the device's kernel does not show {label}" + (f" ({unread[0]})" if unread else "")
        return Measurement(metric, "B", method=method, absent_reason=reason)
    held = [[getattr(one, name) + (getattr(one, swap) if swapped else 0) for one in row] for row in known]
    grown = np.array([float(row[-1] - (row[0] if row[1:] else 0)) for row in held])
    return Measurement(metric, "B", grown, None, method)
