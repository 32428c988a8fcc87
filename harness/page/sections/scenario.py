"""What only one scenario has: frames dropped and late, images a second, speed kept over minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from harness import units
from harness.model import Estimate, FloatArray, IntArray, Measurement, Run
from harness.page import charts, curves, wording
from harness.page.report import Entry, Group, Report

ORDER = 45
TITLE = "Scenario"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("scenario", "Scenario") }}
{% for one in figures %}
{% call parts.place(one.group) %}
{% if one.kind == "stream" %}
<p class="lead">Frames arrived at {{ "%g"|format(one.load.frame_rate_hz) }} Hz, whatever the model was busy with. Latency counts from a frame's arrival. A frame that still waited when the next one came was dropped; an answered frame that took longer than one frame period missed its deadline.</p>
<figure class="pair">{% for chart in one.charts %}<div>{{ chart }}</div>{% endfor %}
<figcaption>Dropped: of all frames that arrived. Missed: of those that were answered.</figcaption></figure>
<div class="scroll" tabindex="0" role="region" aria-label="Frames{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>What became of the frames, with the difference to the baseline in percentage points</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Frames</th><th scope="col">Dropped</th><th scope="col">Deadline missed</th><th scope="col">p50 from arrival</th><th scope="col">p90</th><th scope="col">p99</th><th scope="col">Inference alone</th><th scope="col">Timer late by</th></tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th><td>{{ row.count }}</td>{% for cell in row.cells %}<td><div class="cell">{{ parts.cell(cell, one.notes) }}</div></td>{% endfor %}{% for text in row.texts %}<td>{{ text }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{{ parts.notes(one.notes) }}
{% if one.bursts %}
<figure>{{ one.bursts.chart }}
<figcaption>Frames in the order in which they arrived: tall marks were dropped, low ones answered late. {{ one.bursts.said }}</figcaption>
{{ parts.numbers(one.bursts.titles, one.bursts.table, "The bursts in numbers") }}
</figure>
{% endif %}
{% elif one.kind == "offline" %}
<p class="lead">{% if one.batch > 1 %}{{ one.batch }} images at once, as fast as they go; latencies on this page are times per image.{% else %}One image after the other, as fast as they go.{% endif %}</p>
<figure>{{ one.chart }}<figcaption>Throughput, median of the launches.</figcaption></figure>
<div class="scroll" tabindex="0" role="region" aria-label="Throughput{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>Images a second</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Throughput</th><th scope="col">Relative to the baseline</th></tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th><td>{{ row.rate }}</td><td>{{ row.change }}{% if row.verdict %} {{ parts.badge(row.verdict) }}{% endif %}</td></tr>{% endfor %}</tbody></table></div>
{% else %}
<p class="lead">Each model was under load without a pause for {{ "%g"|format(one.load.max_duration_s * (0.1 if report.quick else 1)) }} s, one after the other, because heat is the question. Ratios therefore carry what changed between one's minutes and the other's.</p>
{% for chart in one.charts %}
<figure>{{ chart }}<figcaption>{% if loop.first %}Median latency of each window; a dashed line marks when a model's latency first passed 1.05 of its best for good.{% else %}Hottest zone at the beginning of each window.{% endif %}</figcaption></figure>
{% endfor %}
<div class="scroll" tabindex="0" role="region" aria-label="Sustained load{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>Speed under sustained load</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Time to throttle</th><th scope="col">Sustained over peak speed</th><th scope="col">Temperature</th><th scope="col" class="text">Order</th></tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th>{% for text in row.texts %}<td>{{ text }}</td>{% endfor %}<td class="text">{{ row.mode }}</td></tr>{% endfor %}</tbody></table></div>
{% endif %}
{% endcall %}
{% endfor %}
"""
#: At most so many bursts of a kind are drawn of a variant, the longest.
DRAWN: Final = 400
SHARES: Final = ("dropped_ratio", "deadline_miss_ratio")


def context(report: Report) -> Mapping[str, Any] | None:
    """Return figures and a table for each group whose scenario gives more than latencies."""
    figures = []
    for group in report.groups():
        load = group.settings.get("load", {})
        drawn_as = {"stream": _stream, "offline": _offline, "sustained": _sustained}.get(str(load.get("scenario", "")))
        entries = [entry for entry in group.measured if entry.run and wording.cost(entry.run, "latency_p50_s")]
        if drawn_as is not None and entries:
            figures.append({"group": group, "kind": load["scenario"], "load": load, **drawn_as(entries, group, load)})
    return {"figures": figures} if figures else None


def _found(entry: Entry, name: str) -> Measurement | None:
    """Return a measurement of an entry, None where it is absent."""
    one = entry.run.measurements.get(name) if entry.run else None
    return one if one is not None and not one.absent_reason and len(one.values) else None


def _state(entry: Entry, metric: str) -> str:
    found = entry.comparisons.get(metric)
    return "baseline" if entry.is_baseline else str(found.verdict) if found else "incomparable"


