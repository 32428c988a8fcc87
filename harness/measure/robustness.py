"""The same images once more, corrupted or attacked, through every model of a group on the device.

They go as images of a job that measures nothing but outputs, one condition behind the other, so that any runner that
gives outputs can do it. Nothing here is timed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness import corruptions, deploy
from harness.deploy import DeviceHandle
from harness.errors import HarnessError, Reason, Stopped, Transient
from harness.measure import attacks, space
from harness.measure.group import check_confidential, job_folder
from harness.measure.jobs import Group, inputs_files, job
from harness.measure.reference import forward
from harness.model import Answers, Condition, Samples
from harness.results.robustness import Given, worst_of
from harness.units import counted

#: Images of one job; more conditions are more jobs.
BYTES: Final = 64_000_000
#: How often a connection that is lost meanwhile is made again.
_TRIES: Final = 3

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Changed:
    """The images of the split under one condition."""

    condition: Condition
    images: Pixels


def measured(group: Group, handle: DeviceHandle, samples: Samples, *, quick: bool) -> Mapping[str, Given]:
    """Return case id -> what its model gave under each condition, nothing where the suite asks for none.

    What goes wrong is said in place of the outputs: what is timed needs none of them.

    Args:
        group: the cases.
        handle: of the device, which is leased.
        samples: the split that is judged.
        quick: whether durations are cut to a tenth.

    Raises:
        Stopped: the campaign is interrupted.
    """
    wanted = group.suite.robustness
    if wanted is None or not (wanted.corruptions or wanted.attacks):
        return {}
    found: dict[str, Given] = {case.id: Given() for case in group.cases}
    if not deploy.runner(group.device).OUTPUTS:
        reason = Reason(f"the {group.device.runner} runner gives no outputs")
        return {name: one.without("outputs", reason) for name, one in found.items()}
    for kind, made in (("corruption", corrupted), ("attack", attacked)):
        try:
            changed, remarks = made(group, samples)
            for remark in remarks:
                handle.say(f"remark: {remark}")
            for batch in batches(changed):
                names = dict.fromkeys(one.condition.name for one in batch)
                conditions, images = counted(len(batch), "condition"), counted(len(samples.images), "image")
                handle.say(f"{conditions} on {images}: {', '.join(names)}")
                outputs = answered(group, handle, samples, np.concatenate([one.images for one in batch]), quick=quick)
                for name, own in outputs.items():
                    found[name] = found[name].more([one.condition for one in batch], own)
            found = {name: replace(one, remarks=(*one.remarks, *remarks)) for name, one in found.items()}
        except Stopped:
            raise
        except HarnessError as error:
            handle.say(f"remark: nothing is known under {kind}s: {error.reason}")
            found = {name: one.without(kind, error.reason) for name, one in found.items()}
    if "stripes" in wanted.attacks:
        return _striped(group, handle, samples, found, quick=quick)
    return found


def _striped(
    group: Group, handle: DeviceHandle, samples: Samples, found: Mapping[str, Given], *, quick: bool
) -> Mapping[str, Given]:
    """Return what was found with the black box besides: of each image, the try that harms a model most."""
    epsilon = group.suite.robustness.epsilon if group.suite.robustness else 0
    try:
        if samples.images.dtype != np.uint8 or not len(samples.labels):
            raise HarnessError(
                "attacks are of labelled images of 8 bits",
                remedy="remove attacks from [robustness], or bring such images",
            )
        whole = _changed("attack", "stripes", epsilon, attacks.stripes(samples.images, epsilon))
        handle.say(f"black box: {attacks.TRIES} tries on each of {len(samples.images)} images")
        at_once = max(BYTES // samples.images.nbytes, 1) * len(samples.images)
        parts: dict[str, list[npt.NDArray[Any]]] = {}
        for first in range(0, len(whole.images), at_once):
            some = whole.images[first : first + at_once]
            for name, outputs in answered(group, handle, samples, some, quick=quick).items():
                if isinstance(outputs, Reason):
                    found = {**found, name: found[name].without("attack", outputs)}
                else:
                    parts.setdefault(name, []).append(outputs)
        for case in group.cases:
            if case.id in parts and "attack" not in found[case.id].absent:
                answers = Answers(np.concatenate(parts[case.id]), group.fit(case).reading)
                worst = worst_of(answers, samples, group.suite.task)
                found = {**found, case.id: found[case.id].more([whole.condition], worst)}
        return found
    except Stopped:
        raise
    except HarnessError as error:
        handle.say(f"remark: nothing is known of the black box: {error.reason}")
        return {name: one.without("attack", error.reason) for name, one in found.items()}


def corrupted(group: Group, samples: Samples) -> tuple[list[Changed], list[str]]:
    """Return the split under every corruption that the suite asks for, and what must be said of them.

    Args:
        group: whose suite it is.
        samples: the split.

    Raises:
        HarnessError: its images cannot be changed so.
    """
    wanted, found, remarks = group.suite.robustness, [], []
    assert wanted is not None
    steps = corruptions.steps(wanted.registry)
    for name in wanted.corruptions:
        for severity in wanted.severities:
            images = _corrupted(samples.images, name, steps[name][severity - 1])
            if np.array_equal(images, samples.images):  # small images have no fine blur
                size = f"{images.shape[1]} × {images.shape[2]} pixels"
                remarks.append(f"{name} at severity {severity} leaves images of {size} as they are, so it is left out")
            else:
                found.append(_changed("corruption", name, severity, images))
    return found, remarks


def attacked(group: Group, samples: Samples) -> tuple[list[Changed], list[str]]:
    """Return the split under every attack that the suite asks for, and what must be said of them.

    Args:
        group: whose suite it is.
        samples: the split.

    Raises:
        HarnessError: its baseline cannot be attacked on this host.
    """
    found, remarks = attacks.made(group, samples)
    return [_changed("attack", name, epsilon, images) for name, epsilon, images in found], remarks


def _corrupted(images: npt.NDArray[Any], name: str, step: corruptions.Step) -> Pixels:
    try:
        return corruptions.corrupted(images, name, step)
    except ValueError as error:
        remedy = "bring 8-bit images, or remove corruptions from [robustness]"
        raise HarnessError(str(error), remedy=remedy) from error


def _changed(kind: str, name: str, severity: int, images: Pixels) -> Changed:
    digest = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    return Changed(Condition(kind, name, severity, digest), images)


def batches(found: Sequence[Changed]) -> Iterator[list[Changed]]:
    """Yield as many conditions at a time as a small device has room for."""
    batch: list[Changed] = []
    for one in found:
        if batch and sum(other.images.nbytes for other in batch) + one.images.nbytes > BYTES:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def answered(
    group: Group, handle: DeviceHandle, samples: Samples, images: Pixels, *, quick: bool
) -> dict[str, npt.NDArray[Any] | Reason]:
    """Return case id -> what its model gives on the device for some images, or why it gives nothing.

    Args:
        group: the cases.
        handle: of the device, which is leased.
        samples: the split whose classes they are of.
        images: (M, H, W, C) uint8, of the size and channels of the split's.
        quick: whether durations are cut to a tenth.

    Raises:
        HarnessError: nothing could be run there.
    """
    check_confidential(group)
    shown = replace(samples, images=images)
    for left in reversed(range(_TRIES)):
        try:
            return _answered(group, handle, shown, quick=quick)
        except Stopped:
            raise
        except Transient as error:
            if not left:
                raise
            handle.say(f"connection lost ({error}), connecting again")
            handle.reconnect()
            handle.unless_interrupted(error)
    raise AssertionError("the last try returns or raises")


def _answered(
    group: Group, handle: DeviceHandle, shown: Samples, *, quick: bool
) -> dict[str, npt.NDArray[Any] | Reason]:
    with inputs_files(group, shown) as inputs:
        deploy.prepare(handle, space.of_group(group, inputs, shown, handle.root))
        runtime = deploy.runtime(handle, group.runtime)
        with job_folder(handle, group, runtime, inputs) as (folder, where):
            whole = job(group, where, inputs, runtime, quick=quick)
            # Without the control, which stands behind all cases and answers as its original.
            what = replace(whole, models=whole.models[: len(group.cases)], meter=None)
            answers = forward(handle, what, folder=folder)
    return {
        case.id: answer.outputs if answer.outputs is not None else Reason(answer.why_not)
        for case, answer in zip(group.cases, answers, strict=True)
    }
