"""The vendor's own tool behind an adapter: driven for real, its output read, and what it cannot give said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harness import deploy, lab
from harness.deploy import DeviceHandle
from harness.errors import DeviceError, LabError, MissingTool, Unsupported
from harness.lab.devices import read_device
from harness.measure.campaign import CampaignRunner, Settings
from harness.model import Address, Device, Run, Validity
from harness.page.publish import publish
from harness.runners import benchmark_model
from harness.runners.benchmark_model import _job
from harness.store import Store
from tests import small_models as small

#: What benchmark_model of TensorFlow 2.17 prints, shortened.
IN_CPP = """\
INFO: Initialized session in 12.75ms.
INFO: count=37 first=14744 curr=15520 min=13164 max=18295 avg=13764.3 std=967
INFO: count=74 first=14850 curr=13315 min=13105 max=15765 avg=13520.2 std=470
INFO: Inference timings in us: Init: 12750, First inference: 14744, Warmup (avg): 13764.3, Inference (avg): 1.35202e+04
"""


@pytest.fixture(scope="module")
def tool(device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give `litert-benchmark` as the wheel holds it, started as its own start script would."""
    device = Device("local", "workstation", Address("local"), workdir=str(device_workdir))
    with DeviceHandle(device) as handle:
        deploy.prepare(handle)
        folder = deploy.runtime(handle, small.LITERT)
    path = tmp_path_factory.mktemp("tool") / "litert-benchmark"
    python = Path(sys.executable).resolve()
    start = f'PYTHONPATH="{folder}" exec "{python}" -S -m ai_edge_litert.tools.benchmark_litert_model "$@"'
    path.write_text(f"#!/bin/sh\n{start}\n")
    path.chmod(0o755)
    return path


def write_device(folder: Path, tool: Path | str, *, workdir: Path) -> Path:
    more = f'runner = "benchmark_model"\n[benchmark_model]\npath = "{tool}"\n'
    return small.write_device(folder, "vendor", workdir=workdir, runtimes=[small.LITERT], more=more)


def measured(folder: Path, suite: Path) -> tuple[list[tuple[str, str, Run | None]], Store]:
    """Run a suite on the device `vendor`; return status, message and run of each case."""
    cases = lab.cases(lab.read_suite(suite), lab.select(folder, ["vendor"]))
    store = Store(f"sqlite:///{folder}/results.sqlite")
    campaign = CampaignRunner(cases, store, Settings(command="pytest", say=lambda *_: None, quick=True))
    results = [campaign.future(case).result(300) for case in cases]
    campaign.stop()
    return [(result.outcome.status, result.outcome.message, result.run) for result in results], store


def resnet_int8(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small.RESNET.with_name("resnet18-int8.tflite").read_bytes())
    return path


def suite_of(folder: Path, *variants: str) -> Path:
    makers = {"int8": resnet_int8}
    suite = small.write_suite(
        folder, "vendor", ("base", small.resnet), {name: makers[name] for name in variants}, ending="tflite"
    )
    suite.write_text(suite.read_text().partition("[accept]")[0])
    return suite


@dataclass(frozen=True)
class Measured:
    """One campaign with the tool, which several tests look at."""

    folder: Path
    results: list[tuple[str, str, Run | None]]
    store: Store


