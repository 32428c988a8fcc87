"""The rounds in the order in which they were measured, with what the device said of itself meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from harness import units
from harness.model import FloatArray, Run
from harness.page import charts, curves
from harness.page.report import Entry, Group, Report

ORDER = 47
TITLE = "From round to round"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("timeline", "From round to round") }}
<p class="lead">Whether anything moved while baseline and variants took turns. Each row is the median latency of a model's rounds over its own median, all rows on one scale; what the device read of itself stands below.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
<figure>{{ one.chart }}
<figcaption>{{ one.said|join(" ") }} Rounds stand in their order, at even steps within a launch: when each began is not recorded.</figcaption>
{{ parts.numbers(one.titles, one.table, "The medians of each launch") }}
</figure>
{% endcall %}
{% endfor %}
"""
#: Readings of the device that are drawn -> their name and unit.
READINGS: Final[Mapping[str, tuple[str, str]]] = {
    "temperature_c": ("Temperature", "°C"), "frequency_hz": ("Clock frequency", "Hz"),
    "load_average": ("Load average", ""),
}  # fmt: skip
#: With more rounds than this a point stands for a launch: a path of thousands of points shows no more.
DRAWN: Final = 240
#: What lies further off its own median than this is drawn at the edge of its row.
EDGES: Final = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class _Curve:
    """The rounds of one model: where each stands, in launches, its median latency (s), and which were marked."""

    entry: Entry
    launches: FloatArray
    at: FloatArray
    seconds: FloatArray
    marked: frozenset[int]


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart for each job whose models took turns in rounds."""
    if not report.detailed:
        return None
    figures = []
    for group in report.groups():
        # Under sustained load models take no turns; its own section shows their minutes.
        if group.settings.get("load", {}).get("scenario") == "sustained":
            continue
        jobs: dict[tuple[Any, ...], list[_Curve]] = {}
        for entry in group.measured:
            if entry.run is not None and (curve := _curve(entry, entry.run)) is not None:
                key = tuple(one.get("at_s") for one in entry.run.conditions.during)
                jobs.setdefault(key, []).append(curve)
        figures += [_figure(group, found) for found in jobs.values()]
    return {"figures": figures} if figures else None


def _curve(entry: Entry, run: Run) -> _Curve | None:
    latency = run.measurements.get("latency_s")
    if latency is None or latency.absent_reason or latency.rounds is None or len(latency.rounds) < 2:
        return None
    table = latency.rounds
    seconds = np.array([_middle(latency.values[start:stop]) for _, start, stop in table])
    if not (np.isfinite(seconds).all() and (seconds > 0).all()):
        return None
    launches = table[:, 0].astype(np.float64)
    at = np.empty(len(table))
    for one in np.unique(launches):
        own = np.flatnonzero(launches == one)
        at[own] = one + (np.arange(len(own)) + 0.5) / len(own)
    return _Curve(entry, launches, at, seconds, frozenset(run.notes.get("marked_rounds", ())))


def _figure(group: Group, found: Sequence[_Curve]) -> Mapping[str, Any]:
    first = found[0].entry.run
    assert first is not None  # a curve is of a run
    count = int(max(one.launches.max() for one in found)) + 1
    during = first.conditions.during[:count] if len(first.conditions.during) >= count else ()
    spread = np.concatenate([one.seconds / np.median(one.seconds) for one in found])
    ends = max(float(spread.min()), EDGES[0]), min(float(spread.max()), EDGES[1])
    fine = all(len(one.seconds) <= DRAWN for one in found)
    rows = [_row(one) for one in found]
    points = [point for one in found for point in _points(one, ends, fine)]
    read = _readings(during)
    for key, values in read.items():
        name, unit = READINGS[key]
        low, high = min(values), max(values)
        rows.append({"variant": name, "text": units.span(low, high, unit), "state": "incomparable"})
        shares = [(value - low) / (high - low) if high > low else 0.5 for value in values]
        points += [{"variant": name, "at": at, "share": share} for at, share in enumerate(shares, 1)]
    slowed = [one for one in first.notes.get("launches_slowed", ()) if one < count]
    said = [*_moved(found, read), *_marked(found, fine), *_around(first, slowed)]
    if (spread < EDGES[0]).any() or (spread > EDGES[1]).any():
        said.append("What is off by more than a factor of 2 stands at the edge of its row.")
    marks = [point for point in points if point.get("hover")]
    draw = curves.over_launches(rows, points, marks, slowed, launches=count)
    words = ". ".join(f"{row['variant']}: {row['text']}" for row in rows)
    alt = f"Latency from round to round, {group.title}. {words}. {' '.join(said)}"
    return {"group": group, "chart": charts.figure(draw, alt=alt), "said": said, **_table(found, during, read, count)}


def _row(one: _Curve) -> charts.Row:
    middle = float(np.median(one.seconds))
    spread = units.times_span(float(one.seconds.min()) / middle, float(one.seconds.max()) / middle)
    found = one.entry.comparisons.get("latency_ratio")
    state = "baseline" if one.entry.is_baseline else str(found.verdict) if found else "incomparable"
    return {"variant": one.entry.variant, "text": f"{units.human(middle, 's')}, {spread}", "state": state}


def _points(one: _Curve, ends: tuple[float, float], fine: bool) -> list[charts.Row]:
    """Return the points of a curve, each a round or, where these are too many, the median of a launch.

    Args:
        one: the curve.
        ends: the smallest and largest factor that is drawn.
        fine: True for a point of each round; those that the sentinel marked then have a text of their own.
    """
    relative, at = one.seconds / np.median(one.seconds), one.at
    hover = {
        each: f"{one.entry.variant}: slower processor around this round of launch {int(one.launches[each]) + 1}"
        for each in one.marked
        if fine and each < len(at)
    }
    if not fine:
        own = np.unique(one.launches)
        relative, at = np.array([np.median(relative[one.launches == each]) for each in own]), own + 0.5
    shares = np.clip((relative - ends[0]) / max(ends[1] - ends[0], 1e-12), 0, 1)
    return [
        {"variant": one.entry.variant, "at": round(float(x), 3), "share": round(float(share), 4)}
        | ({"hover": hover[number]} if number in hover else {})
        for number, (x, share) in enumerate(zip(at, shares, strict=True))
    ]


def _readings(during: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return what was read after every launch, by its key; what is missing after one is left out."""
    found = {key: [one.get(key) for one in during] for key in READINGS}
    return {
        key: [float(value) for value in values if value is not None]
        for key, values in found.items()
        if values and all(isinstance(value, int | float) for value in values)
    }


