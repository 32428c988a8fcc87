"""Why two campaigns of one case may differ: what changed in between, in sentences, what can matter most first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from harness import stats
from harness.compare.fingerprints import UNKNOWN, differences, said
from harness.compare.launches import levels
from harness.model import Conditions, Run, Validity, sentence
from harness.units import full_change, human, times

#: Ranks of causes, the heaviest first; facts of the fingerprint stand between the model and the state of the machine.
_INVALID, _MODEL, _QUICK, _FACTS, _SPEED, _DEGRADED, _HEAT, _POWER, _WORK, _REST = range(10)
#: Facts of the fingerprint that matter less than what the machine did in a campaign.
_MINOR: Final = ("memory_bytes", "os", "numpy", "libc", "python", "agent", "kernel_build", "microcode")
#: From which difference on a condition may matter.
_WARMER_C, _BUSIER, _FASTER, _EMPTIER = 5.0, 0.5, 0.05, 0.2
#: From which relative difference on the sentinel speaks of another speed of the processor, not of its own scatter.
_SENTINEL = 0.03


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that changed between two campaigns: a whole sentence, and its place among the others."""

    topic: str
    sentence: str
    rank: int


def causes(before: Run, after: Run, baselines: tuple[Run | None, Run | None] = (None, None)) -> list[Cause]:
    """Return what changed between two runs of one case, what can matter most first.

    Args:
        before: the earlier run.
        after: the later run.
        baselines: the run of the baseline that took turns with each, None where there is none.
    """
    found = [
        *_validity(before, after),
        *surroundings(before, after),
        *_speed(before, after, baselines),
        *_state(before.conditions, after.conditions),
    ]
    return sorted(found, key=lambda one: one.rank)  # stable: within a rank the order above


def surroundings(before: Run, after: Run) -> list[Cause]:
    """Return what somebody changed between two runs: files, software, settings; not how warm or busy the device was.

    Runs without their samples do.
    """
    found = [
        *_model(before, after),
        *_quick(before, after),
        *_facts(before, after),
        *_settings(before.notes, after.notes),
    ]
    return sorted(found, key=lambda one: one.rank)


def _validity(before: Run, after: Run) -> Iterator[Cause]:
    for name, one in (("first", before), ("second", after)):
        if one.validity is not Validity.VALID:
            rank = _INVALID if one.validity is Validity.INVALID else _DEGRADED
            why = sentence(one.reasons) or "no reason was recorded"
            yield Cause("validity", f"The {name} run is {one.validity.value}: {why}.", rank)


def _quick(before: Run, after: Run) -> Iterator[Cause]:
    if before.quick != after.quick:
        which = "second" if after.quick else "first"
        yield Cause("quick", f"The {which} run was measured with --quick, for a tenth of the time.", _QUICK)


def _model(before: Run, after: Run) -> Iterator[Cause]:
    names = [run.case.variant for run in (before, after)]
    if names[0] != names[1]:
        yield Cause("variant", f"Two variants are compared: {names[0]} -> {names[1]}.", _MODEL)
    digests = [run.variant.sha256 for run in (before, after)]
    if digests[0] != digests[1]:
        sizes = [human(run.variant.size_bytes, "B") for run in (before, after)]
        text = f"The model file is another one: {said('sha256', digests[0])} ({sizes[0]})"
        yield Cause("model", f"{text} -> {said('sha256', digests[1])} ({sizes[1]}).", _MODEL)


def _facts(before: Run, after: Run) -> Iterator[Cause]:
    for one in differences(before, after):
        rank = _REST if one.key in _MINOR else _FACTS
        if one.key == "data_sha256":
            text = f"The test images are others: {said(one.key, one.before)} -> {said(one.key, one.after)}."
            yield Cause("data", f"{text} Accuracies of the two campaigns speak of different images.", _MODEL)
            continue
        name = one.name[:1].upper() + one.name[1:]
        pair = [said(one.key, value) for value in (one.before, one.after)]
        if UNKNOWN in pair:
            which, known = ("second", pair[1]) if pair[0] == UNKNOWN else ("first", pair[0])
            yield Cause(one.key, f"{name} is known of the {which} campaign only: {known}.", _REST)
            continue
        yield Cause(one.key, f"{name} changed: {pair[0]} -> {pair[1]}.", rank)


