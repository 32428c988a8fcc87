"""From image to answer: what preparing and finishing cost beside the inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness import units
from harness.page import charts, wording
from harness.page.report import Entry, Group, Report

ORDER = 65
TITLE = "From image to answer"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("pipeline", "From image to answer") }}
<p class="lead">An inference needs a tensor and gives numbers: what makes pixels into the one and the other into a label or mask takes time, too. Timed in a pass of its own, so that nothing of it is in the latencies above.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
<figure>{{ one.chart }}<figcaption>Medians; the inference here is what end to end leaves beside the other two.</figcaption></figure>
<div class="scroll" tabindex="0" role="region" aria-label="From image to answer{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>Parts of one answer</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Preprocessing</th><th scope="col">Inference</th><th scope="col">Postprocessing</th><th scope="col">End to end</th><th scope="col">Beside the inference</th></tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th>{% for text in row.texts %}<td>{{ text }}</td>{% endfor %}<td>{{ row.share }}</td></tr>{% endfor %}</tbody></table></div>
{% endcall %}
{% endfor %}
"""
PARTS: Final = ("preprocess_s", "postprocess_s", "end_to_end_s")


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart and a table for each group whose parts were timed."""
    figures = []
    for group in report.groups():
        entries = [one for one in group.measured if one.run and wording.cost(one.run, "end_to_end_s") is not None]
        if entries:
            rows = [_row(entry) for entry in entries]
            figures.append({"group": group, "rows": rows, "chart": _chart(entries, group)})
    return {"figures": figures} if figures else None


def _numbers(entry: Entry) -> list[float]:
    """Return preprocessing, what lies between, postprocessing and end to end, in seconds (medians)."""
    assert entry.run is not None  # entries with parts have a run
    before, behind, whole = (wording.cost(entry.run, name) or 0.0 for name in PARTS)
    return [before, max(whole - before - behind, 0.0), behind, whole]


def _row(entry: Entry) -> Mapping[str, Any]:
    numbers = _numbers(entry)
    texts = [units.human(number, "s") for number in numbers]
    share = units.whole_percent((numbers[0] + numbers[2]) / numbers[3]) if numbers[3] else units.ABSENT
    return {"entry": entry, "texts": texts, "share": share}


def _chart(entries: list[Entry], group: Group) -> Any:
    divisor, unit = units.scale("s", max(_numbers(entry)[3] for entry in entries))
    rows, pieces = [], []
    for entry in entries:
        numbers = _numbers(entry)
        rows.append({"variant": entry.variant, "text": units.human(numbers[3], "s")})
        names = ("preprocessing", "inference", "postprocessing")
        for order, (name, number) in enumerate(zip(names, numbers, strict=False)):
            hover = f"{entry.variant}: {name} {units.human(number, 's')}"
            piece = {"variant": entry.variant, "part": name, "order": order, "value": number / divisor}
            pieces.append({**piece, "hover": hover})
    draw = charts.stacked(rows, pieces, title=f"from image to answer, {unit}")
    said = ". ".join(str(piece["hover"]) for piece in pieces)
    return charts.figure(draw, alt=f"Time from image to answer, {group.title}. {said}")
