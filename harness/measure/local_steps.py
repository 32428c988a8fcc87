"""What a step of training costs on a device, with the proof that it was the right step.

Models take turns in launches of fresh processes, in random order, as inferences do (`harness.measure.group`). The same
steps are made on this host first, by the network itself; a device whose weights end elsewhere gives no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from harness import deploy, lab, pixels, registry, scratch
from harness.deploy import DeviceHandle
from harness.errors import HarnessError, LabError, MeasurementError, RecipeError, Unsupported
from harness.lab import ledger
from harness.measure.group import check_confidential
from harness.measure.jobs import ENERGY_S, Group
from harness.measure.step_launches import SMALLER, WARMUP, Learner, Turns, answer, command
from harness.model import Case, LocalStep, Samples, StepCost, Suite, Variant
from harness.ports.recipes import Build
from harness.ports.runners import Wanted
from harness.recipes import _step_program
from harness.results import step_costs
from harness.results.step_costs import Launches

#: Launches of each model.
LAUNCHES: Final = 8
#: How long torch may take to be imported on a device, s.
_IMPORT_S: Final = 300.0
#: What runs a format, which cannot train it.
_RUNS: Final = {"tflite": "LiteRT", "pte": "ExecuTorch"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a model gave: its cost, or the error that is this model's alone."""

    variant: Variant
    result: StepCost | HarnessError


def asked_of(suite: Suite) -> LocalStep:
    """Return what a suite says of a step; raises LabError with the lines to write where it says nothing."""
    if suite.local_step is None:
        raise LabError(
            "there is no table that says what a step of training is",
            remedy="write [local_step] and below it learning_rate = 0.01, or what the model was trained with at last",
            file=lab.shown(suite.file),
            key="local_step",
        )
    return suite.local_step


def chosen(suite: Suite, names: Sequence[str]) -> list[Variant]:
    """Return the models of a suite that are asked for, the baseline first; all .onnx files where no id is given.

    Raises:
        LabError: there is no such variant, or its file cannot be used.
    """
    for name in names:
        known = {one.id for one in suite.variants}
        if name not in known:
            hint = registry.suggestion(name, known)
            raise LabError(f"no variant {name!r}", remedy=hint, file=lab.shown(suite.file), key="variant")
    # A variant may have a file of each format: the one that can learn is meant.
    ordered = sorted(suite.variants, key=lambda one: (one.id != suite.baseline, one.format != "onnx"))
    found = {one.id: one for one in reversed(ordered) if one.id in names or (not names and one.format == "onnx")}
    for one in found.values():
        if one.problem and names:
            raise LabError(one.problem, file=lab.shown(suite.file), key=f"variant[{one.id}]")
    return [one for one in reversed(found.values()) if not one.problem]


def check_device(handle: DeviceHandle) -> Mapping[str, Any]:
    """Bring the agent and return what the device trains with: versions of torch and Python, processes killed so far.

    Raises:
        Unsupported: its runner cannot train.
        MissingTool: its Python has no torch.
    """
    device = handle.device
    if device.runner != "python":
        raise Unsupported(
            f"the {device.runner} runner cannot train",
            remedy='set runner = "python" if the device has Python with torch',
            device=device.id,
        )
    deploy.prepare(handle, Wanted())
    return answer(handle, handle.run(command(handle), timeout_s=_IMPORT_S), "the device's torch cannot be asked")


def measure(suite: Suite, variants: Sequence[Variant], handle: DeviceHandle, *, quick: bool = False) -> list[Found]:
    """Measure the step of each model, and return what each gave.

    Args:
        suite: says what a step is.
        variants: the models.
        handle: of the device, which is leased.
        quick: whether launches are halved and their steps cut to a tenth.

    Raises:
        HarnessError: what went wrong for all of them.
    """
    asked = asked_of(suite)
    check_confidential(Group(suite, handle.device, "torch", ()))
    facts = check_device(handle)
    steps = max(3, asked.steps // 10) if quick else asked.steps
    handle.say(f"reading the split train of {suite.data['source']}")
    samples = lab.read_split(suite, "train")
    found: list[Found] = []
    with scratch.held_folder() as work:
        learners: list[Learner] = []
        for number, variant in enumerate(variants):
            handle.say(f"{variant.path.name}: {WARMUP + steps} steps on this host")
            try:
                learners.append(_learner(suite, variant, samples, handle, work / f"{number}.pt", steps))
            except MemoryError as error:
                text = f"{variant.path.name}: this host is out of memory {error}"
                found.append(Found(variant, MeasurementError(text, remedy=SMALLER)))
            except HarnessError as error:
                found.append(Found(variant, error))
        if learners:
            turns = Turns(
                handle, learners, asked, steps=steps, folder=work, kills=facts.get("kills", ()),
                window_s=ENERGY_S * (0.1 if quick else 1.0),
            )  # fmt: skip
            conditions = turns.run(LAUNCHES // 2 if quick else LAUNCHES)
            whole = [one for one in learners if one.failed is None]
            base = next((one.launches for one in whole if one.case.is_baseline), None)
            found += [Found(one.launches.variant, one.failed) for one in learners if one.failed is not None]
            for one in whole:
                given = step_costs.cost(
                    one.launches, base, suite, replace(asked, steps=steps), device=handle.device.id, quick=quick,
                    conditions=conditions,
                )  # fmt: skip
                found.append(Found(one.launches.variant, given))
    order = [one.id for one in variants]
    return sorted(found, key=lambda one: order.index(one.variant.id))


def _learner(
    suite: Suite, variant: Variant, samples: Samples, handle: DeviceHandle, target: Path, steps: int
) -> Learner:
    """Return a model that can learn.

    Args:
        suite: of the model.
        variant: the model.
        samples: of the split train.
        handle: of the device.
        target: where its program is written.
        steps: that are timed.

    Raises:
        HarnessError: it cannot.
        MemoryError: this host has no room for a step.
    """
    if variant.format != "onnx":
        raise Unsupported(
            f"{variant.path.name} cannot be trained: {_RUNS.get(variant.format, variant.format)} has no gradients",
            remedy="name a variant in ONNX: its graph learns there with torch",
            device=handle.device.id,
        )
    fit = lab.fit(suite, variant, samples)
    if fit.constants:
        raise RecipeError(f"{variant.path.name} has inputs beside the image", remedy="leave this variant out")
    fed = replace(samples, images=pixels.converted(samples.images, fit.input))
    job = Build(variant.path, target, lambda _: fed, fit.input, suite.task, fit.reading)
    program = _step_program.make(job, asked_of(suite), WARMUP + steps, threads=suite.load.threads)
    own = replace(variant, path=target, sha256=ledger.sha256(target), size_bytes=target.stat().st_size)
    case = Case(suite, own, handle.device, "torch", variant.id)
    return Learner(case, program, Launches(variant, program.weights))
