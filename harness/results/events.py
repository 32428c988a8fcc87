"""A line of events.jsonl -> typed events, strictly: the one place where what a device says of a job is read."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from harness.agent import contract, plain_json
from harness.errors import MeasurementError
from harness.units import printable, printable_value

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

#: How much of a line that is refused is shown.
_SHOWN: Final = 200
#: The kind of the error that puts a model out of its job because of what was said of it.
UNTRUE: Final = "untrue"
#: How both agents begin an event of a model: whose it is shows even where the rest cannot be read.
_OF_MODEL: Final = re.compile(rb'\{"event": "(\w{1,20})", "t_ns": \d{1,19}, "model": (\d{1,6})[,}]')
#: Fields whose numbers are nobody's, or are read as an event of their own.
_ELSEWHERE: Final = ("facts", "energy")
#: Fields that hold a program's own words, which are searched line by line: escaped only where they are shown.
_WORDS: Final = ("said",)


class Untrue(MeasurementError):
    """What a device said does not fit the contract, or what was asked for.

    Attributes:
        model: the place of the model that it is about, None where it is about the whole job.
    """

    def __init__(self, text: str, *, where: str, model: int | None = None) -> None:
        self.model = model
        super().__init__(text, remedy=contract.REMEDIES[UNTRUE].replace("DEVICE", where or "DEVICE"), where=where)

    def instead(self, phase: str) -> contract.Error:
        """Return the event that puts the model out of the job; the cases of others go on.

        Args:
            phase: in which it was said.
        """
        assert self.model is not None
        return contract.Error(contract.Error.KIND, 0, self.model, phase, UNTRUE, self.text)


def read(line: bytes, *, device: str) -> list[contract.Event]:
    """Return the event that a line holds; what cannot be accepted of one model becomes the error of that model.

    Args:
        line: one JSON object, as a runner wrote it.
        device: whose it is, for the error.

    Raises:
        Untrue: it cannot be accepted, and is not about one model alone.
    """
    found: list[contract.Event] = []
    while True:
        try:
            return [*found, parse(line, device=device)]
        except Untrue as error:
            if error.model is None:
                raise
            rest = _without(line, error.model)
            found.append(error.instead(_kind(line)))
            if rest is None:
                return found
            line = rest


def parse(line: bytes, *, device: str) -> contract.Event:
    """Return the event that a line holds.

    Args:
        line: one JSON object, as a runner wrote it.
        device: whose it is, for the error.

    Raises:
        Untrue: it is no JSON object, or its kind or a field is not known, missing, of the wrong type or out of its
            range; the message names the field and shows the line.
    """
    try:
        raw = plain_json.read(line)
        kind = contract.EVENTS[raw["event"]]
    except (ValueError, TypeError, KeyError) as error:
        begun = _OF_MODEL.match(line)
        model = int(begun[2]) if begun else None
        why = f": {error}" if isinstance(error, ValueError) else ""
        raise _refused(line, device, f"it is no event of this version{why}", model) from error
    return _made(kind, line, raw, device)


def steps(said: dict[str, Any], asked: contract.LocalStep, *, device: str) -> contract.Steps:
    """Return what the command `step` answered, as an event is read.

    Args:
        said: the answer.
        asked: what it was asked for.
        device: whose it is, for the error.

    Raises:
        Untrue: it cannot be accepted.
    """
    line = json.dumps(said).encode()
    found = _made(contract.Steps, line, said, device)
    for name, count in (("ns", asked.steps), ("losses", asked.warmup + asked.steps), ("kernel_ns", 2)):
        if len(getattr(found, name)) != count:
            raise _refused(line, device, f"{name}: {len(getattr(found, name))} where {count} are due")
    if found.memory.keys() != {"before", "loaded", "after"}:
        raise _refused(line, device, "memory: before, loaded and after are due")
    return found


def readings(said: Any, *, device: str) -> dict[str, Any]:
    """Return the state of a device as it answered when it was asked, read as an event is.

    Args:
        said: the answer.
        device: whose it is, for the error.

    Raises:
        Untrue: it cannot be accepted.
    """
    found: dict[str, Any] = contract.plain(_made(contract.Readings, json.dumps(said).encode(), said, device))
    return found


def checked(event: contract.Event, *, device: str) -> contract.Event:
    """Return an event that the host made of a device's words, if it keeps the ranges; raises Untrue."""
    for wrong, _ in _out_of_range(event, ()):
        raise _refused(json.dumps(contract.plain(event)).encode(), device, wrong, getattr(event, "model", None))
    return event


