"""What a split is called in files and folders, and in which order classes come that nobody has put in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.errors import LabError
from harness.model import IGNORED

Bytes = npt.NDArray[np.uint8]

#: Split -> the names that it goes by; MedMNIST says `val`.
_NAMES: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}

#: Of masks, 255 stands for one class beside 0 and for no class otherwise; which is meant beside others is not guessed.
BESIDE_255: Final = "holds 255 beside other classes, where it usually stands for no class"
REMEDY_255: Final = "write ignore_index = 255 under [data], or number the classes from 0 to at most 254"


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


def declared(classes: Sequence[str], labels: str, base: Path) -> tuple[str, ...]:
    """Return the names of the classes: those that `[data]` lists, or the lines of its labels file; () without either.

    Args:
        classes: the key `classes`.
        labels: the key `labels`, a text file with one name a line, as models bring it.
        base: folder that it counts from.

    Raises:
        LabError: the file cannot be read, is empty, names a class twice, or stands beside `classes`.
    """
    if not labels:
        return tuple(classes)
    path = base / labels
    if classes:
        raise LabError("stands beside `classes`", remedy="leave one of them", file=str(path), key="data.labels")
    try:
        names = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot be read ({error})", remedy="write one name a line, in UTF-8", file=str(path)) from error
    try:
        once(names)
    except ValueError as error:
        raise LabError(f"names a class twice: {error}", remedy="give each its own", file=str(path)) from error
    if not names:
        raise LabError("holds no name", remedy="write one name a line", file=str(path))
    return tuple(names)


def plain_masks(masks: Bytes, ignore_index: int | None) -> Bytes:
    """Return masks as class indices: 0 and 255 alone are the classes 0 and 1; what is to be ignored becomes IGNORED.

    Args:
        masks: (N, H, W), as they were read.
        ignore_index: the value that stands for no class; None where every pixel counts.
    """
    ignored = masks == ignore_index if ignore_index is not None else np.zeros(masks.shape, bool)
    known = np.where(ignored, 0, masks).astype(np.uint8)
    if set(np.unique(known).tolist()) <= {0, 255}:
        known = (known == 255).astype(np.uint8)
    return np.where(ignored, IGNORED, known).astype(np.uint8) if ignore_index is not None else known


def highest_class(masks: Bytes, ignore_index: int | None) -> int:
    """Return the largest class of masks that `plain_masks` gave, without what is to be ignored."""
    return int(masks[masks != IGNORED].max(initial=0)) if ignore_index is not None else int(masks.max())


def _key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name
