"""Every runtime, installed by the harness into a folder of its own and run there, here and over SSH."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.virtual.openssh import Server
from harness import deploy, lab, registry
from harness.agent import contract
from harness.deploy import DeviceHandle, wheels
from harness.errors import MissingTool, Unsupported
from harness.measure.campaign import CampaignRunner, Settings
from harness.model import Address, Device
from harness.ports.runners import Target
from harness.runners import python
from harness.store import Store
from tests import small_models as small

RUNTIMES = (small.ONNXRUNTIME, small.LITERT, small.TFLITE)
#: Small and pure: what is said of a bundle does not depend on what is in it.
SMALL = f"packaging=={metadata.version('packaging')}"
HERE = Target((3, 11), "x86_64", (2, 36))


@dataclass(frozen=True)
class Bench:
    """This machine with the agent and every runtime brought there."""

    handle: DeviceHandle
    folders: Mapping[str, str]


@pytest.fixture(scope="module")
def bench(device_workdir: Path) -> Bench:
    device = Device("local", "workstation", Address("local"), workdir=str(device_workdir))
    handle = DeviceHandle(device)
    deploy.prepare(handle)
    return Bench(handle, {one: deploy.runtime(handle, one) for one in RUNTIMES})


@pytest.fixture(scope="module")
def answers(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Mapping[str, Any], Any]]:
    """Run one job in which each runtime loads a model of its own: requirement -> (facts, outputs)."""
    poison = tmp_path_factory.mktemp("poison")
    (poison / "numpy.py").write_text("raise SystemExit('the host`s packages are visible')")
    images = np.random.default_rng(2).integers(0, 256, (40, 64, 64, 1), dtype=np.uint8)
    np.save(poison / "images.npy", images)
    suite = small.RESNET.parent
    files = {small.ONNXRUNTIME: suite / "resnet18.onnx", small.LITERT: small.RESNET, small.TFLITE: small.RESNET}
    models = [
        {"id": one, "path": str(files[one]), "runtime": registry.runtime_name(one), "runtime_path": bench.folders[one]}
        for one in RUNTIMES
    ]
    spec = {"path": str(poison / "images.npy"), "layout": "NCHW", "scale": 1 / 255, "mean": [0.5], "std": [0.25]}
    plan: dict[str, Any] = {"cold_starts": 1, "memory_starts": 0, "accuracy": True, "deadline_s": 120}
    plan |= {"min_launches": 0, "max_launches": 0}
    job = Path(bench.handle.root) / "jobs" / uuid.uuid4().hex[:12]
    job.mkdir(parents=True)
    what = {"schema": 1, "seed": 1, "models": models, "threads": 1, "input": spec, "meter": None, "plan": plan}
    (job / "job.json").write_text(json.dumps(what))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(poison))
        python.start(bench.handle, str(job))
        events = [event for _, event in python.follow(bench.handle, str(job), offset=0)]
    assert not [event for event in events if isinstance(event, contract.Error)]
    facts = {event.model: event.facts or {} for event in events if isinstance(event, contract.Cold)}
    return {one: (facts[i], np.load(job / f"m{i}.outputs.npy")) for i, one in enumerate(RUNTIMES)}


@pytest.mark.parametrize("one", RUNTIMES)
def test_the_runtime_that_ran_is_the_one_that_was_asked_for(answers: Any, one: str) -> None:
    facts, _ = answers[one]
    assert f"{facts['runtime']}=={facts['runtime_version']}" == one
    assert facts["accelerator"]


def test_litert_and_its_predecessor_predict_the_same_from_the_same_file(answers: Any) -> None:
    ours, theirs = answers[small.LITERT][1], answers[small.TFLITE][1]
    assert ours.shape == theirs.shape == (40, 3)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


def test_onnx_and_tflite_of_one_network_predict_the_same(answers: Any) -> None:
    np.testing.assert_allclose(answers[small.ONNXRUNTIME][1], answers[small.LITERT][1], atol=1e-3)


def test_numpy_1_and_numpy_2_work_side_by_side_and_neither_is_the_hosts(answers: Any, bench: Bench) -> None:
    major = {one: facts["numpy"].split(".")[0] for one, (facts, _) in answers.items()}
    assert major == {small.ONNXRUNTIME: "2", small.LITERT: "2", small.TFLITE: "1"}
    seen = "import importlib.util as u; print([u.find_spec(n) for n in ('numpy', 'pytest', 'onnxruntime')])"
    done = bench.handle.run([*bench.handle.workspace.command[:-1], "-c", seen])
    assert done.text == "[None, None, None]"


def test_a_version_that_does_not_exist_is_unsupported_with_the_remedy(bench: Bench) -> None:
    with pytest.raises(Unsupported) as caught:
        deploy.runtime(bench.handle, "onnxruntime==99.1")
    assert str(caught.value) == (
        f"local: there is no wheel of onnxruntime==99.1 for {bench.handle.workspace.target}; "
        "name another version or runtime under runtimes"
    )


def test_a_python_that_a_runtime_has_no_wheel_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    with pytest.raises(Unsupported, match=r"there is no wheel of tflite-runtime==2\.14\.0 for cp312 on x86_64 with"):
        wheels.bundle(small.TFLITE, ("numpy<2",), Target((3, 12), "x86_64", (2, 36)), device="new")
    assert not list((tmp_path / "runtimes").glob("*/manifest.json")), "nothing half-made is kept"


def test_wheels_for_another_processor_are_brought_on_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    made = wheels.bundle("tflite-runtime==2.14.0", ("numpy<2",), Target((3, 9), "aarch64", (2, 36)), device="pi")
    assert any(name.endswith("aarch64-linux-gnu.so") for name in made.files)
    assert not any("x86_64" in name for name in made.files)


def test_no_index_is_told_apart_from_no_wheel_and_what_is_cached_works_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    first = wheels.bundle(SMALL, (), HERE, device="here")
    for name, value in {"INDEX_URL": "http://127.0.0.1:1/simple", "RETRIES": "1", "EXTRA_INDEX_URL": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(MissingTool, match=r"here: onnxruntime==99\.1 could not be brought here: pip's index does not"):
        wheels.bundle("onnxruntime==99.1", (), HERE, device="here")
    assert wheels.bundle(SMALL, (), HERE, device="here") == first


def test_a_bundle_is_the_same_bytes_again_and_a_damaged_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    first = wheels.bundle(SMALL, (), HERE, device="here")
    whole = first.archive.read_bytes()
    first.archive.write_bytes(whole[:-2000] + bytes(2000))
    again = wheels.bundle(SMALL, (), HERE, device="here")
    assert again == first
    assert again.archive.read_bytes() == whole
    assert "packaging/version.py" in again.files


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_damaged_file_of_an_installed_runtime_is_noticed_and_mended(bench: Bench) -> None:
    path = Path(bench.folders[small.TFLITE]) / "tflite_runtime" / "interpreter.py"
    good = digest(path)
    path.write_text("raise SystemExit('damaged')")
    assert deploy.runtime(bench.handle, small.TFLITE) == bench.folders[small.TFLITE]
    assert digest(path) == good
    path.unlink()
    deploy.runtime(bench.handle, small.TFLITE)
    assert digest(path) == good


@pytest.mark.parametrize("name", ["worker.py", "inventory.py", "__main__.py"])
def test_a_damaged_file_of_the_agent_is_noticed_and_mended(bench: Bench, name: str) -> None:
    path = Path(bench.handle.workspace.command[-1]).with_name(name)
    good = digest(path)
    path.write_text("this is no Python")
    command = bench.handle.workspace.command
    deploy.prepare(bench.handle)
    assert bench.handle.workspace.command == command
    assert digest(path) == good


def test_the_same_suite_runs_unchanged_here_and_on_a_server_that_had_nothing(
    own_server: Server, device_workdir: Path, bench: Bench, tmp_path: Path
) -> None:
    del bench  # what it brought to this machine is used again
    suite = small.write_suite(tmp_path, "both", ("good", small.good), {"slower": small.slower})
    small.write_device(tmp_path, "here", workdir=device_workdir)
    own_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME])
    cases = lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["here", "far"]))
    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    campaign = CampaignRunner(cases, store, Settings(command="pytest", say=lambda *_: None, quick=True))
    results = [campaign.future(case).result(180) for case in cases]
    campaign.stop()
    assert [result.outcome.message for result in results] == [""] * 4
    assert {result.outcome.status for result in results} == {"passed"}
    outputs = {}
    for result in results:
        assert result.run is not None
        found = result.run.fingerprint
        assert f"{found['runtime']}=={found['runtime_version']}" == small.ONNXRUNTIME
        outputs[result.case.variant.id, result.case.device.id] = result.run.outputs
    for variant in ("good", "slower"):
        np.testing.assert_array_equal(outputs[variant, "here"], outputs[variant, "far"])
    assert len(list((own_server.workdir / "runtimes").glob("*/onnxruntime/__init__.py"))) == 1
    assert list((own_server.workdir / "jobs").iterdir()) == []
    assert len(store.runs()) == 4
