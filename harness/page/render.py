"""Puts the sections together into one HTML file that needs no network and runs no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from jinja2 import BaseLoader, ChoiceLoader, DictLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import registry
from harness.page import wording
from harness.page.headline import overall
from harness.page.report import Report

_TEMPLATES: Final = Path(__file__).parent / "templates"
_ROOM: Final = "page.sections"
#: Up to so many places are shown open; of more, each is a line that opens, so that the page stays readable.
_OPEN_PLACES: Final = 4


def render(report: Report, *, overrides: Path | None = None) -> bytes:
    """Return the report as one UTF-8 HTML file.

    Args:
        report: what was measured, compared and judged.
        overrides: a folder whose templates (and page.css) stand in for those of the same name.

    Raises:
        LabError: a section cannot be imported.
    """
    found = sections()
    known = environment(found, overrides)
    css = known.get_template("page.css").render()
    parts = []
    places = {"several": several(report), "folded": len(report.groups()) > _OPEN_PLACES}
    for name, section in found:
        context = section.context(report)
        if context is not None:
            html = known.get_template(f"{name}.html").render(**places, report=report, **context)
            # The template escaped what it was given; escaping its markup once more would show tags.
            parts.append({"name": name, "title": section.TITLE, "html": Markup(html)})
    page = known.get_template("page.html")
    description = overall(report)[0].sentence
    given = {"report": report, "parts": parts, "titles": titles(report), "description": description}
    return page.render(css=Markup(css), policy=policy(css), **given).encode()


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
