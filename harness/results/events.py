"""A line of events.jsonl -> a typed event, strictly: the one place where what a device says is read."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from harness.agent import contract
from harness.errors import MeasurementError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

#: How much of a line that is refused is shown.
_SHOWN: Final = 200


def parse(line: bytes, *, device: str) -> contract.Event:
    """Return the event that a line holds.

    Args:
        line: one JSON object, as a runner wrote it.
        device: whose it is, for the error.

    Raises:
        MeasurementError: it is no JSON object, or its kind or a field is not known, missing or of the wrong type; the
            message shows the line.
    """
    from pydantic import ValidationError

    try:
        kind = json.loads(line)["event"]
        adapter = _adapter(kind)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refused(line, device, "it is no event of this version") from error
    try:
        event: contract.Event = adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _refused(line, device, f"{where}: {first['msg']}") from error
    return event


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    _make_strict()
    return TypeAdapter(contract.EVENTS[kind])


@cache
def _make_strict() -> None:
    """Let pydantic take no unknown field and convert no type, in every type of the contract, also nested ones."""
    from pydantic import ConfigDict, with_config

    strict = with_config(ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
    for one in vars(contract).values():
        if isinstance(one, type) and is_dataclass(one):
            strict(one)


def _refused(line: bytes, device: str, why: str) -> MeasurementError:
    text = line.decode("utf-8", "backslashreplace").strip()
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return MeasurementError(
        f"an event of its runner cannot be read ({why}): {shown}",
        remedy="bring the runner of this version with `edgeward clean DEVICE --all`, then measure again",
        where=device,
    )
