"""Conditions, fingerprint and validity: what the numbers depend on, and whether they may be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness import units
from harness.model import Run
from harness.page import wording
from harness.page.report import Group, Report
from harness.results import profile
from harness.vocabulary import CONTROL_MARKED, PATHS

ORDER = 100
TITLE = "Conditions"
#: When a reading was taken, which says nothing of the device.
CLOCKS: Final = frozenset({"wall_s", "at_s"})
#: Notes that programs read; people find what they say in words beside them.
INTERNAL: Final = frozenset(
    {"place", "marked_rounds", CONTROL_MARKED, PATHS, "groups", "spacing_mm", "job_spent_s", "reference", profile.KEY}
)
TITLES: Final[Mapping[str, str]] = {
    "soc": "System on chip", "os": "System", "cpu": "Processor", "available_bytes": "Memory available",
    "accelerator_wanted": "Accelerator asked for", "nodes": "Nodes of the model as it ran",
    "nodes_fell_back": "Nodes that fell back to the processor", "free_bytes": "Disk free",
    "data_sha256": "Data, SHA-256", "suite_sha256": "Suite, SHA-256",
}  # fmt: skip
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("conditions", "Conditions and fingerprint") }}
<p class="lead">What the numbers depend on, and whether they may be used.</p>
{% for place in places %}
{% call parts.place(place.group) %}
<div class="scroll" tabindex="0" role="region" aria-label="Validity{% if several %}, {{ place.group.title }}{% endif %}">
<table><caption><span>Validity of absolute figures and of comparisons</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col" class="text">Absolute</th><th scope="col" class="text">Compared</th><th scope="col" class="text">Reasons and notes</th></tr></thead>
<tbody>{% for row in place.validity %}<tr><th scope="row">{{ row.variant }}</th><td class="text">{{ parts.badge(row.validity) }}</td><td class="text">{% if row.compared %}{{ parts.badge(row.compared) }}{% else %}–{% endif %}</td><td class="text">{% for reason in row.reasons %}<strong>{{ reason }}</strong>{{ "; " if not loop.last }}{% endfor %}{% if row.reasons and row.notes %} · {% endif %}<span class="muted">{{ row.notes|join(" · ") }}</span></td></tr>{% endfor %}</tbody></table></div>
{% if place.conditions.titles %}
<div class="scroll" tabindex="0" role="region" aria-label="Conditions{% if several %}, {{ place.group.title }}{% endif %}">
<table><caption><span>State of the device before and after each run</span></caption>
<thead><tr><th scope="col">Variant</th>{% for title in place.conditions.titles %}<th scope="col">{{ title }}</th>{% endfor %}</tr></thead>
<tbody>{% for variant, cells in place.conditions.rows %}<tr><th scope="row">{{ variant }}</th>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{% endif %}
<dl class="facts">
{% for title, text in place.fingerprint.shared %}<div><dt>{{ title }}</dt><dd>{{ text }}</dd></div>{% endfor %}
{% for title, texts in place.fingerprint.differing %}<div class="long"><dt>{{ title }} <span class="muted">differs</span></dt><dd>{% for variant, text in texts %}<span class="pairing">{{ variant }}: {{ text }}</span>{% endfor %}</dd></div>{% endfor %}
</dl>
{% endcall %}
{% endfor %}
"""


def context(report: Report) -> Mapping[str, Any] | None:
    """Return, for each group, validity, conditions before and after, and the fingerprint."""
    places = [
        {
            "group": group,
            "validity": _validity(group),
            "conditions": _conditions(group),
            "fingerprint": _fingerprint(group),
        }
        for group in report.groups()
        if any(entry.run for entry in group.entries)
    ]
    return {"places": places} if places else None


def shown(key: str, value: Any) -> str:
    """Return one recorded fact as text."""
    if value is None or value == "":
        return units.ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    unit = units.named_unit(key)[1]
    if isinstance(value, float) or (unit and isinstance(value, int)):
        return units.human(float(value), unit)
    if isinstance(value, list | tuple):
        return ", ".join(shown(key, one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(name, one)}" for name, one in value.items())
    return str(value)


def _title(key: str) -> str:
    text = TITLES.get(key) or key.removesuffix(units.named_unit(key)[0]).replace("_", " ").replace(".", ", ")
    return text[:1].upper() + text[1:]


def _runs(group: Group) -> list[tuple[str, Run]]:
    return [(entry.variant, entry.run) for entry in group.entries if entry.run]


def _validity(group: Group) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    compared = {entry.variant: entry.comparisons.get("latency_ratio") for entry in group.entries}
    for variant, run in _runs(group):
        latency = compared[variant]
        notes = [
            f"{_title(key).lower()}: {shown(key, value)}" for key, value in run.notes.items() if key not in INTERNAL
        ]
        row = {"variant": variant, "validity": str(run.validity), "reasons": run.reasons, "notes": notes}
        row["compared"] = str(latency.validity) if latency is not None and latency.change is not None else ""
        rows.append({**row, "glyph": wording.GLYPHS[str(run.validity)]})
    return rows


def _conditions(group: Group) -> Mapping[str, Any]:
    runs = _runs(group)
    keys = list(dict.fromkeys(key for _, run in runs for key in (*run.conditions.before, *run.conditions.after)))
    keys = [key for key in keys if key not in CLOCKS]
    rows = []
    for variant, run in runs:
        before, after = run.conditions.before, run.conditions.after
        cells = []
        for key in keys:
            first, last = (shown(key, state.get(key)) for state in (before, after))
            cells.append(first if first == last else f"{first} → {last}")
        rows.append((variant, cells))
    return {"titles": [_title(key) for key in keys], "rows": rows}


def _fingerprint(group: Group) -> Mapping[str, Any]:
    """Return the facts all runs share, and those in which they differ, run by run."""
    runs = _runs(group)
    keys = list(dict.fromkeys(key for _, run in runs for key in run.fingerprint))
    shared, differing = [], []
    for key in keys:
        texts = [(variant, shown(key, run.fingerprint.get(key))) for variant, run in runs]
        if len({text for _, text in texts}) == 1:
            shared.append((_title(key), texts[0][1]))
        else:
            differing.append((_title(key), texts))
    return {"shared": shared, "differing": differing}
