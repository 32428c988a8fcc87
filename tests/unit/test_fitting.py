"""How a model is fed and read: by its file and the suite; what neither says is refused with the line to write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from harness import lab
from harness.errors import LabError
from harness.model import Fit, InputSpec, Load, Samples, Suite, Task, Variant
from tests import small_tflite
from tests.answering_models import CLASSES, IMAGES, LABELS, SIZE, model, node

FLOAT = TensorProto.FLOAT
SAMPLES = Samples(IMAGES[..., np.newaxis], LABELS, CLASSES, "images")
TWO = Samples(IMAGES[..., np.newaxis], LABELS % 2, ("benign", "malignant"), "images")
MASKS = Samples(
    IMAGES[..., np.newaxis], np.empty(0, np.int64), ("background", "lesion"), "masks", (IMAGES > 90).astype(np.uint8)
)


def suite_of(variant: Variant, kind: str, file: Path) -> Suite:
    spec = InputSpec(scale=1 / 255)
    return Suite("s", "S", {}, spec, Task(kind), Load(), variant.id, (variant,), (), file=file)


def fit(path: Path, samples: Samples = SAMPLES, *, kind: str = "classification", **declared: Any) -> Fit:
    variant = Variant("base", path.suffix[1:], path, "x", 1, **declared)
    return lab.fit(suite_of(variant, kind, path.with_name("s.toml")), variant, samples)


def refused(path: Path, samples: Samples = SAMPLES, *, kind: str = "classification", **declared: Any) -> str:
    with pytest.raises(LabError) as caught:
        fit(path, samples, kind=kind, **declared)
    assert caught.value.remedy
    return str(caught.value)


def test_of_two_outputs_of_one_shape_neither_is_taken(tmp_path: Path) -> None:
    path = model(
        tmp_path / "m.onnx",
        [node("Neg", ["logits"], ["aux"])],
        [("aux", FLOAT, ["N", 3]), ("logits", FLOAT, ["N", 3])],
    )
    said = refused(path)
    assert "m.onnx has 2 outputs, aux (float32 [any, 3]), logits (float32 [any, 3])" in said
    assert 'write output = { name = "aux" } or output = { name = "logits" } under [baseline]' in said
    assert fit(path, output={"name": "logits"}).reading.output == "logits"
    assert "has no output 'logit', only aux" in refused(path, output={"name": "logit"})


def test_of_a_score_and_a_map_the_map_is_judged(tmp_path: Path) -> None:
    path = model(
        tmp_path / "m.onnx",
        [node("Sigmoid", ["x"], ["map"]), node("ReduceMax", ["logits"], ["score"], axes=[1])],
        [("score", FLOAT, ["N", 1]), ("map", FLOAT, ["N", 1, SIZE, SIZE])],
    )
    found = fit(path, MASKS, kind="segmentation")
    assert (found.reading.output, found.reading.kind) == ("map", "sigmoid")


def test_a_single_map_needs_a_meaning_and_several_do_not(tmp_path: Path) -> None:
    one = model(tmp_path / "one.onnx", [node("Sin", ["x"], ["y"])], [("y", FLOAT, ["N", 1, SIZE, SIZE])])
    assert "made by Sin; write output = { kind = " in refused(one, MASKS, kind="segmentation")
    assert fit(one, MASKS, kind="segmentation", output={"kind": "logits"}).reading.kind == "logits"
    two = model(
        tmp_path / "two.onnx",
        [node("Sin", ["x"], ["a"]), node("Cos", ["x"], ["b"]), node("Concat", ["a", "b"], ["y"], axis=1)],
        [("y", FLOAT, ["N", 2, SIZE, SIZE])],
    )
    assert fit(two, MASKS, kind="segmentation").reading.kind == ""
    assert fit(two, replace(MASKS, masks=None), kind="segmentation").reading.kind == "", "agreement needs no truth"


@pytest.mark.parametrize("columns", [2, 4, 5])
def test_an_output_of_another_number_of_classes_is_refused_before_anything_is_measured(
    columns: int, tmp_path: Path
) -> None:
    path = model(
        tmp_path / "m.onnx",
        [node("MatMul", ["logits", "mix"], ["y"])],
        [("y", FLOAT, ["N", columns])],
        mix=np.zeros((3, columns), np.float32),
    )
    said = refused(path)
    assert f"gives y (float32 [any, {columns}]), and the data has 3 classes (even, above, below)" in said
    assert ('classes = ["background", "even", …]' in said) == (columns > 3)


def test_classes_are_matched_by_name_whatever_their_order_case_or_form(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", metadata={"names": "['Below', 'even', 'ABOVE']"})
    assert fit(path).reading.classes == ("below", "even", "above")
    other = model(tmp_path / "other.onnx", metadata={"names": "['cat', 'dog', 'bird']"})
    said = refused(other)
    assert "calls its outputs cat, dog, bird, and the data's classes are even, above, below" in said
    assert fit(other, output={"classes": list(CLASSES)}).reading.classes == CLASSES
    graded = replace(SAMPLES, classes=("1", "2", "3"))
    with pytest.raises(LabError, match="calls its outputs 0, 1, 2, and the data's classes are 1, 2, 3"):
        fit(model(tmp_path / "graded.onnx", metadata={"names": "['0', '1', '2']"}), graded)
    numbered = model(tmp_path / "numbered.onnx", metadata={"names": "['0', '1', '2']"})
    assert fit(numbered).reading.classes == CLASSES


def test_one_number_an_image_is_of_two_classes_and_of_no_three(tmp_path: Path) -> None:
    for shape in (["N", 1], ["N"], ["N", 1, 1, 1]):
        to = np.array([-1, *[1] * (len(shape) - 1)])
        path = model(
            tmp_path / f"m{len(shape)}.onnx",
            [node("Gather", ["logits", "one"], ["l"], axis=1), node("Sigmoid", ["l"], ["p"]),
             node("Reshape", ["p", "to"], ["y"])],
            [("y", FLOAT, shape)],
            one=np.array([1]),
            to=to,
        )  # fmt: skip
        found = fit(path, TWO, output={"threshold": 0.3})
        assert (found.reading.kind, found.reading.threshold) == ("sigmoid", 0.3)
        assert "the data has 3 classes" in refused(path)


def test_a_label_is_one_number_an_image(tmp_path: Path) -> None:
    path = model(
        tmp_path / "m.onnx", [node("Greater", ["logits", "zero"], ["y"])], [("y", TensorProto.BOOL, ["N", 3])],
        zero=np.float32(0),
    )  # fmt: skip
    assert "gives y (bool [any, 3]), and the data has 3 classes" in refused(path)
    open_ = model(tmp_path / "open.onnx", [node("Sin", ["logits"], ["y"])], [("y", FLOAT, ["N", 3])])
    assert "gives y (float32 [any, 3])" in refused(open_, output={"kind": "labels"})


def test_a_model_whose_format_nothing_reads_must_say_what_its_numbers_are(tmp_path: Path) -> None:
    (tmp_path / "m.tiny").write_bytes(b"weights")
    said = refused(tmp_path / "m.tiny")
    assert 'is of a format that is not read here (.tiny); write output = { kind = "logits" }' in said
    assert fit(tmp_path / "m.tiny", output={"kind": "logits"}).reading.kind == "logits"


def test_what_is_declared_of_a_meaning_is_taken_and_said(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", [node("Sigmoid", ["logits"], ["y"])], [("y", FLOAT, ["N", 3])])
    found = fit(path, output={"kind": "probabilities"})
    assert found.reading.kind == "probabilities"
    assert found.remarks == (
        "m.onnx: y is read as probabilities, as declared, though its last operations make sigmoid of it",
    )
    assert "cannot have a threshold: the data has 3 classes" in refused(path, output={"threshold": 0.4})


def test_sizes_that_a_tflite_file_leaves_open_are_refused_but_for_the_number_of_images(tmp_path: Path) -> None:
    said = refused(small_tflite.of_shape(tmp_path / "open.tflite", (-1, 1, -1, -1)))
    assert (
        "open.tflite takes x (float32 [any, 1, any, any]): its sizes are open, and LiteRT is run at fixed ones" in said
    )
    assert "export it with fixed sizes" in said
    assert fit(small_tflite.of_shape(tmp_path / "free.tflite", (-1, 1, SIZE, SIZE)), output={"kind": "logits"})
    # What is open, and yet has a size in the file, is run at that size.
    fixed = small_tflite.of_shape(tmp_path / "fixed.tflite", (-1, 1, -1, -1), sizes=(1, 1, SIZE, SIZE))
    assert fit(fixed, output={"kind": "logits"})


def test_inputs_that_no_image_fits_are_refused_by_what_they_are(tmp_path: Path) -> None:
    flat = model(tmp_path / "flat.onnx", shape=["N", SIZE * SIZE])
    assert "2 axes, and an input of images has four" in refused(flat)
    batch = model(tmp_path / "batch.onnx", shape=[8, 1, SIZE, SIZE])
    assert "takes exactly 8 images at once" in refused(batch)
    small = model(tmp_path / "small.onnx", shape=["N", 1, 8, 8])
    assert 'input = { size = [8, 8], resize = "bilinear" } under [baseline]' in refused(small)
    colour = model(tmp_path / "colour.onnx", shape=["N", 3, SIZE, SIZE])
    assert 'input = { color = "RGB" } under [baseline]' in refused(colour)
    assert fit(colour, input={"color": "RGB"}).input.color == "RGB"
    assert fit(colour, input={"channels": 3}).input.color == "RGB"
    whole = model(tmp_path / "whole.onnx", before=[node("Cast", ["x"], ["xf"], to=FLOAT)], kind=TensorProto.INT32)
    assert "without saying what its integers stand for, and the images are uint8" in refused(whole)


def test_the_layout_is_the_files_where_its_shape_leaves_no_choice(tmp_path: Path) -> None:
    turned = [node("Transpose", ["x"], ["xf"], perm=[0, 3, 1, 2])]
    path = model(tmp_path / "m.onnx", before=turned, shape=["N", SIZE, SIZE, 1])
    assert fit(path).input.layout == "NHWC"
    assert 'which is NHWC; write layout = "NHWC"' in refused(path, input={"layout": "NCHW"})
    open_ = model(tmp_path / "open.onnx", before=turned, shape=None)
    assert fit(open_).input.layout == "NCHW"
    assert fit(open_, input={"layout": "NHWC"}).input.layout == "NHWC"


def test_pixels_go_as_they_are_into_a_model_of_bytes_and_that_is_said(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", before=[node("Cast", ["x"], ["xf"], to=FLOAT)], kind=TensorProto.UINT8)
    assert fit(path).remarks == (
        "m.onnx takes the pixels 0 to 255 as they are: scale, mean and std have no part in it",
    )
    assert fit(path, input={"scale": 1.0}).remarks == ()


def test_integers_of_an_output_are_what_the_file_says_or_refused(tmp_path: Path) -> None:
    scaled = model(
        tmp_path / "scaled.onnx",
        [node("Sigmoid", ["x"], ["p"]), node("QuantizeLinear", ["p", "s", "z"], ["y"])],
        [("y", TensorProto.UINT8, ["N", 1, SIZE, SIZE])],
        s=np.float32(1 / 255),
        z=np.uint8(0),
    )
    found = fit(scaled, MASKS, kind="segmentation")
    assert found.reading.kind == "sigmoid"
    assert found.answer_quantization[0] == pytest.approx(1 / 255)
    assert found.answer_quantization[1] == 0
    bare = model(
        tmp_path / "bare.onnx",
        [node("Sigmoid", ["logits"], ["p"]), node("Cast", ["p"], ["y"], to=TensorProto.UINT8)],
        [("y", TensorProto.UINT8, ["N", 3])],
    )
    assert "gives y (uint8 [any, 3]) without saying what its integers stand for" in refused(bare)


def test_several_inputs_are_listed(tmp_path: Path) -> None:
    import onnx

    path = model(tmp_path / "m.onnx")
    more = onnx.load(path)
    more.graph.input.insert(0, onnx.helper.make_tensor_value_info("age", FLOAT, [1]))
    onnx.save(more, path)
    said = refused(path)
    assert "has 2 inputs: age (float32 [1]), x (float32 [any, 1, 16, 16])" in said
    assert "write inputs = { age = NUMBER } under [baseline]" in said
    found = fit(path, inputs={"age": 0.5})
    assert found.constants == {"age": 0.5}
    assert found.input.layout == "NCHW"
    assert "has no input 'aged', only age" in refused(path, inputs={"aged": 0.5})


def test_a_model_read_otherwise_than_its_baseline_is_named(tmp_path: Path) -> None:
    reading = fit(model(tmp_path / "m.onnx")).reading
    assert lab.differently(reading, reading) == ""
    assert lab.differently(replace(reading, kind="sigmoid"), reading) == (
        "its numbers are read as sigmoid, those of its baseline as logits"
    )
