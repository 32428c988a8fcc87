"""The suite file that measures again what a search found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness.errors import LabError
from harness.lab import shown
from harness.lab.reading import parse
from harness.lab.tables import VariantTable

#: The first line of such a file: one without it is somebody's own, and is left as it is.
MARK: Final = "# Written by `edgeward search`: what it found, to be measured again."
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def write(suite: Path, found: Sequence[VariantTable], notes: Sequence[str]) -> Path:
    """Write NAME-best.toml beside a suite, where its paths mean the same, and return its path.

    Args:
        suite: the file that was searched.
        found: the candidates that are on a front.
        notes: lines that say where, as a comment.

    Raises:
        LabError: there is another file of that name, or it cannot be written.
    """
    file = suite.with_name(f"{suite.stem}-best.toml")
    document = {name: value for name, value in parse(suite).items() if name not in ("goal", "space", "variant")}
    document["title"] = f"{document['title']}: found by a search"
    document["variant"] = [_declared(one) for one in found]
    text = "\n".join([MARK, *(f"# {note}" for note in notes), *_lines(document)]) + "\n"
    try:
        if file.exists() and not file.read_text("utf-8").startswith(MARK):
            raise LabError(
                "is a file of your own, where the search writes what it found", remedy="rename it", file=shown(file)
            )
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(text, "utf-8")
        partial.replace(file)
    except OSError as error:
        raise LabError(
            f"cannot be written ({error.strerror})", remedy="change the rights there", file=shown(file)
        ) from error
    return file


def _declared(table: VariantTable) -> dict[str, Any]:
    """Return the keys of a `[[variant]]` that say something."""
    kept = table.model_dump(exclude_defaults=True)
    return {name: value for name, value in kept.items() if value not in (None, {}, [])}


def _lines(document: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield a table as TOML: its values first, then the tables in it."""
    tables = {name: value for name, value in document.items() if _is_table(value)}
    for name, value in document.items():
        if name not in tables and value is not None:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in tables.items():
        for one in value if isinstance(value, list) else [value]:
            head = f"{path}{_key(name)}"
            # A table of a list holds its own tables in braces: it is one entry.
            yield from ("", f"[[{head}]]" if isinstance(value, list) else f"[{head}]")
            if isinstance(value, list):
                yield from (f"{_key(key)} = {_value(inner)}" for key, inner in one.items())
            else:
                yield from _lines(one, f"{head}.")


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    )


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items())
        return f"{{ {inner} }}" if inner else "{ }"
    return repr(value) if isinstance(value, int | float) else str(value)
