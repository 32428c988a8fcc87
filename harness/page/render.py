"""Puts the sections together into HTML files that need no network and run no script but their own."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from jinja2 import BaseLoader, ChoiceLoader, DictLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import registry, units
from harness.errors import HarnessError, Unforeseen
from harness.page import charts, wording
from harness.page.headline import overall
from harness.page.report import Place, Report

_TEMPLATES: Final = Path(__file__).parent / "templates"
_ROOM: Final = "page.sections"
_OF_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|pp|[nµm]?s|[kMG]?B|[µm]?[JW])(?!\w))")
#: Up to so many places are shown open; of more, each is a line that opens, so that the page stays readable.
_OPEN_PLACES: Final = 4
#: What is said of a section that could not be drawn; why.
UNDRAWABLE: Final = "a section of the report could not be drawn: {}"
#: Instead of a chart on the page of a place; the device.
_UNDRAWN: Final = Markup(
    '<p class="note">Not drawn among so many places: <code>edgeward report --device {}</code> does.</p>'
)


def render(report: Report, *, overrides: Path | None = None, say: Callable[[str], None] | None = None) -> bytes:
    """Return the whole report as one UTF-8 HTML file.

    Args:
        report: what was measured, compared and judged.
        overrides: a folder whose templates (and page.css) stand in for those of the same name.
        say: takes a sentence on each section that could not be drawn and says so on the page; if None, it raises.

    Raises:
        LabError: a section cannot be imported.
    """
    found = sections()
    return _page(report, found, environment(found, overrides), say=say)


def pages(
    report: Report, name: str, *, overrides: Path | None = None, say: Callable[[str], None] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the UTF-8 HTML of every page of a report: one page, or an overview and one for each place.

    The overview comes last, when all that it leads to is there. Each is made when it is asked for: only one is held.

    Args:
        report: what was measured, compared and judged.
        name: of the first page, without `.html`; the folder of the others has this name too.
        overrides: as for `render`.
        say: as for `render`.

    Raises:
        LabError: a section cannot be imported.
    """
    found = sections()
    known = environment(found, overrides)
    addresses = _addresses(report, name) if report.divided else {}
    for place, address in addresses.items():
        with charts.undrawn(None if report.drawn else _UNDRAWN.format(place[1])):
            html = _page(
                report.of([place]), found, known, of=place[1] or "no device", overview=f"../{name}.html", say=say
            )
        yield address, html
    # A section of a plug-in may be of any size, so it stands here only if it says that it is small.
    small = [(one, section) for one, section in found if getattr(section, "OVERVIEW", False)]
    yield f"{name}.html", _page(report, small if addresses else found, known, addresses=addresses, say=say)


def _addresses(report: Report, name: str) -> dict[Place, str]:
    """Return the path of the page of each place; the number tells those apart whose names are written alike."""
    written = {place: re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(place)) for place in report.places}
    return {place: f"{name}/{number:03}-{text}.html" for number, (place, text) in enumerate(written.items(), 1)}


def _page(
    report: Report,
    found: Sequence[tuple[str, ModuleType]],
    known: Environment,
    *,
    of: str = "",
    overview: str = "",
    addresses: Mapping[Place, str] | None = None,
    say: Callable[[str], None] | None = None,
) -> bytes:
    """Return one page.

    Args:
        report: what it is of.
        found: its sections.
        known: where templates come from.
        of: the device that the page is of, "" for the whole campaign.
        overview: address of the page that it belongs to, "" for the first page itself.
        addresses: of the pages that it leads to.
        say: as for `render`.
    """
    parts = []
    shared = {
        "report": report, "several": several(report), "folded": len(report.groups()) > _OPEN_PLACES,
        "addresses": addresses or {}, "overview": overview,
    }  # fmt: skip
    for name, section in found:
        try:
            context = section.context(report)
            if context is None:
                continue
            html = known.get_template(f"{name}.html").render(**shared, **context)
        except Exception as error:
            # Numbers that nobody thought of must not cost the rest of what was measured.
            if say is None:
                raise
            failure = undrawable(section, error)
            say(UNDRAWABLE.format(failure))
            parts.append({"name": name, "title": section.TITLE, "html": "", "failure": failure})
            continue
        # The template escaped what it was given; escaping its markup once more would show tags.
        parts.append({"name": name, "title": section.TITLE, "html": Markup(html), "failure": ""})
    title = f"{titles(report)}, {of}" if of else titles(report)
    page = known.get_template("page.html")
    given = {"parts": parts, "titles": title, "description": _description(report, say)}
    # Only digits, letters and signs that no style sheet takes for the end of a text.
    campaign = re.sub(r"[^A-Za-z0-9.:_-]+", " ", report.campaign.id)
    return encoded(page.render(**shared, **dress(known, f"edgeward · campaign {campaign}"), **given))


def _description(report: Report, say: Callable[[str], None] | None) -> str:
    """Return the sentence of a report, "" where the section that shows it could not be drawn either and said so."""
    try:
        return overall(report)[0].sentence
    except Exception:
        if say is None:
            raise
        return ""


def undrawable(section: ModuleType, error: Exception) -> str:
    """Return in words why a section could not be drawn."""
    known = error if isinstance(error, HarnessError) else Unforeseen(f"drawing {section.TITLE}", error)
    return wording.readable(str(known))


def encoded(text: str) -> bytes:
    """Return a page as UTF-8, without the characters that no page can hold."""
    return wording.readable(text).encode()


def sections() -> list[tuple[str, ModuleType]]:
    """Return every section with its name, in the order of the page."""
    found = [
        (name, registry.load(_ROOM, name, file="harness/page/sections", key=name)) for name in registry.names(_ROOM)
    ]
    return sorted(found, key=lambda pair: (int(pair[1].ORDER), pair[0]))


def dress(known: Environment, foot: str = "edgeward") -> dict[str, str]:
    """Return what the head of every page needs: style sheet, script, and the policy that allows these two alone.

    Args:
        known: where templates come from.
        foot: stands below every printed page, beside its number.
    """
    css = known.get_template("page.css").render(foot=Markup(foot))
    script = known.get_template("page.js").render()
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script)]
    policy = (
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return {"css": Markup(css), "script": Markup(script), "policy": policy.format(*digests)}


def several(report: Report) -> bool:
    """Return True if the page must say which device and runtime a table is of."""
    return len(report.groups()) > 1


def titles(report: Report) -> str:
    """Return the titles of the suites, for the head of the page."""
    return "; ".join(str(suite.get("title") or name) for name, suite in report.campaign.suites.items()) or "No suite"


def _unbroken(sentence: str) -> str:
    """Return a sentence in which no number is parted from its unit at the end of a line."""
    return _OF_UNIT.sub("\N{NO-BREAK SPACE}", sentence)


def environment(found: Sequence[tuple[str, ModuleType]], overrides: Path | None) -> Environment:
    """Return where templates come from: the lab's own first, then each section's, then the page's."""
    loaders: list[BaseLoader] = [] if overrides is None else [FileSystemLoader(overrides)]
    loaders.append(DictLoader({f"{name}.html": section.TEMPLATE for name, section in found}))
    loaders.append(FileSystemLoader(_TEMPLATES))
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["moment"] = units.moment
    environment.filters["unbroken"] = _unbroken
    known: dict[str, Any] = {"glyphs": wording.GLYPHS, "outcome_words": wording.OUTCOMES}
    environment.globals.update(known)
    return environment
