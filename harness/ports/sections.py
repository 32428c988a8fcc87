"""One part of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Section(Protocol):
    """harness/page/sections/NAME.py: one part of the report.

    Attributes:
        ORDER: its place on the page, the smallest first.
        TITLE: its heading.
        TEMPLATE: Jinja markup that is rendered with what `context` returns, `report`, `several`, `folded` and
            `addresses`.

    `OVERVIEW = True`, which most sections leave out, has it stand on the first page too where each place has a page of
    its own: what is small or sums up all places.
    """

    ORDER: int
    TITLE: str
    TEMPLATE: str

    def context(self, report: Any) -> Mapping[str, Any] | None:
        """Return what the template is rendered with, or None to leave the section out."""
