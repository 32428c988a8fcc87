"""Robustness: what a variant loses under corruptions and attacks that its baseline does not lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import units
from harness.compare import non_inferiority
from harness.model import Condition, Estimate, Probe
from harness.page import charts, looks, wording
from harness.page.report import Entry, Group, Report
from harness.results.robustness import NOTES, absences

ORDER = 82
TITLE = "Robustness"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("robustness", "Robustness") }}
<p class="lead">The same images once more, changed, through the same files on the device. Differences are paired on the same changed images: a variant is non-inferior if the worse end of its interval stays within the margin. Every condition stands for itself, at 95 %.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
{% for remark in one.remarks %}<p class="note">Remark: {{ remark }}.</p>{% endfor %}
{% for forest in one.forests %}
<figure><h4>{{ forest.variant }}: change in {{ one.metric[0]|lower }}{{ one.metric[1:] }}{{ parts.synthetic(one.group) }}</h4>
{{ forest.chart }}
<figcaption>{{ forest.said }} Left is worse; the dashed line is the margin of {{ one.margin }}.</figcaption></figure>
{% endfor %}
{% if one.rows %}
<div class="scroll" tabindex="0" role="region" aria-label="Accuracy under each condition{% if several %}, {{ one.group.title }}{% endif %}">
<table class="dense"><caption><span>{{ one.metric }} under each condition{{ parts.synthetic(one.group) }}</span></caption>
<thead><tr><th scope="col">Condition</th>{% for variant in one.variants %}<th scope="col" class="head">{{ variant }}</th>{% endfor %}</tr></thead>
<tbody>{% for title, cells in one.rows %}<tr><th scope="row">{{ title }}</th>{% for cell in cells %}<td><div class="cell"><span class="value">{{ cell.value }}</span><span class="interval">{{ cell.spread }}</span>{% if cell.change %}<span class="change">{{ cell.change }}</span><span class="judged">{{ parts.badge(cell.state, cell.word) }}</span>{% endif %}</div></td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{% endif %}
{% if one.looks %}
<h4>Does it still look at the same place?{{ parts.synthetic(one.group) }}</h4>
<p class="note">A square of a grid of {{ one.grid }} by {{ one.grid }} is covered in turn; a map says by how much less sure that makes a model of what the baseline calls the image. Spearman's rank correlation of a variant's map with the baseline's, averaged over {{ one.looked }} images; 1 is the same order of places, 0 none.</p>
<ul>{% for look in one.looks %}<li>{{ look.variant }}: {{ look.said }}</li>{% endfor %}</ul>
{% for look in one.looks %}
{% if look.worst %}
<figure><h4>{{ look.variant }}: where it looks least like the baseline</h4>
{% for each in look.worst %}<p>{% for picture in each.pictures %}<img src="{{ picture.url }}" width="96" height="96" alt="{{ picture.alt }}"> {% endfor %}{{ each.said }}</p>{% endfor %}
<figcaption>The image, then the map of the baseline and that of {{ look.variant }} over it: the lighter a square, the more it counts.</figcaption></figure>
{% endif %}
{% endfor %}
{% endif %}
{% if one.attacked %}<p class="note">FGSM and PGD are transfer attacks: they are made with the gradients of the float baseline on this computer and given to every file. What is robust against them may still fall to an attack made for it.</p>{% endif %}
{% if one.adaptive %}<p class="note">The square attack was made for each file by itself, by what that file answered on the device: the images are the same at its beginning alone.</p>{% endif %}
{% endcall %}
{% endfor %}
"""
#: Attacks that need no gradient -> in words.
_BOXES: Final[Mapping[str, str]] = {"stripes": "random stripes", "square": "the squares of the square attack"}
#: What the verdict of a paired difference is called against a margin.
WORDS: Final[Mapping[str, str]] = {
    "improved": "better", "equivalent": "non-inferior", "worse": "worse, non-inferior", "regressed": "inferior",
    "inconclusive": "undecided",
}  # fmt: skip


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a forest for each variant and a table of levels for each group that was measured under conditions."""
    figures = [_figure(group) for group in report.groups() if "robustness" in group.settings]
    return {"figures": figures} if figures else None


def _figure(group: Group) -> Mapping[str, Any]:
    margin = float(group.settings["robustness"]["margin"])
    having = [entry for entry in group.measured if entry.run and entry.run.probes]
    probes = {entry.variant: {one.condition: one for one in entry.run.probes} for entry in having if entry.run}
    conditions = list(dict.fromkeys(condition for own in probes.values() for condition in own))
    metric = next((wording.title(one.metric) for own in probes.values() for one in own.values()), "accuracy")
    rows = [
        (titled(condition), [_cell(own.get(condition), margin) for own in probes.values()]) for condition in conditions
    ]
    return {
        "group": group,
        "metric": metric,
        "margin": units.bound(margin),
        "variants": list(probes),
        "rows": rows,
        "remarks": _remarks(group.measured),
        **looks.context(group),
        "attacked": any(condition.kind == "attack" and condition.name not in _BOXES for condition in conditions),
        "adaptive": any(condition.name == "square" for condition in conditions),
        "forests": [
            {"variant": name, "chart": _forest(name, own, margin, group), "said": summed(own, margin)}
            for name, own in probes.items()
            if any(wording.bounded(one.change) for one in own.values())
        ],
    }


def titled(condition: Condition) -> str:
    """Return a condition as people read it."""
    if condition.name in _BOXES:
        return f"{condition.name}, black box, ±{condition.severity}"
    if condition.kind == "attack":
        return f"{condition.name.upper()}, transfer, ±{condition.severity}"
    return f"{condition.name.replace('_', ' ')}, {condition.severity}"


def _remarks(entries: Sequence[Entry]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        if entry.run is None:
            continue
        found += entry.run.notes.get(NOTES, {}).get("remarks", ())
        found += [f"{entry.variant}: {reason}" for reason in absences(entry.run)]
    return list(dict.fromkeys([*found, *_masking(entries)]))


def _masking(entries: Sequence[Entry]) -> list[str]:
    """Return where gradients do not show the way: an attack that follows them is then weaker than one that cannot."""
    found = []
    for entry in entries:
        attacks = (
            {one.condition.name: one for one in entry.run.probes if one.condition.kind == "attack"} if entry.run else {}
        )
        one, ten = attacks.get("fgsm"), attacks.get("pgd")
        if entry.is_baseline and one and ten and one.level.high < ten.level.low:
            found.append(
                "gradient masking: one step along the baseline's gradient harms it more than ten smaller ones, so its "
                "accuracy under attack is too high"
            )
        boxes = {name: box for name in _BOXES if (box := attacks.pop(name, None))}
        for name, box in boxes.items() if entry.is_baseline else ():
            weaker = [own.condition.name.upper() for own in attacks.values() if box.level.high < own.level.low]
            if weaker:
                found.append(
                    f"gradient masking: {_BOXES[name]}, which need no gradient, harm the baseline more than "
                    f"{' and '.join(weaker)}, so its accuracy under these is too high"
                )
        harmed = [titled(probe.condition) for probe in attacks.values() if probe.change and probe.change.high < 0]
        if harmed and not entry.is_baseline:
            found.append(
                f"{entry.variant}: {' and '.join(harmed)} harm it more than the baseline whose gradients they follow; "
                "either it is less robust, or the baseline's gradients are masked and its accuracy under attack too high"
            )
    return found


def _cell(probe: Probe | None, margin: float) -> Mapping[str, str]:
    if probe is None:
        return {"value": units.ABSENT, "spread": "", "change": ""}
    state = non_inferiority(probe.change, margin)
    value, within = wording.level(probe.metric, probe.level)
    return {
        "value": value,
        "spread": within,
        "change": _change(probe, probe.change),
        "state": str(state),
        "word": WORDS[state],
    }


def _change(probe: Probe, change: Estimate | None) -> str:
    described = wording.info(probe.metric)
    return "" if change is None else units.full_change(described.kind, described.unit, change)


def summed(probes: Mapping[Condition, Probe], margin: float) -> str:
    """Return in a sentence how many conditions a variant stands, and where it loses most.

    Args:
        probes: of the variant.
        margin: what it may lose.
    """
    known = {condition: one.change for condition, one in probes.items() if one.change is not None}
    states = [non_inferiority(change, margin) for change in known.values()]
    kept = sum(WORDS[state] not in ("inferior", "undecided") for state in states)
    lost = sum(WORDS[state] == "inferior" for state in states)
    worst = min(known, key=lambda condition: known[condition].point)
    said = f"Non-inferior under {kept} of {units.counted(len(known), 'condition')}, inferior under {lost}"
    if known[worst].point >= 0:
        return f"{said}."
    return f"{said}; it loses most under {titled(worst)}: {_change(probes[worst], known[worst])}."


def _forest(variant: str, probes: Mapping[Condition, Probe], margin: float, group: Group) -> Any:
    rows = []
    for condition, one in probes.items():
        if not wording.bounded(one.change):
            continue
        state, text = non_inferiority(one.change, margin), _change(one, one.change)
        point, low, high = (100 * number for number in (one.change.point, one.change.low, one.change.high))
        row = {"variant": titled(condition), "point": point, "low": low, "high": high, "state": str(state)}
        rows.append({**row, "text": text, "hover": f"{titled(condition)}: {text}, {WORDS[state]}"})
    draw = charts.intervals(
        rows, title="difference, percentage points", aside="left is worse", reference=0, limit=-100 * margin
    )
    said = ". ".join(str(row["hover"]) for row in rows)
    return charts.figure(draw, alt=f"{variant} against the baseline under each condition, {group.title}. {said}")
