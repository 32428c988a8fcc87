"""Launches of training steps on a device: each a fresh process, the models in turns, the weights fetched and judged."""

from __future__ import annotations

import hashlib
import json
import posixpath
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness import deploy
from harness.agent import contract
from harness.deploy import DeviceHandle, files, health
from harness.errors import HarnessError, MeasurementError, MissingTool
from harness.lab import ledger
from harness.measure import host_meter, preflight
from harness.measure.group import job_folder
from harness.measure.jobs import Group, Inputs
from harness.measure.space import blobs
from harness.model import Case, LocalStep
from harness.ports.runners import Wanted
from harness.ports.transports import Completed
from harness.recipes._step_program import StepProgram
from harness.results import arrays, events, order
from harness.results.step_costs import Launches

#: Steps of each launch before the clock counts.
WARMUP: Final = 3
#: What to do where a step needs more memory than there is.
SMALLER: Final = 'lower `batch` under [local_step], or write layers = "last"'
#: Longest time that a launch may take, s.
_LAUNCH_S: Final = 3600.0
#: Why the agent made no steps -> what a person can do about it.
_REMEDIES: Final = {
    "diverged": "lower `learning_rate` under [local_step]",
    "memory": SMALLER,
    "model": "install another version of torch there",
}


@dataclass(slots=True)
class Learner:
    """One model: `case` has the program in the place of its file; `inputs` and `labels` are digests of their files."""

    case: Case
    program: StepProgram
    launches: Launches
    inputs: str = ""
    labels: str = ""
    failed: HarnessError | None = None

    @property
    def name(self) -> str:
        """Of the model's file."""
        return self.launches.variant.path.name


class Turns:
    """Launches of all models on one device.

    Args:
        handle: of the device.
        learners: the models.
        asked: what a step is.
        steps: of a launch, that are timed.
        folder: for files of this host.
        kills: (file, count) of processes that the device's kernel has killed for want of memory.
        window_s: length of each window of the energy pass, s.
    """

    def __init__(
        self,
        handle: DeviceHandle,
        learners: Sequence[Learner],
        asked: LocalStep,
        *,
        steps: int,
        folder: Path,
        kills: Sequence[Sequence[Any]],
        window_s: float,
    ) -> None:
        self._handle, self._learners, self._asked, self._window_s = handle, learners, asked, window_s
        self._steps, self._folder = steps, folder
        self._kills = [(str(file), int(count)) for file, count in kills]

    def run(self, launches: int) -> Mapping[str, Any]:
        """Make all launches and return the conditions before them; a model that fails is left out from then on."""
        handle, cases = self._handle, tuple(one.case for one in self._learners)
        suite, brought = cases[0].suite, self._files()
        programs = {case.variant.sha256: case.variant.path for case in cases}
        names = {case.variant.sha256: f"the program of {case.id}" for case in cases}
        deploy.prepare(handle, Wanted(steps=(blobs(programs | brought, handle.root, names),)))
        group = Group(suite, handle.device, "torch", cases)
        with job_folder(handle, group, "", Inputs(brought, {}, "")) as (job, where):
            conditions = dict(preflight.wait_until_fit(handle)["conditions"])
            order = random.Random(int.from_bytes(hashlib.sha256(suite.id.encode()).digest()[:4], "big"))
            for launch in range(launches):
                handle.say(f"launch {launch + 1} of {launches}")
                alive = [one for one in self._learners if one.failed is None]
                for one in order.sample(alive, len(alive)):
                    self._guarded(one, job, where, energy=False)
            for one in self._learners if handle.device.meter is not None else ():
                if one.failed is None:
                    handle.say(f"energy pass: {one.case.id}")
                    self._guarded(one, job, where, energy=True)
        # The programs are this measurement's alone.
        with handle.cleaning():
            files.remove(handle, [where[digest] for digest in (*programs, *brought)])
        return conditions

    def _files(self) -> dict[str, Path]:
        """Write the images and labels, and return digest -> file; equal ones are there once."""
        found: dict[str, Path] = {}
        for number, one in enumerate(self._learners):
            paths = [self._folder / f"{name}-{number}.npy" for name in ("inputs", "labels")]
            values: tuple[Any, Any] = (one.program.inputs, one.program.labels)
            for path, array in zip(paths, values, strict=True):
                np.save(path, array)
            one.inputs, one.labels = (ledger.sha256(path) for path in paths)
            found |= {one.inputs: paths[0], one.labels: paths[1]}
        return found

    def _guarded(self, one: Learner, job: str, where: Mapping[str, str], *, energy: bool) -> None:
        try:
            self._launch(one, job, where, energy=energy)
        except MeasurementError as error:
            one.failed = error
            self._handle.say(f"left out: {one.case.id}: {error.text}")

    def _launch(self, one: Learner, job: str, where: Mapping[str, str], *, energy: bool) -> None:
        handle, device = self._handle, self._handle.device
        wanted = contract.LocalStep(
            program=where[one.case.variant.sha256], inputs=where[one.inputs], labels=where[one.labels],
            learns=list(one.program.learns), batch=self._asked.batch, warmup=WARMUP, steps=self._steps,
            optimiser=self._asked.optimiser, learning_rate=self._asked.learning_rate,
            threads=one.case.suite.load.threads, meter=host_meter.for_job(device) if energy else None,
            energy_s=self._window_s if energy else 0.0,
        )  # fmt: skip
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(contract.plain(wanted), file)
            file.flush()
            handle.push(Path(file.name), posixpath.join(job, contract.STEP_FILE))
        with host_meter.recording(handle) as meter:
            if energy and host_meter.is_read_here(device):
                meter.begin()
            done = handle.run([*command(handle), job], timeout_s=_LAUNCH_S)
            meter.compare()
            if done.code > 128:
                raise self._killed(one, done.code - 128)
            said = dict(answer(handle, done, f"{one.name}: its steps were not made", model=one.name))
            events.steps(said, wanted, device=device.id)
            if energy:
                joined = meter.joined(_energy_pass(said.get("energy"), device.id))
                one.launches.energy = joined if isinstance(joined, contract.EnergyPass) else None
                return
        one.launches.apart.append(self._apart(one, job))
        one.launches.said.append(said)

    def _apart(self, one: Learner, job: str) -> float:
        """Return how far the weights on the device are from this host's; raises MeasurementError where that is too far.

        Args:
            one: the model.
            job: folder on the device.
        """
        file = self._folder / contract.WEIGHTS_FILE
        self._handle.pull(posixpath.join(job, contract.WEIGHTS_FILE), file)
        apart = one.program.apart(arrays.weights(file, one.program.end, device=self._handle.device.id))
        if not apart <= self._asked.tolerance:
            raise MeasurementError(
                f"{one.name}: after the same {WARMUP + self._steps} steps its weights are {apart:.2g} of their way "
                f"from those of this host, and the tolerance is {self._asked.tolerance:g}",
                remedy="look whether torch computes right there; with a smaller learning_rate or fewer steps under "
                "[local_step] rounding grows less",
                where=self._handle.device.id,
            )
        return apart

    def _killed(self, one: Learner, signal: int) -> MeasurementError:
        killed = health.killed_for_memory(self._handle, self._kills)
        self._kills = [(file, count + killed) for file, count in self._kills]
        said = "out of memory, the kernel killed it" if killed > 0 else f"it was killed by signal {signal}"
        text = f"{one.name}: {said} while it trained"
        return MeasurementError(text, remedy=SMALLER, where=self._handle.device.id)


