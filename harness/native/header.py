"""Writes `contract.h`, the contract of host and device in C, from harness/agent/contract.py.

It is written anew whenever the runner is compiled, so the two cannot differ. It holds
    the numbers and names: `TIMED_INPUTS`, `EVENTS_FILE`; a tuple becomes an initializer: `GAPS` is `{0.5, 1.5}`;
    the kinds of events and of errors: `EVENT_TIMED_END`, `ERROR_MEMORY`, and all of the former in `EVENT_KINDS`;
    what a table of job.json may hold: its keys in `PLAN_KEYS`, and in `PLAN_FIELDS(REQUIRED, OPTIONAL)` each plain
    value as `REQUIRED(whole, cold_starts)` or, with its default, `OPTIONAL(number, warmup_s, 0.0)`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Final, Union, get_type_hints

from harness.agent import contract

NAME: Final = "contract.h"
#: The tables of job.json, by the name that the C side gives them.
TABLES: Final = {"JOB": contract.Job, "MODEL": contract.Model, "INPUT": contract.Input, "PLAN": contract.Plan}

#: Type of a field -> kind of value; what is in no entry is a table, or a list of tables, that src/job.c reads itself.
_KINDS: Final = {
    int: "whole",
    float: "number",
    bool: "truth",
    str: "word",
    list[float]: "numbers",
    Union[bool, str]: "truth_or_auto",  # noqa: UP007  as the contract spells it, for Python 3.9
}


def text(changes: Mapping[str, object] | None = None) -> str:
    """Return the header; `changes` are constants that are not to have the contract's own value."""
    lines = ["/* Written from harness/agent/contract.py by harness/native/header.py. */"]
    lines += ["#ifndef EDGEWARD_CONTRACT_H", "#define EDGEWARD_CONTRACT_H", "", "#include <stddef.h>", ""]
    known = constants()
    for name, value in (changes or {}).items():
        if name not in known:
            raise KeyError(name)
        known[name] = _c(value)
    lines += [f"#define {name} {value}" for name, value in known.items()]
    for name, table in TABLES.items():
        keys = ", ".join(_c(one.name) for one in fields(table))
        lines += ["", f"#define {name}_KEYS {{{keys}, NULL}}", f"#define {name}_FIELDS(REQUIRED, OPTIONAL) \\"]
        lines.append(" \\\n".join(f"    {field}" for field in _fields(table)))
    return "\n".join([*lines, "", "#endif", ""])


def constants() -> dict[str, str]:
    """Return name -> C expression of every number and name of the contract."""
    found = {
        name: _c(value)
        for name, value in vars(contract).items()
        if name.isupper() and isinstance(value, (int, float, str, tuple))
    }
    found |= {f"EVENT_{kind.upper()}": _c(kind) for kind in contract.EVENTS}
    found |= {f"ERROR_{kind.upper()}": _c(kind) for kind in contract.REMEDIES}
    return found | {"EVENT_KINDS": _c((*contract.EVENTS, None))}


def _fields(table: type) -> Iterator[str]:
    types = get_type_hints(table)
    for one in fields(table):
        kind = _KINDS.get(types[one.name])
        if kind and _has_default(one):
            yield f"OPTIONAL({kind}, {one.name}, {'AUTO' if kind == 'truth_or_auto' else _c(one.default)})"
        elif kind:
            yield f"REQUIRED({kind}, {one.name})"


def _has_default(one: Field[Any]) -> bool:
    return one.default is not MISSING


def _c(value: Any) -> str:
    """Return a value as C writes it."""
    if isinstance(value, tuple):
        return "{" + ", ".join(map(_c, value)) + "}"
    if isinstance(value, bool):
        return str(int(value))
    return "NULL" if value is None else json.dumps(value)
