"""The front page of a folder of reports: one line a campaign; and a page whose name stays, which leads to the newest.

`latest.html` is a page that refers on: a link of the file system is lost in archives and on most web servers and needs
rights on Windows, and a copy would be the report of another name, with no address of its own to quote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from harness import units
from harness.model import Campaign, Outcome
from harness.page import wording
from harness.page.render import dress, encoded, environment

#: The sentence stands in the head of a report, before the style sheet: so much is read of each. Bytes.
_HEAD: Final = 65_536


@dataclass(frozen=True, slots=True)
class Line:
    """One campaign.

    Attributes:
        file: the name of its report.
        devices: on which it measured, or should have.
        sentence: the report's own, "" where an older edgeward wrote it.
        outcomes: status -> how many cases.
        remarks: quick, degraded, invalid.
    """

    campaign: Campaign
    file: str
    devices: tuple[str, ...]
    sentence: str
    outcomes: tuple[tuple[str, int], ...]
    remarks: tuple[str, ...]

    @property
    def suites(self) -> str:
        """The suites as people call them."""
        return "; ".join(str(one.get("title") or name) for name, one in self.campaign.suites.items()) or units.ABSENT


def line(campaign: Campaign, report: Path, outcomes: Sequence[Outcome], runs: Iterable[tuple[str, str, str]]) -> Line:
    """Return the line of a campaign.

    Args:
        campaign: what was asked for.
        report: its report.
        outcomes: how its cases ended.
        runs: suite, device and validity of its runs.
    """
    found = list(runs)
    devices = {device for _, device, _ in found} | {one.about.device for one in outcomes if one.about}
    count = Counter(one.status for one in outcomes)
    validities = {validity for _, _, validity in found}
    remarks = [*(["quick"] if campaign.quick else []), *(one for one in ("degraded", "invalid") if one in validities)]
    ended = tuple((status, count[status]) for status in wording.OUTCOMES if count[status])
    return Line(campaign, report.name, tuple(sorted(devices)), _sentence(report), ended, tuple(remarks))


def index(lines: Sequence[Line], *, overrides: Path | None = None) -> bytes:
    """Return the page of all campaigns as one UTF-8 file, in the order given; `overrides` as for a report."""
    return _page("index.html", overrides, lines=lines)


def latest(newest: Line, *, overrides: Path | None = None) -> bytes:
    """Return the page that leads to the newest report; `overrides` as for a report."""
    return _page("latest.html", overrides, newest=newest, refresh=newest.file)


def _page(template: str, overrides: Path | None, **values: object) -> bytes:
    known = environment([], overrides)
    text = known.get_template(template).render(**dress(known), absent=units.ABSENT, **values)
    return encoded(text)


class _Description(HTMLParser):
    """Finds what a page says of itself in its head."""

    found = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("name") == "description" and not self.found:
            self.found = given.get("content") or ""


def _sentence(report: Path) -> str:
    """Return the sentence of a report as it was written; computing it anew would read all that was measured."""
    parser = _Description()
    with report.open("rb") as file:
        parser.feed(file.read(_HEAD).partition(b"<style")[0].decode("utf-8", "replace"))
    return parser.found
