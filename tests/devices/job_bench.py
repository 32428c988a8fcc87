"""A bench for real jobs of the agent on this machine: writes job directories, starts and follows them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from devices.virtual.waiting import soon
from harness import deploy, registry
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.model import Address, Device
from harness.results import arrays
from harness.results.job_log import JobLog
from harness.results.order import Order
from tests import small_models as small

PLAN: dict[str, Any] = {
    "cold_starts": 1, "memory_starts": 1, "accuracy": True, "warmup_s": 0.05, "round_s": 0.02, "round_min": 5,
    "rounds": 3, "min_launches": 2, "max_launches": 2, "max_timed_s": 20, "pause_budget_s": 0.2, "energy_s": 0.1,
    "deadline_s": 60.0,
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """This machine with a device side and a runtime brought there, and small models to run.

    Attributes:
        runtime: its folder.
        folder: of models and images.
        kind: the runtime's name.
        layout: of the models' input.
    """

    handle: DeviceHandle
    runtime: str
    folder: Path
    kind: str = "onnxruntime"
    layout: str = "NCHW"

    @property
    def ending(self) -> str:
        """The suffix of the files that the runtime takes."""
        return "onnx" if self.kind == "onnxruntime" else "tflite"

    def with_runtime(self, requirement: str) -> Bench:
        """Return the same device side with another runtime."""
        kind = registry.runtime_name(requirement)
        return replace(self, runtime=deploy.runtime(self.handle, requirement), kind=kind)

    def job(self, *models: str, hold: bool | str = "auto", **plan: Any) -> Path:
        """Write a job directory; it is not started."""
        job = Path(self.handle.root) / "jobs" / uuid.uuid4().hex[:12]
        job.mkdir(parents=True)
        files = {name: str(self.folder / f"{name}.{self.ending}") for name in models}
        runtime = {"runtime": self.kind, "runtime_path": self.runtime}
        listed = [{"id": name, "path": path, **runtime} for name, path in files.items()]
        spec = {
            "path": str(self.folder / "images.npy"),
            "layout": self.layout,
            "scale": 1 / 255,
            "mean": [0],
            "std": [1],
        }
        plan = {**PLAN, "hold": hold, **plan}
        what = {"schema": 1, "seed": 3, "models": listed, "threads": 1, "input": spec, "meter": None, "plan": plan}
        (job / "job.json").write_text(json.dumps(what))
        return job

    def start(self, job: Path) -> None:
        """Start a job; it runs by itself."""
        deploy.runner(self.handle.device).start(self.handle, str(job))

    def follow(self, job: Path, offset: int = 0) -> Generator[tuple[int, Mapping[str, Any]], None, None]:
        """Yield a job's events from an offset on, as JSON holds them; each was read into its type."""
        for behind, event in deploy.runner(self.handle.device).follow(self.handle, str(job), offset=offset):
            yield behind, contract.plain(event)

    def stop(self, job: Path) -> None:
        """End a job."""
        deploy.runner(self.handle.device).stop(self.handle, str(job))

    def run(self, job: Path) -> list[Mapping[str, Any]]:
        """Return the events of a job that has run to its end; what it said and left is accepted by this host."""
        self.start(job)
        follow = deploy.runner(self.handle.device).follow
        said = [event for _, event in follow(self.handle, str(job), offset=0)]
        accept(job, said)
        return [contract.plain(event) for event in said]


def accept(job: Path, said: Sequence[contract.Event]) -> JobLog:
    """Hold the events and arrays of a job that ended against what it was asked for, as a campaign does.

    Args:
        job: its folder.
        said: its events.
    """
    asked = contract.job(json.loads((job / contract.JOB_FILE).read_text()))
    log = JobLog(order=Order(asked, len(np.load(asked.input.path, mmap_mode="r")), "here"))
    for event in said:
        assert log.add(event) == [event], "an honest event is refused"
    for index in range(len(asked.models)):
        if log.failure(index) is None:
            for name in contract.ARRAYS:
                if (file := job / f"m{index}.{name}.npy").exists():
                    log.arrays[file.name] = arrays.read(file, name, device="here")
            # One that was decided before the first launch has none.
            if len(log.arrays.get(f"m{index}.rounds.npy", "one")):
                arrays.check(log, index, "here")
    return log


def prepared(device_workdir: Path, folder: Path) -> Bench:
    """Bring agent and onnxruntime to `device_workdir`, and small models to `folder`."""
    for make in (small.good, small.slower, small.not_a_number):
        make(folder / f"{make.__name__}.onnx")
    np.save(folder / "images.npy", small.samples()[0])
    device = Device("local", "workstation", Address("local"), workdir=str(device_workdir))
    return bench_of(device, folder)


def bench_of(device: Device, folder: Path) -> Bench:
    """Bring a device's runner and onnxruntime there; `folder` holds models and images."""
    handle = DeviceHandle(device)
    deploy.prepare(handle)
    return Bench(handle, deploy.runtime(handle, small.ONNXRUNTIME), folder)


def of(events: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [event for event in events if event["event"] == kind]


def wait_for(job: Path, word: bytes, *, within_s: float = 60) -> None:
    """Wait until the job has said `word`."""
    events = job / "events.jsonl"
    assert soon(lambda: events.exists() and word in events.read_bytes(), within_s=within_s), "the job did not get there"


def conductor(job: Path) -> psutil.Process:
    return psutil.Process(int((job / "pid").read_text()))


def processes_of(job: Path, verb: str) -> list[psutil.Process]:
    """Return the living processes of the agent that do `verb` for a job."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if verb in words and str(job) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
