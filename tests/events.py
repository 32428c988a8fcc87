"""Events of a job for tests: the fields that a test does not name have plain values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from harness.agent import contract

E = TypeVar("E", bound=contract.Event)

#: What stands in an event where a test does not say: the first turn of the first model.
_PLAIN = {
    "t_ns": 0, "model": 0, "turn": 0, "of": 1, "page_cache": "warm", "conditions": contract.Readings(), "paused_s": 0.0,
}  # fmt: skip


def event(kind: type[E], **given: Any) -> E:
    """Return an event of a kind.

    Args:
        kind: its type.
        given: the fields that matter to the test.
    """
    known = {one.name for one in fields(kind)}
    return kind(**{"event": kind.KIND, **{name: value for name, value in _PLAIN.items() if name in known}, **given})
