"""The whole product on every kind of device at once: one suite, one campaign, one report."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from devices.virtual import keeper
from devices.virtual.requirements import require
from harness.model import Run
from harness.store import Store

HERE = Path(__file__).parents[2]
#: Every virtual device and what its processor calls itself.
KINDS = {
    "h1": "x86_64",
    "h2": "x86_64",
    "far": "x86_64",
    "unit": "x86_64",
    "phone": "x86_64",
    "asking": "x86_64",
    "vm": "aarch64",
    "armhf": "armv7l",
}
#: Those whose job is done by the C program: without Python, or with a processor that takes its time to start it.
NATIVE = {"unit", "phone", "asking", "vm"}
VARIANTS = ("smallnet-fp32", "smallnet-int8")
TFLITE, ONNX, LITERT = "tflite-runtime==2.14.0", "onnxruntime==1.31.1", "ai-edge-litert==2.3.0"
#: What each of them runs models with, if not with onnxruntime alone.
RUNTIMES = {"armhf": (TFLITE,), "vm": (ONNX, LITERT)}
CASES = [
    (device, runtime, variant) for device in KINDS for runtime in RUNTIMES.get(device, (ONNX,)) for variant in VARIANTS
]

pytestmark = pytest.mark.slow_device


@dataclass(frozen=True)
class Night:
    """What one campaign on all of them gave: its words, its runs by device, runtime and variant, and its report."""

    code: int
    said: str
    runs: dict[tuple[str, str, str], Run]
    campaigns: int
    report: str


@pytest.fixture(scope="module")
def night(adb_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    assert os.environ["ANDROID_ADB_SERVER_PORT"] == str(adb_port)
    require(*{need for needs in keeper.NEEDS.values() for need in needs})
    lab = tmp_path_factory.mktemp("night") / "lab"
    for part in ("devices/virtual", "suites"):
        left = shutil.ignore_patterns(".state", "*.toml", "__pycache__") if part.startswith("devices") else None
        shutil.copytree(HERE / part, lab / part, ignore=left)
    try:
        command("lab", "up", lab=lab)
        command("lab", "allow", "asking", lab=lab)
        words = ["suites/smoke.toml", "--device", "tag:virtual", "--quick", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words], cwd=lab, capture_output=True, text=True, check=False
        )
        yield gathered(lab, done)
    finally:
        command("lab", "down", lab=lab)


def command(*words: str, lab: Path) -> None:
    wanted = [sys.executable, "-c", "from harness.cli import main; main()", *words]
    done = subprocess.run(wanted, cwd=lab, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def gathered(lab: Path, done: subprocess.CompletedProcess[str]) -> Night:
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    runs = {(run.case.device, run.case.runtime, run.case.variant): run for run in store.runs()}
    campaigns = len(store.campaigns())
    store.close()
    pages = [page.read_text() for page in (lab / "reports" / "html").glob("2*.html")]
    assert len(pages) == 1, done.stdout
    return Night(done.returncode, done.stdout, runs, campaigns, pages[0])


def test_one_campaign_has_a_run_of_every_variant_on_every_kind_and_no_error(night: Night) -> None:
    assert night.code == 0, night.said
    assert f"{len(CASES)} passed" in night.said
    assert set(night.runs) == set(CASES)
    assert night.campaigns == 1
    assert all(run.validity.value in ("valid", "degraded") for run in night.runs.values())
    assert set(keeper.DEVICES) == set(KINDS), "a new kind of device belongs into this campaign"


def test_each_run_names_its_own_processor_runner_and_runtime(night: Night) -> None:
    for (device, runtime, _), run in night.runs.items():
        found = run.fingerprint
        assert found["architecture"] == KINDS[device]
        assert found["runner"] == ("native" if device in NATIVE else "python")
        assert f"{found['runtime']}=={found['runtime_version']}" == runtime
    assert night.runs["armhf", TFLITE, "smallnet-fp32"].fingerprint["numpy"] == "1.24.2 (the device's own)"


@pytest.mark.parametrize("variant", VARIANTS)
def test_devices_with_one_processor_and_runtime_give_the_same_outputs_bit_for_bit(night: Night, variant: str) -> None:
    outputs = {device: night.runs[device, ONNX, variant].outputs for device, abi in KINDS.items() if abi == "x86_64"}
    for device, found in outputs.items():
        np.testing.assert_array_equal(found, outputs["h1"], err_msg=device)


def cut_off_here() -> bool:
    """Return whether this processor cuts sums of 8-bit products off, as x86 without VNNI does in onnxruntime."""
    return platform.machine() == "x86_64" and "vnni" not in Path("/proc/cpuinfo").read_text()


def apart(one: Run, other: Run) -> float:
    """Return the share of images that two runs call different classes."""
    assert one.outputs is not None
    assert other.outputs is not None
    return float(np.mean(one.outputs.argmax(axis=1) != other.outputs.argmax(axis=1)))


@pytest.mark.parametrize(("device", "runtime"), [("vm", ONNX), ("vm", LITERT), ("armhf", TFLITE)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_another_processor_predicts_what_this_host_does_with_the_same_file(
    night: Night, device: str, runtime: str, variant: str
) -> None:
    """`notes["reference"]` is the same file and runtime on this host; the emulated arithmetic rounds otherwise."""
    run, host = night.runs[device, runtime, variant], night.runs["h1", ONNX, variant]
    reference = run.notes["reference"]
    assert reference["samples"] == len(run.labels if run.labels is not None else ()) == 48
    assert run.outputs is not None
    if runtime == ONNX and reference["quantised"] and cut_off_here():
        # The device is right, and this host is not: the device must be nearer to the float model than the host is.
        floats = night.runs[device, runtime, "smallnet-fp32"], night.runs["h1", ONNX, "smallnet-fp32"]
        assert apart(run, floats[0]) <= apart(host, floats[1])
        return
    assert reference["labels_differ"] == 0
    # A kernel of integers may round to the neighbouring step of the outputs; floats have none.
    step = np.diff(np.unique(run.outputs)).min() if reference["quantised"] else 0
    assert reference["max_difference"] <= max(1.01 * step, 0.001 * reference["spread"])
    # Two runtimes quantise in two ways, so only the float model must be worth the same in both.
    if runtime == ONNX or variant == "smallnet-fp32":
        assert host.outputs is not None
        np.testing.assert_allclose(run.outputs, host.outputs, atol=0.02 * reference["spread"])
        assert run.accuracy["accuracy"].point == host.accuracy["accuracy"].point


def test_the_one_report_shows_every_device(night: Night) -> None:
    for device in KINDS:
        assert f">{device}<" in night.report or f"{device}</" in night.report, device
    assert night.said.splitlines()[-1].startswith("report: ")
