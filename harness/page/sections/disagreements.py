"""Disagreements: images that variants and their baseline give different classes, with pictures if the suite asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness import registry, units
from harness.errors import MeasurementError
from harness.model import Disagreement, Example, Run, Task
from harness.page import looks
from harness.page.report import Entry, Group, Report
from harness.results import disagreement

ORDER = 83
TITLE = "Where variants and baseline disagree"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("disagreements", "Where variants and baseline disagree") }}
<p class="lead">A small loss of accuracy can hide many changed answers, some of them for the better. Images that only the baseline has right come first, then those that only the variant has right, then those that neither has right; among each of these, images of the positive class come first. Images are counted from 0 in the order of the split. In brackets stands the probability that a model states of the class it gives.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
<ul>{% for sentence in one.said %}<li>{{ sentence }}</li>{% endfor %}</ul>
{% for each in one.pictured %}
<figure><h4>{{ each.variant }}: images with another answer{{ parts.synthetic(one.group) }}</h4>
<ul class="examples">{% for example in each.examples %}<li><svg class="example" role="img" aria-label="image {{ example.place }}" viewBox="0 0 {{ example.width }} {{ example.height }}">{% if example.url %}<image id="{{ example.id }}" width="{{ example.width }}" height="{{ example.height }}" href="{{ example.url }}"/>{% else %}<use href="#{{ example.id }}"/>{% endif %}</svg>image {{ example.place }}: <bdi>{{ example.truth }}</bdi>; baseline <bdi>{{ example.baseline }}</bdi>, variant <bdi>{{ example.variant }}</bdi></li>{% endfor %}</ul></figure>
{% endfor %}
{% if one.rows %}
<div class="scroll" tabindex="0" role="region" aria-label="Images with another answer{% if several %}, {{ one.group.title }}{% endif %}">
<table class="dense"><caption><span>Images with another answer{% if one.pictured %}, without a picture{% endif %}{{ parts.synthetic(one.group) }}</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col">Image</th><th scope="col" class="text">Truth</th><th scope="col" class="text">Baseline says</th><th scope="col" class="text">Variant says</th></tr></thead>
<tbody>{% for row in one.rows %}<tr><th scope="row">{{ row.of }}</th><td>{{ row.place }}</td><td class="text">{{ row.truth }}</td><td class="text">{{ row.baseline }}</td><td class="text">{{ row.variant }}</td></tr>{% endfor %}</tbody></table></div>
{% endif %}
{% for reason in one.unseen %}<p class="note">No pictures: {{ reason }}.</p>{% endfor %}
{% if one.unasked %}<p class="note">Pictures of such images are kept with the next measurement if <code>examples = {{ listed }}</code> stands at the top of the suite; everybody who reads the report then sees them.</p>{% endif %}
{% endcall %}
{% endfor %}
"""
#: So many pictures of a variant are shown, and so many of its images are listed where a suite asks for none.
_LISTED: Final = 4


def context(report: Report) -> Mapping[str, Any] | None:
    """Return sentences, pictures and a table of each group; nothing of a confidential suite, or of very many cases."""
    if not report.detailed:
        return None
    known: dict[tuple[object, ...], str] = {}
    figures = [figure for group in report.groups() if (figure := _figure(group, known))]
    return {"figures": figures, "listed": _LISTED} if figures else None


def _figure(group: Group, known: dict[tuple[object, ...], str]) -> Mapping[str, Any] | None:
    """Return what is shown of a group, None where nothing may be or can be.

    Args:
        group: of the report.
        known: picture -> its id on the page, of those that stand there already: one picture may serve many places.
    """
    head, task = group.baseline, group.settings.get("task", {})
    if group.settings.get("confidential") or head is None or head.run is None or not head.usable:
        return None
    if task.get("kind") not in registry.names("metrics"):
        return None
    said, pictured, rows, unseen = [], [], [], []
    for entry in group.measured:
        if entry.is_baseline:
            continue
        try:
            found = _of(entry, head.run, Task.of(task))
        except MeasurementError as error:
            said.append(f"{entry.variant}: {error.text}")
            continue
        if found is None:
            continue
        said.append(_sentence(entry.variant, found))
        shown = found.examples[:_LISTED] if found.pictures is not None else ()
        examples = [
            {**_words(one), **_picture(one, found.pictures[at], group.suite, known)}
            for at, one in enumerate(shown)
            if found.pictures is not None
        ]
        pictured += [{"variant": entry.variant, "examples": examples}] if examples else []
        rows += [{**_words(one), "of": entry.variant} for one in found.examples[len(shown) :]]
        unseen += [found.unseen] if found.unseen else []
    if not said:
        return None
    return {
        "group": group,
        "said": said,
        "pictured": pictured,
        "rows": rows,
        "unseen": list(dict.fromkeys(map(str, unseen))),
        "unasked": bool(rows) and not group.settings.get("examples"),
    }


def _of(entry: Entry, head: Run, task: Task) -> Disagreement | None:
    """Return what is stored of an entry, or what its stored outputs say."""
    assert entry.run is not None
    return entry.run.disagreement or disagreement.between(head, entry.run, task, _LISTED)


def _sentence(variant: str, found: Disagreement) -> str:
    images, differing = units.count(found.images), found.lost + found.gained + found.others
    if not differing:
        return f"{variant} answers all {images} images as the baseline does."
    return (
        f"{variant} answers {units.count(differing)} of {images} images differently: {units.count(found.lost)} that "
        f"only the baseline has right, {units.count(found.gained)} that only the variant has right, "
        f"{units.count(found.others)} that neither has right."
    )


def _words(one: Example) -> dict[str, Any]:
    return {
        "place": one.place,
        "truth": one.truth,
        "baseline": _called(one.baseline, one.baseline_share),
        "variant": _called(one.variant, one.variant_share),
    }


def _called(name: str, share: float | None) -> str:
    # A line never breaks before the sign.
    return name if share is None else f"{name} ({units.whole_percent(share).replace(' ', chr(0xA0))})"


def _picture(one: Example, picture: Any, suite: str, known: dict[tuple[object, ...], str]) -> dict[str, Any]:
    """Return how a picture is put on the page: with its bytes the first time, by its id from then on."""
    key = (suite, one.place, picture.shape, picture.tobytes())
    found = {"id": known.get(key, f"example-{len(known) + 1}"), "height": picture.shape[0], "width": picture.shape[1]}
    url = "" if key in known else looks.url(picture)
    known[key] = found["id"]
    return {**found, "url": url}
