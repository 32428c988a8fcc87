"""Energy per inference, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness import units
from harness.model import Run
from harness.page import charts, wording
from harness.page.report import Entry, Group, Report

ORDER = 90
TITLE = "Energy"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("energy", "Energy") }}
{% for one in figures %}
{% call parts.place(one.group) %}
<figure>{{ one.chart }}<figcaption>Energy of one inference, idle power included{% if one.split %}; its parts are what the idle device takes in that time, and what the inference adds. Intervals of both sums stand in the table{% endif %}.</figcaption></figure>
<div class="scroll" tabindex="0" role="region" aria-label="Energy"><table><caption><span>Energy per inference</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Energy</th><th scope="col">Idle subtracted</th>{% if one.used %}<th scope="col">Hours of use</th>{% endif %}<th scope="col" class="text">Meter</th><th scope="col" class="text">Standard uncertainty</th></tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th><td><div class="cell">{{ parts.cell(row.cell, one.notes) }}</div></td><td><div class="cell">{{ parts.cell(row.net) }}</div></td>{% if one.used %}<td><div class="cell">{{ parts.cell(row.use, one.notes) }}</div></td>{% endif %}<td class="text">{{ row.method }}{% if row.estimated %} <strong>estimated</strong>{% endif %}</td><td class="text">{{ row.budget }}</td></tr>{% endfor %}</tbody></table></div>
{{ parts.notes(one.notes) }}
{% for meter in one.meters if meter %}<p>Meter: {{ meter }}.</p>
{% endfor %}
{% for duty in one.duties %}<p>Hours of use: {{ duty }}; screen, radio and probe as they were while it was measured.</p>
{% endfor %}
{% for reason in one.unused %}<p>Hours of use are not said: {{ reason }}.</p>
{% endfor %}
{% endcall %}
{% endfor %}
{% for reason, places in absent %}
<p>Not measured on {{ places }}: {{ reason }}.</p>
{% endfor %}
"""


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart and a table for each group with joules, and each reason for absence once."""
    figures = []
    reasons: dict[str, list[str]] = {}
    for group in report.groups():
        known = [entry for entry in group.measured if entry.run and wording.cost(entry.run, "energy_j") is not None]
        for entry in group.measured:
            if entry.run and entry not in known:
                places = reasons.setdefault(wording.absence(entry.run, "energy_j"), [])
                places.append(group.title)
        if known:
            rows = [_row(entry) for entry in known]
            notes = wording.numbered(row[cell] for row in rows for cell in ("cell", "use"))
            meters = list(dict.fromkeys(_meter(entry.run) for entry in known if entry.run))
            split = all(_idle(entry.run) is not None for entry in known if entry.run)
            chart = _split(known, group) if split else _chart(known, group)
            found = {"group": group, "rows": rows, "notes": notes, "chart": chart, "meters": meters, "split": split}
            figures.append({**found, **_use([entry.run for entry in known if entry.run])})
    absent = [(reason, ", ".join(dict.fromkeys(places))) for reason, places in reasons.items()]
    return {"figures": figures, "absent": absent} if figures or absent else None


def _row(entry: Entry) -> Mapping[str, Any]:
    assert entry.run is not None  # known entries have a run
    gross = wording.Cell("energy_j", wording.title("energy_j"), *_level(entry.run, "energy_j"))
    return {
        "entry": entry, "cell": wording.changed(gross, entry.comparisons.get("energy_ratio")),
        "net": _net(entry.run), "use": _hours(entry), "method": entry.run.measurements["energy_j"].method,
        "estimated": entry.run.measurements["energy_j"].estimated, "budget": _budget(entry.run),
    }  # fmt: skip


def _net(run: Run) -> wording.Cell:
    found = run.measurements.get("energy_net_j")
    if found is None or found.estimate is None:
        return wording.Cell("energy_net_j", "Idle subtracted", wording.reading(run, "energy_net_j"))
    return wording.Cell("energy_net_j", "Idle subtracted", *wording.level("energy_j", found.estimate))


def _hours(entry: Entry) -> wording.Cell:
    assert entry.run is not None  # known entries have a run
    cell = wording.Cell("use_h", wording.title("use_h"), *_level(entry.run, "use_h"))
    return wording.changed(cell, entry.comparisons.get("use_ratio"))


def _use(runs: Sequence[Run]) -> Mapping[str, Any]:
    """Return whether any run has hours of use, of which duties they are, and why others have none."""
    asked = [run.measurements["use_h"] for run in runs if "use_h" in run.measurements]
    return {
        "used": any(not one.absent_reason for one in asked),
        "duties": list(dict.fromkeys(one.method for one in asked if not one.absent_reason)),
        "unused": list(dict.fromkeys(one.absent_reason for one in asked if one.absent_reason)),
    }


def _level(run: Run, metric: str) -> tuple[str, str]:
    found = run.measurements.get(metric)
    if found is None or found.estimate is None:
        return wording.value(metric, wording.cost(run, metric)), ""
    return wording.level(metric, found.estimate)


def _budget(run: Run) -> str:
    """Return what makes the interval wide, the largest part first, as shares of the energy."""
    parts = run.notes.get("energy", {}).get("budget", {})
    estimate = run.measurements["energy_j"].estimate
    if not parts or estimate is None or not estimate.point > 0:
        return ""
    shares = sorted(((size / estimate.point, name) for name, size in parts.items() if size > 0), reverse=True)
    return ", ".join(f"{name} {units.human(share, '%')}" for share, name in shares)


def _meter(run: Run) -> str:
    """Return what is to be known of the meter of a run, "" where nothing is recorded."""
    facts = run.notes.get("energy")
    if not facts:
        return ""
    step = units.human(facts["resolution"], "J" if facts["quantity"] == "joules" else "W")
    text = f"{facts['meter']}, steps of {step}, a new reading every {units.human(facts['update_s'], 's')}"
    if facts["clock_s"]:
        apart = units.human(facts["clock_s"], "s")
        text += f", read by the host, which knows the device's clock to ±{apart}"
    return f"{text}; {facts['untested']}" if "untested" in facts else text


def _chart(entries: list[Entry], group: Group) -> Any:
    numbers = [wording.cost(entry.run, "energy_j") or 0.0 for entry in entries if entry.run]
    divisor, unit = units.scale("J", max(numbers))
    rows = []
    for entry, number in zip(entries, numbers, strict=True):
        found, text = entry.comparisons.get("energy_ratio"), units.human(number, "J")
        state = "baseline" if entry.is_baseline else str(found.verdict) if found else "incomparable"
        row = {"variant": entry.variant, "value": number / divisor, "state": state, "text": text}
        rows.append({**row, "hover": f"{entry.variant}: {text}"})
    draw = charts.bars(rows, title=f"energy of one inference, {unit}")
    return charts.figure(draw, alt=f"Energy per inference, {group.title}. " + ". ".join(str(r["hover"]) for r in rows))


def _idle(run: Run) -> float | None:
    """Return what of the energy of an inference the idle device would have taken, J; None where that is not known."""
    gross, net = (_point(run, name) for name in ("energy_j", "energy_net_j"))
    return gross - net if gross is not None and net is not None and 0 <= net <= gross else None


def _point(run: Run, name: str) -> float | None:
    found = run.measurements.get(name)
    if found is None or found.absent_reason:
        return None
    number = found.estimate.point if found.estimate else wording.cost(run, name) if name == "energy_j" else None
    return number if number is not None and np.isfinite(number) else None


def _split(entries: list[Entry], group: Group) -> Any:
    gross = {entry.variant: _point(entry.run, "energy_j") or 0.0 for entry in entries if entry.run}
    divisor, unit = units.scale("J", max(gross.values()))
    rows, pieces = [], []
    for entry in entries:
        idle = _idle(entry.run) if entry.run else None
        assert idle is not None  # the caller has looked
        whole = gross[entry.variant]
        rows.append({"variant": entry.variant, "text": units.human(whole, "J")})
        for order, (name, joules) in enumerate((("idle device", idle), ("added by the inference", whole - idle))):
            hover = f"{entry.variant}: {name} {units.human(joules, 'J')}"
            piece = {"variant": entry.variant, "part": name, "order": order, "value": joules / divisor}
            pieces.append({**piece, "hover": hover})
    draw = charts.stacked(rows, pieces, title=f"energy of one inference, {unit}")
    said = ". ".join([*(f"{row['variant']}: {row['text']}" for row in rows), *(str(one["hover"]) for one in pieces)])
    return charts.figure(draw, alt=f"Energy per inference, {group.title}. {said}")
