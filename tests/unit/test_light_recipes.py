"""The recipes that need neither training nor images: `quantize_dynamic`, `float16` and `optimize_graph`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness import formats, registry
from harness.errors import LabError, RecipeError
from harness.recipes import float16, optimize_graph, quantize_dynamic
from harness.variants import trial
from tests import bright_halves as halves

MODELS = Path(__file__).resolve().parents[2] / "suites" / "models"


def built(recipe: Any, parent: Path, **options: Any) -> tuple[Path, Any]:
    """Return the file that a recipe builds, after its trial, and what it says of it."""
    target = parent.with_name(f"built{parent.suffix}")
    found = recipe.build(halves.job(parent, target), recipe.Options(**options))
    trial.run(target, recipe.__name__)
    assert sorted(one.name for one in parent.parent.iterdir()) == sorted([parent.name, target.name])
    return target, found


@pytest.fixture(params=["onnx", "tflite"])
def easy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a model that bears 8 bits."""
    return halves.MODELS[request.param](tmp_path / f"easy.{request.param}", lift=0.0)


def convolutional(path: Path, kernel: np.ndarray[Any, Any] | None = None) -> Path:
    """Write a convolution with its normalisation, which can be melted into it, and a product."""
    rng = np.random.default_rng(1)
    kernel = rng.normal(0, 0.1, (4, 1, 8, 8)).astype(np.float32) if kernel is None else kernel
    four = [numpy_helper.from_array(np.full(4, 1.5, np.float32), name) for name in ("scale", "bias", "mean", "var")]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv", strides=[8, 8]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w"], ["logits"], name="gemm"),
    ]
    product = numpy_helper.from_array(rng.normal(0, 0.3, (16, 2)).astype(np.float32), "w")
    return halves.save(path, nodes, [numpy_helper.from_array(kernel, "k"), *four, product])


def test_dynamic_quantisation_answers_as_the_float_model_nearly_does(easy: Path) -> None:
    # With weights of 8 bits the answers are another processor's where that has no VNNI.
    target, _ = built(quantize_dynamic, easy, **({"reduce_range": True} if easy.suffix == ".onnx" else {}))
    assert halves.accuracy(target) == 1.0
    np.testing.assert_allclose(halves.answers(target), halves.answers(easy), atol=0.05)
    assert target.read_bytes() != easy.read_bytes()
    assert formats.read(target).inputs[0].type == "float32"


def test_dynamic_quantisation_leaves_excluded_nodes_alone_and_refuses_unknown_ones(easy: Path) -> None:
    whole, _ = built(quantize_dynamic, easy)
    whole_size = whole.stat().st_size
    target, _ = built(quantize_dynamic, easy, exclude=("lift",))
    assert target.stat().st_size > whole_size + 500  # 512 weights of 4 bytes instead of 1
    with pytest.raises(RecipeError, match="has no node 'lost'"):
        built(quantize_dynamic, easy, exclude=("lost",))


def test_dynamic_quantisation_makes_integers_of_convolutions_and_products(tmp_path: Path) -> None:
    parent = convolutional(tmp_path / "m.onnx")
    target, _ = built(quantize_dynamic, parent, reduce_range=True)
    kinds = {node.op_type for node in onnx.load(target).graph.node}
    assert kinds >= {"ConvInteger", "MatMulInteger"}
    # The product is made of several operators now, and its sums with a bias are logits as before.
    assert formats.read(target).outputs[0].kind == "logits"
    np.testing.assert_allclose(halves.answers(target), halves.answers(parent), atol=0.05)


def only_sums(path: Path) -> Path:
    nodes = [helper.make_node("ReduceMean", ["x"], ["logits"], axes=[1, 2, 3], keepdims=0, name="mean")]
    return halves.save(path, nodes, [])


def test_a_model_without_weights_is_refused_with_what_it_has(tmp_path: Path) -> None:
    parent = only_sums(tmp_path / "m.onnx")
    with pytest.raises(RecipeError, match=r"none of the nodes of m\.onnx became 8 bits \(it has ReduceMean"):
        built(quantize_dynamic, parent)
    with pytest.raises(RecipeError, match=r"m\.onnx has no node with float32 weights to convert"):
        built(float16, parent)
    assert [one.name for one in tmp_path.iterdir()] == ["m.onnx"]