@pytest.fixture(scope="module")
def both(tool: Path, device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Measure the float model and its int8 variant by the tool."""
    folder = tmp_path_factory.mktemp("vendor")
    write_device(folder, tool, workdir=device_workdir)
    return Measured(folder, *measured(folder, suite_of(folder, "int8")))


def test_the_tool_is_driven_and_what_it_tells_becomes_a_run(both: Measured) -> None:
    assert [(status, message) for status, message, _ in both.results] == [("passed", "")] * 2
    for _, _, run in both.results:
        assert run is not None
        said = run.notes["tool_said"]
        assert len(said) == run.notes["launches"] == 2
        assert all("BENCHMARK RESULTS" in text for text in said)
        figures = [benchmark_model.figures_of(text) for text in said]
        load = run.measurements["load_s"]
        np.testing.assert_allclose(load.values, [one["load_ns"] / 1e9 for one in figures])
        np.testing.assert_allclose(run.measurements["throughput_hz"].values, [1e9 / one["mean_ns"] for one in figures])
        assert 1e-4 < run.measurements["first_inference_s"].values.min() < 1
        assert load.method == "as litert-benchmark reports it"
        assert (run.outputs, run.accuracy) == (None, {})
        assert run.validity is Validity.DEGRADED
        assert "no raw samples, no percentiles" in run.reasons[0].text
        assert len(run.fingerprint["runtime_sha256"]) == 64
    assert len(both.store.runs()) == 2


def test_what_the_tool_cannot_give_is_absent_with_the_reason(tool: Path, tmp_path: Path, device_workdir: Path) -> None:
    write_device(tmp_path, tool, workdir=device_workdir)
    suite = suite_of(tmp_path)
    suite.write_text(suite.read_text() + "[accept]\nlatency_p90_s = { max = 1.0 }\naccuracy = { min = 0.5 }\n")
    ((status, message, run),), store = measured(tmp_path, suite)
    assert run is not None
    for name in ("latency_s", "process_start_s", "peak_memory_bytes", "peak_pss_bytes", "energy_j", "energy_net_j"):
        assert len(run.measurements[name].values) == 0
        assert run.measurements[name].absent_reason.startswith("litert-benchmark ")
    assert status == "failed", "a line whose metric is absent fails"
    assert "litert-benchmark reports averages, not samples" in message
    store.close()


def test_a_tool_that_does_not_say_what_ran_the_model_makes_the_case_invalid(
    tool: Path, tmp_path: Path, device_workdir: Path
) -> None:
    write_device(tmp_path, tool, workdir=device_workdir)
    suite = suite_of(tmp_path)
    suite.write_text(suite.read_text().replace("[load]\n", '[load]\naccelerator = "xnnpack"\n'))
    ((status, message, _),), store = measured(tmp_path, suite)
    (run,) = store.runs()
    store.close()
    assert run.validity is Validity.INVALID
    assert run.reasons[0].text == "xnnpack was asked for, and the benchmark_model runner has no accelerators"
    assert "take accelerator out of [load]" in run.reasons[0].remedy
    assert status == "failed"
    assert "the run is invalid" in message


def test_a_broken_model_fails_its_case_with_the_tools_words_and_harms_no_other(
    tool: Path, tmp_path: Path, device_workdir: Path
) -> None:
    write_device(tmp_path, tool, workdir=device_workdir)
    suite = suite_of(tmp_path, "int8")
    (tmp_path / "suites" / "models" / "int8.tflite").write_bytes(b"TFL3" * 100)
    results, store = measured(tmp_path, suite)
    assert [status for status, _, _ in results] == ["passed", "error"]
    assert "int8.tflite" in results[1][1]
    assert "tool failed: litert-benchmark ended with code" in results[1][1]
    assert len(store.runs()) == 1
    store.close()


def test_a_report_and_an_export_show_such_runs(both: Measured, tmp_path: Path) -> None:
    (campaign,) = both.store.campaigns()
    page = publish(both.store, campaign, tmp_path, overrides=tmp_path / "none")
    assert "litert-benchmark reports averages, not samples" in page.read_text()
    export = [sys.executable, "-c", "from harness.cli import main; main()", "export", "--format", "json"]
    export += ["--store", f"sqlite:///{both.folder}/results.sqlite"]
    exported = json.loads(subprocess.run(export, cwd=both.folder, capture_output=True, check=True).stdout)
    assert {"absent"} <= set(exported["runs"][0]["measurements"]["latency_s"])


def test_a_tool_that_is_not_there_is_named(tmp_path: Path, device_workdir: Path) -> None:
    device = read_device(write_device(tmp_path, "/nowhere/benchmark_model", workdir=device_workdir))
    with pytest.raises(MissingTool, match=r"vendor: there is no /nowhere/benchmark_model on the device; put it there"):
        deploy.prepare(DeviceHandle(device))
    other = read_device(write_device(tmp_path, "/bin/true", workdir=device_workdir))
    with pytest.raises(MissingTool, match=r"/bin/true is no benchmark tool of LiteRT that is known here"):
        deploy.prepare(DeviceHandle(other))


def test_a_runtime_for_other_formats_is_refused(tool: Path, tmp_path: Path, device_workdir: Path) -> None:
    device = read_device(write_device(tmp_path, tool, workdir=device_workdir))
    with DeviceHandle(device) as handle:
        deploy.prepare(handle)
        assert deploy.runtime(handle, small.LITERT) == ""
        with pytest.raises(Unsupported, match=r"vendor's tool runs \.tflite models and onnxruntime==1\.31\.1 others"):
            deploy.runtime(handle, small.ONNXRUNTIME)


def test_a_misspelled_setting_is_answered_with_the_right_one(tmp_path: Path) -> None:
    path = write_device(tmp_path, "x", workdir=tmp_path)
    path.write_text(path.read_text().replace("path = ", "paht = "))
    with pytest.raises(LabError, match=r"vendor\.toml: benchmark_model\.paht: unknown key; did you mean 'path'\?"):
        read_device(path)


def test_the_output_of_the_tool_in_cpp_is_read() -> None:
    assert benchmark_model.figures_of(IN_CPP) == {
        "load_ns": 12_750_000.0,
        "first_inference_ns": 14_744_000.0,
        "mean_ns": 13_520_200.0,
        "count": 74,
    }
    assert benchmark_model.figures_of("INFO: STARTING!\nERROR: Could not open model") == {}
    assert benchmark_model.figures_of(IN_CPP.partition("INFO: Inference")[0]) == {}


@pytest.mark.parametrize("written", ["", "Welcome!\n", '{"seed": 1}', '{"models": 3, "input": [], "plan": null}'])
def test_a_job_that_does_not_come_back_as_it_was_written_is_an_error_of_the_device(
    written: str, tmp_path: Path
) -> None:
    (tmp_path / "job.json").write_text(written)
    with (
        DeviceHandle(Device("here", "workstation", Address("local"))) as handle,
        pytest.raises(DeviceError, match=r"here: .*job.*; \w+"),
    ):
        _job(handle, str(tmp_path))