def _stream(entries: list[Entry], group: Group, load: Mapping[str, Any]) -> Mapping[str, Any]:
    rows: list[dict[str, Any]] = []
    for entry in entries:
        assert entry.run is not None  # entries with a latency have a run
        cells = [_share(entry, metric) for metric in SHARES]
        late = [wording.value(name, wording.cost(entry.run, name)) for name in ("latency_p50_s", "latency_p90_s")]
        late.append(wording.value("latency_p99_s", wording.cost(entry.run, "latency_p99_s")))
        arrived = _found(entry, "dropped_ratio")
        others = [wording.reading(entry.run, name) for name in ("inference_s", "arrival_jitter_s")]
        count = units.count(len(arrived.values)) if arrived else units.ABSENT
        rows.append({"entry": entry, "count": count, "cells": cells, "texts": [*late, *others]})
    notes = wording.numbered(cell for row in rows for cell in row["cells"])
    return {
        "rows": rows,
        "notes": notes,
        "charts": [_bars(entries, metric, group) for metric in SHARES],
        "bursts": _bursts(entries, group, float(load.get("frame_rate_hz") or 0)),
    }


def fates(dropped: Measurement, missed: Measurement) -> IntArray | None:
    """Return what became of each frame in the order of arrival: 0 answered in time, 1 late, 2 dropped.

    Args:
        dropped: 1 for a frame that a newer one replaced.
        missed: of the others, in the same order, 1 for one that was answered late.

    Returns:
        (N,) or None where the two do not belong together.
    """
    found: IntArray = np.where(dropped.values > 0, 2, 0).astype(np.int64)
    if int((found == 0).sum()) != len(missed.values):
        return None
    found[found == 0] = (missed.values > 0).astype(np.int64)
    return found


def runs_of(fate: IntArray, blocks: IntArray | None) -> list[tuple[int, int, int]]:
    """Return the frames that came to nothing without one in between that did not, the longest first.

    Args:
        fate: (N,) as `fates` returns it.
        blocks: (R, 3) launch, first and end of the frames that followed each other; None for one block.

    Returns:
        first frame, the one behind the last, and how many of them were dropped.
    """
    edges = {0, len(fate), *(blocks[:, 1:].ravel().tolist() if blocks is not None else ())}
    found, begun = [], -1
    for at in range(len(fate) + 1):
        if begun >= 0 and (at in edges or fate[at] == 0):
            found.append((begun, at, int((fate[begun:at] == 2).sum())))
            begun = -1
        if at < len(fate) and fate[at] and begun < 0:
            begun = at
    return sorted(found, key=lambda one: (one[0] - one[1], one[0]))


def _bursts(entries: list[Entry], group: Group, rate_hz: float) -> Mapping[str, Any] | None:
    """Return the chart of which frames came to nothing, None where all were answered in time."""
    rows, pieces, table, longest, most = [], [], [], [], 0
    for entry in entries:
        dropped, missed = (_found(entry, metric) for metric in SHARES)
        fate = fates(dropped, missed) if dropped and missed else None
        if dropped is None or fate is None or not rate_hz > 0:
            continue
        most = max(most, len(fate))
        bursts = runs_of(fate, dropped.rounds)
        size = bursts[0][1] - bursts[0][0] if bursts else 0
        text = f"longest {units.counted(size, 'frame')}, {units.human(size / rate_hz, 's')}" if size else "none"
        rows.append({"variant": entry.variant, "text": text, "first": 0, "end": len(fate)})
        table.append((entry.variant, units.count(int((fate == 2).sum())), units.count(int((fate == 1).sum())),
                      units.count(len(bursts)), text))  # fmt: skip
        longest.append((size, entry.variant, text))
        pieces += [
            {"variant": entry.variant, "kind": kind, "first": first, "end": end,
             "hover": f"{entry.variant}: {units.counted(end - first, 'frame')} {kind}"}
            for kind, number in (("dropped", 2), ("late", 1))
            for first, end, _ in runs_of(np.where(fate == number, fate, 0), dropped.rounds)[:DRAWN]
        ]  # fmt: skip
    if not pieces:
        return None
    _, name, text = max(longest)
    said = f"The most in a row: {text.removeprefix('longest ')}, of {name}."
    alt = f"Frames dropped and late, {group.title}. " + ". ".join(f"{row['variant']}: {row['text']}" for row in rows)
    chart = charts.figure(curves.bursts(rows, pieces, frames=most), alt=alt)
    titles = ["Variant", "Dropped", "Late", "Bursts", "The longest, dropped or late in a row"]
    return {"chart": chart, "said": said, "titles": titles, "table": table}


def _share(entry: Entry, metric: str) -> wording.Cell:
    assert entry.run is not None  # entries with a latency have a run
    one = _found(entry, metric)
    known = one.estimate if one else None
    value, within = (
        wording.level(metric, known) if known else (wording.value(metric, wording.cost(entry.run, metric)), "")
    )
    reason = wording.absence(entry.run, metric)
    cell = wording.Cell(metric, wording.title(metric), value, within, reason=reason)
    return wording.changed(cell, entry.comparisons.get(metric))


