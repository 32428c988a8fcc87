"""`models/ledger.json`: how each built model file came to be, so that a stale one is never measured by mistake.

One object per file name. A file is up to date when its entry's `key` equals `key()` of what the suite asks for today
and its `sha256` equals that of the bytes on disk; `edgeward build` makes it again otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.errors import LabError

FILE_NAME: Final = "ledger.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One built file.

    Attributes:
        recipe: name of the recipe.
        parameters: the recipe's settings as the suite gives them (defaults left out).
        parent: file name of the baseline it was built from.
        parent_sha256: digest of that file when it was read.
        key: `key(recipe, parameters, parent_sha256)`.
        sha256: digest of the built file.
        size_bytes: its length in bytes.
        tools: name -> version of what built it.
        found: what the recipe decided while it built (which nodes stayed float), as it says it; empty for most.
    """

    recipe: str
    parameters: Mapping[str, Any]
    parent: str
    parent_sha256: str
    key: str
    sha256: str
    size_bytes: int
    tools: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)


def key(recipe: str, parameters: Mapping[str, Any], parent_sha256: str) -> str:
    """Return the digest (64 hexadecimal digits) of everything that decides what a recipe builds.

    Args:
        recipe: name of the recipe.
        parameters: its settings as the suite gives them; their order does not matter.
        parent_sha256: digest of the baseline's file.
    """
    text = json.dumps([recipe, dict(parameters), parent_sha256], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


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
        return {name: Entry(**entry) for name, entry in json.loads(file.read_text("utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise LabError(
            f"not a ledger of built models ({error})", remedy="remove it and run `edgeward build`", file=str(file)
        ) from error


def write(models_dir: Path, entries: Mapping[str, Entry]) -> None:
    """Write the ledger whole or not at all."""
    rows = {name: dataclasses.asdict(entries[name]) for name in sorted(entries)}
    rows = {name: {key: value for key, value in row.items() if key != "found" or value} for name, row in rows.items()}
    text = json.dumps(rows, indent=2) + "\n"
    partial = models_dir / f".{FILE_NAME}.{os.getpid()}"
    partial.write_text(text, "utf-8")
    partial.replace(models_dir / FILE_NAME)
