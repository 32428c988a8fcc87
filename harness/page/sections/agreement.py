"""Agreement with the host: how far each variant's outputs on the device are from the same file's on this host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness import units
from harness.model import Run
from harness.page import wording
from harness.page.report import Entry, Report

ORDER = 85
TITLE = "Agreement with the host"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("agreement", "Agreement with the host") }}
<p class="lead">Every file also ran on the machine that measured, with the same runtime and the same images. What differs is the device's doing: its processor's kernels, its accelerator, its memory.</p>
{% for place in places %}
{% call parts.place(place.group) %}
<div class="scroll" tabindex="0" role="region" aria-label="Agreement with the host{% if several %}, {{ place.group.title }}{% endif %}">
<table><caption><span>Outputs on the device against the host's</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Same label</th><th scope="col">Largest difference</th><th scope="col">of the outputs' spread</th><th scope="col">Mean difference</th><th scope="col" class="text">Computes with</th><th scope="col" class="text">Reference</th></tr></thead>
<tbody>{% for row in place.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th>
{% if row.absent %}<td class="text" colspan="6">{{ row.absent }}</td>
{% else %}<td><div class="cell"><span class="value">{{ row.labels }}</span><span class="interval">{{ row.labels_within }}</span>{% if row.differ %}<span class="interval">{{ row.differ }}</span>{% endif %}{% if row.doubtful %}<span class="judged">{{ parts.badge("degraded", "beyond rounding") }}</span>{% endif %}</div></td><td>{{ row.largest }}</td><td>{{ row.share }}</td><td>{{ row.mean }}</td><td class="text">{{ row.kind }}</td><td class="text">{{ row.runtime }}</td>
{% endif %}</tr>{% endfor %}</tbody></table></div>
{% if place.same_machine %}<p class="note">The device is the host itself: the reference checks the path of the data, not the device.</p>{% endif %}
{% endcall %}
{% endfor %}
"""
DIFFERENCE: Final = "reference_difference"
MEAN: Final = "reference_mean_difference"
LABELS: Final = "reference_agreement"


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a table for each group that was compared with a reference, also one that could not be had."""
    places = []
    for group in report.groups():
        rows = [_row(entry, entry.run) for entry in group.entries if entry.run and DIFFERENCE in entry.run.measurements]
        if rows:
            places.append({"group": group, "rows": rows, "same_machine": any(row["same_machine"] for row in rows)})
    return {"places": places} if places else None


def _row(entry: Entry, run: Run) -> Mapping[str, Any]:
    facts = run.notes.get("reference", {})
    found = run.measurements[DIFFERENCE]
    labels = run.accuracy.get(LABELS)
    row = {"entry": entry, "absent": found.absent_reason, "same_machine": bool(facts.get("same_machine"))}
    if found.absent_reason:
        return row
    spread = float(facts.get("spread") or 0.0)
    share, within = wording.level(LABELS, labels)
    return {
        **row,
        "labels": share,
        "labels_within": within,
        "differ": _differ(facts),
        "largest": units.two_digits(float(found.values.max())),
        "mean": _mean(run),
        "share": f"{units.two_digits(100 * float(found.values.max()) / spread)} %" if spread else units.ABSENT,
        "runtime": str(facts.get("runtime", "")),
        "kind": "integers" if facts.get("quantised") else "floats",
        "doubtful": bool(facts.get("doubtful")),
    }


def _mean(run: Run) -> str:
    found = run.measurements.get(MEAN)
    return units.ABSENT if found is None else units.two_digits(float(found.values.mean()))


def _differ(facts: Mapping[str, Any]) -> str:
    count, ties = int(facts.get("labels_differ", 0)), int(facts.get("ties", 0))
    if not count:
        return ""
    return f"{count} of {units.count(int(facts['samples']))} differ" + (f", {ties} by a tie" if ties else "")
