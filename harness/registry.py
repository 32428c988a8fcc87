"""Finds a plug-in by kind and name: a file or folder in its room, else an entry point of group `harness.ROOM`.

A room is a folder of this package (`data`, `agent.runtimes`); the name of a plug-in is the name of its file, or of its
entry point, which is the name used in TOML. There is no list to keep: putting a file into the room is all it takes.
This is the only way a plug-in is loaded.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from harness import ports
from harness.errors import LabError

if TYPE_CHECKING:
    from pydantic import ValidationError

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that devices can be given.

    Attributes:
        name: of its file in harness/agent/runtimes/.
        distribution: what is installed, normalised.
        formats: the model formats it runs, which are also their files' suffixes.
    """

    name: str
    distribution: str
    formats: tuple[str, ...]


def nearest(name: str, known: Iterable[str], *, alike: float = 0.5) -> str:
    """Return the known name most like `name`, or "" when none is like it.

    Args:
        name: that is not known.
        known: those that are.
        alike: from which ratio of `difflib` on, 0 to 1.
    """
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=alike)), "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    close = nearest(name, known)
    if close:
        return f"did you mean {close!r}?"
    return f"known: {', '.join(known)}" if known else "there are none"


@cache
def _files(room: str) -> frozenset[str]:
    folder = _HERE.joinpath(*room.split("."))
    modules = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return frozenset(name for name in modules | packages if not name.startswith("_"))


