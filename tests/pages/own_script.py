"""The script that every page carries: the only one that may be in it."""

from __future__ import annotations

from harness.page.render import dress, environment


def without(html: str) -> str:
    """Return a page without its own script, which must be in it once, word for word."""
    own = f"<script>{dress(environment([], None))['script']}</script>"
    assert html.count(own) == 1
    return html.replace(own, "")
