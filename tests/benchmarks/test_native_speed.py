"""The native runner against the agent over the same version of a runtime, taking turns. `make figures` prints it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.model import Address, Device, Estimate
from tests import small_models as small
from tests import tflite_models
from tests.benchmarks import bars
from tests.devices.job_bench import Bench, bench_of

SUITE_MODEL = Path(__file__).parents[2] / "suites" / "models" / "resnet18.onnx"
#: Medians of one launch differ by some percent from those of the next, in either runner: many launches, few rounds.
#: A batch is enough where nothing else runs; elsewhere more follow, until the ratio's interval lies within its bar.
BATCH, BATCHES, ROUNDS = 12, 4, 4
#: Of the models of convolutions, whose tensors (128 kB) are to lie in a processor's own cache.
SIZE, FEATURES = 32, 32
#: Both runners go before what else this machine does, where they may, and neither before the other. `nice` would not
#: do: where sessions are grouped it counts within a session only.
FIRST = ("chrt", "--rr", "1") if subprocess.run(["sh", "-c", "chrt --rr 1 true 2>/dev/null"]).returncode == 0 else ()
#: Each with the layout of its model of convolutions.
RUNTIMES = pytest.mark.parametrize(
    ("requirement", "layout"), [(small.ONNXRUNTIME, "NCHW"), (small.LITERT, "NHWC")], ids=["onnxruntime", "litert"]
)


def convolutions(path: Path, *, size: int = SIZE, features: int = FEATURES, layers: int = 80) -> Path:
    """Write a model of some ten milliseconds, beside which what Python adds to a call (10 to 40 µs) is nothing."""
    rng = np.random.default_rng(1)
    weights = [rng.normal(0, 0.1, (features, features if i else 1, 3, 3)).astype(np.float32) for i in range(layers)]
    constants = [numpy_helper.from_array(value, f"w{i}") for i, value in enumerate(weights)]
    names = ["x", *(f"h{i}" for i in range(layers))]
    nodes = [helper.make_node("Conv", [names[i], f"w{i}"], [names[i + 1]], pads=[1, 1, 1, 1]) for i in range(layers)]
    nodes.append(helper.make_node("ReduceMean", [names[-1]], ["y"], axes=[2, 3], keepdims=0))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, size, size])
    seen = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, features])
    graph = helper.make_graph(nodes, "convolutions", [given], [seen], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def benches(device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Bench]]:
    """Return requirement of a runtime -> runner -> its bench."""
    folder = tmp_path_factory.mktemp("models")
    for file in (SUITE_MODEL, small.RESNET):
        shutil.copy(file, folder)
    images(folder, 64)
    found: dict[str, dict[str, Bench]] = {small.ONNXRUNTIME: {}, small.LITERT: {}}
    for runner in ("native", "python"):
        device = Device("local", "workstation", Address("local"), workdir=str(device_workdir), runner=runner)
        bench = bench_of(device, folder)
        bench.handle.workspace = replace(bench.handle.workspace, command=(*FIRST, *bench.handle.workspace.command))
        for requirement, runners in found.items():
            runners[runner] = bench.with_runtime(requirement)
    return found


@pytest.fixture(scope="module")
def of_convolutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a model of convolutions in both formats, and of its images."""
    folder = tmp_path_factory.mktemp("convolutions")
    convolutions(folder / "convolutions.onnx")
    tflite_models.convolutions(folder / "convolutions.tflite", size=SIZE, features=FEATURES, layers=80)
    return images(folder, SIZE)


def images(folder: Path, size: int) -> Path:
    """Write sixteen images of noise into a folder, and return it."""
    pixels = np.random.default_rng(2).integers(0, 256, (16, size, size, 1), dtype=np.uint8)
    np.save(folder / "images.npy", pixels)
    return folder


