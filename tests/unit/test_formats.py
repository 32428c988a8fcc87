"""What a model file says of itself, by its operators, shapes and metadata; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from harness import formats
from tests import small_models, tflite_models
from tests.answering_models import CLASSES, SIZE, model, node, zip_map

FLOAT = TensorProto.FLOAT
TAILS: dict[str, tuple[list[Any], str]] = {
    "a matrix product": ([], "logits"),
    "softmax": ([node("Softmax", ["logits"], ["y"], axis=1)], "probabilities"),
    "softmax over the images": ([node("Softmax", ["logits"], ["y"], axis=0)], ""),
    "log-softmax": ([node("LogSoftmax", ["logits"], ["y"], axis=1)], "logits"),
    "sigmoid, reshaped": ([node("Sigmoid", ["logits"], ["p"]), node("Reshape", ["p", "to"], ["y"])], "sigmoid"),
    "sigmoid, resized by cubic": (
        [node("Reshape", ["logits", "to4"], ["m"]), node("Sigmoid", ["m"], ["p"]),
         node("Resize", ["p", "", "twice"], ["y"], mode="cubic")],
        "sigmoid",
    ),
    "sigmoid, quantised and back": (
        [node("Sigmoid", ["logits"], ["p"]), node("QuantizeLinear", ["p", "s", "z"], ["q"]),
         node("DequantizeLinear", ["q", "s", "z"], ["y"])],
        "sigmoid",
    ),
    "sigmoid, then arithmetic": ([node("Sigmoid", ["logits"], ["p"]), node("Sub", ["p", "s"], ["y"])], ""),
    "logits over a temperature": ([node("Div", ["logits", "s"], ["y"])], "logits"),
    "a part of a softmax": (
        [node("Softmax", ["logits"], ["p"], axis=1), node("Gather", ["p", "one"], ["y"], axis=1)], "",
    ),
    "a part of the logits": ([node("Gather", ["logits", "one"], ["y"], axis=1)], ""),
    "the largest of the logits": ([node("ReduceMax", ["logits"], ["y"], axes=[1])], ""),
    "two softmaxes side by side": (
        [node("Softmax", ["logits"], ["p"], axis=1), node("Concat", ["p", "p"], ["y"], axis=1)], "",
    ),
    "two sigmoids side by side": (
        [node("Sigmoid", ["logits"], ["p"]), node("Concat", ["p", "p"], ["y"], axis=1)], "sigmoid",
    ),
    "an operator of its own": ([node("Softmax", ["logits"], ["y"], domain="my.own")], ""),
    "softmax over the columns of a map": (
        [node("Reshape", ["logits", "map"], ["m"]), node("Softmax", ["m"], ["y"], axis=2)], "",
    ),
    "softmax over the classes of a map": (
        [node("Reshape", ["logits", "map"], ["m"]), node("Softmax", ["m"], ["y"], axis=1)], "probabilities",
    ),
    "argmax as a float": (
        [node("ArgMax", ["logits"], ["a"], axis=1), node("Cast", ["a"], ["y"], to=FLOAT)], "labels",
    ),
    "a threshold": ([node("Sigmoid", ["logits"], ["p"]), node("Greater", ["p", "s"], ["y"])], "labels"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAILS)
def test_an_outputs_numbers_stand_for_what_its_operators_make_of_them(name: str, tmp_path: Path) -> None:
    tail, kind = TAILS[name]
    last = tail[-1].output[0] if tail else "logits"
    path = model(
        tmp_path / "m.onnx", tail, [(last, FLOAT, None)], to=np.array([-1, 3]), to4=np.array([-1, 3, 1, 1]),
        map=np.array([1, 3, 5, 8]),
        twice=np.array([1, 1, 2, 2], np.float32), s=np.float32(0.5), z=np.uint8(0), one=np.array([1]),
    )  # fmt: skip
    (output,) = formats.read(path).outputs
    assert output.kind == kind


@pytest.mark.parametrize(
    ("shape", "kind"), [((-1, 3), "probabilities"), ((-1, 3, 1, 1), "probabilities"), ((1, 3, 5, 8), "")]
)
def test_an_old_softmax_was_over_all_axes_from_its_own_on(shape: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    import onnx

    tail = [node("Reshape", ["logits", "to"], ["m"]), node("Softmax", ["m"], ["y"], axis=1)]
    path = model(tmp_path / "m.onnx", tail, [("y", FLOAT, None)], to=np.array(shape))
    old = onnx.load(path)
    old.opset_import[0].version = 11
    onnx.save(old, path)
    assert formats.read(path).outputs[0].kind == kind


def test_a_model_of_scikit_learn_says_its_labels_and_that_both_outputs_are_one_answer(tmp_path: Path) -> None:
    label, shares = formats.read(zip_map(tmp_path / "m.onnx", ("below", "even", "above"))).outputs
    assert (label.type, label.kind) == ("text", "labels")
    assert (shares.type, shares.kind, shares.labels) == ("map", "probabilities", ("below", "even", "above"))
    assert label.source == shares.source


NAMES = (
    "{0: 'even', 1: 'above', 2: 'below'}",
    '{"0": "even", "1": "above", "2": "below"}',
    '["even", "above", "below"]',
    "even,above,below",
)


@pytest.mark.parametrize("names", NAMES)
def test_the_names_of_classes_are_read_from_the_metadata(names: str, tmp_path: Path) -> None:
    assert formats.read(model(tmp_path / "m.onnx", metadata={"names": names})).classes == CLASSES


def test_what_integers_stand_for_is_read_on_both_sides(tmp_path: Path) -> None:
    path = model(
        tmp_path / "m.onnx",
        [node("QuantizeLinear", ["logits", "t", "u"], ["y"])],
        [("y", TensorProto.INT8, ["N", 3])],
        before=[node("DequantizeLinear", ["x", "s", "z"], ["xf"])],
        kind=TensorProto.UINT8,
        s=np.float32(1 / 255),
        z=np.uint8(3),
        t=np.float32(0.25),
        u=np.int8(-4),
    )
    file = formats.read(path)
    assert file.inputs[0].scale == pytest.approx(1 / 255)
    assert file.inputs[0].zero_point == 3
    assert (file.outputs[0].scale, file.outputs[0].zero_point) == (0.25, -4)


def test_initialisers_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    import onnx

    path = model(tmp_path / "m.onnx")
    old = onnx.load(path)
    old.graph.input.append(onnx.helper.make_tensor_value_info("W", FLOAT, [256, 3]))
    onnx.save(old, path)
    assert [one.name for one in formats.read(path).inputs] == ["x"]


def test_size_and_work_are_counted(tmp_path: Path) -> None:
    file = formats.read(model(tmp_path / "m.onnx", shape=[1, 1, SIZE, SIZE]))
    assert (file.parameters, file.macs) == (256 * 3 + 3, 256 * 3)
    assert file.operators == {"Flatten": 1, "Gemm": 1}


def test_a_tflite_file_says_its_layout_and_its_work(tmp_path: Path) -> None:
    file = formats.read(tflite_models.convolutions(tmp_path / "m.tflite", size=8, features=4, layers=2))
    assert [one.shape for one in file.inputs] == [(1, 8, 8, 1)]
    assert file.outputs[0].kind == "logits"
    assert file.macs == 8 * 8 * 4 * 9 + 8 * 8 * 4 * 9 * 4
    assert file.operators == {"CONV_2D": 2, "MEAN": 1}


def test_integers_of_a_tflite_file_have_a_scale(tmp_path: Path) -> None:
    file = formats.read(tflite_models.of_integers(tmp_path / "m.tflite", np.zeros((256, 3), np.float32), np.zeros(3)))
    assert file.inputs[0].type == "int16"
    assert file.inputs[0].scale == pytest.approx(1 / 32767)
    assert file.outputs[0].kind == "logits"


@pytest.mark.parametrize("maker", [small_models.truncated, small_models.random_bytes])
@pytest.mark.parametrize("ending", ["onnx", "tflite"])
def test_a_damaged_file_is_refused_by_its_name(maker: small_models.Maker, ending: str, tmp_path: Path) -> None:
    with pytest.raises(formats.Unreadable, match=rf"^m\.{ending} is (no|a damaged) .*; (export|convert) it again"):
        formats.read(maker(tmp_path / f"m.{ending}"))
