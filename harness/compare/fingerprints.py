"""Whether two runs may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.model import Run, Validity

#: What a fingerprint holds that differs between variants by nature, or changes no number. Anything else matters: a key
#: that nobody thought of here makes runs incomparable rather than silently comparable.
_FREE = frozenset(
    {"suite_sha256", "sha256", "model_sha256", "variant_sha256", "size_bytes", "nodes", "nodes_fell_back"}
)
#: What of the case matters; its variant is what is compared.
_CASE = ("device", "suite", "runtime", "scenario", "threads", "batch", "accelerator", "frame_rate_hz")
#: MemTotal moves by a few pages from boot to boot.
_MEMORY_TOLERANCE = 0.01


def obstacle(baseline: Run, run: Run) -> str:
    """Return why two runs cannot be compared, listing what differs, or "" if they can."""
    for role, one in (("baseline", baseline), ("run", run)):
        if one.validity is Validity.INVALID:
            return f"the {role} is invalid: {'; '.join(one.reasons) or 'no reason was recorded'}"
    found = differences(baseline, run)
    return f"not measured alike: {'; '.join(found)}" if found else ""


def differences(baseline: Run, run: Run) -> list[str]:
    """Return what differs of everything that could change a number, each as "key: theirs, ours"."""
    found = [(key, baseline.case.get(key), run.case.get(key)) for key in _CASE]
    before, after = _flat(baseline.fingerprint), _flat(run.fingerprint)
    found += [(key, before.get(key), after.get(key)) for key in sorted({*before, *after}) if _matters(key)]
    texts = [f"{key}: {_said(old)}, {_said(new)}" for key, old, new in found if not _alike(key, old, new)]
    return list(dict.fromkeys(texts))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _matters(key: str) -> bool:
    return key.rsplit(".", 1)[-1] not in _FREE


def _alike(key: str, old: Any, new: Any) -> bool:
    if key == "memory_bytes" and old and new:
        return bool(abs(old - new) <= _MEMORY_TOLERANCE * max(old, new))
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return list(old) == list(new)  # a store gives back lists for tuples
    return bool(old == new)


def _said(value: Any) -> str:
    return "not known" if value is None else str(value)
