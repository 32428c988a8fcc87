"""What a vendor's own tool prints of a model: a few averages of each start, and why everything else is absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.agent.contract import Tool
from harness.model import Measurement, Reason
from harness.units import NS_PER_S

#: Why a run of a tool is degraded, whatever the tool.
REASON = Reason(
    "the vendor's tool gives averages only, of inputs of its own: no raw samples, no percentiles and no predictions",
    'runner = "python" or "native" gives them',
)
_ABSENT = {
    "process_start_s": ("s", "does not time its own start"),
    "peak_memory_bytes": ("B", "does not report the peak memory of its process"),
    "peak_pss_bytes": ("B", "does not report the proportional memory of its process"),
    "energy_j": ("J", "reads no meter"),
    "energy_net_j": ("J", "reads no meter"),
}


def measurements(events: Sequence[Tool]) -> dict[str, Measurement]:
    """Return a model's measurements of `tool` events, one value for each start of the tool.

    Latencies are absent, because an average is no sample; their inverse is the throughput of inferences back to back.
    """
    tool = events[0].tool
    means = np.array([event.mean_ns for event in events], np.float64) / NS_PER_S
    counts = sum(event.count or 0 for event in events)
    reason = f"{tool} reports averages, not samples: no percentiles and no rounds to compare"
    found = [
        Measurement("latency_s", "s", absent_reason=reason),
        Measurement("throughput_hz", "Hz", 1 / means, None, f"inverse of {tool}'s average, {counts} inferences in all"),
        _seconds("load", events, tool),
        _seconds("first_inference", events, tool),
        *(Measurement(name, unit, absent_reason=f"{tool} {why}") for name, (unit, why) in _ABSENT.items()),
    ]
    return {one.metric: one for one in found}


def _seconds(name: str, events: Sequence[Tool], tool: str) -> Measurement:
    values = np.array([getattr(event, f"{name}_ns") for event in events], np.float64) / NS_PER_S
    return Measurement(f"{name}_s", "s", values, None, f"as {tool} reports it")


def notes(events: Sequence[Tool]) -> dict[str, Any]:
    """Return what goes with the measurements: how it was run, and what the tool said, word for word."""
    return {
        "launches": len(events),
        "mode": f"{events[0].tool}, started {len(events)} times, models taking turns",
        "tool_said": [event.said for event in events],
    }