def command(handle: DeviceHandle) -> list[str]:
    """Return the command line of the agent's `step`: under the device's Python with that Python's own packages."""
    return [*(word for word in handle.workspace.command if word != "-S"), "step"]


def answer(handle: DeviceHandle, done: Completed, meaning: str, *, model: str = "") -> Mapping[str, Any]:
    """Return what the command `step` answered.

    Args:
        handle: of the device.
        done: how the command ended.
        meaning: what it means if it did not end well.
        model: the file that was to learn.

    Raises:
        MissingTool: the device has no torch.
        MeasurementError: the training diverged, or there was no memory for it.
        DeviceError: there is no answer.
    """
    device = handle.device
    said = deploy.answer(done, device, meaning)
    kind, text = said.get("refused"), str(said.get("text", ""))
    if kind is None:
        return said
    if kind == "torch":
        python = next(word for word in handle.workspace.command if "python" in posixpath.basename(word))
        raise MissingTool(
            f"training needs torch and numpy among the packages of {python} itself ({text})",
            remedy=f"run `{python} -m pip install torch numpy` there, or name a Python that has them: "
            f'python = "/PATH/OF/python3" in {device.file.name}',
            device=device.id,
        )
    remedy = _REMEDIES.get(kind, "run it by hand on the device to see more")
    raise MeasurementError(f"{model}: {text}" if model else text, remedy=remedy, where=device.id)


def _energy_pass(said: Mapping[str, Any] | None, device: str) -> contract.EnergyPass:
    """Return the energy pass of an answer as the event that it would be in a job; raises Untrue."""
    whole = {
        "event": contract.EnergyPass.KIND,
        "t_ns": contract.CLOCK_NS,
        "model": 0,
        "turn": 0,
        "of": 1,
        **(said or {}),
    }
    found = events.parse(json.dumps(whole).encode(), device=device)
    assert isinstance(found, contract.EnergyPass)
    order.energy_pass(found, device)
    return found
