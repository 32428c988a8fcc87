"""The agent's figures beside those of the field's own instruments, taking turns. `make figures` prints them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.virtual.requirements import give_up
from harness import deploy, stats
from harness.agent.worker import timed
from harness.deploy import DeviceHandle
from harness.model import Address, Device, Estimate
from tests import small_models as small
from tests import tflite_models
from tests.benchmarks import bars
from tests.benchmarks.test_native_speed import FEATURES, FIRST, SIZE, SUITE_MODEL, Worker, convolutions, images
from tests.devices.job_bench import Bench

ROOT = Path(__file__).parents[2]
#: Launches of each instrument before the first look, the fewest that have an interval, and at the latest: more follow
#: while a doubt is left. A launch takes two seconds, a trial of the other figures some hundredths.
LAUNCHES = max(6, int(os.environ.get("EDGEWARD_TRIALS", "0")) // 10)
MOST = LAUNCHES + 42
#: Of the suite's ResNet18, which is shown for information: only where figures are asked for, for nothing hangs on it.
FEW = 6
SHOWN = "EDGEWARD_TRIALS" in os.environ
#: Convolutions of the models: some five milliseconds, beside which what Python adds to a call (10 to 40 µs) is little.
LAYERS = 40
#: Rounds of a launch, short ones so that both instruments meet the same moments, and inferences of each.
ROUNDS, INFERENCES = 10, 11
LOW, HIGH = 0.98, 1.02
#: Inferences of one start of litert-benchmark and before them, and how long it or the agent runs at a stretch.
RUNS, WARM_UP, TURN_S = 100, 10, 0.05


@dataclass(frozen=True)
class OfModel(Bench):
    """A bench for one model, whatever its file is called."""

    model: str = ""

    def job(self, *models: str, hold: bool | str = "auto", **plan: Any) -> Path:
        """Write a job directory for the bench's own model; it is not started."""
        job = super().job(*models, hold=hold, **plan)
        what = json.loads((job / "job.json").read_text())
        what["models"] = [{"id": "m", "path": self.model, "runtime": self.kind, "runtime_path": self.runtime}]
        (job / "job.json").write_text(json.dumps(what))
        return job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder with two models of some five milliseconds and with the images."""
    made = tmp_path_factory.mktemp("models")
    convolutions(made / "convolutions.onnx", layers=LAYERS)
    tflite_models.convolutions(made / "convolutions.tflite", size=SIZE, features=FEATURES, layers=LAYERS)
    return images(made, SIZE)


def bench_of(requirement: str, model: Path, workdir: Path, folder: Path, **kind: str) -> OfModel:
    """Bring the agent and a runtime to this machine."""
    device = Device("local", "workstation", Address("local"), workdir=str(workdir))
    handle = DeviceHandle(device)
    deploy.prepare(handle)
    runtime = deploy.runtime(handle, requirement)
    handle.workspace = replace(handle.workspace, command=(*FIRST, *handle.workspace.command))
    return OfModel(handle, runtime, folder, model=str(model), **kind)


class LoadGen:
    """LoadGen's SingleStream in a process of its own over a session of the runtime that the agent uses."""

    def __init__(self, bench: OfModel, folder: Path) -> None:
        command = [*FIRST, sys.executable, "-m", "tests.loadgen", bench.model, bench.runtime]
        command += [str(bench.folder / "images.npy"), str(folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"
        self._medians: list[float] = []
        for _ in range(5):
            self.round()
        self._medians.clear()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def round(self) -> None:
        """Let LoadGen run one test and keep its median."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{INFERENCES}\n")
        self._process.stdin.flush()
        self._medians.append(float(self._line()))

    def medians(self) -> list[float]:
        """End the process and return the median of each round, in ns, as LoadGen tells it."""
        self._process.communicate(timeout=60)
        return self._medians


def beside_loadgen(bench: OfModel, folder: Path, order: random.Random) -> tuple[float, float]:
    """Return what one launch of agent and of LoadGen says, ns: the lower quartile of its rounds' medians."""
    makers: dict[str, Callable[[], Any]] = {
        "agent": lambda: Worker(bench, ""), "loadgen": lambda: LoadGen(bench, folder)
    }  # fmt: skip
    instruments = {name: makers[name]() for name in order.sample(list(makers), 2)}
    for _ in range(ROUNDS):
        for name in order.sample(list(instruments), 2):
            instruments[name].round(*((0, INFERENCES) if name == "agent" else ()))
    found = {name: float(np.quantile(one.medians(), 0.25)) for name, one in instruments.items()}
    return found["agent"], found["loadgen"]


class Tool:
    """litert-benchmark, started and stopped before the first inference that it times."""

    def __init__(self, bench: OfModel) -> None:
        command = [*FIRST, sys.executable, "-S", "-m", "ai_edge_litert.tools.benchmark_litert_model"]
        command += [f"--model={bench.model}", "--num_threads=1", f"--num_runs={RUNS}", f"--warmup_runs={WARM_UP}"]
        environment = {**os.environ, "PYTHONPATH": bench.runtime}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if f"Running {RUNS} benchmark iterations" in line:
                break
        else:
            raise AssertionError("".join(said))
        self.process.send_signal(signal.SIGSTOP)

    def median(self) -> float:
        """Wait for its end and return the median that it tells, in ns."""
        said, _ = self.process.communicate(timeout=60)
        found = re.search(r"^Inference \(median\):\s+([\d.]+) ms$", said, re.M)
        assert found is not None, said
        return float(found[1]) * 1e6


def beside_the_tool(bench: OfModel, order: random.Random) -> tuple[float, float]:
    """Return the median of the agent and of litert-benchmark, ns: as many inferences of a fresh process each.

    The tool does all its inferences in one go, so that the running one is stopped after a while and the other goes on:
    both meet the same moments, and both have the few inferences that a stop made long.
    """
    makers: dict[str, Callable[[], Any]] = {"agent": lambda: Worker(bench, ""), "tool": lambda: Tool(bench)}
    found = {name: makers[name]() for name in order.sample(list(makers), 2)}
    agent, tool = found["agent"], found["tool"]
    agent.process.send_signal(signal.SIGSTOP)
    asked = threading.Thread(target=agent.round, args=(0, RUNS))
    asked.start()
    while asked.is_alive() and tool.process.poll() is None:
        for one in order.sample([agent, tool], 2):
            one.process.send_signal(signal.SIGCONT)
            time.sleep(TURN_S)  # its turn: the length of it is what both are given alike
            one.process.send_signal(signal.SIGSTOP)
    for one in (agent, tool):
        one.process.send_signal(signal.SIGCONT)
    asked.join()
    return agent.medians()[0], tool.median()


def compared(launch: Callable[[], tuple[float, float]], least: int, most: int) -> tuple[Estimate, int, float]:
    """Return the median ratio over launches with its interval, how many, and the other's median in ms.

    Launches are added until the interval lies within the bar or beyond it, at most `most`.
    """
    pairs: list[tuple[float, float]] = []
    estimate: Estimate | None = None
    while len(pairs) < most:
        pairs.append(launch())
        if len(pairs) < least:
            continue
        estimate = stats.quantile_interval(np.array([ours / theirs for ours, theirs in pairs]), 0.5)
        assert estimate is not None
        if bars.decided(estimate, LOW, HIGH):
            break
    assert estimate is not None
    return estimate, len(pairs), statistics.median(theirs for _, theirs in pairs) / 1e6


def said(names: str, model: str, found: tuple[Estimate, int, float], note: str = "") -> str:
    estimate, launches, size_ms = found
    return f"\n{names}, {model} ({size_ms:.2f} ms), {launches} launches: {bars.said(estimate, LOW, HIGH)}{note}"


@bars.measured_again
def test_the_agents_median_is_that_of_mlperf_loadgen_over_the_same_runtime(
    device_workdir: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        import mlperf_loadgen
    except ImportError:
        give_up("this Python lacks mlcommons-loadgen, which has no wheel for every platform")
    assert mlperf_loadgen
    order, names = random.Random(5), "agent / LoadGen SingleStream"
    model = bench_of(small.ONNXRUNTIME, folder / "convolutions.onnx", device_workdir, folder)
    found = compared(lambda: beside_loadgen(model, tmp_path, order), LAUNCHES, MOST)
    with capsys.disabled():
        print(said(names, f"{LAYERS} convolutions", found))
        if SHOWN:
            suites = bench_of(small.ONNXRUNTIME, SUITE_MODEL, device_workdir, images(tmp_path, 64))
            shown = compared(lambda: beside_loadgen(suites, tmp_path, order), FEW, FEW)
            print(said(names, "the suite's ResNet18", shown, "; for information"))
    assert bars.verdict(found[0], LOW, HIGH) != "beyond"


@bars.measured_again
def test_the_agents_median_is_that_of_litert_benchmark_over_the_same_runtime(
    device_workdir: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order, names = random.Random(6), "agent / litert-benchmark"
    path = folder / "convolutions.tflite"
    model = bench_of(small.LITERT, path, device_workdir, folder, kind="litert", layout="NHWC")
    found = compared(lambda: beside_the_tool(model, order), LAUNCHES, MOST)
    with capsys.disabled():
        print(said(names, f"{LAYERS} convolutions", found))
        if SHOWN:
            suites = bench_of(small.LITERT, small.RESNET, device_workdir, images(tmp_path, 64), kind="litert")
            shown = compared(lambda: beside_the_tool(suites, order), FEW, FEW)
            print(said(names, "the suite's ResNet18", shown, "; for information, the tool tells 10 µs steps"))
    assert bars.verdict(found[0], LOW, HIGH) != "beyond"


def untimed(call: Callable[[Any], Any], inputs: list[Any], duration_ns: int) -> int:
    """Call as the agent's loop does, without taking samples; return how often."""
    clock, size, turn = time.monotonic_ns, len(inputs), 0
    end = clock() + duration_ns
    while True:
        for _ in range(100):
            x = inputs[turn % size]
            call(x)
            turn += 1
        if clock() >= end:
            return turn


def readings(duration_ns: int) -> int:
    """Read the clock in a loop; return how often."""
    clock = time.monotonic_ns
    end, count = clock() + duration_ns, 1
    while clock() < end:
        count += 1
    return count


@bars.measured_again
def test_taking_a_sample_costs_less_than_a_microsecond(capsys: pytest.CaptureFixture[str]) -> None:
    block_ns, inputs = 1_000_000, [None] * 16

    def nothing(_: None) -> None:
        return None

    ways: dict[str, Callable[[], int]] = {
        "sampled": lambda: len(timed(nothing, inputs, 0, block_ns, 5)[0]),
        "bare": lambda: untimed(nothing, inputs, block_ns),
        "clock": lambda: readings(block_ns),
    }
    # Each loop at its least disturbed: how often it goes round in a millisecond in the best of many.
    most = dict.fromkeys(ways, 0)
    order = random.Random(8)
    for _ in range(200):
        for name in order.sample(list(ways), len(ways)):
            most[name] = max(most[name], ways[name]())
    cost_ns = block_ns / most["sampled"] - block_ns / most["bare"]
    reading_ns = block_ns / most["clock"]
    inside_ns = min(statistics.median(timed(nothing, inputs, 0, block_ns, 5)[0]) for _ in range(100))
    with capsys.disabled():
        print(f"\none sample costs {cost_ns:.0f} ns (bar: 1000 ns): {cost_ns / reading_ns:.1f} readings of the clock")
        print(f"a call that does nothing is seen as {inside_ns:.0f} ns: what any latency holds too much at the most")
    # Two readings, two subtractions and comparisons, an append: counted in readings, which any machine gives.
    assert cost_ns < 6 * reading_ns
    assert inside_ns < cost_ns
