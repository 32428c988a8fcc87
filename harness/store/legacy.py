"""What stores of version 0.1 hold as text for people, read back into the nouns of today; nothing else parses such text.

Those stores have the reasons of a comparison and of an outcome in one line each, and of a case that ended in an error
only its id. They open and render as they did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness.model import Circumstance, MeasuredCase, Reason, Step

#: Where the circumstances begin in the line of a comparison.
_CIRCUMSTANCES: Final = re.compile(r"(?:^|; )(?=quick\b|baseline degraded:|run degraded:)")
_CASE_ID: Final = re.compile(
    r"^(?:(?:.*/)?(?P<suite>[^/]*?)(?:\.toml)?::)?(?P<variant>.*?)(?:\[(?P<runtime>[^\[\]]*)\])?@(?P<device>[^@]*)$",
    re.DOTALL,
)


def comparison(line: str) -> tuple[tuple[Reason, ...], tuple[Circumstance, ...]]:
    """Return the reasons and the circumstances that one line of a comparison holds."""
    own, *others = _CIRCUMSTANCES.split(line)
    found = (text.partition(": ") for text in others)
    return ((Reason(own),) if own else ()), tuple(Circumstance(name, detail) for name, _, detail in found)


def outcome(line: str, judged: Sequence[Any]) -> tuple[Reason, ...]:
    """Return the reasons of an outcome: the lines of its judgement where they are what was kept, else the line."""
    failed = [one["message"] for one in judged if not one["passed"]]
    if failed and line == "; ".join(failed):
        return tuple(Reason(text) for text in failed)
    return (Reason(line),) if line else ()


def case(name: str) -> MeasuredCase | None:
    """Return what the id of a case without a run says of it, None if it is not such an id."""
    found = _CASE_ID.match(name)
    if found is None:
        return None
    return MeasuredCase(name, found["suite"] or "", found["variant"], found["device"], found["runtime"] or "")


def notes(kept: Mapping[str, Any], reasons: Sequence[Reason]) -> Mapping[str, Any]:
    """Return the notes of a run; version 0.1 did not note whether its outputs were too far from the host's."""
    reference = kept.get("reference")
    if reference is None or "doubtful" in reference:
        return kept
    return {**kept, "reference": {**reference, "doubtful": any("the host," in reason.text for reason in reasons)}}


def steps(variant: Mapping[str, Any]) -> tuple[Step, ...]:
    """Return how a variant was built; version 0.1 kept one recipe and its parameters."""
    recipe = variant.get("recipe")
    return (Step(recipe, variant.get("parameters") or {}),) if recipe else ()
