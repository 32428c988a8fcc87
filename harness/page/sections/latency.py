"""Latency distributions: every inference counts, not only the typical one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from harness import stats, units
from harness.model import Estimate, FloatArray
from harness.page import charts, plots, wording
from harness.page.report import Entry, Group, Report

ORDER = 40
TITLE = "Latency"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("latency", "Latency distributions") }}
<p class="lead">A late answer counts even if the typical one is fast: p90 is the time within which nine of ten inferences were done. What follows ≤ bounds it with 99 % confidence: the cautious sample that MLPerf LoadGen's early stopping reports.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
{% if one.chart %}
<figure>{{ one.chart }}
<figcaption>Density of the latencies of single inferences, each row to its own height; lines are percentiles. Drawn from at most {{ drawn }} samples a variant, taken at even steps of rank; the slowest 0.5 % lie outside the drawing, but not outside the table.</figcaption></figure>
{% if one.within %}
<figure><h4>Share done within a time</h4>
{{ one.within.chart }}
<figcaption>Above each time, the share of the samples that took no longer.{% if one.within.said %} {{ one.within.said }}{% endif %} Drawn in at most {{ steps }} steps a variant, and cut off as above.</figcaption>
{{ parts.numbers(one.within.titles, one.within.table, "The numbers of these curves") }}
</figure>
{% endif %}
{% endif %}
<div class="scroll" tabindex="0" role="region" aria-label="Latency percentiles{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>{{ one.meaning[:1]|upper }}{{ one.meaning[1:] }}</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Samples</th><th scope="col">Fastest</th><th scope="col">p50</th><th scope="col">p90</th><th scope="col">p99</th><th scope="col">Slowest</th><th scope="col">Throughput</th></tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th><td>{{ row.count }}</td><td>{{ row.fastest }}</td>{% for text, why in row.cells %}<td>{{ text }}{% if why %} <span class="interval">{{ why }}</span>{% endif %}</td>{% endfor %}<td>{{ row.slowest }}</td><td>{{ row.throughput }}</td></tr>{% endfor %}</tbody></table></div>
{% for variant, number in one.without %}<p class="note">Not drawn, {{ variant }}: {{ number }} that {{ "is" if number.startswith("1 ") else "are" }} no number above zero, which a logarithmic axis has no place for.</p>{% endfor %}
{% for variant, said in one.varying %}<p class="note">{{ variant }}: its time depends on the image, so its percentiles hide the images that take longest. Latency relative to the baseline is of all: {{ said }}.</p>{% endfor %}
{% endcall %}
{% endfor %}
"""
#: At most so many samples a variant are drawn, at even steps of rank, so that the shape stays what it was.
DRAWN: Final = 500
#: In at most so many steps the share done within a time is drawn: one is lower than two pixels.
STEPS: Final = 125
COLUMNS: Final = ("p50", "p90", "p99")
#: What a latency is of, where it is not one inference.
MEANINGS: Final[Mapping[str, str]] = {
    "stream": "latency from a frame's arrival to its answer", "offline": "time per image"
}  # fmt: skip
#: What the share done within a time means, by scenario; nothing is said of others.
SHARES: Final[Mapping[str, str]] = {
    "single_stream": "At 33 ms it is the share of frames in time, were each inference a frame of a stream of 30 a second.",
    "stream": "Frames that were dropped have no latency, and are not counted here.",
}
#: Percentiles that are shown with the bound that their number of samples gives.
BOUNDED: Final = {"p90": 0.9, "p99": 0.99}


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart and a table for each group with latencies."""
    figures = []
    for group in report.groups():
        entries = [entry for entry in group.measured if len(values(entry))]
        if entries:
            rows = [_figures(one) for one in entries]
            varying = [(one.variant, said) for one in entries if one.run and (said := wording.paths(one.run))]
            figures.append(
                {"group": group, "meaning": meaning(group), "chart": _chart(entries, group), "rows": rows}
                | {"varying": varying, "without": _without(entries), "within": _within(entries, group)}
            )
    return {"figures": figures, "drawn": units.count(DRAWN), "steps": STEPS + 1} if figures else None


def meaning(group: Group) -> str:
    """Return what the latencies of a group are of."""
    return MEANINGS.get(str(group.settings.get("load", {}).get("scenario", "")), "latency of one inference")


def values(entry: Entry) -> FloatArray:
    """Return the raw latencies of an entry, in seconds."""
    found = entry.run.measurements.get("latency_s") if entry.run else None
    unusable = found is None or entry.run is None or wording.absence(entry.run, "latency_p50_s")
    return np.empty(0) if unusable or found is None else found.values


def drawable(entry: Entry) -> FloatArray:
    """Return the latencies of an entry that a logarithmic axis has a place for, in seconds."""
    found = values(entry)
    return found[np.isfinite(found) & (found > 0)]


def _without(entries: list[Entry]) -> list[tuple[str, str]]:
    """Return how many latencies of which variants are not drawn."""
    missing = [(entry.variant, len(values(entry)) - len(drawable(entry))) for entry in entries]
    return [(name, units.counted(number, "latency", "latencies")) for name, number in missing if number]


def thinned(samples: FloatArray) -> FloatArray:
    """Return at most `DRAWN` quantiles of (N,) samples, in ascending order."""
    if len(samples) <= DRAWN:
        return np.sort(samples)
    return np.asarray(np.quantile(samples, (np.arange(DRAWN) + 0.5) / DRAWN), np.float64)


def _figures(entry: Entry) -> Mapping[str, Any]:
    run, samples = entry.run, values(entry)
    assert run is not None  # an entry with samples has a run
    cells = [
        (wording.value(name, wording.cost(run, name)), wording.absence(run, name) or _bound(column, samples))
        for column, name in ((column, f"latency_{column}_s") for column in COLUMNS)
    ]
    throughput = wording.value("throughput_hz", wording.cost(run, "throughput_hz"))
    return {
        "entry": entry, "count": units.count(len(samples)), "cells": cells, "throughput": throughput,
        "fastest": units.human(float(samples.min()), "s"), "slowest": units.human(float(samples.max()), "s"),
    }  # fmt: skip


def _bound(column: str, samples: FloatArray) -> str:
    bound = stats.percentile_bound(samples, BOUNDED[column]) if column in BOUNDED else None
    return "" if bound is None else f"≤ {units.human(bound, 's')}"


def _chart(entries: list[Entry], group: Group) -> Any:
    entries = [entry for entry in entries if len(drawable(entry))]
    if not entries:
        return ""
    undone = charts.instead()
    if undone is not None:
        return undone
    least, most = _extent(entries)
    divisor, unit = units.scale("s", most)
    samples: dict[str, tuple[str, FloatArray]] = {}
    marks, said = [], []
    for entry in entries:
        assert entry.run is not None  # an entry with samples has a run
        state = "baseline" if entry.is_baseline else _state(entry)
        samples[entry.variant] = state, thinned(drawable(entry)) / divisor
        for name in COLUMNS:
            number = wording.cost(entry.run, f"latency_{name}_s")
            if number is not None and number > 0:
                hover = f"{entry.variant}: {name} {units.human(number, 's')}"
                marks.append({"variant": entry.variant, "name": name, "value": number / divisor, "hover": hover})
                said.append(hover)
    draw = plots.distributions(
        samples, marks, extent=(least / divisor, most / divisor), unit=unit, title=meaning(group)
    )
    return charts.figure(draw, alt=f"Latency distributions, {group.title}. " + ". ".join(said))


def _extent(entries: list[Entry]) -> tuple[float, float]:
    """Return the smallest and the largest latency that are drawn, in seconds."""
    least = min(float(drawable(entry).min()) for entry in entries)
    return least, max(float(np.quantile(drawable(entry), 0.995)) for entry in entries)


def _within(entries: list[Entry], group: Group) -> Mapping[str, Any] | None:
    """Return the share of each entry's latencies that are not above a time: as curves, and at the ticks of the axis.

    Where nothing is drawn, the percentiles in the table of latencies say it.
    """
    entries = [entry for entry in entries if len(drawable(entry))]
    if not entries or charts.instead() is not None:
        return None
    least, most = _extent(entries)
    divisor, unit = units.scale("s", most)
    scenario = str(group.settings.get("load", {}).get("scenario", ""))
    at = [value * divisor for value in charts.ticks(*charts.padded(least / divisor, most / divisor, True))]
    table = [[entry.variant, *(_percent(share) for share in shares_within(entry, at))] for entry in entries]
    titles = ["Variant", *(f"within {value / divisor:g} {unit}" for value in at)]
    curves = {}
    for entry in entries:
        found = thinned(drawable(entry))
        times = np.append(found[:: -(-len(found) // STEPS)], drawable(entry).max())
        curves[entry.variant] = list(zip(times / divisor, shares_within(entry, times), strict=True))
    extent = least / divisor, most / divisor
    draw = plots.shares(curves, extent=extent, title=f"{meaning(group)}, {unit}")
    said = (", ".join(f"{text} {title}" for text, title in zip(row[1:], titles[1:], strict=True)) for row in table)
    named = ". ".join(f"{row[0]}: {text}" for row, text in zip(table, said, strict=True))
    chart = charts.figure(draw, alt=f"Share done within a time, {group.title}. {named}")
    return {"chart": chart, "table": table, "titles": titles, "said": SHARES.get(scenario, "")}


def shares_within(entry: Entry, times: Sequence[float] | FloatArray) -> list[float]:
    """Return the share, 0..1, of the drawable latencies of an entry that are not above each of some times (s)."""
    samples = np.sort(drawable(entry))
    return [float(one) for one in np.searchsorted(samples, times, side="right") / len(samples)]


def _percent(share: float) -> str:
    return units.level("%", Estimate(share, share, share))[0]


def _state(entry: Entry) -> str:
    found = entry.comparisons.get("latency_ratio")
    return str(found.verdict) if found else "incomparable"
