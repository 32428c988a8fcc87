"""A bench for real jobs of the agent on this machine: writes job directories, starts and follows them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from harness import deploy
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.model import Address, Device
from harness.ports import Workspace
from harness.runners import python
from tests import small_models as small

PLAN: dict[str, Any] = {
    "cold_starts": 1, "memory_starts": 1, "accuracy": True, "warmup_s": 0.05, "round_s": 0.02, "round_min": 5,
    "rounds": 3, "min_launches": 2, "max_launches": 2, "max_timed_s": 20, "pause_budget_s": 0.2, "energy_s": 0.1,
    "deadline_s": 60.0,
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """This machine with the agent and onnxruntime brought there, and small models to run."""

    handle: DeviceHandle
    runtime: str
    folder: Path

    @property
    def device(self) -> Device:
        """This machine, as a device."""
        return self.handle.device

    @property
    def place(self) -> Workspace:
        """The harness's place on it."""
        return self.handle.workspace

    def job(self, *models: str, hold: bool | str = "auto", **plan: Any) -> Path:
        """Write a job directory; it is not started."""
        job = Path(self.place.root) / "jobs" / uuid.uuid4().hex[:12]
        job.mkdir(parents=True)
        files = {name: str(self.folder / f"{name}.onnx") for name in models}
        runtime = {"runtime": "onnxruntime", "runtime_path": self.runtime}
        listed = [{"id": name, "path": path, **runtime} for name, path in files.items()]
        spec = {"path": str(self.folder / "images.npy"), "layout": "NCHW", "scale": 1 / 255, "mean": [0], "std": [1]}
        plan = {**PLAN, "hold": hold, **plan}
        what = {"schema": 1, "seed": 3, "models": listed, "threads": 1, "input": spec, "meter": None, "plan": plan}
        (job / "job.json").write_text(json.dumps(what))
        return job

    def start(self, job: Path) -> None:
        """Start a job; it runs by itself."""
        python.start(self.handle, str(job))

    def follow(self, job: Path, offset: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield a job's events from an offset on, each read as the contract has it, as JSON holds it."""
        for behind, event in python.follow(self.handle, str(job), offset=offset):
            yield behind, contract.plain(event)

    def run(self, job: Path) -> list[Mapping[str, Any]]:
        """Return the events of a job that has run to its end."""
        self.start(job)
        return [event for _, event in self.follow(job)]


def prepared(device_workdir: Path, folder: Path) -> Bench:
    """Bring agent and onnxruntime to `device_workdir`, and small models to `folder`."""
    for make in (small.good, small.slower, small.not_a_number):
        make(folder / f"{make.__name__}.onnx")
    np.save(folder / "images.npy", small.samples()[0])
    return bench_of("python", device_workdir, folder)


def bench_of(runner: str, workdir: Path, folder: Path) -> Bench:
    """Bring a runner and onnxruntime to this machine; the models and images are in `folder`."""
    device = Device("local", "workstation", Address("local"), workdir=str(workdir), runner=runner)
    handle = DeviceHandle(device)
    deploy.prepare(handle)
    return Bench(handle, deploy.runtime(handle, small.ONNXRUNTIME), folder)


def of(events: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [event for event in events if event["event"] == kind]


def wait_for(job: Path, word: bytes, *, within_s: float = 60) -> None:
    """Wait until the job has said `word`."""
    ends_at = time.monotonic() + within_s
    while not (job / "events.jsonl").exists() or word not in (job / "events.jsonl").read_bytes():
        assert time.monotonic() < ends_at, "the job did not get there"
        time.sleep(0.01)


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
