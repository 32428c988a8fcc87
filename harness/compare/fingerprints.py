"""Whether two runs may be compared at all, and what differs between them, as a person would say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.model import Reason, Run, Validity, sentence
from harness.units import human, named_unit

#: What a fingerprint holds that differs between variants by nature, or changes no number. Anything else matters: a key
#: that is not named here makes runs incomparable rather than silently comparable.
_FREE = frozenset(
    {"suite_sha256", "sha256", "model_sha256", "variant_sha256", "size_bytes", "nodes", "nodes_fell_back"}
)
#: What of the case matters; its variant is what is compared.
CASE: Final = ("device", "suite", "runtime", "scenario", "threads", "batch", "accelerator", "frame_rate_hz")
#: MemTotal moves by a few pages from boot to boot.
_MEMORY_TOLERANCE = 0.01
#: What people call a fact; what can change a number most comes first. Others go by their own name, at the end.
_NAMES: Final[Mapping[str, str]] = {
    "device": "device", "suite": "suite", "scenario": "scenario", "batch": "batch", "frame_rate_hz": "frame rate",
    "data_sha256": "test data", "runtime": "runtime", "runtime_version": "runtime version",
    "accelerator": "what ran the model", "accelerator_wanted": "accelerator asked for", "threads": "threads",
    "runner": "runner", "soc": "processor", "architecture": "architecture", "cores": "cores",
    "usable_cores": "cores that may be used", "bound_cores": "cores that it was bound to",
    "cpu_quota": "share of the processor allowed", "governor": "governor",
    "frequency_limit_hz": "frequency limit", "boost": "boost", "kernel": "kernel", "kernel_build": "kernel build",
    "microcode": "microcode", "memory_bytes": "memory", "os": "system", "numpy": "numpy", "libc": "C library",
    "python": "Python", "runtime_sha256": "runtime file", "agent": "device side",
}  # fmt: skip
_ORDER: Final = {name: place for place, name in enumerate(_NAMES)}
#: What stands for a fact that was not recorded.
UNKNOWN: Final = "not known"
#: Digits of a digest that are enough to see that two differ.
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that two runs do not share: `kernel 6.1.0-13 -> 6.1.0-18`."""

    key: str
    before: Any
    after: Any

    @property
    def name(self) -> str:
        """What people call it."""
        return _NAMES.get(self.key, self.key.replace("_", " "))

    @property
    def place(self) -> int:
        """Its place among all facts, sorted by how much they can matter."""
        return _ORDER.get(self.key, len(_ORDER))

    def __str__(self) -> str:
        return f"{self.name} {said(self.key, self.before)} -> {said(self.key, self.after)}"


def obstacle(baseline: Run, run: Run) -> Reason | None:
    """Return why two runs cannot be compared, listing what differs, None if they can."""
    for role, one in (("baseline", baseline), ("run", run)):
        if one.validity is Validity.INVALID:
            return Reason(f"the {role} is invalid: {sentence(one.reasons) or 'no reason was recorded'}")
    found = differences(baseline, run)
    return Reason(f"not measured alike: {sentence(found)}") if found else None


def differences(baseline: Run, run: Run) -> list[Difference]:
    """Return what differs of everything that could change a number, what can change it most first."""
    found = {key: Difference(key, getattr(baseline.case, key), getattr(run.case, key)) for key in CASE}
    found = {key: one for key, one in found.items() if {one.before, one.after} - {None, ""}}
    before, after = _flat(baseline.fingerprint), _flat(run.fingerprint)
    for key in sorted({*before, *after} - found.keys()):  # what the case says too, such as the threads, is said once
        found[key] = Difference(key, before.get(key), after.get(key))
    unlike = {key: one for key, one in found.items() if not _alike(key, one.before, one.after)}
    if "runtime" in unlike:
        unlike.pop("runtime_version", None)  # the requirement holds it
    return sorted(unlike.values(), key=lambda one: one.place)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every fact that matters under one name each: `{"agent": {"version": 2}}` -> `{"agent.version": 2}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif key not in _FREE:
            found[f"{prefix}{key}"] = value
    return found


def _alike(key: str, old: Any, new: Any) -> bool:
    if key == "memory_bytes" and old and new:
        return bool(abs(old - new) <= _MEMORY_TOLERANCE * max(old, new))
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return list(old) == list(new)  # a store gives back lists for tuples
    return bool(old == new)


def said(key: str, value: Any) -> str:
    """Return one recorded fact as people read it: quantities with their unit, digests by their beginning."""
    if value is None or value == "":
        return UNKNOWN
    if key.endswith("sha256"):
        return str(value)[:_SHORT]
    unit = named_unit(key)[1]
    return human(float(value), unit) if unit and isinstance(value, int | float) else str(value)
