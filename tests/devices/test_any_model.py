"""Models of every documented way to be fed and to answer: right, or refused before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto

from harness import deploy, lab
from harness.deploy import DeviceHandle
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.measure.grouping import unread
from harness.measure.jobs import Group, inputs_files, job, load_samples
from harness.measure.reference import forward
from harness.metrics import classification
from harness.model import Answers, Case, Fit
from harness.store import Store
from tests import labs, tflite_models
from tests.answering_models import (
    BIAS,
    CLASSES,
    IMAGES,
    LABELS,
    LOGITS,
    PREDICTED,
    SHARES,
    SIZE,
    WEIGHTS,
    model,
    node,
    zip_map,
)
from tests.small_models import LITERT, ONNXRUNTIME

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
POSITIVE = CLASSES.index("above")
SIGMOIDS = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))


def write_models(folder: Path) -> dict[str, str]:
    """Write every model and return the TOML of each, beside its file."""
    step = np.float32(IMAGES.max() / 255 / 255)
    model(folder / "base.onnx")
    model(folder / "softmax.onnx", [node("Softmax", ["logits"], ["p"], axis=1)], [("p", FLOAT, ["N", 3])])
    model(folder / "sigmoids.onnx", [node("Sigmoid", ["logits"], ["p"])], [("p", FLOAT, ["N", 3])])
    model(
        folder / "maps.onnx",
        [node("Reshape", ["logits", "four"], ["y"])],
        [("y", FLOAT, ["N", 3, 1, 1])],
        four=[-1, 3, 1, 1],
    )
    model(folder / "label.onnx", [node("ArgMax", ["logits"], ["y"], axis=1, keepdims=0)], [("y", INT64, ["N"])])
    model(
        folder / "aux.onnx",
        [node("Neg", ["logits"], ["aux"])],
        [("aux", FLOAT, ["N", 3]), ("logits", FLOAT, ["N", 3])],
    )
    model(
        folder / "score.onnx",
        [node("ReduceMax", ["logits"], ["five"], axes=[1]), node("Concat", ["five"] * 5, ["five5"], axis=1)],
        [("five5", FLOAT, ["N", 5]), ("logits", FLOAT, ["N", 3])],
    )
    whole = onnx.load(model(folder / "apart.onnx"))
    onnx.save(whole, folder / "apart.onnx", save_as_external_data=True, location="apart.data", size_threshold=0)
    with_age(folder / "aged.onnx")
    zip_map(folder / "zipmap.onnx")
    zip_map(folder / "named.onnx", ("below", "even", "above"))
    model(
        folder / "quantised.onnx",
        [node("Softmax", ["logits"], ["p"], axis=1), node("QuantizeLinear", ["p", "s", "z"], ["q"])],
        [("q", TensorProto.UINT8, ["N", 3])],
        s=np.float32(1 / 256),
        z=np.uint8(0),
    )
    steps = [node("QuantizeLinear", ["logits", "s", "z"], ["q"])]
    half, minus_seven = np.float32(0.5), np.int8(-7)
    model(folder / "steps.onnx", steps, [("q", TensorProto.INT8, ["N", 3])], s=half, z=minus_seven)
    model(
        folder / "fed.onnx",
        before=[node("DequantizeLinear", ["x", "s", "z"], ["xf"])],
        kind=TensorProto.UINT8,
        s=step,
        z=np.uint8(0),
    )
    model(folder / "shapeless.onnx", shape=None)
    model(
        folder / "behind.onnx", before=[node("Transpose", ["x"], ["xf"], perm=[0, 3, 1, 2])], shape=["N", SIZE, SIZE, 1]
    )
    order = [2, 0, 1]
    model(
        folder / "ordered.onnx",
        [node("Gather", ["logits", "order"], ["y"], axis=1)],
        [("y", FLOAT, ["N", 3])],
        metadata={"names": str(dict(enumerate(CLASSES[i] for i in order)))},
        order=np.array(order),
    )
    model(
        folder / "more.onnx",
        [node("Sub", ["logits", "far"], ["l"]), node("ReduceMax", ["l"], ["first"], axes=[1]),
         node("Concat", ["first", "logits"], ["y"], axis=1)],
        [("y", FLOAT, ["N", 4])],
        far=np.float32(50),
    )  # fmt: skip
    named = {
        "aged": 'inputs = { age = 0.25 }\noutput = { kind = "logits" }',
        "aux": 'output = { name = "logits" }',
        "ordered": 'output = { kind = "logits" }',
        "more": 'output = { classes = ["background", "even", "above", "below"] }',
    }
    names = [path.stem for path in sorted(folder.glob("*.onnx")) if path.stem != "base"]
    return {
        name: f'\n[[variant]]\nid = "{name}"\nmodel = "models/{name}.onnx"\n{named.get(name, "")}\n' for name in names
    }


def with_age(path: Path) -> None:
    """Write the linear model with a second input that must be 0.25, or all is wrong."""
    wrong = [
        node("Sub", ["age", "quarter"], ["off"]),
        node("Mul", ["off", "much"], ["push"]),
        node("Add", ["logits", "push"], ["y"]),
    ]
    much = np.array([[1e4, -1e4, 0]], np.float32)
    model(path, wrong, [("y", FLOAT, ["N", 3])], quarter=np.float32(0.25), much=much)
    whole = onnx.load(path)
    whole.graph.input.insert(0, onnx.helper.make_tensor_value_info("age", FLOAT, ["N", 1]))
    onnx.save(whole, path)


def write_lab(
    folder: Path,
    more: str,
    *,
    workdir: Path,
    runner: str = "python",
    runtime: str = ONNXRUNTIME,
    model: str = "base.onnx",
) -> list[Case]:
    """Write a lab around the models in suites/models and return its cases."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "devices/here.toml").write_text(
        labs.device_toml(workdir=workdir, runtimes=[runtime], more=f'runner = "{runner}"\n')
    )
    np.savez(folder / "suites/data.npz", images=IMAGES, labels=LABELS)
    path = folder / "suites/any.toml"
    data = labs.npz(classes=CLASSES)
    load = "max_duration_s = 1"
    path.write_text(
        labs.suite_toml(data=data, normal="", positive="above", model=f"models/{model}", more=more, load=load)
    )
    return lab.cases(lab.read_suite(path), [lab.read_device(folder / "devices/here.toml")])


