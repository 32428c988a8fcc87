"""`reports/METHOD.md` as a page beside the reports, which each of them leads to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup

from harness.page.render import dress, encoded, environment

#: The name that reports lead to.
NAME: Final = "method.html"
#: A link to the text's own folder, in whose place a wheel holds the text.
_TEXT: Final = Path(__file__).with_name("METHOD.md")


def html(overrides: Path | None = None) -> bytes:
    """Return the page as UTF-8.

    Args:
        overrides: a folder whose templates (and page.css) stand in for those of the same name.
    """
    known = environment([], overrides)
    # Raw HTML in the text stays text; ids let a link lead to a heading.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(_TEXT.read_text(encoding="utf-8"))
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", inline.content.lower().replace(" ", "-"))
    body = parser.renderer.render(tokens, parser.options, {})
    return encoded(known.get_template("method_page.html").render(**dress(known), body=Markup(body)))
