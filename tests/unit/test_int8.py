"""`quantize_int8`: how ranges are found, what stays float by name, and what is given back to float to keep a bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from harness import formats, registry
from harness.errors import LabError, RecipeError
from harness.ports.recipes import Build
from harness.recipes import quantize_int8
from harness.recipes.quantize_int8 import Bound, Options
from tests import bright_halves as halves


@pytest.fixture(params=["onnx", "tflite"])
def parent(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a model that 8 bits ruin: the difference of its halves is far smaller than what both have in common."""
    return halves.MODELS[request.param](tmp_path / f"parent.{request.param}")


def build(parent: Path, **options: Any) -> tuple[Path, Any]:
    """Return the file that is built, and what the recipe says of it."""
    target = parent.with_name(f"int8{parent.suffix}")
    return target, quantize_int8.build(halves.job(parent, target), Options(**options))


def test_nodes_are_given_back_to_float_most_sensitive_first_until_the_bound_holds(parent: Path) -> None:
    plain, nothing = build(parent)
    assert nothing is None
    assert halves.accuracy(parent) == 1.0
    assert halves.accuracy(plain) == 0.5
    target, found = build(parent, bound=Bound(margin=0.01))
    assert halves.accuracy(target) == 1.0
    assert set(found["float_layers"]) == {"lift", "differ"}
    del found["float_layers"]
    assert found == {"metric": "accuracy", "split": "validation", "baseline": 1.0, "all_int8": 0.5, "reached": 1.0}
    assert [one.name for one in target.parent.iterdir() if one.name not in (parent.name, target.name)] == []


