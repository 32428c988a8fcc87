"""What takes the time, beside the inference and in it, in words, where a recorded number shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from harness import units
from harness.model import Run
from harness.page import wording
from harness.page.report import Report
from harness.results import profile
from harness.results.profile import Profile

ORDER = 75
TITLE = "What limits it"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("limit", "What limits it") }}
<p class="lead">What a faster model would not make faster, and which operators take the time of an inference, where a recorded number shows it. Nothing is said of computing against memory traffic: no counter of the processor is read. Of clock and temperature the medians of the first and last third of the readings under load are meant.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
<ul class="plain">{% for variant, lines in one.rows %}<li><strong>{{ variant }}</strong>: {{ lines|join("; ") }}.</li>{% endfor %}</ul>
{% if one.silent %}<p class="note">Nothing recorded shows a limit: {{ one.silent|join(", ") }}.</p>{% endif %}
{% endcall %}
{% endfor %}
"""
#: From which share of the time from image to answer preparing and finishing are said to limit a case.
BESIDE: Final = 0.2
#: From how many inferences on a start is said to take long.
STARTS: Final = 100.0
#: Below which share the clock is said to have fallen, and from how many °C on a device to have grown warm: readings
#: scatter by less.
FELL: Final = 0.95
WARMER: Final = 5.0
#: From which share of the time in operators one kind of them is said to take it, and from which one that only changes
#: how numbers are kept.
MOST: Final = 0.5
CHANGING: Final = 0.1
#: Kinds of operators by the names of their types, which differ from release to release of a runtime.
_FAMILIES: Final = {
    "changing the type of numbers": re.compile(r"^(Dynamic)?QuantizeLinear$|^DequantizeLinear$|^Cast$"),
    "changing the layout in memory": re.compile(r"^Reorder(In|Out)put$|^Transpose$"),
    "convolutions": re.compile(r"Conv(?!ert)"),
    "matrix products": re.compile(r"MatMul|Gemm"),
}
_CHANGING: Final = ("changing the type of numbers", "changing the layout in memory")
_PLURAL: Final = ("convolutions", "matrix products")
_COLD: Final = ("process_start_s", "load_s", "first_inference_s")


def context(report: Report) -> Mapping[str, Any] | None:
    """Return what limits each case of each group, None where nothing shows it anywhere."""
    figures = []
    for group in report.groups():
        found = [(entry.variant, limits(entry.run)) for entry in group.measured if entry.run]
        rows = [(variant, lines) for variant, lines in found if lines]
        if rows:
            figures.append({"group": group, "rows": rows, "silent": [variant for variant, lines in found if not lines]})
    return {"figures": figures} if figures else None


def limits(run: Run) -> list[str]:
    """Return what limits a run, each in words with its numbers; nothing where nothing shows it."""
    return [*_operators(run), *_fallback(run), *_beside(run), *_start(run), *_heat(run)]


def _operators(run: Run) -> list[str]:
    seen = profile.of(run)
    if not isinstance(seen, Profile):
        return []
    families: dict[str, float] = {}
    types: dict[str, list[str]] = {}
    for one in seen.operators:
        if one.type:
            name = next((family for family, fits in _FAMILIES.items() if fits.search(one.type)), one.type)
            families[name] = families.get(name, 0.0) + seen.share(one.time_s)
            types.setdefault(name, []).append(one.type)
    most = max(families, key=lambda name: families[name])
    said = [most] if families[most] >= MOST else []
    said += [name for name in _CHANGING if families.get(name, 0.0) >= CHANGING and name not in said]
    taken = []
    for name in said:
        which = f" ({', '.join(dict.fromkeys(types[name]))})" if name in _CHANGING else ""
        take = "take" if name in _PLURAL else "takes"
        taken.append(f"{name}{which} {take} {units.whole_percent(families[name])}")
    return [f"operators: of the time in them, {' and '.join(taken)}"] if taken else []


def _fallback(run: Run) -> list[str]:
    fell, everything = (run.fingerprint.get(name) for name in ("nodes_fell_back", "nodes"))
    if not fell or not everything:
        return []
    wanted = run.fingerprint.get("accelerator_wanted") or "the accelerator"
    return [
        f"fall-back: {wanted} left {units.count(int(fell))} of {units.count(int(everything))} nodes to the processor"
    ]


def _beside(run: Run) -> list[str]:
    before, behind, whole = (wording.cost(run, name) for name in ("preprocess_s", "postprocess_s", "end_to_end_s"))
    if before is None or behind is None or not whole or (before + behind) / whole < BESIDE:
        return []
    share = units.whole_percent((before + behind) / whole)
    return [
        f"pre-processing and what follows the inference: {share} of the {units.human(whole, 's')} from image to answer"
    ]


def _start(run: Run) -> list[str]:
    parts, typical = [wording.cost(run, name) for name in _COLD], wording.cost(run, "latency_p50_s")
    known = [part for part in parts if part is not None]
    if len(known) < len(_COLD) or not typical or sum(known) < STARTS * typical:
        return []
    times = units.significant(sum(known) / typical, 2)
    return [
        f"start-up: the first answer of a fresh process takes {units.human(sum(known), 's')}, as long as {times} later ones"
    ]


def _heat(run: Run) -> list[str]:
    throttled = run.measurements.get("throttle_s")
    said = []
    if throttled is not None and not throttled.absent_reason and len(throttled.values):
        said.append(f"slower for good after {units.human(float(throttled.values[0]), 's')} of load")
    clock, warm = _ends(run, "frequency_hz"), _ends(run, "temperature_c")
    if clock and clock[1] < FELL * clock[0]:
        said.append(f"the clock fell from {units.human(clock[0], 'Hz')} to {units.human(clock[1], 'Hz')}")
    if said and warm and warm[1] - warm[0] >= WARMER:
        rose = f"the temperature rose from {units.human(warm[0], '°C')} to {units.human(warm[1], '°C')}"
        return [f"heat: {', '.join(said)}, while {rose}"]
    return [f"the processor's speed: {', '.join(said)}"] if said else []


def _ends(run: Run, name: str) -> tuple[float, float] | None:
    """Return the medians of the first and of the last third of what was read under load, None where it was not.

    Neither before nor after: a device that rests lowers its clock of its own accord.
    """
    own = run.measurements.get(name)
    if own is not None and not own.absent_reason:
        values = [float(one) for one in own.values]
    elif run.case.scenario == "sustained":  # what was read then is of each model's end, one after the other
        values = []
    else:
        found = [state.get(name) for state in run.conditions.during]
        values = [float(one) for one in found if isinstance(one, int | float) and not isinstance(one, bool)]
    third = max(len(values) // 3, 1)
    return (float(np.median(values[:third])), float(np.median(values[-third:]))) if len(values) > 1 else None
