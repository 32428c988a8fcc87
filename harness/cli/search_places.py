"""Where a search is done: each device with each of its runtimes has candidates, attempts and a front of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from harness import deploy, lab
from harness.cli.studies import Attempt, Study
from harness.errors import HarnessError, LabError
from harness.lab.space import Family, Search
from harness.measure.jobs import load_samples
from harness.model import Device, Suite, Variant
from harness.units import counted
from harness.variants.artefacts import key_of


@dataclass(frozen=True, slots=True)
class Options:
    """How a search is done.

    Attributes:
        trials: how many candidates are tried in each place.
        quick: whether durations are cut to a tenth.
        seed: of the sampler.
        full: whether every candidate is measured in full, without a race.
        say: is given what is done, a line each.
        patience_s: how long a lost connection is tried again, s.
    """

    trials: int
    say: Callable[[str], None]
    quick: bool = False
    seed: int = 0
    full: bool = False
    patience_s: float = deploy.handle.PATIENCE_S


@dataclass(slots=True)
class Place:
    """A device with one of its runtimes: it has candidates, attempts and a front of its own.

    Attributes:
        device: that is measured.
        runtime: as its file names it.
        baseline: the file of the baseline that it takes.
        search: what may be tried here.
        study: what was tried.
        lost: why it is given up for now.
    """

    device: Device
    runtime: str
    baseline: Variant
    search: Search
    study: Study
    lost: HarnessError | None = None
    variants: dict[str, Variant] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Device and runtime as people read them."""
        return f"{self.device.id} · {self.runtime.replace('==', ' ')}"

    @property
    def best(self) -> Attempt | None:
        """The cheapest attempt that keeps every line of `[accept]`."""
        kept = [one for one in self.study.attempts() if one.status == "accepted" and one.cost is not None]
        return min(kept, key=lambda one: one.cost.point if one.cost else 0.0, default=None)


def places(suite: Suite, search: Search, devices: Sequence[Device], folder: Path, options: Options) -> Iterator[Place]:
    """Yield each place in which there are candidates, with what was tried there before.

    Args:
        suite: that is searched.
        search: what it says of that.
        devices: on which candidates are measured.
        folder: in which the studies are kept.
        options: how it is done.

    Raises:
        LabError: the goal cannot be measured, or a device names no runtime that takes the baseline.
    """
    if search.minimise == "energy" and options.quick:
        raise LabError(
            "the goal is energy, and a meter shows nothing in the short windows of --quick",
            remedy='leave --quick out, or write minimise = "latency"',
            file=lab.shown(suite.file),
            key="goal.minimise",
        )
    _check_meters(search, devices)
    images = _digest(suite)
    for case in lab.cases(suite, devices):
        if not case.is_baseline:
            continue
        if not case.runtime:
            raise LabError(lab.missing_runtime(case), file=lab.shown(case.device.file), key="runtimes")
        own = _of_format(search, case.variant.format)
        if own is None:
            options.say(f"{case.device.id}, {case.runtime}: no candidate is a .{case.variant.format} file")
            continue
        decisive = [
            *(getattr(suite, name) for name in ("data", "split", "input", "task", "load", "accept")),
            [own.minimise, own.accuracy, [family.table.model_dump() for family in own.families]],
            [case.variant.sha256, case.runtime, case.device.runner, case.device.cores, images],
            [options.quick, options.full, options.seed],
        ]
        name = f"{suite.id}@{case.device.id} {case.runtime} {key_of(decisive)[:12]}"
        study = Study(folder / "search.sqlite", name, own, options.seed)
        known = len(study.attempts())
        if known:
            options.say(f"{case.device.id}, {case.runtime}: going on after {counted(known, 'attempt')}")
        yield Place(case.device, case.runtime, case.variant, own, study)


def _check_meters(search: Search, devices: Sequence[Device]) -> None:
    for device in devices:
        if search.minimise == "energy" and device.meter is None:
            raise LabError(
                "the goal is energy, and nothing here measures it",
                remedy='write [meter] with its kind there, or minimise = "latency" under [goal]',
                file=lab.shown(device.file),
                key="meter",
            )


def _of_format(search: Search, kind: str) -> Search | None:
    """Return a search among the candidates that have one format alone, None if there are none."""
    families = []
    for family in search.families:
        if family.table.model:
            kept = [one for one in family.table.model if one.endswith(f".{kind}")]
            free = tuple(replace(one, values=tuple(kept)) for one in family.free) if len(kept) > 1 else ()
            if kept:
                families.append(Family(family.table.model_copy(update={"model": kept}), free))
        else:
            first = family.candidate({one.name: one.corners[0] for one in family.free})
            if any(one.format == kind for one in search.variants(first)):
                families.append(family)
    return replace(search, families=tuple(families)) if families else None


def _digest(suite: Suite) -> str:
    """Return the digest of the images that are measured, and of their labels."""
    samples = load_samples(suite)
    digest = hashlib.sha256()
    for array in (samples.images, samples.labels, samples.masks):
        if array is not None:
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
