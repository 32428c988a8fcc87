"""What a job needs on its device beside the runner, so that all of it is asked for before anything is pushed."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness import deploy, formats
from harness.deploy import DeviceHandle, space
from harness.errors import HarnessError, OutOfSpace
from harness.measure.jobs import Group, Inputs, inputs_files
from harness.model import Case, Samples, Suite
from harness.ports.runners import Part, Step, Wanted

#: What a job writes beside its models' outputs: events, log and pipes; and of each model its samples, which are there
#: twice for a moment (a minute of inferences of 1 ms each is 0.5 MB).
_JOB_BYTES: Final = 1_000_000
_JOB_FILES: Final = 20
_SAMPLES_BYTES: Final = 1_000_000
_SAMPLES_FILES: Final = 8
#: Bytes of a number of an output, as the device keeps it.
_FLOAT32: Final = 4


def of_group(group: Group, inputs: Inputs, samples: Samples, root: str) -> Wanted:
    """Return what a group's job needs: its runtime, models, images, and what it writes.

    Args:
        group: the cases.
        inputs: their images as files.
        samples: the split.
        root: the workdir on the device.
    """
    names = {case.variant.sha256: f"the model {case.variant.path.name}" for case in group.cases}
    files = {case.variant.sha256: case.variant.path for case in group.cases}
    if not group.suite.confidential:
        return Wanted((group.runtime,), (blobs(files | dict(inputs.files), root, names), written(group, samples, root)))
    # They go with the job, so its folder is where they take room.
    job = written(group, samples, root)
    images = blobs(inputs.files, root, {}, folder=job.parts[0].path)
    return Wanted((group.runtime,), (blobs(files, root, names), replace(job, parts=(*images.parts, *job.parts))))


def written(group: Group, samples: Samples, root: str) -> Step:
    """Return what a group's job writes.

    Args:
        group: the cases.
        samples: the split.
        root: the workdir on the device.
    """
    models = len(group.cases) + (group.control is not None)
    # It gets a name of its own when it is made.
    folder = posixpath.join(root, "jobs", "new")
    size, count = _JOB_BYTES + _SAMPLES_BYTES * models, _JOB_FILES + _SAMPLES_FILES * models
    return Step((Part("the job's records", folder, size, count), *_outputs(group, samples, folder)), gone=True)


def short(handle: DeviceHandle, groups: Sequence[Group], samples: Callable[[Suite], Samples]) -> dict[int, OutOfSpace]:
    """Ask a device for the space that all groups need one beside the other, and return those that have none.

    A group that cannot be asked for is not among them: it says itself why, in its turn.

    Args:
        handle: of the device.
        groups: in the order in which they are measured.
        samples: gives the split of a suite.

    Returns:
        The place of a group that is too much, and why.
    """
    wanted = {place: own for place, group in enumerate(groups) if (own := _wanted(handle, group, samples)) is not None}
    found: dict[int, OutOfSpace] = {}
    kept: list[Wanted] = []
    try:
        if _lack(handle, list(wanted.values())) is None:
            return found
        for place, own in wanted.items():
            error = _lack(handle, [*kept, own])
            if error is None:
                kept.append(own)
            else:
                found[place] = error
    except HarnessError as error:
        handle.say(f"its space cannot be asked for in all ({error.reason})")
    return found


def _wanted(handle: DeviceHandle, group: Group, samples: Callable[[Suite], Samples]) -> Wanted | None:
    try:
        split = samples(group.suite)
        with inputs_files(group, split) as inputs:
            return of_group(group, inputs, split, handle.root)
    except HarnessError:
        return None


def _lack(handle: DeviceHandle, wanted: Sequence[Wanted]) -> OutOfSpace | None:
    """Return why a device has no space for all of these, None if it has."""
    runtimes = tuple(dict.fromkeys(one for own in wanted for one in own.runtimes))
    # What two of them share is brought once.
    steps: list[Step] = []
    seen: set[str] = set()
    for own in wanted:
        for step in own.steps:
            parts = tuple(part for part in step.parts if step.gone or part.path not in seen)
            seen |= {part.path for part in parts}
            steps.append(replace(step, parts=parts))
    try:
        deploy.prepare(handle, Wanted(runtimes, tuple(steps)))
    except OutOfSpace as error:
        return error
    return None


def blobs(files: Mapping[str, Path], root: str, names: Mapping[str, str], *, folder: str = "") -> Step:
    """Return what files take that are brought by their digests.

    Args:
        files: sha256 -> file here.
        root: the workdir on the device.
        names: sha256 -> what a file is; the others are images.
        folder: where they lie, absolute; "" for where the next job finds them.
    """
    place = folder or posixpath.join(root, "blobs")
    return Step(
        tuple(
            space.file_part(names.get(digest, "images"), posixpath.join(place, digest), path.stat().st_size)
            for digest, path in files.items()
        )
    )


def _outputs(group: Group, samples: Samples, folder: str) -> Iterator[Part]:
    """Yield what the outputs of each model take, as far as its file says how large they are."""
    if not deploy.runner(group.device).OUTPUTS:
        return
    for case in group.cases:
        numbers = _numbers(case, group.fit(case).reading.output)
        if numbers is not None:
            size = numbers * _FLOAT32 * len(samples.images)
            yield Part(f"the outputs of {case.variant.path.name}", folder, size)


def _numbers(case: Case, output: str) -> int | None:
    """Return how many numbers a model answers with for one image, None where its file does not say it."""
    if not formats.known(case.variant.format):
        return None
    try:
        found = formats.read(case.variant.path, case.variant.format).outputs
    except HarnessError:  # that case's own error, which its runtime will say
        return None
    shape = next((one.shape for one in found if output in ("", one.name)), None)
    # The first axis is the batch's.
    sizes = (shape or (None, None))[1:]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)