def test_float16_answers_as_the_float_model_nearly_does_at_half_the_size(tmp_path: Path) -> None:
    for name in ("resnet18.onnx", "resnet18.tflite"):
        parent = tmp_path / name
        target = tmp_path / f"half-{name}"
        parent.write_bytes((MODELS / name).read_bytes())
        float16.build(halves.job(parent, target), float16.Options())
        trial.run(target, "float16")
        assert target.stat().st_size < 0.52 * parent.stat().st_size
        assert formats.read(target).inputs == formats.read(parent).inputs
        assert formats.read(target).outputs[0].type == "float32"


def test_float16_bears_what_16_bits_bear_and_keeps_excluded_nodes(easy: Path) -> None:
    target, _ = built(float16, easy)
    np.testing.assert_allclose(halves.answers(target), halves.answers(easy), atol=5e-3)
    whole_size = target.stat().st_size
    target, found = built(float16, easy, exclude=("lift",))
    assert target.stat().st_size > whole_size + 500
    assert found == ({"float32_nodes": ["lift"]} if easy.suffix == ".onnx" else None)
    with pytest.raises(RecipeError, match="has no node 'lifd'; did you mean 'lift'"):
        built(float16, easy, exclude=("lifd",))


def test_float16_refuses_weights_that_16_bits_cannot_say_and_names_the_node(tmp_path: Path) -> None:
    kernel = np.full((4, 1, 8, 8), 1e5, np.float32)
    parent = convolutional(tmp_path / "m.onnx", kernel)
    with pytest.raises(RecipeError) as caught:
        built(float16, parent)
    assert str(caught.value) == (
        'the weights k of conv in m.onnx reach 1e+05, and 16 bits end at 65504; write exclude = ["conv"], or leave '
        "this variant out"
    )
    built(float16, parent, exclude=("conv",))


def test_the_optimised_graph_has_fewer_nodes_and_the_same_answers(tmp_path: Path) -> None:
    parent = convolutional(tmp_path / "m.onnx")
    exact = halves.answers(parent)
    for level in ("basic", "extended"):
        target, found = built(optimize_graph, parent, level=level)
        np.testing.assert_allclose(halves.answers(target), exact, atol=1e-5)
        assert found["operators"]["BatchNormalization"] == -1
        assert found["nodes"][0] == 5
        assert found["nodes"][1] == len(onnx.load(target).graph.node) < 5


@pytest.mark.parametrize(
    ("level", "said"), [("all", "for the processor of the machine that builds"), ("fast", '"basic" or "extended"')]
)
def test_a_level_for_one_processor_is_refused(level: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        registry.options(optimize_graph, {"level": level}, file="suite.toml", key="v")


def test_weights_of_half_floats_have_nothing_to_halve(tmp_path: Path) -> None:
    parent = convolutional(tmp_path / "m.onnx")
    target, _ = built(float16, parent)
    assert {one.data_type for one in onnx.load(target).graph.initializer} == {TensorProto.FLOAT16}
    again = tmp_path / "again"
    again.mkdir()
    (again / "half.onnx").write_bytes(target.read_bytes())
    with pytest.raises(RecipeError, match=r"half\.onnx has no node with float32 weights"):
        built(float16, again / "half.onnx")
    with pytest.raises(RecipeError, match=r"conv of half\.onnx has weights of 16-bit floats"):
        built(quantize_dynamic, again / "half.onnx")


def test_weights_of_integers_have_nothing_to_halve(tmp_path: Path) -> None:
    parent = tmp_path / "int8.onnx"
    parent.write_bytes((MODELS / "smallnet-int8.onnx").read_bytes())
    with pytest.raises(RecipeError, match=r"int8\.onnx has no node with float32 weights"):
        built(float16, parent)


@pytest.mark.parametrize("opset", [9, 11])
def test_an_old_operator_set_is_taken(opset: int, tmp_path: Path) -> None:
    parent = halves.onnx_model(tmp_path / "old.onnx", lift=0.0, opset=opset)
    for recipe, options in ((quantize_dynamic, {"reduce_range": True}), (float16, {}), (optimize_graph, {})):
        target, _ = built(recipe, parent, **options)
        np.testing.assert_allclose(halves.answers(target), halves.answers(parent), atol=0.05)
