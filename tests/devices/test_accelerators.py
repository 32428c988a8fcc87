"""Accelerators asked for in real campaigns: one that is there, one that takes a part or nothing, one that is not."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.agent.process import Lost, Process
from harness.model import Outcome, Run, Validity, Verdict
from harness.page.publish import publish
from harness.results import profile
from harness.store import Store
from tests import labs
from tests.devices.job_bench import PLAN
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")

ONNXRUNTIME = "onnxruntime==1.31.1"
OPENVINO = "onnxruntime-openvino==1.24.1"
LITERT = "ai-edge-litert==2.3.0"


def asking(
    folder: Path,
    accelerator: str,
    *,
    workdir: Path,
    runtime: str = ONNXRUNTIME,
    more: str = "",
    load: str = "",
) -> Path:
    """Make a lab whose suite asks for an accelerator.

    Args:
        folder: where the lab is made.
        accelerator: of the suite's `[load]`.
        workdir: of the device.
        runtime: the device's only one.
        more: TOML of further variants.
        load: TOML of further keys of `[load]`.
    """
    lab = labs.make(folder, more=more, workdir=workdir)
    suite, device = lab / "suites" / "small.toml", lab / "devices" / "here.toml"
    text = suite.read_text().replace("[load]\n", f'[load]\naccelerator = "{accelerator}"\n{load}')
    if runtime == LITERT:
        for name in ("resnet18", "resnet18-int4"):
            shutil.copy(labs.MODELS / f"{name}.tflite", lab / "suites")
        text = text.replace('"base.onnx"', '"resnet18.tflite"')
    suite.write_text(text)
    device.write_text(device.read_text().replace(ONNXRUNTIME, runtime))
    return lab


@dataclass(frozen=True)
class Measured:
    """What a quick campaign gave: the outcome of each variant, its run as it is stored, and the store."""

    outcomes: Mapping[str, Outcome]
    runs: Mapping[str, Run]
    store: Store


def measured(lab: Path) -> Measured:
    night = Night(lab)
    results = night.measure([lab / "suites" / "small.toml"])
    outcomes = {name: result.outcome for name, result in results.items()}
    return Measured(outcomes, {run.case.variant: run for run in night.store.runs()}, night.store)


def site() -> str:
    """Return the folder of this environment's own onnxruntime."""
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parents[1])


