"""`low_rank` against numpy's singular values, and `share_parameters` against what its clusters promise."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper

from harness import registry
from harness.errors import LabError, RecipeError
from harness.recipes import low_rank, share_parameters
from harness.variants import trial
from tests import bright_halves as halves

SHAPES = {"conv": (12, 1, 5, 5), "deep": (12, 1, 3, 3), "gemm": (20, 12 * 8 * 8), "product": (20, 2)}


def weights() -> dict[str, npt.NDArray[np.float32]]:
    """Return weights whose singular values fall, so that something may be cut."""
    rng = np.random.default_rng(3)
    made = {}
    for name, shape in SHAPES.items():
        flat = rng.normal(0, 0.1, shape).reshape(shape[0], -1)
        left, values, right = np.linalg.svd(flat, full_matrices=False)
        made[name] = ((left * values * 0.6 ** np.arange(len(values))) @ right).reshape(shape).astype(np.float32)
    return made


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """Give a model with a convolution, a depthwise one, a Gemm with every attribute, and a matrix product."""
    bias = {"conv.b": np.linspace(-1, 1, 12), "gemm.b": np.linspace(-1, 1, 20)}
    nodes = [
        helper.make_node("Conv", ["x", "conv", "conv.b"], ["c"], name="conv", strides=[2, 2], pads=[2, 2, 2, 2]),
        helper.make_node("Conv", ["c", "deep"], ["d"], name="deep", group=12, pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["d"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "gemm", "gemm.b"], ["g"], name="gemm", transB=1, alpha=0.5, beta=2.0),
        helper.make_node("MatMul", ["g", "product"], ["logits"], name="product"),
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in weights().items()]
    constants += [numpy_helper.from_array(value.astype(np.float32), name) for name, value in bias.items()]
    return halves.save(tmp_path / "parent.onnx", nodes, constants)


def built(recipe: Any, parent: Path, **options: Any) -> tuple[Path, Any]:
    """Return the file that a recipe builds, after its trial, and what it says of it."""
    target = parent.with_name("built.onnx")
    found = recipe.build(halves.job(parent, target), recipe.Options(**options))
    trial.run(target, recipe.__name__)
    return target, found


def test_at_full_rank_the_two_layers_give_what_the_one_gave(parent: Path) -> None:
    model, exact = onnx.load(parent), halves.answers(parent)
    for name, rank in (("conv", 12), ("gemm", 20), ("product", 2)):
        low_rank.replace(model, next(one for one in model.graph.node if one.name == name), rank)
    assert len(model.graph.node) == 8
    target = parent.with_name("full.onnx")
    onnx.save(model, target)
    np.testing.assert_allclose(halves.answers(target), exact, atol=1e-5)
    assert {one.name for one in model.graph.initializer} & set(SHAPES) == {"deep"}


def test_a_cut_layer_holds_the_nearest_matrix_of_its_rank(parent: Path) -> None:
    target, found = built(low_rank, parent, ratio=0.25, nodes=("gemm",))
    assert found == {"ranks": {"gemm": "5 of 20"}, "kept": {}}
    left, values, right = np.linalg.svd(weights()["gemm"].astype(np.float64), full_matrices=False)
    nearest = ((left[:, :5] * values[:5]) @ right[:5]).astype(np.float32)
    model = onnx.load(parent)
    held = next(one for one in model.graph.initializer if one.name == "gemm")
    held.CopyFrom(numpy_helper.from_array(nearest, "gemm"))
    onnx.save(model, parent.with_name("nearest.onnx"))
    np.testing.assert_allclose(halves.answers(target), halves.answers(parent.with_name("nearest.onnx")), atol=1e-5)


def test_energy_keeps_the_fewest_singular_values_that_hold_it_and_says_what_stays_and_why(parent: Path) -> None:
    target, found = built(low_rank, parent, energy=0.9)
    for name in ("conv", "gemm"):
        squares = np.linalg.svd(weights()[name].reshape(SHAPES[name][0], -1), compute_uv=False) ** 2
        fewest = next(k for k in range(1, 99) if squares[:k].sum() / squares.sum() >= 0.9)
        assert found["ranks"][name] == f"{fewest} of {len(squares)}"
    assert found["kept"]["deep"] == "its convolution has 12 groups"
    assert found["kept"]["product"].endswith("of 2 it would not become smaller")
    assert target.stat().st_size < 0.5 * parent.stat().st_size


def test_a_layer_that_cannot_be_cut_is_refused_by_name_where_it_is_asked_for(parent: Path) -> None:
    for node, why in (
        ("deep", "its convolution has 12 groups"),
        ("flat", "it is no convolution or matrix product with float32 weights of its own"),
        ("product", "with rank 2 of 2 it would not become smaller"),
    ):
        with pytest.raises(RecipeError, match=rf"{node} of parent\.onnx cannot be cut: {why}; take it out of `nodes`"):
            built(low_rank, parent, ratio=1.0, nodes=(node,))
    with pytest.raises(RecipeError, match=r"has no node 'gem'; did you mean 'gemm'\?"):
        built(low_rank, parent, nodes=("gem",))
    with pytest.raises(RecipeError, match=r"no layer of parent\.onnx can be cut \(conv: with rank 12 of 12 .*; deep: "):
        built(low_rank, parent, ratio=1.0)
    assert [one.name for one in parent.parent.iterdir()] == ["parent.onnx"]


def test_shared_weights_take_few_values_each_the_mean_of_its_own_and_zeros_stay() -> None:
    values = np.random.default_rng(4).normal(0, 1, (64, 64)).astype(np.float32)
    values[:8] = 0
    result = share_parameters.shared(values, 16)
    assert len(np.unique(result[8:])) <= 16
    assert (result[:8] == 0).all()
    for centre in np.unique(result[8:]):
        assert values[8:][result[8:] == centre].mean() == pytest.approx(centre, abs=0.02)
    # Lloyd's optimum for a Gaussian and 16 levels leaves 0.0095 of the variance; even starts come near it.
    assert np.mean((result - values)[8:] ** 2) < 0.02
    few = np.tile(np.array([1, 2, 3], np.float32), (3, 1))
    np.testing.assert_array_equal(share_parameters.shared(few, 4), few)


def test_sharing_leaves_the_file_as_large_and_makes_it_smaller_compressed(parent: Path) -> None:
    target, found = built(share_parameters, parent, clusters=16)
    tensors = {one.name: numpy_helper.to_array(one) for one in onnx.load(target).graph.initializer}
    assert len(np.unique(tensors["gemm"])) <= 16
    np.testing.assert_array_equal(tensors["conv"], weights()["conv"])
    assert found["tensors"] == 1
    assert target.stat().st_size == pytest.approx(parent.stat().st_size, rel=0.01)
    assert found["deflated_bytes"][1] == len(zlib.compress(target.read_bytes())) < 0.4 * found["deflated_bytes"][0]
    with pytest.raises(RecipeError, match="no convolution or matrix product with 1000000 float32 weights or more"):
        built(share_parameters, parent, min_weights=1_000_000)


@pytest.mark.parametrize(
    ("recipe", "table", "said"),
    [
        (low_rank, {"energy": 0.9, "ratio": 0.5}, "energy and ratio exclude each other"),
        (low_rank, {"ratio": 0.0}, "ratio = 0.0 must be above 0"),
        (low_rank, {"energy": 1.5}, "energy = 1.5 must be above 0 and at most 1"),
        (share_parameters, {"clusters": 1}, "clusters = 1 must be 2 to 65536"),
        (share_parameters, {"min_weights": 0}, "min_weights = 0 must be 1 or more"),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused(recipe: Any, table: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        registry.options(recipe, table, file="suite.toml", key="v")