@cache
def _entry_points(room: str) -> Mapping[str, tuple[metadata.EntryPoint, ...]]:
    found: dict[str, list[metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=f"harness.{room}"):
        same = found.setdefault(point.name, [])
        if point.value not in {one.value for one in same}:  # a distribution that lies twice on the path is still one
            same.append(point)
    return {name: tuple(points) for name, points in found.items()}


def forget() -> None:
    """Look at the installed distributions anew when next asked; they are read once a process."""
    _entry_points.cache_clear()


def names(room: str) -> list[str]:
    """Return the names of all plug-ins of a room, sorted: its files and what other distributions add."""
    return sorted(_files(room) | set(_entry_points(room)))


def load(room: str, name: str, *, file: str, key: str) -> ModuleType:
    """Return the module of one plug-in.

    Args:
        room: folder of harness/, dotted for a folder within a folder.
        name: the plug-in's name as it stands in TOML.
        file: the file that asked for it, for the error.
        key: the key that asked for it, for the error.

    Raises:
        LabError: there is no such plug-in, or several, it cannot be imported, or it lacks what its room promises.
    """
    if name in _files(room):
        try:
            return importlib.import_module(f"harness.{room}.{name}")
        except ImportError as error:
            text = f"{room} plug-in {name!r} cannot be imported: {error}"
            raise LabError(text, remedy="correct it, or install what it needs", file=file, key=key) from error
    points = _entry_points(room).get(name, ())
    if not points:
        raise LabError(f"unknown name {name!r}", remedy=suggestion(name, names(room)), file=file, key=key)
    origins = [_origin(point) for point in points]
    if len(points) > 1:
        raise LabError(
            f"several distributions have a {room} plug-in {name!r}",
            remedy=f"uninstall all but one of {', '.join(origins)}",
            file=file,
            key=key,
        )
    try:
        module = points[0].load()
    except Exception as error:
        # Somebody else's code: whatever it raises must not look like a fault of the harness.
        raise LabError(
            f"{room} plug-in {name!r} cannot be imported: {error}",
            remedy=f"repair or uninstall {origins[0]}",
            file=file,
            key=key,
        ) from error
    if not isinstance(module, ModuleType):
        raise LabError(f"plug-in {name!r} is not a module", remedy="point its entry point at one", file=file, key=key)
    lacking = missing(room, module)
    if lacking:
        raise LabError(
            f"{room} plug-in {name!r} lacks {', '.join(lacking)}",
            remedy=f"bring {origins[0]} up to what harness/ports/ says",
            file=file,
            key=key,
        )
    return module


def _origin(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


def missing(room: str, module: ModuleType) -> list[str]:
    """Return the names that the room's Protocol promises and a module does not have."""
    if room not in ports.ROOMS:
        return []
    protocol = ports.ROOMS[room].protocol
    promised = [*protocol.__annotations__, *(name for name, one in vars(protocol).items() if callable(one))]
    optional = {name for name in protocol.__annotations__ if hasattr(protocol, name)}
    return [
        name for name in promised if not name.startswith("_") and name not in optional and not hasattr(module, name)
    ]


def sources(room: str, name: str) -> dict[str, bytes]:
    """Return path relative to the room's folder -> content, of the files of a plug-in, wherever they come from.

    A module gives NAME.py, whatever it is called where it lies; a package all files below its folder.

    Args:
        room: as for `load`.
        name: the plug-in's name.
    """
    file = Path(str(load(room, name, file=f"entry point {name}", key=room).__file__))
    if file.name != "__init__.py":
        return {f"{name}.py": file.read_bytes()}
    found = (path for path in sorted(file.parent.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {f"{name}/{path.relative_to(file.parent).as_posix()}": path.read_bytes() for path in found}


@cache
def runtimes() -> Mapping[str, Runtime]:
    """Return distribution name (normalised) -> Runtime for every file of harness/agent/runtimes/."""
    found = {}
    for name in names("agent.runtimes"):
        module = load("agent.runtimes", name, file="harness/agent/runtimes", key=name)
        runtime = Runtime(name, normalised(module.REQUIREMENT), tuple(module.FORMATS))
        found[runtime.distribution] = runtime
    return found


def accelerators() -> list[str]:
    """Return every name that some runtime knows an accelerator by; which of them a device has is seen there."""
    rooms = [load("agent.runtimes", name, file="harness/agent/runtimes", key=name) for name in names("agent.runtimes")]
    return sorted({name for module in rooms for name in module.ACCELERATORS})


def runtime_of(requirement: str) -> Runtime:
    """Return the runtime that a requirement of a known one asks for."""
    from packaging.requirements import Requirement

    return runtimes()[normalised(Requirement(requirement).name)]


def runtime_name(requirement: str) -> str:
    """Return the name of the agent's file for a runtime requirement: `ai-edge-litert==2.3.0` -> `litert`."""
    return runtime_of(requirement).name


def normalised(distribution: str) -> str:
    """Return a distribution's name as PEP 503 spells it: `AI_Edge.LiteRT` -> `ai-edge-litert`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def options(module: ModuleType, table: Mapping[str, Any], *, file: str, key: str, beside: Sequence[str] = ()) -> Any:
    """Return a plug-in's `Options` made from a TOML table, or None for a plug-in that takes none.

    Types are strict: a string is never taken for a number.

    Args:
        module: the plug-in.
        table: what TOML gives it.
        file: where the table stands, for the error.
        key: its dotted path there, for the error.
        beside: keys that share the table in TOML and are read by others; they may be what was misspelt.

    Raises:
        LabError: an unknown key (naming the nearest), a missing one, or a value of the wrong type.
    """
    kind = getattr(module, "Options", None)
    known = [field.name for field in dataclasses.fields(kind)] if kind is not None else []
    for name in table:
        if name not in known:
            raise LabError("unknown key", remedy=suggestion(name, [*known, *beside]), file=file, key=f"{key}.{name}")
    if kind is None:
        return None
    _refuse_unknown(kind, table, file=file, key=key)
    from pydantic import TypeAdapter, ValidationError

    try:
        # JSON rather than Python values: in strict mode a list may then become a tuple and a string a path.
        text = json.dumps(table, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LabError(
            "holds a date, nan or inf, which no option takes", remedy="correct it", file=file, key=key
        ) from error
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise blame(error, table, file=file, key=key) from error
    except ValueError as error:  # what the plug-in's own __post_init__ says
        raise LabError(str(error), file=file, key=key) from error


def _refuse_unknown(kind: type[Any], table: Mapping[str, Any], *, file: str, key: str) -> None:
    """Raise LabError for an unknown key in a table within the table of a plug-in, as for one in that itself."""
    for name, hint in get_type_hints(kind).items():
        inner = table.get(name)
        tables = [one for one in (hint, *get_args(hint)) if dataclasses.is_dataclass(one)]
        if not isinstance(inner, dict) or len(tables) != 1:
            continue
        known = [field.name for field in dataclasses.fields(tables[0])]
        for wrong in (one for one in inner if one not in known):
            raise LabError("unknown key", remedy=suggestion(wrong, known), file=file, key=f"{key}.{name}.{wrong}")


#: pydantic's name of a type -> how a value of it is written in TOML.
_FORMS: Final = {
    "string": '"..."',
    "int": "1",
    "float": "1.0",
    "bool": "true",
    "list": "[...]",
    "tuple": "[...]",
    "dict": "{ ... }",
    "model": "{ ... }",
    "model_attributes": "{ ... }",
}


def blame(error: ValidationError, table: Mapping[str, Any], *, file: str, key: str = "") -> LabError:
    """Return the first complaint of pydantic as a LabError that names file and key.

    Args:
        error: what pydantic found.
        table: what was checked.
        file: where the table stands, for the error.
        key: its dotted path there.
    """
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    place = list(first["loc"]) + ([context["key"]] if "key" in context else [])
    path = ".".join(part for part in (key, _dotted(place, table)) if part)
    if first["type"] == "missing":
        given = first["input"] if isinstance(first["input"], dict) else {}
        # A table that leaves keys to a plug-in cannot refuse a misspelled one: it is seen by what it should have been.
        # Its other keys may be right, so only one that is very much like it is meant.
        written = nearest(str(place[-1]), [str(name) for name in given], alike=0.75)
        remedy = (
            f"did you mean it by {written!r}, which stands there?" if written else f"write `{place[-1]} = ...` there"
        )
        return LabError("this key is required", remedy=remedy, file=file, key=path)
    if "remedy" in context:  # one of our own
        return LabError(context["text"], remedy=context["remedy"], file=file, key=path)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"].endswith(("_type", "_parsing", "_error")) and first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, not {first['input']!r}"
    # Of a union pydantic names the arm last; the key is what stands in the file.
    name = next((part for part in reversed(_dotted(place, table).split(".")) if part), "") or "KEY"
    return LabError(message, remedy=_line(first["type"], name), file=file, key=path)


def _line(kind: str, name: str) -> str:
    """Return the line to write in place of a value that pydantic refuses.

    Args:
        kind: pydantic's name of the error.
        name: of the key.
    """
    if form := _FORMS.get(kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")):
        return f"write `{name} = {form}`" if name[-1] != "]" else f"write {form} there"
    return "write a value that is allowed there"


def _dotted(place: Sequence[int | str], table: Any) -> str:
    """Return `variant[resnet18-int8].model` for ("variant", 0, "model"): people know a variant by its id."""
    text = ""
    for part in place:
        if isinstance(part, int):
            table = table[part] if isinstance(table, list) and part < len(table) else None
            named = table.get("id") if isinstance(table, dict) else None
            text += f"[{named if isinstance(named, str) else part + 1}]"
        elif isinstance(table, dict):  # anything else is pydantic's name for one arm of a union
            text += f".{part}" if text else part
            table = table.get(part)
    return text
