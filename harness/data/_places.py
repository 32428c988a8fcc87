"""Where the files of a split lie: in a folder of its own or of its name, or as a list says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from harness.data import _groups, _splits
from harness.errors import LabError, NoSplit

#: What file managers leave behind; anything else that is no image is an error, not silently left out.
_LEFTOVERS: Final = ("thumbs.db", "desktop.ini")


class Where(Protocol):
    """What `[data]` says of where files lie: `path`, `train` and `validation` for these splits alone, and `origin`."""

    @property
    def path(self) -> str:
        """The folder, relative to the suite."""

    @property
    def train(self) -> str:
        """A folder that is the split `train` alone, or ""."""

    @property
    def validation(self) -> str:
        """The same of the split `validation`."""

    @property
    def origin(self) -> str:
        """Where they are to be had, or ""."""


def root(options: Where, split: str, base: Path, listed: _groups.Listed | None) -> tuple[Path, bool]:
    """Return the folder that is a split, or that a list chooses the split from, and whether a list does.

    Args:
        options: of `[data]`.
        split: that is asked for.
        base: folder of the suite.
        listed: the list of images, None without one.

    Raises:
        LabError: there is no such folder.
        NoSplit: no such split is in it.
    """
    alone = _splits.path_alone(split, train=options.train, validation=options.validation)
    found = base / (alone or options.path)
    if not found.is_dir():
        key = _splits.canonical(split) if alone else "path"
        remedy = f"correct `{key}` in [data] or put the images there"
        raise _wrong(found, "there is no such folder", f"{remedy}: {options.origin}" if options.origin else remedy)
    if not alone and listed is not None and "split" in listed.columns:
        return found, True
    splits = [path.name for path in visible(found) if path.is_dir()]
    same = _splits.named(split, splits)
    if len(same) > 1:
        raise _wrong(found, f"holds {' and '.join(same)}, which both mean the split {split}", "rename or remove one")
    if same:
        return found / same[0], False
    there = _splits.others(split, splits)
    if not there and (alone or _splits.canonical(split) == "test"):
        return found, False
    seen = f"only {', '.join(there)}" if there else "no folder of this name"
    raise NoSplit(
        f"has no split {split}: there is {seen}",
        remedy=f"put its images into {found.name}/{split}{_splits.line_to_write(split, 'FOLDER')}",
        file=str(found),
    )


def visible(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, without hidden entries and what file managers leave behind."""
    entries = sorted(folder.iterdir())
    return [path for path in entries if not path.name.startswith((".", "__")) and path.name.lower() not in _LEFTOVERS]


def of_split(listed: _groups.Listed, split: str, pictures: Sequence[Path]) -> tuple[Path, ...]:
    """Return those of some images that the column `split` of a list gives to a split.

    Args:
        listed: the list.
        split: that is asked for.
        pictures: the images.

    Raises:
        LabError: it says nothing of an image.
        NoSplit: it gives none to this split.
    """
    said = listed.of(pictures, "split")
    names = _splits.named(split, set(said))
    if not names:
        raise NoSplit(
            f"has no image of the split {split}, only of {', '.join(sorted(set(said)))}",
            remedy="correct it, or `split` under [data]",
            file=str(listed.path),
        )
    return tuple(path for path, one in zip(pictures, said, strict=True) if one in names)


def _wrong(path: Path, text: str, remedy: str) -> LabError:
    return LabError(text, remedy=remedy, file=str(path))
