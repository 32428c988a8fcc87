"""The host's own run of each model, kept by digest; and the layer from which two sides differ, over real devices."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from devices.virtual.openssh import Server
from devices.virtual.waiting import soon
from harness import lab
from harness.cli import cli
from harness.cli.settings import Settings as CommandSettings
from harness.deploy import DeviceHandle, leased
from harness.errors import RecipeError, Unsupported
from harness.measure import reference
from harness.measure.campaign import CampaignRunner, Settings
from harness.measure.grouping import groups
from harness.measure.jobs import Group, load_samples
from harness.measure.layers import LayerComparison, compare_layers
from harness.model import Address, Case, Reading
from harness.results.agreement import Reference
from harness.store import Store
from tests import small_models as small

pytestmark = pytest.mark.usefixtures("no_jobs")


@pytest.fixture
def library(tmp_path: Path) -> reference.Library:
    """Give a library that begins with no reference."""
    return reference.Library(tmp_path / "references")


def cases(tmp_path: Path, device_workdir: Path, *, confidential: bool = False) -> list[Case]:
    makers = {} if confidential else {"slower": small.slower, "half": small.truncated}
    suite = small.write_suite(tmp_path, "small", ("good", small.good), makers, confidential=confidential)
    small.write_device(tmp_path, "here", workdir=device_workdir)
    return lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["here"]))


def group_of(found: Sequence[Case]) -> Group:
    (group,) = groups(found)
    return group


def asked(group: Group, library: reference.Library) -> tuple[dict[str, Reference], list[str]]:
    """Return variant -> reference, and what was said meanwhile."""
    said: list[str] = []
    found = library.references(group, load_samples(group.suite), said.append)
    return {case.variant.id: found[case.variant.sha256] for case in group.cases}, said


def test_the_host_runs_each_model_once_and_keeps_what_it_gave(
    tmp_path: Path, device_workdir: Path, library: reference.Library
) -> None:
    group = group_of(cases(tmp_path, device_workdir))
    first, said = asked(group, library)
    assert said == ["host reference of 3 models with onnxruntime==1.31.1"]
    for name in ("good", "slower"):
        outputs = first[name].outputs
        assert outputs is not None
        assert (outputs.argmax(axis=1) == load_samples(group.suite).labels).all()
    assert first["half"].outputs is None
    assert "does not run this file here: InvalidProtobuf" in first["half"].absent

    again, said = asked(group, library)
    assert said == ["host reference of 1 model with onnxruntime==1.31.1"]  # the one that gave nothing
    assert np.array_equal(again["good"].outputs, first["good"].outputs)  # type: ignore[arg-type]
    assert again["good"].runtime == first["good"].runtime

    damaged = next((tmp_path / "references").glob("*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert asked(group, library)[1] == ["host reference of 2 models with onnxruntime==1.31.1"]


def test_images_made_ready_in_another_way_are_another_reference(tmp_path: Path, device_workdir: Path) -> None:
    group = group_of(cases(tmp_path, device_workdir))
    fit = group.fit(group.cases[0])
    fits = (fit, replace(fit, input=replace(fit.input, scale=0.5)), replace(fit, reading=Reading("aux")))
    runtimes = (group.runtime, "onnxruntime==1.23.2")
    names = {
        reference.key_of(one, model, data, runtime)
        for one in fits
        for runtime in runtimes
        for model in "ab"
        for data in "cd"
    }
    assert len(names) == 24


def test_outputs_on_confidential_images_are_not_kept(
    tmp_path: Path, device_workdir: Path, library: reference.Library
) -> None:
    group = group_of(cases(tmp_path, device_workdir, confidential=True))
    assert asked(group, library)[0]["good"].outputs is not None
    assert not (tmp_path / "references").exists()


def test_a_runtime_that_this_host_cannot_have_is_absent_with_the_reason(
    tmp_path: Path, device_workdir: Path, library: reference.Library
) -> None:
    group = replace(group_of(cases(tmp_path, device_workdir)), runtime="onnxruntime==0.0.1")
    found, _ = asked(group, library)
    assert found["good"].absent.startswith("no reference on this host: there is no wheel of onnxruntime==0.0.1")


def test_an_interrupted_campaign_waits_for_no_reference(
    tmp_path: Path, device_workdir: Path, library: reference.Library
) -> None:
    library.stop()
    found, _ = asked(group_of(cases(tmp_path, device_workdir)), library)
    assert found["good"].absent == "no reference on this host: interrupted"


def test_a_campaign_that_takes_this_machine_leaves_the_reference_of_another_alone(
    tmp_path: Path, device_workdir: Path, library: reference.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = group_of(cases(tmp_path, device_workdir))
    monkeypatch.setattr(reference, "HOST", replace(reference.HOST, workdir=str(device_workdir)))
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(asked, group, library)
        assert soon(lambda: conductors(device_workdir) or answer.done(), within_s=120)
        (conductor,) = conductors(device_workdir)
        # It cannot end by itself while the machine is taken.
        conductor.suspend()
        try:
            with DeviceHandle(group.device) as handle, leased(handle):
                pass
            assert conductor.is_running()
        finally:
            conductor.resume()
        assert answer.result()[0]["good"].outputs is not None


def conductors(workdir: Path) -> list[psutil.Process]:
    """Return the processes that compute a reference under a workdir."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "run" in words and any(word.startswith(f"{workdir}/reference/") for word in words):
            found.append(process)
    return [one for one in found if os.getpgid(one.pid) == one.pid]