@dataclass(frozen=True)
class Judged:
    """What one model gave, how it was read and what that is worth."""

    fit: Fit
    answers: Answers
    points: Mapping[str, float]


def judged(cases: list[Case]) -> dict[str, Judged]:
    """Run every model over the split on its device, without timing anything."""
    suite, device = cases[0].suite, cases[0].device
    samples = load_samples(suite)
    group = Group(
        suite, device, cases[0].runtime, tuple(cases), {c.id: lab.fit(suite, c.variant, samples) for c in cases}
    )
    with DeviceHandle(device) as handle, inputs_files(group, samples) as inputs:
        deploy.prepare(handle)
        runtime = deploy.runtime(handle, group.runtime)
        where = {case.variant.sha256: str(case.variant.path.absolute()) for case in cases}
        where |= {digest: str(path) for digest, path in inputs.files.items()}
        given = forward(handle, job(group, where, inputs, runtime, quick=True))
    found = {}
    for case, answer in zip(cases, given, strict=True):
        assert answer.outputs is not None, f"{case.variant.id}: {answer.why_not}"
        own = Answers(answer.outputs, group.fit(case).reading)
        estimates = classification.evaluate(own, samples, suite.task).estimates
        found[case.variant.id] = Judged(group.fit(case), own, {name: one.point for name, one in estimates.items()})
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, device_workdir: Path) -> Mapping[str, Judged]:
    folder = tmp_path_factory.mktemp("any")
    return judged(write_lab(folder, "".join(write_models(folder / "suites/models").values()), workdir=device_workdir))


def test_every_way_to_answer_gives_the_accuracy_that_is_true(measured: Mapping[str, Judged]) -> None:
    accuracy = float((PREDICTED == LABELS).mean())
    sensitivity = float((PREDICTED == POSITIVE)[LABELS == POSITIVE].mean())
    assert len(measured) == 18
    found = {
        name: (run.points["accuracy"], run.points["sensitivity"])
        for name, run in measured.items()
        if name not in ("quantised", "steps")
    }
    assert found == {name: pytest.approx((accuracy, sensitivity)) for name in found}
    # An eighth bit of a probability decides ties otherwise.
    assert measured["quantised"].points["accuracy"] == pytest.approx(accuracy, abs=0.02)