def _made(kind: type[T], line: bytes, raw: Any, device: str) -> T:
    from pydantic import ValidationError

    try:
        found: T = _adapter(cast(Hashable, kind)).validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _refused(line, device, f"{where}: {first['msg']}", _model(raw, first["loc"])) from error
    for wrong, place in _out_of_range(found, ()):
        raise _refused(line, device, wrong, _model(raw, place))
    shown: T = _escaped(found)
    return shown


def _model(raw: Any, place: tuple[Any, ...]) -> int | None:
    """Return the model that a place inside an event is about: the event's own, or that of a launch's round."""
    found = raw.get("model") if isinstance(raw, dict) else None
    if place[:1] == ("rounds",) and len(place) > 2 and place[2] != "model":
        found = raw["rounds"][place[1]].get("model")
    if place[:1] == ("model",) or not isinstance(found, int) or isinstance(found, bool) or found < 0:
        return None
    return found


def _without(line: bytes, model: int) -> bytes | None:
    """Return a launch without the rounds of a model; None for an event that is all about it."""
    try:
        raw = plain_json.read(line)
    except ValueError:
        return None
    if raw["event"] != contract.Launch.KIND:
        return None
    raw["rounds"] = [one for one in raw["rounds"] if not isinstance(one, dict) or one.get("model") != model]
    return json.dumps(raw).encode()


def _kind(line: bytes) -> str:
    begun = re.search(rb'"event": ?"(\w{1,20})"', line[:_SHOWN])
    return begun[1].decode() if begun else "an event"


def _out_of_range(
    value: Any, place: tuple[Any, ...], name: str = "", owner: str = ""
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what is outside of `contract.RANGES`, in words, and where it stands.

    Args:
        value: an event, or a part of one.
        place: where the part stands in its event.
        name: of its field.
        owner: the type that the field belongs to.
    """
    if is_dataclass(value):
        for one in fields(value):
            item = getattr(value, one.name)
            if one.name == "fingerprint":
                yield from _wrong_numbers(item)
            elif item is not None and one.name not in _ELSEWHERE:
                yield from _out_of_range(item, (*place, one.name), one.name, type(value).__name__)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _out_of_range(item, (*place, number), name, owner)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _out_of_range(item, (*place, key), name, owner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = _range(owner, name)
        if not low <= value <= high:
            yield f"{'.'.join(map(str, place))}: {value:g} is not between {low:g} and {high:g}", place


def _wrong_numbers(fingerprint: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for key in contract.NUMBERS:
        value, (low, high) = fingerprint.get(key), contract.RANGES[key]
        sound = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if key in fingerprint and not sound:
            yield f"fingerprint.{key}: {value!r:.40} is no number between {low:g} and {high:g}", ("fingerprint", key)


def _range(owner: str, name: str) -> tuple[float, float]:
    return contract.RANGES.get(f"{owner}.{name}") or contract.RANGES[name]


def _escaped(value: Any) -> Any:
    """Return a value whose texts can be shown anywhere: what moves a terminal is escaped."""
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        own = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in _WORDS}
        return replace(value, **{name: _escaped(item) for name, item in own.items()})
    if isinstance(value, dict) and any(map(is_dataclass, value.values())):
        return {printable(name): _escaped(item) for name, item in value.items()}
    return printable_value(value)


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    _make_strict()
    return TypeAdapter(cast(type, kind))


@cache
def _make_strict() -> None:
    """Let pydantic take no unknown field and convert no type, in every type of the contract, also nested ones."""
    from pydantic import ConfigDict, with_config

    strict = with_config(ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
    for one in vars(contract).values():
        if isinstance(one, type) and is_dataclass(one):
            strict(one)


def _refused(line: bytes, device: str, why: str, model: int | None = None) -> Untrue:
    text = line[: 4 * _SHOWN].decode("utf-8", "backslashreplace").strip()
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return Untrue(f"an event of its runner cannot be accepted ({why}): {shown}", where=device, model=model)