def _speed(before: Run, after: Run, baselines: tuple[Run | None, Run | None]) -> Iterator[Cause]:
    cool = [run.notes.get("sentinel_cool_s") for run in (before, after)]
    if cool[0] and cool[1] and abs(np.log(cool[1] / cool[0])) >= _SENTINEL:
        ratio = cool[1] / cool[0]
        speed = "slower" if ratio > 1 else "faster"
        text = f"The processor ran {speed} while cool: the sentinel took {times(ratio)}"
        yield Cause("speed", f"{text} ({human(cool[0], 's')} -> {human(cool[1], 's')}).", _SPEED)
    if baselines[0] is None or baselines[1] is None:
        return
    found = [one.measurements.get("latency_s") for one in baselines if one is not None]
    if baselines[0].variant.sha256 != baselines[1].variant.sha256 or None in found:
        return
    medians = [levels(one, 0.5) for one in found if one is not None]
    change = stats.mean_ratio(medians[0], medians[1])
    if change is not None and not change.low <= 1 <= change.high:
        name = baselines[1].case.variant
        text = f"The baseline {name}, the same file both times, took {full_change('ratio', '', change)}"
        yield Cause("baseline", f"{text}: the machine, not the variant, became another one.", _SPEED)


def _state(before: Conditions, after: Conditions) -> Iterator[Cause]:
    start = _pair(before.before, after.before, "temperature_c")
    for when, pair in (("started", start), ("got", _hottest(before, after))):
        if pair and abs(pair[1] - pair[0]) > _WARMER_C:
            word = "warmer" if pair[1] > pair[0] else "cooler"
            text = f"The device {when} {word}: {human(pair[0], '°C')} -> {human(pair[1], '°C')}."
            yield Cause("temperature", text, _HEAT)
    if (pair := _pair(before.before, after.before, "frequency_hz")) and abs(pair[1] / pair[0] - 1) > _FASTER:
        text = f"Its slowest core stood at another frequency at the start: {human(pair[0], 'Hz')}"
        yield Cause("frequency", f"{text} -> {human(pair[1], 'Hz')}.", _HEAT)
    charging = [one.before.get("charging") for one in (before, after)]
    if None not in charging and charging[0] != charging[1]:
        which = "second" if charging[1] else "first"
        yield Cause("charging", f"Its battery was charging in the {which} campaign only.", _POWER)
    if (pair := _pair(before.before, after.before, "battery_ratio")) and abs(pair[1] - pair[0]) > _EMPTIER:
        yield Cause("battery", f"Its battery stood at {human(pair[0], '%')} -> {human(pair[1], '%')}.", _POWER)
    if (pair := _pair(before.before, after.before, "load_average")) and abs(pair[1] - pair[0]) > _BUSIER:
        word = "More" if pair[1] > pair[0] else "Less"
        text = f"{word} other work ran at the start: load average {human(pair[0], '')} -> {human(pair[1], '')}."
        yield Cause("load", text, _WORK)
    if (pair := _pair(before.before, after.before, "available_bytes")) and max(pair) > 2 * min(pair):
        text = f"Its free memory was another: {human(pair[0], 'B')} -> {human(pair[1], 'B')}."
        yield Cause("memory", text, _WORK)


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Cause]:
    for key, name in (("mode", "How the models took turns"), ("page_cache", "The page cache at cold starts")):
        if before.get(key) != after.get(key) and None not in (before.get(key), after.get(key)):
            yield Cause(key, f"{name} differs: {before[key]} -> {after[key]}.", _REST)


def _pair(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    values = before.get(key), after.get(key)
    return (float(values[0]), float(values[1])) if None not in values else None  # type: ignore[arg-type]


def _hottest(before: Conditions, after: Conditions) -> tuple[float, float] | None:
    found = []
    for one in (before, after):
        heat = [state["temperature_c"] for state in (*one.during, one.after) if state.get("temperature_c") is not None]
        if not heat:
            return None
        found.append(float(max(heat)))
    return found[0], found[1]
