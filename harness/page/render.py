"""Puts the sections together into one HTML file that needs no network and runs no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from jinja2 import BaseLoader, ChoiceLoader, DictLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import registry
from harness.errors import HarnessError, Unforeseen
from harness.page import wording
from harness.page.report import Report

_TEMPLATES: Final = Path(__file__).parent / "templates"
_ROOM: Final = "page.sections"
#: Up to so many places are shown open; of more, each is a line that opens, so that the page stays readable.
_OPEN_PLACES: Final = 4


def render(report: Report, *, overrides: Path | None = None, say: Callable[[str], None] | None = None) -> bytes:
    """Return the report as one UTF-8 HTML file.

    Args:
        report: what was measured, compared and judged.
        overrides: a folder whose templates (and page.css) stand in for those of the same name.
        say: takes a sentence on each section that could not be drawn and says so on the page; if None, it raises.

    Raises:
        LabError: a section cannot be imported.
    """
    found = sections()
    known = environment(found, overrides)
    css = known.get_template("page.css").render()
    parts = []
    places = {"several": several(report), "folded": len(report.groups()) > _OPEN_PLACES}
    for name, section in found:
        try:
            context = section.context(report)
            if context is None:
                continue
            html = known.get_template(f"{name}.html").render(**places, report=report, **context)
        except Exception as error:
            # Numbers that nobody thought of must not cost the rest of what was measured.
            if say is None:
                raise
            known_error = error if isinstance(error, HarnessError) else Unforeseen(f"drawing {section.TITLE}", error)
            failure = wording.readable(str(known_error))
            say(f"a section of the report could not be drawn: {failure}")
            parts.append({"name": name, "title": section.TITLE, "html": "", "failure": failure})
            continue
        # The template escaped what it was given; escaping its markup once more would show tags.
        parts.append({"name": name, "title": section.TITLE, "html": Markup(html), "failure": ""})
    page = known.get_template("page.html")
    text = page.render(report=report, css=Markup(css), policy=policy(css), parts=parts, titles=titles(report))
    return encoded(text)


def encoded(text: str) -> bytes:
    """Return a page as UTF-8, without the characters that no page can hold."""
    return wording.readable(text).encode()


def sections() -> list[tuple[str, ModuleType]]:
    """Return every section with its name, in the order of the page."""
    found = [
        (name, registry.load(_ROOM, name, file="harness/page/sections", key=name)) for name in registry.names(_ROOM)
    ]
    return sorted(found, key=lambda pair: (int(pair[1].ORDER), pair[0]))


def policy(css: str) -> str:
    """Return the content-security policy: nothing may load or run, and only this very style sheet may style."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def several(report: Report) -> bool:
    """Return True if the page must say which device and runtime a table is of."""
    return len(report.groups()) > 1


def titles(report: Report) -> str:
    """Return the titles of the suites, for the head of the page."""
    return "; ".join(str(suite.get("title") or name) for name, suite in report.campaign.suites.items()) or "No suite"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def environment(found: Sequence[tuple[str, ModuleType]], overrides: Path | None) -> Environment:
    """Return where templates come from: the lab's own first, then each section's, then the page's."""
    loaders: list[BaseLoader] = [] if overrides is None else [FileSystemLoader(overrides)]
    loaders.append(DictLoader({f"{name}.html": section.TEMPLATE for name, section in found}))
    loaders.append(FileSystemLoader(_TEMPLATES))
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["moment"] = _moment
    known: dict[str, Any] = {"glyphs": wording.GLYPHS, "outcome_words": wording.OUTCOMES}
    environment.globals.update(known)
    return environment
