"""The page of a search: every attempt of each place, drawn as accuracy against cost, and in a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.page import charts, plots, publish
from harness.page.render import dress, encoded, environment


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt, in words; `point` is where it is drawn (`plots.tradeoff`), None where it has no numbers."""

    number: str
    name: str
    status: str
    cost: str
    change: str
    standing: str
    seconds: str
    said: str
    point: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Part:
    """One place: its title, the answer in a sentence, its attempts, and all points with the baseline's."""

    title: str
    answer: str
    rows: tuple[Row, ...]
    points: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole search.

    Attributes:
        title: of its suite.
        cost: title of the ratio that shall be small.
        accuracy: title of what is weighed against it.
        parts: one a place.
        again: the command that measures what was found again, "" if nothing was.
        synthetic: whether no patient and no scanner was involved.
        quick: whether durations were cut.
    """

    title: str
    cost: str
    accuracy: str
    parts: tuple[Part, ...]
    again: str
    synthetic: bool
    quick: bool


def html(page: Page) -> bytes:
    """Return the page as one UTF-8 file that needs no network and runs no script but its own."""
    known = environment([], None)
    drawn = [(part, _chart(page, part)) for part in page.parts]
    text = known.get_template("search.html").render(**dress(known), page=page, drawn=drawn)
    return encoded(text)


def write(page: Page, target: Path) -> Path:
    """Write the page, whole or not at all, and return its path; raises StoreError if it cannot be written.

    Args:
        page: what is shown.
        target: where.
    """
    publish.write(target, html(page), remedy="change the rights there")
    return target


def _chart(page: Page, part: Part) -> Markup | None:
    if len(part.points) < 2:
        return None
    draw = plots.tradeoff(
        part.points, x_title=f"{page.cost}, over the baseline", x_aside="left is better", y_title=f"{page.accuracy}, %"
    )
    said = ". ".join(str(point["hover"]) for point in part.points)
    return charts.figure(draw, alt=f"{page.accuracy} against {page.cost}, {part.title}. {said}")
