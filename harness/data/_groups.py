"""Which patient each image is of: images of one patient say much the same, so a patient is what counts as one."""

from __future__ import annotations

import csv
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from harness.data import _splits
from harness.errors import LabError
from harness.model import IntArray

#: The column of a list of images that holds their paths.
_FILE: Final = "file"


def codes(names: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    """Return (N,) numbers for the patients' names, and the name of each number."""
    known = _splits.in_order(set(names))
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[name] for name in names], np.int64), known


def counted(names: Sequence[str]) -> str:
    """Return ` of 12 patients` for a description, "" where nobody names them."""
    return f" of {len(names)} {'patient' if len(names) == 1 else 'patients'}" if names else ""


#: More subgroups than this are none: a column of patients or dates was named by mistake.
_MOST_SUBGROUPS: Final = 20


def apart(group: str, subgroup: str) -> None:
    """Raise ValueError where patients are asked for as subgroups: their names would stand in results."""
    if subgroup and subgroup == group:
        raise ValueError(f"`subgroup` must not be {group}, which names the patients: their names stand in no result")


def subgroups(names: Sequence[str], path: Path, key: str) -> tuple[IntArray, tuple[str, ...]]:
    """Return (N,) numbers for the subgroups' names, and the name of each number.

    Args:
        names: the subgroup of each image.
        path: of the file that says it, for messages.
        key: what it is called there.

    Raises:
        LabError: there are so many that they can be none.
    """
    numbers, known = codes(names)
    if len(known) > _MOST_SUBGROUPS:
        raise LabError(
            f"has {len(known)} subgroups, and at most {_MOST_SUBGROUPS} fit into a report",
            remedy="name one of few values, such as a scanner, or join some of them",
            file=str(path),
            key=key,
        )
    return numbers, known


def of_array(values: npt.NDArray[Any], count: int, path: Path, key: str) -> tuple[IntArray, tuple[str, ...]]:
    """Return the patients of an array.

    Args:
        values: (N,) or (N, 1) whole numbers or texts, one an image.
        count: how many images there are.
        path: of the file, for messages.
        key: name of the array, for messages.

    Raises:
        LabError: it is of another length or type, or lacks an image's patient (a negative number or no text).
    """
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (count,):
        remedy = "save one patient an image, in the order of the images"
        raise LabError(f"has the shape {values.shape} for {count} images", remedy=remedy, file=str(path), key=key)
    if values.dtype.kind not in "iuU":
        remedy = "save the patients as whole numbers or as texts"
        raise LabError(f"holds {values.dtype}", remedy=remedy, file=str(path), key=key)
    names = [str(value).strip() for value in values]
    missing = [index for index, name in enumerate(names) if not name or name.startswith("-")]
    if missing:
        raise LabError(
            f"says no patient of image {missing[0]} ({len(missing)} of {count} lack one)",
            remedy="give every image its patient; one that is known of no other image gets a name of its own",
            file=str(path),
            key=key,
        )
    return codes(names)


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of images: what it says of each that the image's name does not.

    Attributes:
        path: of the list.
        root: folder that its paths count from.
        columns: that it has beside the files.
        rows: file, as a path from `root` -> column -> value.
    """

    path: Path
    root: Path
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, str]]

    def of(self, images: Sequence[Path], column: str) -> list[str]:
        """Return what one column says of each image.

        Raises:
            LabError: there is no such column, or it says nothing of an image.
        """
        if column not in self.columns:
            raise LabError(
                f"has no column {column!r}, only {', '.join((_FILE, *self.columns))}",
                remedy="add it, or correct its name under [data]",
                file=str(self.path),
            )
        names = [_spelled(os.path.relpath(image, self.root)) for image in images]
        found = [self.rows.get(name, {}).get(column, "") for name in names]
        missing = [name for name, value in zip(names, found, strict=True) if not value]
        if missing:
            raise LabError(
                f"says no {column} of {missing[0]} ({len(missing)} of {len(names)} images lack one)",
                remedy=f"add a line for every image, with its path from {self.root}",
                file=str(self.path),
            )
        return found


def read_list(path: Path, root: Path | None = None) -> Listed:
    """Return a list of images, a CSV in UTF-8 whose column `file` holds paths from a folder, its own if None is given.

    Raises:
        LabError: it cannot be read, lacks that column, or has a file twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header, *lines = [line for line in csv.reader(stream) if line] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = "write a CSV in UTF-8: file,patient,split in its first line, then one line an image"
        raise LabError(f"cannot be read ({error})", remedy=remedy, file=str(path)) from error
    columns = [name.strip() for name in header]
    if _FILE not in columns:
        raise LabError(
            f"has no column {_FILE!r}, only {', '.join(columns) or 'none'}",
            remedy="name the column with the images' paths so",
            file=str(path),
        )
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        row = dict(zip(columns, [value.strip() for value in line], strict=False))
        name = _spelled(row.pop(_FILE, ""))
        if name in rows:
            raise LabError(f"names {name} twice", remedy="leave one line an image", file=str(path))
        rows[name] = row
    return Listed(path, root or path.parent, tuple(name for name in columns if name != _FILE), rows)


def _spelled(name: str) -> str:
    # macOS writes an accent behind its letter, editors write both as one; Windows separates folders with a backslash.
    return posixpath.normpath(normalize("NFC", name.replace("\\", "/")))


def of_pattern(images: Sequence[Path], pattern: str, root: Path) -> list[str]:
    """Return the patient that a pattern finds in the path of each image.

    Args:
        images: their files.
        pattern: a regular expression with one group, which is the patient.
        root: folder that the paths count from.

    Raises:
        LabError: it finds nothing in one.
    """
    names = [_spelled(os.path.relpath(image, root)) for image in images]
    found = [re.search(pattern, name) for name in names]
    missing = [name for name, one in zip(names, found, strict=True) if one is None or not one[1]]
    if missing:
        raise LabError(
            f"{pattern!r} finds no patient in {missing[0]} ({len(missing)} of {len(names)} images lack one)",
            remedy="correct the pattern, or name a column of a `list`",
            file=str(root),
            key="data.group",
        )
    return [one[1] for one in found if one is not None]
