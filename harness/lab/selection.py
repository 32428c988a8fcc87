"""Suite x variant x device x runtime -> cases with stable ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from packaging.requirements import Requirement

from harness import registry
from harness.model import Case, Device, Suite, Variant


def cases(suite: Suite, devices: Sequence[Device]) -> list[Case]:
    """Return every case of a suite on some devices: one for each file of a variant and each runtime that takes it.

    A variant that no runtime of a device takes gives one case with runtime "": running it says which to add, whereas
    leaving it out would be a silent skip.
    """
    return [case for device in devices for name in _ids(suite) for case in _of_variant(suite, name, device)]


def missing_runtime(case: Case) -> str:
    """Return why a case without a runtime cannot run, and which runtimes to add to the device's file."""
    formats = [variant.format for variant in suite_formats(case.suite, case.variant.id)]
    takers = [one.distribution for one in registry.runtimes().values() if set(one.formats) & set(formats)]
    kinds = " or ".join(f".{one}" for one in formats)
    return (
        f"no runtime of {case.device.id} takes {kinds}; "
        f"add {' or '.join(sorted(takers))} to `runtimes` in {case.device.file.name}"
    )


def suite_formats(suite: Suite, variant: str) -> list[Variant]:
    """Return the nouns that share one variant id, one a format."""
    return [one for one in suite.variants if one.id == variant]


def _ids(suite: Suite) -> Iterable[str]:
    return dict.fromkeys(variant.id for variant in suite.variants)


def _of_variant(suite: Suite, name: str, device: Device) -> Iterator[Case]:
    nouns = suite_formats(suite, name)
    stem = f"{suite.file.parent.name}/{suite.file.name}::{name}"
    pairs = [
        (noun, text) for noun in nouns for text in device.runtimes if noun.format in registry.runtime_of(text).formats
    ]
    if not pairs:
        yield Case(suite=suite, variant=nouns[0], device=device, runtime="", id=f"{stem}@{device.id}")
    used = Counter(registry.runtime_of(text).name for _, text in pairs)
    for noun, text in pairs:
        label = registry.runtime_of(text).name
        if used[label] > 1:
            label += str(Requirement(text).specifier)
        bracket = f"[{label}]" if len(pairs) > 1 else ""
        yield Case(suite=suite, variant=noun, device=device, runtime=text, id=f"{stem}{bracket}@{device.id}")
