"""The cheap recipes make the committed variants again; what they cannot do they say in one line.

`prune_filters` and `distill` are in test_training.py, at a tiny size; `edgeward build` makes their variants again.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import numpy_helper

from harness import lab
from harness.errors import RecipeError
from harness.lab import ledger
from harness.model import InputSpec, Samples, Task
from harness.ports.recipes import Build
from harness.recipes import _onnx_tools, prune_magnitude, quantize_int4, quantize_int8
from harness.recipes._inputs import prepare
from tests.phantoms import drawn

SUITES = Path(__file__).resolve().parents[2] / "suites"
MODELS = SUITES / "models"
SPEC = InputSpec(layout="NCHW", scale=1 / 255, mean=(0.5,), std=(0.25,))
CHEAP = (
    ("resnet18-int8.onnx", quantize_int8, 0.35),
    ("resnet18-int8.tflite", quantize_int8, 0.35),
    ("resnet18-int4.onnx", quantize_int4, 0.22),
    ("resnet18-int4.tflite", quantize_int4, 0.22),
    ("resnet18-sparse50.onnx", prune_magnitude, 1.01),
)


@pytest.fixture(scope="module")
def inputs() -> npt.NDArray[np.float32]:
    return prepare(drawn("test", range(100)).images, SPEC)


@cache
def calibration(_split: str) -> Samples:
    """Return the images that int8 is calibrated on by default, without drawing the 2,700 others."""
    return drawn("train", np.linspace(0, 2999, 300).astype(int))


def job(parent: Path, target: Path) -> Build:
    return Build(parent, target, calibration, SPEC, Task("classification", "solid"))


def outputs(model: Path, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (N, K) logits, one image at a time as on a device."""
    if model.suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return np.concatenate([session.run(None, {name: image[None]})[0] for image in inputs])
    interpreter = Interpreter(model_path=str(model))
    interpreter.allocate_tensors()
    entrance, exit_ = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    rows = []
    for image in inputs:
        interpreter.set_tensor(entrance, image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(exit_).copy())
    return np.concatenate(rows)


@pytest.mark.parametrize(("name", "recipe", "size_ratio"), CHEAP, ids=[name for name, _, _ in CHEAP])
def test_a_cheap_recipe_makes_the_committed_variant_again(
    name: str, recipe: object, size_ratio: float, tmp_path: Path, inputs: npt.NDArray[np.float32]
) -> None:
    parent = MODELS / f"resnet18{Path(name).suffix}"
    made, committed = tmp_path / name, MODELS / name
    recipe.build(job(parent, made), recipe.Options())  # type: ignore[attr-defined]
    agreement = np.mean(outputs(made, inputs).argmax(axis=1) == outputs(committed, inputs).argmax(axis=1))
    assert agreement >= 0.99
    assert made.stat().st_size == pytest.approx(committed.stat().st_size, rel=0.02)
    assert made.stat().st_size < size_ratio * parent.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_both_formats_of_the_baseline_give_the_same_outputs(inputs: npt.NDArray[np.float32]) -> None:
    onnx_, tflite = (outputs(MODELS / f"resnet18.{suffix}", inputs[:20]) for suffix in ("onnx", "tflite"))
    np.testing.assert_allclose(onnx_, tflite, atol=1e-4)


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_eight_bits_keep_the_range_of_the_outputs(suffix: str, inputs: npt.NDArray[np.float32]) -> None:
    full, eight = (outputs(MODELS / f"resnet18{name}.{suffix}", inputs) for name in ("", "-int8"))
    # Clipped logits leave the labels as they are and ruin what is said of certainty.
    assert np.ptp(eight, axis=0) == pytest.approx(np.ptp(full, axis=0), rel=0.15)


