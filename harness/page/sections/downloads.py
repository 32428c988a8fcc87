"""The numbers themselves, to take away: a row a run for a spreadsheet, and every sample for a program."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness import compare, units
from harness.page import wording
from harness.page.report import Report
from harness.store import export

ORDER = 115
TITLE = "Data"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("downloads", "The numbers themselves") }}
{% if files %}
<p class="prose">They are in this file and need no network. Everything is in SI units, as it was measured or computed, not as it is rounded above.</p>
<ul class="plain">
{% for file in files %}
<li><a download="{{ file.name }}" href="{{ file.address }}">{{ file.title }}</a> <span class="muted">{{ file.name }}, {{ file.size }}</span></li>
{% endfor %}
</ul>
{% endif %}
{% for text in without %}<p class="note">{{ text }}</p>{% endfor %}
"""
#: Of more, compressed, the samples are left to `edgeward export`: the page must stay one that can be sent. Bytes.
_LARGEST: Final = 500_000
#: Of more samples it is not even tried: they would take as long as all charts.
_MOST: Final = 150_000


def context(report: Report) -> Mapping[str, Any] | None:
    """Return the files, and what is not in the page; None if nothing was measured."""
    if not report.runs:
        return None
    if report.divided and report.drawn:
        return {"files": [], "without": [f"The page of each device holds its own; all of them: {_command(report)}."]}
    if report.divided or not report.detailed:
        return {"files": [], "without": [f"The numbers of so many cases are too much for a page: {_command(report)}."]}
    samples = _samples(report)
    return {"files": list(_files(report, samples)), "without": list(_without(report, samples))}


def _command(report: Report) -> str:
    return f"`edgeward export --campaign {report.campaign.id}`"


def _files(report: Report, samples: bytes | None) -> Iterator[Mapping[str, str]]:
    name = "edgeward-" + re.sub(r"[^A-Za-z0-9._-]+", "-", report.campaign.id)
    rows = wording.readable(export.to_csv(report.runs)).encode()
    yield _file(f"{name}.csv", "One row a run, for a spreadsheet", "text/csv", rows)
    if samples is not None:
        yield _file(f"{name}.json.gz", "Everything, with every sample and every judgement", "application/gzip", samples)


def _without(report: Report, samples: bytes | None) -> Iterator[str]:
    if report.confidential:
        yield f"The suite is confidential, so single answers are not in this page: {_command(report)}."
    elif samples is None:
        yield f"Every single sample is too much for one page: {_command(report)}."


def _samples(report: Report) -> bytes | None:
    if report.confidential or sum(len(one.values) for run in report.runs for one in run.measurements.values()) > _MOST:
        return None
    ended = [(report.campaign, report.outcomes)]
    text = wording.readable(export.to_json(report.runs, report.comparisons, ended, compare.margin))
    # Without a time, so that the same campaign gives the same page.
    found = gzip.compress(text.encode(), 6, mtime=0)
    return found if len(found) <= _LARGEST else None


def _file(name: str, title: str, kind: str, content: bytes) -> Mapping[str, str]:
    address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return {"name": name, "title": title, "size": units.human(len(content), "B"), "address": address}