class Worker:
    """One worker process of a runner, loaded and warm; both kinds answer the same requests."""

    def __init__(self, bench: Bench, model: str) -> None:
        self._job = bench.job(model)
        command = [*bench.handle.workspace.command, "work", str(self._job), "0"]
        pipe = subprocess.PIPE
        with (self._job / "worker.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
        self._counts: list[int] = []
        assert "facts" in self._answer()
        for verb, fields in (("load", {}), ("first", {}), ("warm", {"max_s": 0.5})):
            self.ask(verb, **fields)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert "error" not in answer
        return answer

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": verb, **fields}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def round(self, duration_s: float = 0.15, minimum: int = 5) -> None:
        """Run one round and keep its samples."""
        self._counts.append(self.ask("round", duration_s=duration_s, minimum=minimum, keep=True)["count"])

    def medians(self) -> list[float]:
        """End the process and return the median of each round, in ns."""
        self.process.communicate('{"do": "quit"}\n', timeout=60)
        samples = np.fromfile(self._job / "m0.latency.raw", np.int64)
        return [float(np.median(part)) for part in np.split(samples, np.cumsum(self._counts)[:-1])]


def paired(benches: dict[str, Bench], model: str, *, low: float = 0.98, high: float = 1.02) -> dict[str, Any]:
    """Return each runner's undisturbed median of every launch, (L,) ns; they take turns, who goes first is chance.

    Args:
        benches: runner -> its bench.
        model: what the benches call it.
        low: launches end when the whole interval of the ratio is above this …
        high: … and below this.
    """
    order = random.Random(9)
    medians: dict[str, list[float]] = {runner: [] for runner in benches}
    for _ in range(BATCHES):
        for _ in range(BATCH):
            launch(benches, model, order, medians)
        found = {runner: np.array(values) for runner, values in medians.items()}
        if bars.verdict(ratio_of(found), low, high) == "within":
            break
    return found


def launch(benches: dict[str, Bench], model: str, order: random.Random, medians: dict[str, list[float]]) -> None:
    """Add to `medians`, for each runner, the lowest of one launch's round medians: the round that nothing disturbed."""
    workers = {runner: Worker(benches[runner], model) for runner in order.sample(list(benches), len(benches))}
    for _ in range(ROUNDS):
        for runner in order.sample(list(workers), len(workers)):
            workers[runner].round()
    for runner, worker in workers.items():
        medians[runner].append(min(worker.medians()))


def ratio_of(medians: dict[str, Any]) -> Estimate:
    """Return the ratio of native to agent in the quickest launches."""
    return bars.ratio_of_quickest(medians["native"], medians["python"])


@RUNTIMES
@bars.measured_again
def test_the_native_runners_median_is_the_agents_over_the_same_library(
    benches: dict[str, dict[str, Bench]], of_convolutions: Path, requirement: str, layout: str
) -> None:
    these = {
        name: replace(bench, layout=layout, folder=of_convolutions) for name, bench in benches[requirement].items()
    }
    medians = paired(these, "convolutions")
    ratio = ratio_of(medians)
    size_ms, launches = float(np.median(medians["python"])) / 1e6, len(medians["python"])
    median = float(np.median(medians["native"] / medians["python"]))
    said = f"{requirement}, {size_ms:.1f} ms model, {launches} launches: {bars.said(ratio, 0.98, 1.02)}"
    print(f"\nnative / agent, {said}; median of all launches {median:.3f}")
    assert bars.verdict(ratio, 0.98, 1.02) != "beyond"


@RUNTIMES
@bars.measured_again
def test_what_python_adds_to_a_call_is_little(
    benches: dict[str, dict[str, Bench]], requirement: str, layout: str
) -> None:
    del layout  # the suite's model is NCHW in both formats
    medians = paired(benches[requirement], "resnet18", low=0.9)
    added_us = float(medians["python"].min() - medians["native"].min()) / 1e3
    ratio = ratio_of(medians)
    said = f"{requirement}: {added_us:.1f} µs, native / agent {bars.said(ratio, 0.9, 1.02)}"
    print(f"\nagent - native on the suite's ResNet18, {said}")
    assert bars.verdict(ratio, 0.9, 1.02) != "beyond"