def test_a_bound_that_cannot_be_met_says_what_was_the_best_and_leaves_no_file(parent: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        build(parent, bound=Bound(margin=0.01, metric="sensitivity", float_layers=1))
    assert f"the bound cannot be met: sensitivity of {parent.name} is 1.000 and may lose 0.010" in str(caught.value)
    assert "; best was " in str(caught.value)
    assert [one.name for one in parent.parent.iterdir()] == [parent.name]


def test_a_bound_is_held_against_the_baseline_and_not_against_what_steps_before_have_left(tmp_path: Path) -> None:
    worse, first = (
        halves.onnx_model(tmp_path / f"{name}.onnx", lift=lift) for name, lift in (("worse", 1e9), ("first", 0.0))
    )
    given, options = halves.job(worse, tmp_path / "int8.onnx"), Options(bound=Bound(margin=0.1))
    assert quantize_int8.build(given, options)["baseline"] == halves.accuracy(worse) == 0.5  # type: ignore[index]
    with pytest.raises(RecipeError) as caught:
        quantize_int8.build(replace(given, first=first), options)
    assert "accuracy of first.onnx is 1.000 and may lose 0.1000; best was 0.5000" in str(caught.value)
    assert "worse.onnx, which is quantised, has 0.5000 in float" in str(caught.value)


def test_a_bound_that_8_bits_meet_gives_nothing_back(tmp_path: Path) -> None:
    for name, model in halves.MODELS.items():
        target, found = build(model(tmp_path / f"easy.{name}", lift=0.0), bound=Bound(margin=0.0))
        assert found["float_layers"] == []
        assert found["reached"] == found["all_int8"] == halves.accuracy(target) == 1.0


def test_a_bound_is_kept_on_images_that_are_not_measured(tmp_path: Path) -> None:
    parent, asked = halves.onnx_model(tmp_path / "m.onnx", lift=0.0), []

    def samples(split: str) -> Any:
        asked.append(split)
        return halves.samples(split)

    job = Build(parent, tmp_path / "t.onnx", samples, halves.SPEC, halves.TASK)
    quantize_int8.build(job, Options(bound=Bound(margin=0.0)))
    assert asked == ["train", "validation"]


def test_a_metric_that_the_task_has_not_is_refused_with_those_it_has(tmp_path: Path) -> None:
    parent = halves.onnx_model(tmp_path / "m.onnx")
    with pytest.raises(RecipeError, match=r"m\.onnx has no dice on the split validation; known: accuracy, auroc"):
        build(parent, bound=Bound(margin=0.1, metric="dice"))


def test_excluded_nodes_stay_float(parent: Path) -> None:
    target, _ = build(parent, exclude=("lift", "differ"))
    assert halves.accuracy(target) == 1.0
    np.testing.assert_allclose(halves.answers(target), halves.answers(parent), atol=0.1)


def test_an_excluded_node_that_is_not_there_is_refused_with_the_nearest(parent: Path) -> None:
    with pytest.raises(RecipeError, match=rf"{parent.name} has no node 'lifd'; did you mean 'lift'\?"):
        build(parent, exclude=("lifd",))
    with pytest.raises(RecipeError, match=r"has no node 'xyzzy'; its nodes are .*lift, differ"):
        build(parent, exclude=("xyzzy",))


def test_a_node_without_a_name_is_called_by_its_output_and_all_of_them_cannot_be_left_out(tmp_path: Path) -> None:
    parent = halves.onnx_model(tmp_path / "m.onnx")
    target, _ = build(parent, exclude=("logits",))
    assert {one.name for one in onnx.load(target).graph.initializer} >= {"differ.w_quantized", "last.w"}
    with pytest.raises(RecipeError, match=r"none of the nodes of m\.onnx became 8 bits \(it has Flatten, Gemm\)"):
        build(parent, exclude=("lift", "differ", "logits"))


def test_a_node_that_melts_into_another_before_quantisation_is_excluded_with_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    kernel = numpy_helper.from_array(rng.normal(0, 0.1, (2, 1, 16, 16)).astype(np.float32), "k")
    ones = [numpy_helper.from_array(np.full(2, 1.5, np.float32), name) for name in ("scale", "bias", "mean", "var")]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"], name="norm"),
        helper.make_node("Flatten", ["n"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w"], ["logits"], name="gemm"),
    ]
    weights = [kernel, *ones, numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")]
    target, _ = build(halves.save(tmp_path / "m.onnx", nodes, weights), exclude=("norm",))
    of = {output: node for node in onnx.load(target).graph.node for output in node.output}
    made = {node.op_type: node for node in of.values()}
    assert of.get(made["Conv"].input[0]) is None, "the convolution reads the image itself, in float"
    assert of[made["Gemm"].input[0]].op_type in ("DequantizeLinear", "Flatten")
    assert of[made["Gemm"].input[1]].op_type == "DequantizeLinear"


def test_percentile_and_entropy_clip_what_is_rare_and_minmax_does_not(tmp_path: Path) -> None:
    parent = halves.onnx_model(tmp_path / "m.onnx", lift=0.0)

    def samples(split: str) -> Any:
        made = halves.samples(split)
        made.images[:] //= 4
        made.images[0, 0, 0] = 255  # one bright pixel of 10,240
        return made

    scales = {}
    for method in ("minmax", "percentile", "entropy"):
        target = tmp_path / f"{method}.onnx"
        job = Build(parent, target, samples, halves.SPEC, halves.TASK)
        quantize_int8.build(job, Options(calibration_method=method, percentile=99.9))
        values = {one.name: numpy_helper.to_array(one) for one in onnx.load(target).graph.initializer}
        scales[method] = float(values["flat_scale"])
    pixels = samples("train").images / 255
    assert scales["minmax"] == pytest.approx(1 / 255)
    assert scales["percentile"] == pytest.approx(np.percentile(pixels, 99.9) / 255, rel=0.01)
    assert scales["entropy"] < scales["minmax"]


def test_a_format_whose_tool_has_no_such_calibration_is_refused_by_name(tmp_path: Path) -> None:
    parent = halves.tflite_model(tmp_path / "m.tflite")
    with pytest.raises(RecipeError, match=r"m\.tflite: ai-edge-quantizer, .* has no entropy calibration; write"):
        build(parent, calibration_method="entropy")
    with pytest.raises(RecipeError, match=r"m\.tflite: .* has no weights of 7 bits; take reduce_range out"):
        build(parent, reduce_range=True)


def test_weights_of_a_reduced_range_have_seven_bits(tmp_path: Path) -> None:
    largest = {}
    for reduced in (False, True):
        target, _ = build(halves.onnx_model(tmp_path / "m.onnx"), reduce_range=reduced)
        values = {one.name: numpy_helper.to_array(one) for one in onnx.load(target).graph.initializer}
        largest[reduced] = int(np.abs(values["differ.w_quantized"].astype(int)).max())
    assert largest == {False: 127, True: 64}


def test_weights_have_one_scale_a_channel_or_one_a_tensor(tmp_path: Path) -> None:
    sizes = {}
    for each in (True, False):
        target, _ = build(halves.onnx_model(tmp_path / "m.onnx"), per_channel=each)
        values = {one.name: numpy_helper.to_array(one) for one in onnx.load(target).graph.initializer}
        sizes[each] = values["differ.w_scale"].size
        target, _ = build(halves.tflite_model(tmp_path / "m.tflite"), per_channel=each)
        assert formats.read(target).inputs[0].type == "float32"
    assert sizes == {True: 2, False: 1}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"bound": {"marign": 0.1}}, r"v\.bound\.marign: unknown key; did you mean 'margin'\?"),
        ({"bound": {}}, r"v\.bound\.margin: this key is required"),
        ({"bound": {"margin": -1.0}}, r"margin = -1\.0 must be 0 or more"),
        ({"bound": {"margin": 0.1, "metric": "sensitivty"}}, "is no accuracy; did you mean 'sensitivity'"),
        ({"bound": {"margin": 0.1, "split": "test"}}, "split: input should be 'validation' or 'train'"),
        ({"calibration": 0}, "must be 1 image or more"),
        ({"percentile": 20.0}, "must be above 50"),
        ({"calibration_method": "kl"}, "calibration_method: .*'minmax', 'entropy' or 'percentile'"),
        ({"exclude": "conv"}, "exclude"),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused_by_their_key(table: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=f"(?i){said}"):
        registry.options(quantize_int8, table, file="suite.toml", key="v")
