"""What a step built, kept in the user's cache and found again by everything that decides what it is.

`CACHE/steps/KEY/DATA.json` is one built step. KEY is the digest of what is known before it runs: the recipe with its
code and settings, the versions of its tools, the model it starts from, and how that is fed. Which splits of the data it
reads is known only afterwards, so the file says of each what digest it had then; it is taken again where they have it
today. It names the model, which lies beside it in a folder of its own digest and is there before the file is: a step
that was killed half-way is never found, one that was finished always is.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic_core import to_jsonable_python

from harness.errors import HarnessError, RecipeError
from harness.lab import ledger
from harness.model import Samples

#: Begins the names of folders in which a step is being built.
_UNDER_WAY: Final = ".building-"
#: What of a split no recipe learns from: words for people.
_WORDS: Final = ("description", "remarks", "group_names")


@dataclass(frozen=True, slots=True)
class Artefact:
    """One built step: its file, and how it was made."""

    path: Path
    made: ledger.Made


class Data:
    """The splits of a suite as one model is fed them, each read once, with a digest of what is in it."""

    def __init__(self, split: Callable[[str], Samples]) -> None:
        self._split = split
        self._read: dict[str, tuple[Samples, str]] = {}

    def digest(self, split: str) -> str:
        """Return the digest of a split, "" where it cannot be read or may not be learnt from."""
        try:
            return self.read_digest(split)
        except HarnessError:
            return ""

    def read_digest(self, split: str) -> str:
        """Return the digest of a split; raises LabError where it cannot be read, RecipeError where it may not be."""
        return self._known(split)[1]

    def recorded(self) -> tuple[Callable[[str], Samples], dict[str, str]]:
        """Return what gives a recipe its splits, and split -> digest of those that it has asked for."""
        asked: dict[str, str] = {}

        def give(split: str) -> Samples:
            asked[split] = ""
            samples, asked[split] = self._known(split)
            return samples

        return give, asked

    def _known(self, split: str) -> tuple[Samples, str]:
        if split not in self._read:
            samples = self._split(split)
            self._read[split] = samples, _digest(samples)
        return self._read[split]


def _digest(samples: Samples) -> str:
    digest = hashlib.sha256()
    for one in dataclasses.fields(samples):
        value = getattr(samples, one.name)
        if one.name in _WORDS:
            continue
        if isinstance(value, np.ndarray):
            digest.update(f"{one.name} {value.dtype.str} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(f"{one.name} {key_of(value)}".encode())
    return digest.hexdigest()


def key_of(value: Any) -> str:
    """Return the digest (64 hexadecimal digits) of nouns, mappings, numbers and texts, by their value."""
    text = json.dumps(to_jsonable_python(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise RecipeError instead of OSError: what is built cannot be put where it belongs."""
    try:
        yield
    except OSError as error:
        raise RecipeError(
            f"{error.filename or folder} cannot be written ({error.strerror or error})",
            remedy=f"make room or change the rights in {folder}",
        ) from error


@dataclass(slots=True)
class Cache:
    """The built steps of this user.

    Attributes:
        folder: where they are kept.
        anew: whether nothing that an earlier run built is taken.
    """

    folder: Path
    anew: bool = False
    _own: set[Path] = field(default_factory=set)

    def find(self, key: str, data: Data) -> Artefact | None:
        """Return a step built before from the same things, None if there is none.

        Args:
            key: of everything but the data.
            data: what the step would read today.
        """
        for file in sorted((self.folder / key).glob("*.json")):
            if self.anew and file not in self._own:
                continue
            found = _read(file)
            if found is not None and all(data.digest(name) == was for name, was in (found.made.data or {}).items()):
                return found
        return None

    def keep(self, key: str, built: Path, made: ledger.Made) -> Artefact:
        """Return the step, moved to where it is found again.

        Args:
            key: of everything but the data.
            built: the file, in a folder of `room`.
            made: how it was made.
        """
        path = self.folder / key / made.sha256 / built.name
        path.parent.mkdir(parents=True, exist_ok=True)
        built.replace(path)
        file = self.folder / key / f"{key_of(made.data)}.json"
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        partial.write_text(json.dumps({"file": f"{made.sha256}/{built.name}", **dataclasses.asdict(made)}), "utf-8")
        partial.replace(file)
        self._own.add(file)
        return Artefact(path, made)

    @contextmanager
    def room(self) -> Iterator[Path]:
        """Give an empty folder for a step that is being built; it is removed, and so are those of builds that died."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with _held(self.folder):
                for left in self.folder.glob(f"{_UNDER_WAY}*"):
                    with suppress(BlockingIOError), _held(left, wait=False):
                        shutil.rmtree(left, ignore_errors=True)
                folder = Path(tempfile.mkdtemp(prefix=_UNDER_WAY, dir=self.folder))
                stack.enter_context(_held(folder))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder


def _read(file: Path) -> Artefact | None:
    """Return what a file of the cache describes; None where it, or its model, is not whole."""
    try:
        kept: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        path = file.parent / kept["file"]
        made = ledger.Made(**{name: value for name, value in kept.items() if name != "file"})
        return Artefact(path, made) if ledger.sha256(path) == made.sha256 else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # somebody removed or changed it: it is built again


@contextmanager
def _held(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder against other processes, which lose it when they die; raises BlockingIOError if it is held."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
