"""Numbers from small files of /sys and /proc: what is no plausible number is absent, never an error.

Drivers write "N/A", nothing at all or the largest integer where they know nothing, and a file may vanish between two
looks. Every number that the device side reads there comes through here; harness/native/src/system.c is the same in C.
"""

from __future__ import annotations

import re
from pathlib import Path

#: How the largest integers of C look where a driver has nothing to say.
_NOTHING = frozenset({2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1})
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def text(path: Path) -> str:
    """Return a small file's text, "" if it cannot be read: most devices lack most of these files."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def word(path: Path) -> str:
    """Return the same without its white space at the ends."""
    return text(path).strip()


def number(said: str, low: float, high: float) -> float | None:
    """Return the number that a text is, None for anything else and for what lies outside `low` to `high`.

    Args:
        said: the text of a file.
        low: least that it may be.
        high: most that it may be.
    """
    found = said.strip()
    if not _NUMBER.fullmatch(found):
        return None
    value = float(found)
    return value if low <= value <= high and value not in _NOTHING else None


def reading(path: Path, bound: float) -> float:
    """Return the number that a sensor's file holds.

    Args:
        path: the file.
        bound: most that it may be, either way.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no number, or one that drivers write where they know nothing.
    """
    said = path.read_text(errors="replace")
    value = number(said, -bound, bound)
    if value is None:
        raise ValueError(f'{path} holds "{said.strip()[:40]}", which is no number of a sensor')
    return value


def count(said: str) -> int | None:
    """Return the whole number of bytes, pages or events that a text is, None for anything else."""
    found = number(said, 0, 2**63)
    return None if found is None else int(found)
