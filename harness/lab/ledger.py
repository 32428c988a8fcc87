"""`models/ledger.json`: how each built model file came to be, so that a stale one is never measured by mistake.

One object per file name. A file is up to date when its entry's `key` equals `key()` of what the suite asks for today
and its `sha256` equals that of the bytes on disk; `edgeward build` makes it again otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.errors import LabError
from harness.model import Step

FILE_NAME: Final = "ledger.json"


@dataclass(frozen=True, slots=True)
class Made:
    """One step as it was built.

    Attributes:
        recipe: name of the recipe.
        parameters: its settings as the suite gives them (defaults left out).
        tools: name -> version of what built it.
        settings: all its settings, with the defaults and with the seed where it takes one; None in an older entry.
        code: digest of the recipe's source, which holds what no setting says; "" in an older entry.
        data: split -> digest of what it read of the data, "" for a split that could not be read; None in an older
            entry.
        sha256: digest of the file that it wrote; "" in an older entry.
        size_bytes: its length in bytes.
        found: what the recipe decided while it built, as it says it; empty for most.
    """

    recipe: str
    parameters: Mapping[str, Any]
    tools: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None
    code: str = ""
    data: Mapping[str, str] | None = None
    sha256: str = ""
    size_bytes: int = 0
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One built file.

    Attributes:
        steps: what was done to the baseline, in order.
        parent: file name of the baseline it was built from.
        parent_sha256: digest of that file when it was read.
        key: `key(steps, parent_sha256)`.
        sha256: digest of the built file.
        size_bytes: its length in bytes.
    """

    steps: tuple[Made, ...]
    parent: str
    parent_sha256: str
    key: str
    sha256: str
    size_bytes: int


def key(steps: Iterable[Step], parent_sha256: str) -> str:
    """Return the digest (64 hexadecimal digits) of what a suite asks for: what is done to which file.

    That of a chain is that of its last step, applied to what the steps before it are known by.

    Args:
        steps: in their order; that of a step's parameters does not matter.
        parent_sha256: digest of the baseline's file.
    """
    known = parent_sha256
    for step in steps:
        text = json.dumps([step.recipe, dict(step.parameters), known], sort_keys=True, separators=(",", ":"))
        known = hashlib.sha256(text.encode()).hexdigest()
    return known


def sha256(file: Path) -> str:
    """Return the digest (64 hexadecimal digits) of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(models_dir: Path) -> dict[str, Entry]:
    """Return file name -> entry; empty when nothing has been built in `models_dir`.

    Raises:
        LabError: the ledger is not one that `write` wrote.
    """
    file = models_dir / FILE_NAME
    if not file.exists():
        return {}
    try:
        return {name: _entry(entry) for name, entry in json.loads(file.read_text("utf-8")).items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise LabError(
            f"not a ledger of built models ({error})", remedy="remove it and run `edgeward build`", file=str(file)
        ) from error


def _entry(kept: dict[str, Any]) -> Entry:
    """Return an entry; before chains it was that of one recipe, whose name stood in it."""
    if "recipe" in kept:
        own = {name: kept[name] for name in ("recipe", "parameters", "tools", "found") if name in kept}
        kept = {**{name: value for name, value in kept.items() if name not in own}, "steps": [own]}
    return Entry(**{**kept, "steps": tuple(Made(**step) for step in kept["steps"])})


def _document(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON holds it, without what is not known of a step."""
    whole = dataclasses.asdict(entry)
    steps = [
        {name: value for name, value in one.items() if value not in (None, "", 0) and (name != "found" or value)}
        for one in whole["steps"]
    ]
    return {**whole, "steps": steps}


def write(models_dir: Path, entries: Mapping[str, Entry]) -> None:
    """Write the ledger whole or not at all."""
    text = json.dumps({name: _document(entries[name]) for name in sorted(entries)}, indent=2) + "\n"
    partial = models_dir / f".{FILE_NAME}.{os.getpid()}"
    partial.write_text(text, "utf-8")
    partial.replace(models_dir / FILE_NAME)
