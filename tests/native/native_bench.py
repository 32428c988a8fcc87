"""The native runner and the agent on this machine, side by side: one body of a test runs the same job on both."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.virtual.requirements import require
from harness.deploy import DeviceHandle
from harness.model import Address, Device
from harness.native import build
from tests import small_models as small
from tests import small_tflite
from tests.devices import job_bench
from tests.devices.job_bench import Bench

#: A job that only takes outputs: no timing.
OUTPUTS_ONLY: dict[str, Any] = {"cold_starts": 1, "memory_starts": 0, "max_launches": 0}


def checked_program(factory: pytest.TempPathFactory) -> Path:
    """Return the runner compiled with checks for wrong accesses, leaks and undefined results, once for all tests.

    Its energy pass takes windows of one second with ten updates, and under a sustained load it gives a sign of life
    ten times a second, for there is not half a minute to spare.
    """
    require("package:gcc")
    program = factory.getbasetemp() / "checked-native" / build.PROGRAM
    if not program.exists():
        program.parent.mkdir()
        checks = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        brief = {"MIN_WINDOW_S": 1.0, "MIN_UPDATES": 10, "SIGN_OF_LIFE_S": 0.1}
        build.compile_program(["gcc", *build.FLAGS, *checks], program, changes=brief)
    return program


def checked_bench(bench: Bench, factory: pytest.TempPathFactory) -> Bench:
    """Return the bench of a native runner with its program replaced by the checked one."""
    # libonnxruntime keeps what it allocates once to the end of the process.
    command = ("env", "ASAN_OPTIONS=detect_leaks=0", str(checked_program(factory)))
    handle = DeviceHandle(bench.handle.device)
    handle.workspace = dataclasses.replace(bench.handle.workspace, command=command)
    return dataclasses.replace(bench, handle=handle)


def small_folder(made: Path) -> Path:
    """Write the small models in both formats, and the images."""
    for make in (small.good, small.slower, small.not_a_number):
        make(made / f"{make.__name__}.onnx")
    for make in (small_tflite.good, small_tflite.truncated):
        make(made / f"{make.__name__}.tflite")
    np.save(made / "images.npy", small.samples()[0])
    return made


def bench_of(runner: str, workdir: Path, folder: Path) -> Bench:
    """Bring a runner and onnxruntime to this machine."""
    device = Device("local", "workstation", Address("local"), workdir=str(workdir), runner=runner)
    return job_bench.bench_of(device, folder)


def change_job(job: Path, **changes: Any) -> Path:
    """Change top-level keys of a job that is not started yet; `input` is merged."""
    what = json.loads((job / "job.json").read_text())
    what["input"] |= changes.pop("input", {})
    (job / "job.json").write_text(json.dumps(what | changes))
    return job


def outputs_of(bench: Bench, models: Mapping[str, Path], **changes: Any) -> tuple[list[Any], list[Mapping[str, Any]]]:
    """Run a job for its outputs alone; return one array a model, None for one that failed, and the events."""
    job = bench.job(*models, **OUTPUTS_ONLY)
    what = json.loads((job / "job.json").read_text())
    for model in what["models"]:
        model["path"] = str(models[model["id"]])
    (job / "job.json").write_text(json.dumps(what))
    events = bench.run(change_job(job, **changes))
    assert events[-1]["event"] == "done"
    files = [job / f"m{index}.outputs.npy" for index in range(len(models))]
    return [np.load(file) if file.exists() else None for file in files], events


def assert_same_bits(left: Any, right: Any) -> None:
    assert (left.dtype, left.shape) == (right.dtype, right.shape) == (np.float32, right.shape)
    assert left.tobytes() == right.tobytes()


def shape_of(value: Any) -> Any:
    """Return the keys of an event and the kinds of its values, so that two runners can be compared.

    A field that is None is the same as one that is left out.
    """
    if isinstance(value, Mapping):
        return {key: shape_of(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [shape_of(item) for item in value[:1]]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
