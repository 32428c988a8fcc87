"""What the Markdown that edgeward writes is made of: lines of a table, cells, and texts that stay texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from harness import units
from harness.page import wording

#: What stands where a number is missing, before the reason.
MISSING: Final = "not measured"
#: Letters that mean something else than themselves anywhere in a line.
_SPECIAL: Final = "\\`*_[]<>|#~&$"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table; every cell is Markdown already."""
    titles = list(head)
    return [_line(titles), _line(["---"] * len(titles)), *map(_line, rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Return a text that Markdown takes for nothing else, on one line."""
    escaped = "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in text)
    return " ".join(escaped.split())


def figure(cell: wording.Cell | None, notes: Mapping[str, int], *, in_words: bool = False) -> str:
    """Return what stands in a cell: value, interval, change, verdict and the number of its note.

    Args:
        cell: of a metric, None where its numbers may not be read.
        notes: note -> its number below the table.
        in_words: whether the verdict is written out after its sign.
    """
    if cell is None:
        return units.ABSENT
    if cell.reason:
        return plain(cell.reason if cell.reason == MISSING else f"{MISSING}: {cell.reason}")
    value = f"{cell.value} ({cell.interval})" if cell.interval else cell.value
    if not (cell.change or (in_words and cell.verdict)):
        return plain(value)
    within = f" ({cell.change_interval})" if cell.change_interval else ""
    note = f"<sup>{notes[cell.note]}</sup>" if cell.note in notes else ""
    verdict = f"{wording.GLYPHS[cell.verdict]}{f' {cell.verdict}' if in_words else ''}{note}"
    return f"{plain(value)}<br>{plain(cell.change + within)} {verdict}".replace("<br> ", "<br>")


def numbered(notes: Mapping[str, int]) -> list[str]:
    """Return the lines of the notes below a table."""
    return [f"{number}. {plain(note)}" for note, number in notes.items()]
