"""What the models of a group give on this host, before the device is asked: what its outputs are held against.

The host runs the very file with the same runtime, in a process of its own, as the local machine does as a device. It
yields to everything else (`nice`), since a device that is measured at this moment may be this very machine. What came
out is kept by the digests of model, images and code, so a campaign that changes nothing computes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import posixpath
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np

from harness import cache_dir, deploy, registry
from harness.agent import contract
from harness.deploy import DeviceHandle, files
from harness.errors import HarnessError
from harness.measure.fetching import fetched
from harness.measure.jobs import Group, Inputs, inputs_files, job, push_job
from harness.measure.space import written
from harness.model import Address, Device, Fit, Samples
from harness.ports.runners import Wanted
from harness.results import arrays
from harness.results.agreement import Outputs, Reference
from harness.results.job_log import JobLog
from harness.results.order import Order
from harness.units import counted

#: The host as a device. Its runtimes are those of `address = "local:"`.
HOST: Final = Device("this host", "workstation", Address("local"), file=Path("host.toml"))
#: A pass over the test split and nothing else.
ONLY_OUTPUTS: Final = contract.Plan(
    cold_starts=0, memory_starts=0, accuracy=True, min_launches=0, max_launches=0, deadline_s=1800.0
)
#: What decides how an image becomes an output, beside the runtime.
_CODE: Final = ("images.py", "worker.py")
_KEPT_S: Final = 30 * 86_400


class Library:
    """The references of one campaign; safe to ask from several threads, which take turns.

    Args:
        folder: where they are kept; in the user's cache by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_dir() / "reference"
        self._turn = threading.Lock()
        self._handle: DeviceHandle | None = None
        self._stopped = False
        self._refused: dict[str, str] = {}

    def stop(self) -> None:
        """End what is under way; those who wait for it get references that are absent."""
        self._stopped = True
        if self._handle is not None:
            self._handle.interrupt()

    def references(self, group: Group, samples: Samples, say: Callable[[str], None]) -> dict[str, Reference]:
        """Return model digest -> what the host says of the test split, for every model of a group that can be run.

        Args:
            group: whose models they are.
            samples: the test split.
            say: called with a line when something is computed.
        """
        if not deploy.runner(group.device).OUTPUTS:
            return {}
        with inputs_files(group, samples) as inputs, self._turn:
            keys = {
                case.variant.sha256: key_of(group.fit(case), case.variant.sha256, inputs.of[case.id], group.runtime)
                for case in group.cases
            }
            found = {sha: kept for sha, key in keys.items() if (kept := _kept(self._folder / f"{key}.npz")) is not None}
            if absent := [sha for sha in keys if sha not in found]:
                say(f"host reference of {counted(len(absent), 'model')} with {group.runtime}")
                found |= self._made(group, absent, inputs, samples)
                for sha in absent:
                    # Outputs on patients' images stay nowhere but in the store.
                    if found[sha].outputs is not None and not group.suite.confidential:
                        _keep(self._folder / f"{keys[sha]}.npz", found[sha])
        return found

    def _made(self, group: Group, wanted: Sequence[str], inputs: Inputs, samples: Samples) -> dict[str, Reference]:
        reason = "interrupted" if self._stopped else self._refused.get(group.runtime, "")
        if not reason:
            try:
                return self._run(group, wanted, inputs, samples)
            except HarnessError as error:
                reason = "interrupted" if self._stopped else str(error.reason)
                self._refused[group.runtime] = reason
        return {sha: Reference(absent=f"no reference on this host: {reason}") for sha in wanted}

    def _run(self, group: Group, wanted: Sequence[str], inputs: Inputs, samples: Samples) -> dict[str, Reference]:
        with DeviceHandle(replace(HOST, runtimes=(group.runtime,))) as handle:
            self._handle = handle
            if self._stopped:
                handle.interrupt()  # `stop` came while this one was being opened
            try:
                deploy.prepare(handle, Wanted((group.runtime,), (written(group, samples, handle.root),)))
                runtime = deploy.runtime(handle, group.runtime)
                where = {case.variant.sha256: str(case.variant.path.absolute()) for case in group.cases}
                where |= {digest: str(path) for digest, path in inputs.files.items()}
                whole = job(group, where, inputs, runtime, quick=False)
                models = [next(m for m in whole.models if m.path == where[sha]) for sha in wanted]
                what = replace(whole, models=models, accelerator="", threads=1, meter=None)
                answers = forward(handle, what, samples=len(samples.images), low_priority=True)
                return {sha: _reference(answers[i], group.runtime) for i, sha in enumerate(wanted)}
            finally:
                self._handle = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model gave for the split: its outputs, or the error that kept it from them; both None if nothing came."""

    outputs: Outputs | None = None
    accuracy: contract.Accuracy | None = None
    error: contract.Error | None = None

    @property
    def why_not(self) -> str:
        """Why there are no outputs."""
        return self.error.message if self.error else "it gave no answer"


def forward(
    handle: DeviceHandle,
    what: contract.Job,
    *,
    samples: int | None = None,
    low_priority: bool = False,
    folder: str = "",
) -> list[Answer]:
    """Run the accuracy pass of a job and nothing else, and return what every model gave.

    Args:
        handle: of the device, prepared.
        what: the job, whose plan is replaced.
        samples: how many images it has; None where nobody counted.
        low_priority: whether the job yields to whatever else the device does.
        folder: a job's folder on the device that its maker removes, whatever happens; "" for one of its own.

    Raises:
        MeasurementError: the device side died.
        DeviceError: the device could not be asked.
    """
    own = folder or new_folder(handle)
    runner = deploy.runner(handle.device)
    found: dict[int, Answer] = {}
    asked = replace(what, plan=ONLY_OUTPUTS)
    log = JobLog(order=Order(asked, samples, handle.device.id))
    try:
        files.touch(handle, own, [handle.workspace.folder])
        push_job(handle, asked, own)
        runner.start(handle, own, low_priority=low_priority)
        for _, event in runner.follow(handle, own, offset=0):
            log.add(event)
            if isinstance(event, contract.Accuracy) and log.failure(event.model) is None:
                with log.guarded(event.model, "arrays"):
                    log.arrays[f"m{event.model}.outputs.npy"] = fetched(handle, own, event.model, "outputs")
                    arrays.check_outputs(log, event.model, handle.device.id)
        for index in range(len(what.models)):
            if error := log.failure(index):
                found[index] = Answer(error=error)
            elif passed := log.of(contract.Accuracy, index):
                found[index] = Answer(log.array(index, "outputs"), passed[0])
        return [found.get(index, Answer()) for index in range(len(what.models))]
    finally:
        if not folder:
            end_job(handle.device, own)


def new_folder(handle: DeviceHandle) -> str:
    """Return the path on the device of a job of its own."""
    # Not among the jobs of the one who has leased this machine as a device, and ends what it finds there.
    return posixpath.join(handle.root, "jobs" if handle.beat else "reference", uuid.uuid4().hex[:12])


def end_job(device: Device, folder: str) -> None:
    """End and remove the job over a connection of its own: the job's may have been closed to interrupt it."""
    with DeviceHandle(device) as handle:
        if handle.run(["test", "-e", posixpath.join(folder, contract.PID_FILE)]).code == 0:
            deploy.runner(device).stop(handle, folder)
        files.remove(handle, [folder])