def test_probabilities_are_those_of_what_the_numbers_stand_for(measured: Mapping[str, Judged]) -> None:
    def brier(shares: npt.NDArray[np.float64]) -> float:
        return float(((shares[:, POSITIVE] - (LABELS == POSITIVE)) ** 2).mean())

    points = {name: run.points["brier"] for name, run in measured.items() if "brier" in run.points}
    assert "label" not in points
    assert points.pop("sigmoids") == pytest.approx(brier(SIGMOIDS), abs=1e-5)
    rounded = (np.clip(np.round(LOGITS / 0.5) - 7, -128, 127) + 7) * 0.5
    powers = np.exp(rounded - rounded.max(axis=1, keepdims=True))
    assert points.pop("steps") == pytest.approx(brier(powers / powers.sum(axis=1, keepdims=True)), abs=1e-3)
    assert measured["steps"].answers.values == pytest.approx(rounded, abs=0.51)
    assert points.pop("quantised") == pytest.approx(brier(SHARES), abs=2e-3)
    assert points.pop("fed") == pytest.approx(brier(SHARES), abs=5e-3)  # its pixels are rounded
    assert points == {name: pytest.approx(brier(SHARES), abs=1e-5) for name in points}


def test_integers_of_a_tflite_input_are_what_its_scale_says(tmp_path: Path, device_workdir: Path) -> None:
    tflite_models.of_integers(tmp_path / "suites/models/base.tflite", WEIGHTS, BIAS)
    cases = write_lab(tmp_path, "", workdir=device_workdir, runtime=LITERT, model="base.tflite")
    found = judged(cases)["base"]
    assert found.points["accuracy"] == float((PREDICTED == LABELS).mean())
    assert found.answers.values == pytest.approx(LOGITS, abs=0.02)


def test_what_was_taken_from_the_file_is_said(measured: Mapping[str, Judged]) -> None:
    said = {name: " ".join(run.fit.remarks) for name, run in measured.items()}
    assert "five5 cannot be what is asked for" in said["score"]
    assert "NHWC, by the shape of its input" in said["behind"]
    assert "read by these names" in said["ordered"]
    assert "read as sigmoid" in lab.differently(measured["sigmoids"].fit.reading, measured["base"].fit.reading)
    assert said["base"] == ""


def test_the_native_runner_gives_the_same_and_refuses_texts_and_maps(
    measured: Mapping[str, Judged], tmp_path: Path, device_workdir: Path
) -> None:
    more = write_models(tmp_path / "suites/models")
    cases = write_lab(tmp_path, "".join(more.values()), workdir=device_workdir.with_name("native"), runner="native")
    refused = {case.variant.id: str(unread(case, measured[case.variant.id].fit) or "") for case in cases}
    assert {name for name, said in refused.items() if said} == {"zipmap", "named", "aged"}
    assert "has inputs beside the image, which the native runner cannot feed" in refused["aged"]
    assert "answers with texts or maps, which the native runner does not read" in refused["zipmap"]
    for name, own in judged([case for case in cases if not refused[case.variant.id]]).items():
        twin = measured[name]
        assert own.answers.values.shape == twin.answers.values.shape, name
        assert np.abs(own.answers.values - twin.answers.values).max() < 1e-4, name
        assert own.points["accuracy"] == twin.points["accuracy"], name


def test_a_student_of_another_size_layout_and_colour_is_measured_beside_its_teacher(
    tmp_path: Path, device_workdir: Path
) -> None:
    folder = tmp_path / "suites/models"
    model(folder / "base.onnx")
    before = [
        node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        node("ReduceMean", ["first"], ["grey"], axes=[1]),
        node("Resize", ["grey", "", "", "whole"], ["xf"], mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
    ]  # fmt: skip
    model(folder / "student.onnx", before=before, shape=["N", 8, 8, 3], whole=np.array([1, 1, 16, 16]))
    variant = '\n[[variant]]\nid = "student"\nmodel = "models/student.onnx"\n'
    (failed,) = [one.error for one in campaign(write_lab(tmp_path, variant, workdir=device_workdir)) if one.error]
    assert str(failed).endswith(
        "student.onnx takes x (float32 [any, 8, 8, 3]), and the data gives images of 16 x 16 with 1 channels; write, "
        'with the filter that it was trained with, input = { layout = "NHWC", size = [8, 8], resize = "bilinear", '
        'color = "RGB" } under [[variant]]'
    )
    declared = variant + 'input = { layout = "NHWC", size = [8, 8], resize = "box", color = "RGB" }\n'
    base, student = [one.run for one in campaign(write_lab(tmp_path, declared, workdir=device_workdir))]
    assert base is not None
    assert student is not None
    # The means of the halves are the same at half the size.
    assert student.accuracy["agreement"].point == 1.0
    assert student.fingerprint["data_sha256"] == base.fingerprint["data_sha256"]


def campaign(cases: list[Case]) -> list[Result]:
    folder = cases[0].suite.file.parent
    runner = CampaignRunner(
        cases,
        Store(f"sqlite:///{folder / 'results.sqlite'}"),
        Settings(command="x", say=lambda _, __: None, quick=True),
    )
    return [runner.future(case).result(timeout=600) for case in cases]