def test_every_committed_model_is_the_one_its_suite_and_ledger_describe() -> None:
    suites = [lab.read_suite(file) for file in sorted(SUITES.glob("*.toml"))]
    variants = [variant for suite in suites for variant in suite.variants]
    assert {variant.id: variant.problem for variant in variants if variant.problem} == {}
    assert {variant.path.name for variant in variants if variant.recipe} == set(ledger.read(MODELS))
    files = {file for file in MODELS.iterdir() if file.suffix in (".onnx", ".tflite")}
    assert {variant.path for variant in variants} == files, "a model that no suite measures"
    assert sum(file.stat().st_size for file in files) < 40e6


def test_pruning_zeroes_the_asked_share_of_weights_and_no_large_one(tmp_path: Path) -> None:
    target = tmp_path / "sparse.onnx"
    prune_magnitude.build(job(MODELS / "resnet18.onnx", target), prune_magnitude.Options(sparsity=0.8))
    before, after = (
        np.concatenate([numpy_helper.to_array(tensor).ravel() for _, tensor in _onnx_tools.onnx_weights(model)])
        for model in (_onnx_tools.read_onnx(MODELS / "resnet18.onnx"), _onnx_tools.read_onnx(target))
    )
    zeroed = after == 0
    assert np.mean(zeroed) == pytest.approx(0.8, abs=0.001)
    assert np.abs(before[zeroed]).max() <= np.abs(before[~zeroed]).min()
    np.testing.assert_array_equal(before[~zeroed], after[~zeroed])


def test_four_bit_codes_use_the_whole_range_of_each_channel_and_miss_by_at_most_half_a_step() -> None:
    values = np.random.default_rng(1).standard_t(4, (5, 8, 3)).astype(np.float32)
    codes, scale = quantize_int4.quantized(values, 1)
    assert codes.shape == values.shape
    assert np.abs(codes).max(axis=(0, 2)).tolist() == [7] * 8
    assert (np.abs(codes * scale[None, :, None] - values) <= scale[None, :, None] * 0.5001).all()


def test_int8_onnx_has_unsigned_activations_and_signed_weights() -> None:
    model = onnx.load(str(MODELS / "resnet18-int8.onnx"))
    zero_points = {tensor.name: tensor.data_type for tensor in model.graph.initializer if "zero_point" in tensor.name}
    quantized = {zero_points[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert quantized == {onnx.TensorProto.UINT8}
    weights = {tensor.data_type for tensor in model.graph.initializer if tensor.name.endswith("weight_quantized")}
    assert weights <= {onnx.TensorProto.INT8}


@pytest.mark.parametrize(
    ("recipe", "library", "extra"),
    [
        ("prune_magnitude", "onnx", "build"),
        ("quantize_int8", "onnxruntime", "build"),
        ("quantize_dynamic", "onnxruntime", "build"),
        ("optimize_graph", "onnxruntime", "build"),
        ("low_rank", "onnx", "build"),
        ("prune_filters", "torch", "train"),
        ("distill", "torch", "train"),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    recipe: str, library: str, extra: str, tmp_path: Path
) -> None:
    # A fresh interpreter in which the library cannot be found, as on a machine that has not installed it.
    program = f"""
        import sys
        sys.modules[{library!r}] = None
        from pathlib import Path
        from harness.data import phantom
        from harness.errors import RecipeError
        from harness.model import InputSpec, Task
        from harness.ports.recipes import Build
        from harness.recipes import {recipe} as recipe
        options = phantom.Options(train=3)
        here = Path({str(tmp_path)!r})
        load = lambda split: phantom.load(options, split=split, base=here, cache=here)
        parent = Path({str(MODELS / "resnet18.onnx")!r})
        try:
            recipe.build(Build(parent, here / "x.onnx", load, InputSpec(), Task("classification")), recipe.Options())
        except RecipeError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{library} cannot be imported")
    assert done.stdout.strip().endswith(f"pip install 'edgeward[{extra}]'")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_damaged_parent_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    parent = tmp_path / "broken.onnx"
    parent.write_bytes((MODELS / "resnet18.onnx").read_bytes()[:1000])
    with pytest.raises(RecipeError, match=r"broken\.onnx cannot be read as ONNX"):
        quantize_int4.build(job(parent, tmp_path / "x.onnx"), quantize_int4.Options())
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]
