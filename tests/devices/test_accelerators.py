"""Accelerators asked for in real campaigns: one that is there, one that takes a part or nothing, one that is not."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from harness import registry
from harness.agent.process import Lost, Process
from harness.model import Address, Case, Device, InputSpec, Load, Run, Suite, Task, Validity, Variant, Verdict
from harness.results import accelerators
from harness.store import Store
from tests import labs

ONNXRUNTIME = "onnxruntime==1.31.1"
OPENVINO = "onnxruntime-openvino==1.24.1"
LITERT = "ai-edge-litert==2.3.0"


def measured(
    folder: Path, accelerator: str, *, runtime: str = ONNXRUNTIME, more: str = ""
) -> tuple[str, Mapping[str, Run]]:
    """Run a quick campaign with an accelerator asked for; return what pytest said and the run of each variant."""
    lab = labs.make(folder, more=more)
    suite, device = lab / "suites" / "small.toml", lab / "devices" / "here.toml"
    text = suite.read_text().replace("[load]\n", f'[load]\naccelerator = "{accelerator}"\n')
    if runtime == LITERT:
        for name in ("resnet18", "resnet18-int4"):
            shutil.copy(labs.MODELS / f"{name}.tflite", lab / "suites")
        text = text.replace('"base.onnx"', '"resnet18.tflite"')
    suite.write_text(text)
    device.write_text(device.read_text().replace(ONNXRUNTIME, runtime))
    done = labs.run_pytest(lab, "suites", "--device", "here", "--quick")
    return done.stdout + done.stderr, {run.case.variant: run for run in store(lab).runs()}


def store(lab: Path) -> Store:
    return Store(f"sqlite:///{lab}/reports/results.sqlite")


def site() -> str:
    """Return the folder of this environment's own onnxruntime."""
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parents[1])


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Mapping[str, Run]]:
    """Ask LiteRT for XNNPACK: it takes all of the float model, and leaves the int4 convolutions alone."""
    folder = tmp_path_factory.mktemp("xnnpack")
    return folder, *measured(folder, "xnnpack", runtime=LITERT, more=labs.variant("int4", model="resnet18-int4.tflite"))


def test_an_accelerator_that_is_there_runs_the_model_and_is_in_the_fingerprint(
    partly: tuple[Path, str, Mapping[str, Run]],
) -> None:
    base = partly[2]["base"]
    assert base.validity is not Validity.INVALID
    assert base.case.accelerator == "xnnpack"
    assert base.fingerprint["accelerator_wanted"] == base.fingerprint["accelerator"] == "xnnpack"
    assert base.fingerprint["nodes"] > 30
    assert base.fingerprint["nodes_fell_back"] == 0


def test_nodes_that_fell_back_are_counted_and_the_runs_stay_comparable(
    partly: tuple[Path, str, Mapping[str, Run]],
) -> None:
    _, said, runs = partly
    int4 = runs["int4"]
    assert int4.validity is not Validity.INVALID
    # 19 convolutions, the last layer, and what dequantises the weights of each.
    assert int4.fingerprint["nodes_fell_back"] == 40
    assert int4.fingerprint["nodes"] == 55
    assert "2 passed" in said
    ratios = [c for c in store(partly[0]).comparisons(int4.campaign) if c.metric == "latency_ratio"]
    assert [c.change is not None for c in ratios] == [True]
    assert ratios[0].verdict is not Verdict.INCOMPARABLE


def test_the_report_says_which_accelerator_ran_and_what_fell_back(partly: tuple[Path, str, Mapping[str, Run]]) -> None:
    page = next((partly[0] / "reports" / "html").glob("*.html")).read_text()
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
    tmp_path: Path, accelerator: str, reason: str
) -> None:
    said, runs = measured(tmp_path, accelerator)
    (run,) = runs.values()
    assert run.validity is Validity.INVALID
    assert len(run.reasons) == 1
    assert re.match(reason, run.reasons[0])
    assert run.fingerprint["accelerator_wanted"] == accelerator
    assert run.fingerprint["accelerator"] == "CPUExecutionProvider"
    assert run.fingerprint["nodes_fell_back"] == run.fingerprint["nodes"] > 0
    assert "1 failed" in said
    assert "the run is invalid" in said


def test_a_provider_with_a_graph_compiler_of_its_own_runs_the_model(tmp_path: Path) -> None:
    said, runs = measured(tmp_path, "OpenVINOExecutionProvider", runtime=OPENVINO)
    fingerprint = runs["base"].fingerprint
    assert runs["base"].validity is not Validity.INVALID, said
    assert fingerprint["runtime"] == "onnxruntime-openvino"
    assert fingerprint["accelerator"] == "OpenVINOExecutionProvider"
    assert (fingerprint["nodes"], fingerprint["nodes_fell_back"]) == (1, 0)  # compiled into one


def test_the_processor_may_be_asked_for_by_name(tmp_path: Path) -> None:
    _, runs = measured(tmp_path, "CPUExecutionProvider")
    assert runs["base"].validity is not Validity.INVALID
    assert runs["base"].fingerprint["nodes_fell_back"] == 0


def test_a_misspelt_accelerator_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    said, runs = measured(tmp_path, "XNNPACKExecutionProvider")
    said = " ".join(said.split())
    assert "load.accelerator: no accelerator is called 'XNNPACKExecutionProvider'" in said
    assert "did you mean 'XnnpackExecutionProvider'?" in said
    assert not runs


def test_a_worker_that_loses_the_accelerator_it_had_is_put_out(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    np.save(job / "images.npy", np.zeros((2, 64, 64, 1), np.uint8))
    model = {"path": str(labs.MODELS / "resnet18.onnx"), "runtime": "onnxruntime", "runtime_path": site()}
    spec = {"path": str(job / "images.npy"), "layout": "NCHW", "scale": 1.0, "mean": [0.0], "std": [1.0]}
    what = {"models": [model], "threads": 1, "accelerator": "CUDAExecutionProvider", "input": spec}
    (job / "job.json").write_text(json.dumps(what))
    process = Process(job, 0, 60.0, "CUDAExecutionProvider")
    try:
        with pytest.raises(Lost, match="CUDAExecutionProvider ran this model once and now does not start") as caught:
            process.ask("load")
    finally:
        process.quit()
    assert caught.value.kind == "accelerator"


def test_a_runner_that_does_not_say_what_ran_the_model_makes_the_case_invalid() -> None:
    suite = Suite(
        "s", "", {}, InputSpec(), Task("classification"), Load(accelerator="CUDAExecutionProvider"), "b", (), ()
    )
    device = Device("unit", "ultrasound", Address("local"), runner="native")
    variant = Variant("b", "onnx", Path("b.onnx"), "", 0)
    case = Case(suite, variant, device, "onnxruntime==1.31.1", "id")
    says = accelerators.shortfall(case, [])
    assert says.startswith("CUDAExecutionProvider was asked for, and the native runner has no accelerators; ")


@pytest.mark.parametrize("name", registry.names("agent.runtimes"))
def test_every_runtime_knows_its_accelerators_and_can_say_what_ran_a_node(name: str) -> None:
    module = registry.load("agent.runtimes", name, file="test", key="runtimes")
    assert module.ACCELERATORS
    assert len(set(module.ACCELERATORS)) == len(module.ACCELERATORS)
    assert list(inspect.signature(module.Session).parameters)[:4] == ["path", "threads", "accelerator", "trace"]
    assert callable(module.Session.nodes)
    assert callable(module.offers)