@pytest.fixture(scope="module")
def partly(device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Ask LiteRT for XNNPACK: it takes all of the float model, and leaves the int4 convolutions alone."""
    int4 = labs.variant("int4", model="resnet18-int4.tflite")
    folder = tmp_path_factory.mktemp("xnnpack")
    return measured(asking(folder, "xnnpack", workdir=device_workdir, runtime=LITERT, more=int4))


def test_an_accelerator_that_is_there_runs_the_model_and_is_in_the_fingerprint(partly: Measured) -> None:
    base = partly.runs["base"]
    assert base.validity is not Validity.INVALID
    assert base.case.accelerator == "xnnpack"
    assert base.fingerprint["accelerator_wanted"] == base.fingerprint["accelerator"] == "xnnpack"
    assert base.fingerprint["nodes"] > 30
    assert base.fingerprint["nodes_fell_back"] == 0


def test_nodes_that_fell_back_are_counted_and_the_runs_stay_comparable(partly: Measured) -> None:
    int4 = partly.runs["int4"]
    assert int4.validity is not Validity.INVALID
    # 19 convolutions, the last layer, and what dequantises the weights of each.
    assert int4.fingerprint["nodes_fell_back"] == 40
    assert int4.fingerprint["nodes"] == 55
    assert {name: one.status for name, one in partly.outcomes.items()} == {"base": "passed", "int4": "passed"}
    ratios = [c for c in partly.store.comparisons(int4.campaign) if c.metric == "latency_ratio"]
    assert [c.change is not None for c in ratios] == [True]
    assert ratios[0].verdict is not Verdict.INCOMPARABLE


def test_the_report_says_which_accelerator_ran_and_what_fell_back(partly: Measured, tmp_path: Path) -> None:
    (campaign,) = partly.store.campaigns()
    page = publish(partly.store, campaign, tmp_path, overrides=tmp_path / "none").read_text()
    assert "Accelerator asked for" in page
    assert re.search(r"Nodes that fell back to the processor.{0,200}int4: 40", page, re.DOTALL)


@pytest.mark.parametrize(
    ("accelerator", "reason"),
    [
        (
            "AzureExecutionProvider",
            r"AzureExecutionProvider was asked for and took none of \d+ nodes: they ran on CPUExecutionProvider; "
            r"take accelerator out of \[load\]",
        ),
        (
            "CUDAExecutionProvider",
            r"CUDAExecutionProvider was asked for and onnxruntime==1\.31\.1 on this device offers "
            r"AzureExecutionProvider, CPUExecutionProvider: the model ran on CPUExecutionProvider; take accelerator",
        ),
    ],
    ids=["takes no node", "is not there"],
)
def test_a_case_without_the_accelerator_it_asked_for_is_invalid_and_fails(
    tmp_path: Path, device_workdir: Path, accelerator: str, reason: str
) -> None:
    found = measured(asking(tmp_path, accelerator, workdir=device_workdir))
    (run,) = found.runs.values()
    assert run.validity is Validity.INVALID
    assert len(run.reasons) == 1
    assert re.match(reason, str(run.reasons[0]))
    assert run.fingerprint["accelerator_wanted"] == accelerator
    assert run.fingerprint["accelerator"] == "CPUExecutionProvider"
    assert run.fingerprint["nodes_fell_back"] == run.fingerprint["nodes"] > 0
    assert found.outcomes["base"].status == "failed"
    assert "the run is invalid" in found.outcomes["base"].message


def test_a_provider_with_a_graph_compiler_of_its_own_runs_the_model(tmp_path: Path, device_workdir: Path) -> None:
    lab = asking(tmp_path, "OpenVINOExecutionProvider", workdir=device_workdir, runtime=OPENVINO)
    base = measured(lab).runs["base"]
    fingerprint = base.fingerprint
    assert base.validity is not Validity.INVALID
    assert fingerprint["runtime"] == "onnxruntime-openvino"
    assert fingerprint["accelerator"] == "OpenVINOExecutionProvider"
    assert (fingerprint["nodes"], fingerprint["nodes_fell_back"]) == (1, 0)  # compiled into one


def test_the_processor_may_be_asked_for_by_name_and_for_what_its_operators_take(
    tmp_path: Path, device_workdir: Path
) -> None:
    base = measured(asking(tmp_path, "CPUExecutionProvider", workdir=device_workdir, load="profile = true\n")).runs[
        "base"
    ]
    assert base.validity is not Validity.INVALID
    assert base.fingerprint["nodes_fell_back"] == 0
    found = profile.of(base)
    assert isinstance(found, profile.Profile)
    assert {one.provider for one in found.operators} == {"CPUExecutionProvider"}
    assert found.nodes == base.fingerprint["nodes"]
    assert 0 < found.nodes_s <= found.inference_s


def test_a_misspelt_accelerator_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    lab = asking(tmp_path, "XNNPACKExecutionProvider", workdir=tmp_path / "work")
    done = labs.run_pytest(lab, "suites", "--device", "here", "--quick")
    said = " ".join((done.stdout + done.stderr).split())
    assert "load.accelerator: no accelerator is called 'XNNPACKExecutionProvider'" in said
    assert "did you mean 'XnnpackExecutionProvider'?" in said
    assert not (tmp_path / "work").exists()


def test_a_worker_that_loses_the_accelerator_it_had_is_put_out(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    np.save(job / "images.npy", np.zeros((2, 64, 64, 1), np.uint8))
    model = {"id": "m", "path": str(labs.MODELS / "resnet18.onnx"), "runtime": "onnxruntime", "runtime_path": site()}
    spec = {"path": str(job / "images.npy"), "layout": "NCHW", "scale": 1.0, "mean": [0.0], "std": [1.0]}
    what: dict[str, Any] = {"schema": 1, "seed": 1, "models": [model], "threads": 1, "input": spec, "meter": None}
    what |= {"accelerator": "CUDAExecutionProvider", "plan": {**PLAN, "hold": "auto"}}
    (job / "job.json").write_text(json.dumps(what))
    process = Process(job, 0, 60.0, "CUDAExecutionProvider")
    try:
        with pytest.raises(Lost, match="CUDAExecutionProvider ran this model once and now does not start") as caught:
            process.ask("load")
    finally:
        process.quit()
    assert caught.value.kind == "accelerator"


@pytest.mark.parametrize("name", registry.names("agent.runtimes"))
def test_every_runtime_knows_its_accelerators_and_can_say_what_ran_a_node(name: str) -> None:
    module = registry.load("agent.runtimes", name, file="test", key="runtimes")
    assert module.ACCELERATORS
    assert len(set(module.ACCELERATORS)) == len(module.ACCELERATORS)
    assert list(inspect.signature(module.Session).parameters)[:4] == ["path", "threads", "accelerator", "trace"]
    assert callable(module.Session.nodes)
    assert hasattr(module.Session, "operators") == getattr(module, "PROFILES", False)
    assert callable(module.offers)
