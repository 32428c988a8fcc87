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
from harness.errors import HarnessError, MeasurementError, Reason, Stopped, Transient
from harness.measure import attacks, black_box, space
from harness.measure.group import check_confidential, job_folder
from harness.measure.jobs import Group, inputs_files, job
from harness.measure.reference import forward
from harness.model import Answers, Case, Condition, Samples
from harness.results.robustness import Given, sure_and_called, worst_of
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
    for box, attack in (("stripes", _striped), ("square", _squared)):
        if box not in wanted.attacks:
            continue
        try:
            if samples.images.dtype != np.uint8 or not len(samples.labels):
                raise HarnessError(
                    "attacks are of labelled images of 8 bits",
                    remedy="remove attacks from [robustness], or bring such images",
                )
            found = attack(group, handle, samples, found, quick=quick)
        except Stopped:
            raise
        except HarnessError as error:
            handle.say(f"remark: nothing is known of the black box: {error.reason}")
            found = {name: one.without("attack", error.reason) for name, one in found.items()}
    return found


def _striped(
    group: Group, handle: DeviceHandle, samples: Samples, found: dict[str, Given], *, quick: bool
) -> dict[str, Given]:
    """Return what was found with stripes besides: of each image, the try that harms a model most."""
    epsilon = group.suite.robustness.epsilon if group.suite.robustness else 0
    whole = _changed("attack", "stripes", epsilon, attacks.stripes(samples.images, epsilon))
    handle.say(f"black box: {attacks.TRIES} tries on each of {counted(len(samples.images), 'image')}")
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


def _squared(
    group: Group, handle: DeviceHandle, samples: Samples, found: dict[str, Given], *, quick: bool
) -> dict[str, Given]:
    """Return what was found with the square attack besides, which each model is given by itself."""
    epsilon = group.suite.robustness.epsilon if group.suite.robustness else 0
    # Each model has images of its own in the end; what they have in common is where the attack begins.
    condition = _changed("attack", "square", epsilon, samples.images).condition
    at_once = max(BYTES // max(samples.images[:1].nbytes, 1), 1)
    images = counted(len(samples.images), "image")
    for case in group.cases:
        if "attack" in found[case.id].absent:
            continue
        alone = replace(group, cases=(case,))

        def ask(some: Pixels, alone: Group = alone) -> npt.NDArray[Any]:
            parts = []
            for first in range(0, len(some), at_once):
                (given,) = answered(alone, handle, samples, some[first : first + at_once], quick=quick).values()
                if isinstance(given, Reason):
                    raise MeasurementError(given.text, remedy=given.remedy, where=handle.device.id)
                parts.append(given)
            return np.concatenate(parts)

        def judge(outputs: npt.NDArray[Any], case: Case = case) -> npt.NDArray[np.float64]:
            return sure_and_called(Answers(outputs, group.fit(case).reading), samples.classes, group.suite.task)

        handle.say(f"black box: {black_box.ITERATIONS} steps of the square attack on {images}: {case.variant.id}")
        asked = black_box.Asked(ask, judge)
        try:
            outputs = black_box.square(samples.images, samples.labels, len(samples.classes), epsilon, asked)
        except MeasurementError as error:
            found = {**found, case.id: found[case.id].without("attack", error.reason)}
        else:
            found = {**found, case.id: found[case.id].more([condition], outputs)}
    return found


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
            handle.reconnect(error)
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
            answers = forward(handle, what, samples=len(shown.images), folder=folder)
    return {
        case.id: answer.outputs if answer.outputs is not None else Reason(answer.why_not)
        for case, answer in zip(group.cases, answers, strict=True)
    }
