"""Reads JSON that another machine wrote, strictly: what two readers could take for two things is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from harness.agent.contract import NESTED

#: The whole numbers that every side holds.
_LEAST, _MOST = -(2**63), 2**63 - 1


def read(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is none, or holds a key twice, NaN or infinity, a number beyond 64 bits, half of a surrogate
            pair, or lists and tables too deep in one another; the message says where, as far as that is known.
    """
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=_refuse, parse_int=_whole, object_pairs_hook=_table)
    except RecursionError:
        raise ValueError("lists and tables stand too deep in one another") from None
    _check(found, "", 0)
    return found


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _whole(digits: str) -> int:
    # Before it is converted, which takes the square of its length.
    value = int(digits) if len(digits) < 21 else None
    if value is None or not _LEAST <= value <= _MOST:
        raise ValueError(f"{digits[:21]} is a number beyond 64 bits")
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} stands there twice")
    return found


def _check(value: Any, where: str, depth: int) -> None:
    if depth > NESTED:
        raise ValueError(f"{where.split('.')[0]}: lists and tables stand too deep in one another")
    if isinstance(value, str):
        _encoded(value, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: it is not finite")
    elif isinstance(value, dict):
        for name, item in value.items():
            _encoded(name, where)
            _check(item, f"{where}.{name}" if where else name, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, where, depth + 1)


def _encoded(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{where}: it holds half of a surrogate pair") from None