def _moved(found: Sequence[_Curve], read: Mapping[str, Sequence[float]]) -> list[str]:
    """Return what the first launch and the last one have to show of the baseline and of the device."""
    head = next((one for one in found if one.entry.is_baseline), found[0])
    first, last = (_median(head, one) for one in (head.launches.min(), head.launches.max()))
    said = []
    if len(np.unique(head.launches)) > 1:
        took = (units.human(first, "s"), units.human(last, "s"))
        said = [f"{head.entry.variant} took {took[0]} in its first launch and {took[1]} in its last one"]
    for key, values in read.items():
        name, unit = READINGS[key]
        ends = [units.human(value, unit) for value in (values[0], values[-1])]
        how = f"was {ends[0]} at the end of both" if ends[0] == ends[1] else f"went from {ends[0]} to {ends[1]}"
        said += [f"{name.lower()} {how}"] if said else []
    return [f"{'; '.join(said)}."] if said else []


def _marked(found: Sequence[_Curve], fine: bool) -> list[str]:
    marked, everything = sum(len(one.marked) for one in found), sum(len(one.seconds) for one in found)
    rounds = f"{units.count(marked) if marked else 'none'} of {units.count(everything)} rounds"
    shown = ", the triangles" if marked and fine else ""
    coarse = [] if fine else ["Of so many rounds each point is the median of a launch."]
    return [f"The sentinel found the processor slower than usual around {rounds}{shown}.", *coarse]


def _around(run: Run, slowed: Sequence[int]) -> list[str]:
    said = []
    if slowed:
        names = ", ".join(str(one + 1) for one in slowed)
        said.append(f"Shaded: launches in which the models were slower than usual by their own pace ({names}).")
    paused = run.notes.get("paused_s")
    if paused is not None:
        took = f"took {units.human(float(paused), 's')} of the whole job" if paused else "were not needed"
        said.append(f"Pauses to let the processor recover {took}.")
    return said


def _median(curve: _Curve, launch: float) -> float:
    return _middle(curve.seconds[curve.launches == launch])


def _middle(values: FloatArray) -> float:
    """Return the median, no number of nothing; `np.median` takes ten times as long for so few."""
    ranked, half = np.sort(values), len(values) // 2
    return float(ranked[half] + ranked[-half - 1]) / 2 if len(ranked) else float("nan")


def _table(
    found: Sequence[_Curve], during: Sequence[Mapping[str, Any]], read: Mapping[str, Sequence[float]], count: int
) -> Mapping[str, Any]:
    """Return the medians of each launch, with what was read at its end."""
    began = float(during[0].get("at_s", 0.0)) if during else 0.0
    rows = []
    for launch in range(count):
        after = float(during[launch].get("at_s", began)) - began if during else 0.0
        ended = [units.human(after, "s") if after else "0 s"] if during else []
        texts = [units.human(values[launch], READINGS[key][1]) for key, values in read.items()]
        medians = [_median(one, launch) for one in found]
        rows.append([
            str(launch + 1), *ended, *texts,
            *(units.human(one, "s") if np.isfinite(one) else units.ABSENT for one in medians),
        ])  # fmt: skip
    titles = ["Launch", *(["Ended, after the first"] if during else []), *(READINGS[key][0] for key in read)]
    return {"titles": [*titles, *(one.entry.variant for one in found)], "table": rows}
