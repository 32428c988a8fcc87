"""What a split is called in files and folders, and in which order classes come that nobody has put in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

#: Split -> the names that it goes by; MedMNIST says `val`.
_NAMES: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


def canonical(split: str) -> str:
    """Return the usual name of a split: `validation` for `val`, and its own name for one that is not known."""
    return next((usual for usual, names in _NAMES.items() if split in names), split)


def path_alone(split: str, *, train: str, validation: str) -> str:
    """Return the path that `[data]` gives to this split alone, "" where it is with the others.

    Args:
        split: that is asked for.
        train: the key `train`.
        validation: the key `validation`.
    """
    return {"train": train, "validation": validation}.get(canonical(split), "")


def line_to_write(split: str, path: str) -> str:
    """Return the end of a remedy: the line that gives a split a path of its own, "" for one that cannot have any.

    Args:
        split: that is not there.
        path: an example, with {} for the split's name.
    """
    key = canonical(split)
    if key not in ("train", "validation"):
        return ""
    return f', or write {key} = "{path.format(key)}" under [data] of the suite'


def named(split: str, there: Iterable[str]) -> list[str]:
    """Return those of the names `there` that mean `split`, its own spelling alone where that is among them."""
    found = [name for name in there if canonical(name) == canonical(split)]
    return [split] if split in found else sorted(found)


def others(split: str, there: Iterable[str]) -> list[str]:
    """Return those of the names `there` that mean one of the usual splits other than `split`."""
    return sorted(name for name in there if canonical(name) in _NAMES and canonical(name) != canonical(split))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of classes by their letters, and numbers in them by their value: grade 2 before grade 10."""
    return tuple(sorted(names, key=_key))


def once(classes: Sequence[str]) -> None:
    """Raise ValueError for a class that stands in `classes` twice: its second place is another output of the model."""
    for name in classes:
        if classes.count(name) > 1:
            raise ValueError(f"`classes` names {name!r} twice: give each output of the model a name of its own")


def _key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name