def _bars(entries: list[Entry], metric: str, group: Group) -> Any:
    rows = []
    for entry in entries:
        number = wording.cost(entry.run, metric) if entry.run else None
        if number is not None:
            text = wording.value(metric, number)
            row = {"variant": entry.variant, "value": 100 * number, "state": _state(entry, metric), "text": text}
            rows.append({**row, "hover": f"{entry.variant}: {text}"})
    name = wording.title(metric)
    draw = charts.bars(rows, title=f"{name.lower()}, %", heading=name)
    return charts.figure(draw, alt=f"{name}, {group.title}. " + ". ".join(str(row["hover"]) for row in rows))


def _offline(entries: list[Entry], group: Group, load: Mapping[str, Any]) -> Mapping[str, Any]:
    rows, bars = [], []
    for entry in entries:
        rate = wording.cost(entry.run, "throughput_hz") if entry.run else None
        if rate is None:
            continue
        found = entry.comparisons.get("latency_ratio")
        more = _inverse(found.change) if found and wording.factor(found.change) else None
        change = units.full_change("ratio", "", more) if more else ""
        text = f"{units.significant(rate)}/s"
        rows.append({"entry": entry, "rate": text, "change": change, "verdict": str(found.verdict) if found else ""})
        row = {"variant": entry.variant, "value": rate, "state": _state(entry, "latency_ratio"), "text": text}
        bars.append({**row, "hover": f"{entry.variant}: {text}"})
    draw = charts.bars(bars, title="images a second")
    alt = f"Images a second, {group.title}. " + ". ".join(str(row["hover"]) for row in bars)
    return {"rows": rows, "chart": charts.figure(draw, alt=alt), "batch": int(load.get("batch", 1))}


def _inverse(change: Estimate) -> Estimate:
    """Return the ratio of rates from that of times."""
    return Estimate(1 / change.point, 1 / change.high, 1 / change.low, change.confidence, change.method)


def _sustained(entries: list[Entry], group: Group, load: Mapping[str, Any]) -> Mapping[str, Any]:
    del load
    known = [entry for entry in entries if _found(entry, "window_start_s")]
    warm = [entry for entry in known if _found(entry, "temperature_c")]
    latencies = {entry.variant: windows(entry.run) for entry in known if entry.run}
    rows = []
    for entry in known:
        assert entry.run is not None  # as above
        texts = [wording.reading(entry.run, name) for name in ("throttle_s", "sustained_speed")]
        if texts[0] == units.ABSENT:
            texts[0] = entry.run.measurements["throttle_s"].absent_reason
        trace = _found(entry, "temperature_c")
        ends = [units.human(float(value), "°C") for value in trace.values[[0, -1]]] if trace else [units.ABSENT]
        rows.append({"entry": entry, "texts": [*texts, " → ".join(ends)], "mode": entry.run.notes.get("mode", "")})
    drawn = [_curves(known, latencies, "s", "latency", group)] if known else []
    if warm:
        drawn.append(_curves(warm, {one.variant: _trace(one) for one in warm}, "°C", "temperature", group))
    return {"rows": rows, "charts": drawn}


def windows(run: Run) -> FloatArray:
    """Return the median latency of each window of a sustained run, in seconds."""
    latency = run.measurements["latency_s"]
    rounds = latency.rounds if latency.rounds is not None else ()
    return np.array([float(np.median(latency.values[start:stop])) for _, start, stop in rounds])


def _trace(entry: Entry) -> FloatArray:
    found = _found(entry, "temperature_c")
    return found.values if found else np.empty(0)


def _curves(entries: list[Entry], values: Mapping[str, FloatArray], unit: str, name: str, group: Group) -> Any:
    divisor, shown = units.scale(unit, max(float(values[entry.variant].max()) for entry in entries))
    points, marks, said = [], [], []
    for entry in entries:
        starts, throttle = _found(entry, "window_start_s"), _found(entry, "throttle_s")
        curve = values[entry.variant]
        state = _state(entry, "latency_ratio")
        for at, value in zip(starts.values if starts else (), curve, strict=True):
            points.append({"variant": entry.variant, "state": state, "at": float(at), "value": float(value) / divisor})
        first, last = (units.human(float(value), unit) for value in curve[[0, -1]])
        said.append(f"{entry.variant}: from {first} to {last}")
        if throttle:
            hover = f"{entry.variant} throttled after {units.human(float(throttle.values[0]), 's')}"
            marks.append({"variant": entry.variant, "at": float(throttle.values[0]), "hover": hover})
            said.append(hover)
    draw = curves.over_time(points, marks, title=shown)
    return charts.figure(draw, alt=f"{name.capitalize()} over time, {group.title}. " + ". ".join(said))
