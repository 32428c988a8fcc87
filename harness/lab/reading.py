"""A TOML file of the lab -> a checked table; every error names the file and the key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from harness import redaction
from harness.errors import LabError
from harness.lab.strict import Table, checked_id
from harness.registry import blame

T = TypeVar("T", bound=Table)


def find(start: Path) -> Path:
    """Return the lab: the nearest folder at or above `start` that holds devices/ and suites/.

    Raises:
        LabError: there is none.
    """
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / "devices").is_dir() and (folder / "suites").is_dir():
            return folder
    raise LabError(
        "no folder with devices/ and suites/ here or above",
        remedy="`edgeward init DIR` makes one, --lab DIR names one",
        file=shown(start),
    )


def shown(path: Path) -> str:
    """Return a path as the user would type it: relative to the current folder where it lies below it."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def parse(path: Path) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises:
        LabError: it cannot be read, or is not TOML (with the line).
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        reason = re.sub(r" \(at .*\)$", "", str(error))
        where = f":{line[1]}" if line else ""
        at_end = " at its end" if "end of document" in str(error) else ""
        raise LabError(
            f"not valid TOML{at_end}: {reason}", remedy="correct it there", file=f"{shown(path)}{where}"
        ) from error
    except UnicodeDecodeError as error:
        raise LabError("not UTF-8 text", remedy="save it as UTF-8", file=shown(path)) from error
    except RecursionError as error:
        raise LabError("tables or lists are nested too deep", remedy="write them flatter", file=shown(path)) from error
    except ValueError as error:
        # Python reads no decimal number of more than 4300 digits, and TOML's own errors are taken above.
        raise LabError("holds a number or date that cannot be", remedy="correct it there", file=shown(path)) from error
    except FileNotFoundError as error:
        raise LabError("there is no such file", remedy="correct the name", file=shown(path)) from error
    except OSError as error:
        raise LabError(f"cannot be read: {error.strerror}", remedy="change its rights", file=shown(path)) from error
    # Whatever comes of it, such as a command that fails, says none of the secrets in it.
    redaction.learn(found)
    return found


def check_name(path: Path, noun: str) -> None:
    """Raise LabError unless a file's name can be the id of its `noun` ("device", "suite")."""
    try:
        checked_id(path.stem)
    except PydanticCustomError as error:
        context = error.context or {}
        text = f"the file's name is the {noun}'s id, and {context['text']}"
        raise LabError(text, remedy=context["remedy"], file=shown(path)) from error


def check(kind: type[T], raw: Mapping[str, Any], *, file: str) -> T:
    """Return the table as `kind`; raises LabError naming the first key that is wrong.

    Args:
        kind: of the table.
        raw: what TOML holds.
        file: its file, for the error.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise blame(error, raw, file=file) from error