def _reference(answer: Answer, runtime: str) -> Reference:
    if answer.outputs is None or answer.accuracy is None:
        return Reference(absent=f"no reference on this host: {runtime} does not run this file here: {answer.why_not}")
    named = f"{runtime.replace('==', ' ')} on {platform.machine()}"
    return Reference(answer.outputs, named, answer.accuracy.quantised)


def key_of(fit: Fit, model: str, data: str, runtime: str) -> str:
    """Return the name under which a reference is kept: a digest of all that it depends on.

    Args:
        fit: how the model is fed and read.
        model: the digest of its file.
        data: the digest of the images.
        runtime: the requirement of what runs it.
    """
    agent = Path(str(resources.files("harness"))) / "agent"
    parts = {part: (agent / part).read_bytes() for part in _CODE}
    parts |= registry.sources("agent.runtimes", registry.runtime_name(runtime))
    code = {part: hashlib.sha256(content).hexdigest() for part, content in parts.items()}
    here = [*sys.version_info[:2], platform.machine(), runtime]
    whole = [
        model,
        data,
        asdict(fit.input),
        fit.quantization,
        fit.answer_quantization,
        fit.reading.output,
        fit.labels,
        dict(fit.constants),
        here,
        code,
    ]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


def _kept(path: Path) -> Reference | None:
    """Return a reference that was made before, None if there is none or its file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Reference(file["outputs"], str(file["runtime"]), bool(file["quantised"]))
        os.utime(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found


def _keep(path: Path, reference: Reference) -> None:
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.npz"):
        if old.stat().st_mtime < time.time() - _KEPT_S:
            old.unlink(missing_ok=True)
    assert reference.outputs is not None
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:
        np.savez(part, outputs=reference.outputs, runtime=reference.runtime, quantised=reference.quantised)
    Path(part.name).replace(path)
