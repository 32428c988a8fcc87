"""What models of known weights hold of the memory of a host of its own and of a phone, and what was swapped out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from devices.virtual import fleet
from devices.virtual.phone import Phone
from devices.virtual.requirements import give_up, require
from harness import deploy, lab
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.model import Device, Measurement
from harness.results import startup_and_memory
from harness.results.job_log import JobLog
from tests import small_models as small
from tests.devices.job_bench import PLAN

MB = 1_000_000
SMALL, LARGE = 8 * MB, 40 * MB
#: A job of the cold and the memory passes alone.
PASSES = {
    **PLAN, "cold_starts": 1, "evicted_starts": 1, "memory_starts": 3, "accuracy": False, "max_launches": 0
}  # fmt: skip


def weighing(path: Path, size: int) -> Path:
    """Write the good model with `size` bytes of weights more, and as many of activations in an inference."""
    nodes, weights = small.classifier("x", out="plain")
    weights["heavy"] = np.random.default_rng(3).normal(0, 1, size // 4).astype(np.float32)
    weights["nothing"] = np.zeros((), np.float32)
    nodes += [
        helper.make_node("ReduceMax", ["x"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["heavy", "brightest"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "nothing"], ["zero"]),
        helper.make_node("Add", ["plain", "zero"], ["logits"]),
    ]
    return small.save(path, nodes, [small.entrance_of()], weights)


Metrics = dict[str, Measurement]


def measured(folder: Path, device: Device) -> tuple[Metrics, Metrics]:
    """Return what the cold and the memory passes say of the light and of the heavy model on a device."""
    with DeviceHandle(device) as handle:
        deploy.prepare(handle)
        runtime = deploy.runtime(handle, small.ONNXRUNTIME)
        job = f"{handle.root}/jobs/weights"
        models = []
        handle.run(["mkdir", "-p", job])
        for name, size in (("light", SMALL), ("heavy", LARGE)):
            handle.push(weighing(folder / f"{name}.onnx", size), f"{job}/{name}.onnx")
            path = {"path": f"{job}/{name}.onnx", "runtime": "onnxruntime", "runtime_path": runtime}
            models.append({"id": name, **path})
        np.save(folder / "images.npy", small.samples()[0])
        handle.push(folder / "images.npy", f"{job}/images.npy")
        spec = {"path": f"{job}/images.npy", "layout": "NCHW", "scale": 1 / 255, "mean": [0], "std": [1]}
        what = {"schema": 1, "seed": 3, "models": models, "threads": 1, "input": spec, "meter": None, "plan": PASSES}
        (folder / "job.json").write_text(json.dumps(what))
        handle.push(folder / "job.json", f"{job}/job.json")
        runner = deploy.runner(device)
        runner.start(handle, job)
        log = JobLog(events=[event for _, event in runner.follow(handle, job, offset=0)])
    assert log.one(contract.Done).alive == [0, 1], log.all(contract.Error)
    return found(log, 0), found(log, 1)


def found(log: JobLog, model: int) -> Metrics:
    """Return the measurements that the host makes of a model's events."""
    cold, evicted = log.of(contract.Cold, model), log.of(contract.Evicted, model)
    assert startup_and_memory.cache(cold, evicted) == {"page_cache": "warm, evicted"}
    memory = startup_and_memory.memory(log.of(contract.Memory, model))
    return {one.metric: one for one in (*startup_and_memory.starts(cold, evicted), *memory)}


def median(found: Metrics, metric: str) -> float:
    return float(np.median(found[metric].values))


def check(found: tuple[Metrics, Metrics], name: str) -> None:
    """Hold the figures against what is known: 32 MB of weights more, and in an inference as much of activations."""
    known = (LARGE - SMALL) / MB
    more = {
        metric: (median(found[1], f"{metric}_bytes") - median(found[0], f"{metric}_bytes")) / MB
        for metric in ("load_growth", "inference_growth", "peak_pss", "peak_memory")
    }
    text = ", ".join(f"{metric} {value:+.1f} MB" for metric, value in more.items())
    print(f"\n{name}: {known:.0f} MB of weights and as much of activations more: {text}")
    assert more["load_growth"] == pytest.approx(known, rel=0.1)
    assert more["inference_growth"] == pytest.approx(known, rel=0.1)
    # Whole processes: what Python and numpy take before differs by up to ten MB from start to start.
    assert more["peak_pss"] == pytest.approx(2 * known, abs=12)
    assert more["peak_memory"] == pytest.approx(2 * known, abs=12)
    for one in found:
        assert one["peak_memory_bytes"].method == "VmHWM + VmSwap"
        assert one["peak_pss_bytes"].method == "Pss + SwapPss"
        assert one["load_evicted_s"].method.endswith(", 0 % of the model file in the page cache before")
        assert median(one, "load_s") > 0


def test_memory_on_a_host_of_its_own_is_that_of_the_weights_by_agent_and_native_runner_alike(tmp_path: Path) -> None:
    require(*fleet.NEEDS)
    found = {}
    with fleet.fleet(tmp_path / "hosts", ["h1"]) as (host,):
        for runner in ("python", "native"):
            device = replace(host.server.device(id="h1"), runner=runner)
            found[runner] = measured(tmp_path, device)
            check(found[runner], f"ssh host, {runner}")
    for metric in ("load_growth_bytes", "inference_growth_bytes"):
        ratio = median(found["native"][1], metric) / median(found["python"][1], metric)
        print(f"\n{metric}, native / agent over the same library: {ratio:.3f}")
        assert 0.9 < ratio < 1.1


def test_memory_on_a_phone_is_that_of_the_weights(android: Phone, tmp_path: Path) -> None:
    android.write_device(tmp_path, id="phone", runtimes=[small.ONNXRUNTIME])
    (device,) = lab.select(tmp_path, ["phone"])
    check(measured(tmp_path, device), "phone")


@contextmanager
def swap_file(path: Path) -> Iterator[None]:
    """Let the system swap to a file of 64 MB for a while; it uses it when asked to, or short of memory."""
    require("root", "package:util-linux=swapon")
    path.write_bytes(bytes(64 << 20))
    path.chmod(0o600)
    subprocess.run(["mkswap", str(path)], check=True, capture_output=True)
    done = subprocess.run(["swapon", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        give_up(f"this system does not swap to a file here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["swapoff", str(path)], check=True)


SWAPPED = """
import json, mmap, os
from harness.agent import memory
ballast = mmap.mmap(-1, 32_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
ballast.write(os.urandom(32_000_000))
before = memory.read()
ballast.madvise(21)  # MADV_PAGEOUT, since Linux 5.4
print(json.dumps([before, memory.read()]))
"""


def test_what_the_system_swaps_out_is_still_counted(tmp_path: Path) -> None:
    with swap_file(tmp_path / "swap"):
        done = subprocess.run([sys.executable, "-c", SWAPPED], capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    print(f"\nswapped out: {after['swap_bytes'] / MB:.1f} MB; resident before {before['rss_bytes'] / MB:.1f} MB, "
          f"after {after['rss_bytes'] / MB:.1f} MB")  # fmt: skip
    assert before["swap_bytes"] == 0
    assert after["swap_bytes"] > 25 * MB
    assert after["rss_bytes"] < before["rss_bytes"] - 25 * MB
    held = [one["rss_bytes"] + one["swap_bytes"] for one in (before, after)]
    assert held[1] == pytest.approx(held[0], abs=6 * MB)
    assert after["swap_pss_bytes"] == pytest.approx(after["swap_bytes"], abs=4 * MB)