def test_every_run_says_how_far_it_is_from_the_host(
    openssh_server: Server, device_workdir: Path, tmp_path: Path
) -> None:
    suite = small.write_suite(tmp_path, "small", ("good", small.good))
    openssh_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    (case,) = lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["far"]))
    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    campaign = CampaignRunner([case], store, Settings(command="pytest", say=lambda *_: None, quick=True))
    assert campaign.future(case).result(180).error is None
    campaign.stop()
    (run,) = store.runs()
    store.close()
    difference = run.measurements["reference_difference"]
    assert difference.values.tolist() == [0.0] * 60
    assert difference.method.endswith("the host")
    assert run.accuracy["reference_agreement"].point == 1
    assert run.notes["reference"]["identical"] is True
    assert len(run.fingerprint["agent"]) == 16


def with_other_weights(path: Path, layer: str) -> Path:
    """Write `slower` with one weight of one convolution changed."""
    model = onnx.load(small.slower(path))
    (node,) = [node for node in model.graph.node if node.output[0] == layer]
    (old,) = [tensor for tensor in model.graph.initializer if tensor.name == node.input[1]]
    new = numpy_helper.to_array(old).copy()
    new.flat[0] += 1
    model.graph.initializer.append(numpy_helper.from_array(new, "changed"))
    node.input[1] = "changed"
    onnx.save(model, path)
    return path


def compared(case: Case, against: Path | str, tolerance: float = 1e-3) -> LayerComparison:
    samples = load_samples(case.suite)
    few = replace(samples, images=samples.images[:3])
    with DeviceHandle(case.device) as handle:
        return compare_layers(case, few, handle, against=against, tolerance=tolerance)


def test_the_first_layer_whose_weights_differ_is_found_over_ssh(
    openssh_server: Server, device_workdir: Path, tmp_path: Path
) -> None:
    suite = small.write_suite(tmp_path, "small", ("slower", small.slower))
    openssh_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    (case,) = lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["far"]))
    before = set((device_workdir / "blobs").glob("*"))
    for layer in ("c0", "c7"):
        found = compared(case, with_other_weights(tmp_path / "changed.onnx", layer))
        assert found.first is not None
        assert (found.layers[found.first].name, found.layers[found.first].operator) == (layer, "Conv")
        assert all(one.largest == 0 for one in found.layers[: found.first])
        assert found.layers[found.first].relative > 1e-3
    assert set((device_workdir / "blobs").glob("*")) <= before, "neither model nor images stay behind"
    assert list((device_workdir / "jobs").glob("*")) == []


def test_two_versions_of_a_runtime_are_held_against_each_other_layer_by_layer(
    tmp_path: Path, device_workdir: Path
) -> None:
    case = next(one for one in cases(tmp_path, device_workdir) if one.variant.id == "slower")
    found = compared(case, "onnxruntime==1.23.2")
    assert found.first is None
    assert [one.operator for one in found.layers[:3]] == ["Conv", "Flatten", "MatMul"]
    assert {one.name for one in found.layers} >= {"halves", "c11", "zero", "logits"}
    assert next(one.size for one in found.layers if one.name == "c11") == 16 * small.SIZE * small.SIZE


def test_what_has_no_layers_to_look_at_is_refused(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases(tmp_path, device_workdir)[0]
    with pytest.raises(Unsupported, match=r"layers are looked at in .onnx files, good.onnx is none"):
        compared(replace(case, variant=replace(case.variant, format="tflite")), small.ONNXRUNTIME)
    secret = replace(case.suite, confidential=True)
    phone = replace(case.device, address=Address("adb", serial="x"))
    refused = pytest.raises(Unsupported, match="is confidential and adb:// is not encrypted")
    with DeviceHandle(case.device) as here, refused:
        compare_layers(
            replace(case, suite=secret, device=phone), load_samples(case.suite), here,
            against=small.ONNXRUNTIME, tolerance=0,
        )  # fmt: skip
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RecipeError, match=r"pip install 'edgeward\[build\]'"):
        compared(case, small.ONNXRUNTIME)


def test_the_command_shows_the_layers_around_the_first_that_differs(tmp_path: Path, device_workdir: Path) -> None:
    cases(tmp_path, device_workdir)
    other = with_other_weights(tmp_path / "changed.onnx", "c3")

    def edgeward(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["--lab", str(tmp_path), "layers", *words], obj=CommandSettings())
        return done.exit_code, done.output

    code, shown = edgeward("small", "slower", "--device", "here", "--against", str(other))
    assert code == 0, shown
    assert "They differ from layer 11 of 31, Conv 'c3': relative difference" in shown
    (row,) = [line for line in shown.splitlines() if line.rstrip().endswith("<-")]
    assert row.split()[:3] == ["11", "Conv", "c3"]
    assert edgeward("small", "slwer", "--device", "here")[1].strip().endswith("did you mean 'slower'?")
    assert (
        "there is no such file; correct --against"
        in edgeward("small", "slower", "--device", "here", "--against", "x.onnx")[1]
    )
