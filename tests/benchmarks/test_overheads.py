"""What measuring costs: ratios taken side by side in one run, and the host's memory. `make figures` prints them."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harness import lab, stats
from harness.agent import contract, images
from harness.agent.runtimes.onnxruntime import Session
from harness.agent.worker import timed
from harness.measure import reference
from harness.measure.grouping import groups
from harness.measure.jobs import load_samples
from harness.model import Estimate
from harness.store import Store
from tests import labs
from tests.benchmarks import bars

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "suites" / "models" / "resnet18.onnx"
ROUND_NS = 100_000_000


def bare_loop(call: Callable[[object], object], inputs: list[object]) -> array[int]:
    """Time `call` as anybody would write it down: the loop that the agent is held against."""
    samples, clock, end, turn = array("q"), time.perf_counter_ns, time.perf_counter_ns() + ROUND_NS, 0
    while clock() < end:
        start = clock()
        call(inputs[turn % len(inputs)])
        samples.append(clock() - start)
        turn += 1
    return samples


@bars.measured_again
def test_the_agents_median_is_that_of_a_bare_loop_over_the_same_session() -> None:
    session = Session(str(MODEL), 1)
    pixels = np.random.default_rng(1).integers(0, 255, (16, 64, 64, 1), dtype=np.uint8)
    x = images.prepare(pixels, contract.Input("", "NCHW", 1 / 255, [0.5], [0.25]))
    inputs = [session.bind(x[i : i + 1]) for i in range(len(x))]
    ways: dict[str, Callable[[], array[int]]] = {
        "agent": lambda: timed(session.call, inputs, 0, ROUND_NS, 5)[0],
        "bare": lambda: bare_loop(session.call, inputs),
    }
    logs: list[float] = []
    order = random.Random(7)
    # More rounds while the interval leaves a doubt: other work on the machine must not decide.
    while len(logs) < 60 or (len(logs) < 240 and not bars.decided(ratio_of(logs), 0.98, 1.02)):
        medians = {name: float(np.median(ways[name]())) for name in order.sample(list(ways), 2)}
        logs.append(math.log(medians["agent"] / medians["bare"]))
    ratio = ratio_of(logs)
    print(f"\nagent / bare loop, median of {len(logs)} paired rounds: {bars.said(ratio, 0.98, 1.02)}")
    assert bars.verdict(ratio, 0.98, 1.02) != "beyond"


def ratio_of(logs: list[float]) -> Estimate:
    """Return the median ratio with an interval that holds at every look."""
    low, high = np.exp(stats.median_sequence(np.array(logs)))
    return Estimate(math.exp(np.median(logs)), float(low), float(high), 0.95, "sequence of medians")


@dataclass(frozen=True, slots=True)
class Night:
    """The suite, measured once at its own durations by one pytest process: how many cases, and what they took."""

    cases: int
    wall_s: float
    peak_bytes: int
    jobs: tuple[dict[str, float], ...]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Measure the suite of this repository as `make bench` does; runtimes and data are there, as on any later night.

    The whole of it takes minutes: `make figures` sets EDGEWARD_TRIALS, else the cases of one runtime stand for it.
    """
    folder = tmp_path_factory.mktemp("night")
    cases = () if "EDGEWARD_TRIALS" in os.environ else ("-k", "not litert")
    brought()
    wall_s, peak_bytes = measured(folder, *cases)
    results = Store(f"sqlite:///{folder / 'results.sqlite'}")
    runs = results.runs(campaign=results.campaigns()[0].id)
    results.close()
    jobs = {run.case.runtime: run.notes["job_spent_s"] for run in runs}
    return Night(len(runs), wall_s, peak_bytes, tuple(jobs.values()))


def brought() -> None:
    """Bring what a later night finds: agent and runtimes on the device, and the host's own run of each model."""
    check = [sys.executable, "-c", "from harness.cli import main; main()", "check", "local"]
    # What it thinks of this machine is not asked here.
    subprocess.run(check, cwd=ROOT, capture_output=True, check=False)
    suite = lab.read_suite(ROOT / "suites" / "ultrasound.toml")
    for group in groups(lab.cases(suite, lab.select(ROOT, ["local"]))):
        reference.Library().references(group, load_samples(suite), print)


def measured(folder: Path, *options: str) -> tuple[float, int]:
    """Run the suite; return wall seconds and the peak memory of the pytest process, in bytes."""
    command = [sys.executable, "-m", "pytest", "suites/ultrasound.toml", "--device", "local", "-p", "no:cacheprovider"]
    command += ["--store", f"sqlite:///{folder / 'results.sqlite'}", "--report", str(folder / "html"), *options]
    started = time.monotonic()
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 1), (folder / "out.txt").read_text()[-3000:]
    return time.monotonic() - started, usage.ru_maxrss * 1024


def test_a_campaign_takes_little_more_than_its_inferences_and_the_waiting_that_is_mandated(night: Night) -> None:
    spent = {name: sum(job[name] for job in night.jobs) for name in night.jobs[0]}
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.items())
    ratio = night.wall_s / sum(spent.values())
    print(
        f"\n{night.cases} cases, campaign wall {night.wall_s:.1f} s / (inference and mandated waiting: {parts}): "
        f"{ratio:.2f} (bar: 1.3)"
    )
    assert ratio <= 1.3


def test_the_host_stays_small_while_it_measures_a_suite(night: Night) -> None:
    print(f"\npeak memory of the host process on {night.cases} cases: {night.peak_bytes / 1e6:.0f} MB (bar: 400 MB)")
    assert night.peak_bytes < 400e6


@bars.measured_again
def test_a_thousand_cases_are_collected_about_as_fast_as_pytest_starts(tmp_path: Path) -> None:
    lab = thousand_cases(tmp_path / "lab")
    empty = tmp_path / "empty"
    empty.mkdir(exist_ok=True)
    ours = [
        sys.executable,
        "-m",
        "pytest",
        "suites",
        "--device",
        "all",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    bare = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(3):
        for name, command, folder in (("ours", ours, lab), ("bare", bare, empty)):
            started = time.monotonic()
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            seconds[name].append(time.monotonic() - started)
            if name == "ours":
                assert "1000 tests collected" in done.stdout, done.stdout[-2000:]
    best = {name: min(values) for name, values in seconds.items()}
    print(f"\ncollecting 1,000 cases: {best['ours']:.2f} s (bar: 2 s); a bare pytest: {best['bare']:.2f} s")
    assert best["ours"] / best["bare"] < 10


def thousand_cases(lab: Path) -> Path:
    """Make a lab with 50 devices and 20 variants of one model."""
    for folder in ("devices", "suites"):
        (lab / folder).mkdir(parents=True, exist_ok=True)
    for number in range(50):
        (lab / "devices" / f"d{number}.toml").write_text(labs.device_toml(workdir=lab / "work"))
    for number in range(20):
        (lab / "suites" / f"m{number}.onnx").write_bytes(MODEL.read_bytes())
    np.savez(lab / "suites" / "data.npz", images=np.zeros((2, 64, 64), np.uint8), labels=np.array([0, 1]))
    variants = "".join(f'[[variant]]\nid = "v{n}"\nmodel = "m{n}.onnx"\n' for n in range(1, 20))
    (lab / "suites" / "many.toml").write_text(
        labs.suite_toml(title="Many", data=labs.npz(), positive="1", baseline="v0", model="m0.onnx", more=variants)
    )
    return lab
