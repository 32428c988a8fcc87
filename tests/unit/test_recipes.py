"""The cheap recipes make the committed variants again; what they cannot do they say in one line.

`prune_filters` and `distill` need torch, which the test extra does not bring; `edgeward build` makes those again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import numpy_helper

from harness import lab
from harness.data import phantom
from harness.errors import LabError, RecipeError
from harness.lab import ledger
from harness.model import InputSpec, Samples, Task
from harness.ports import Build
from harness.recipes import _onnx_tools, prune_magnitude, quantize_int4, quantize_int8
from harness.recipes._inputs import prepare
from harness.variants import trial
from harness.variants.build import build_suite
from tests import labs

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


def drawn(split: str, rows: Iterable[int]) -> Samples:
    images, _ = zip(*(phantom.draw(phantom.Options().seed, split, row) for row in rows), strict=True)
    labels = np.array([row % 3 for row in rows])
    return Samples(np.stack(images)[..., None], labels, phantom.CLASSES, "a synthetic phantom", synthetic=True)


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
    variants = [v for name in ("ultrasound", "smoke") for v in lab.read_suite(SUITES / f"{name}.toml").variants]
    assert [variant.problem for variant in variants] == [""] * 13
    assert {variant.path.name for variant in variants if variant.recipe} == set(ledger.read(MODELS))
    assert sum(variant.size_bytes for variant in variants) < 15e6


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
        from harness.ports import Build
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


LITTLE = labs.suite_toml(
    title="Little",
    data='source = "phantom"\ntrain = 30\ntest = 9',
    load="threads = 1",
    more="""source = "make.py"
[[variant]]
id = "sparse"
recipe = "prune_magnitude"
[[variant]]
id = "small"
recipe = "quantize_int4"
[accept]
latency_ratio = { max = 2.0 }
""",
)


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """Give a suite whose baseline's files are made by a script."""
    (tmp_path / "suites").mkdir()
    file = tmp_path / "suites" / "little.toml"
    file.write_text(LITTLE)
    source, target = MODELS / "resnet18.onnx", tmp_path / "suites" / "base.onnx"
    (tmp_path / "suites" / "make.py").write_text(f"import shutil\nshutil.copy({str(source)!r}, {str(target)!r})\n")
    return file


def test_build_makes_a_missing_baseline_by_its_source_then_each_variant_once(little: Path) -> None:
    models = little.parent / "models"
    lines: list[str] = []
    assert build_suite(little, progress=lines.append) == [models / "sparse.onnx", models / "small.onnx"]
    assert lines[0] == "base.onnx: make.py …"
    assert build_suite(little) == []
    assert build_suite(little, force=True, only=["small"]) == [models / "small.onnx"]
    assert all(not variant.problem for variant in lab.read_suite(little).variants)
    entry = ledger.read(models)["small.onnx"]
    assert (entry.recipe, entry.parent, entry.sha256) == (
        "quantize_int4",
        "base.onnx",
        ledger.sha256(models / "small.onnx"),
    )
    assert entry.tools["onnx"] == onnx.__version__


def test_build_makes_again_what_was_changed_behind_its_back(little: Path) -> None:
    models = little.parent / "models"
    build_suite(little)
    (models / "sparse.onnx").write_bytes(b"something else")
    recipe = 'recipe = "quantize_int4"'
    little.write_text(LITTLE.replace(recipe, f"{recipe}\nparameters.min_weights = 4096"))
    assert build_suite(little) == [models / "sparse.onnx", models / "small.onnx"]


def test_build_refuses_an_unknown_variant_and_a_baseline_without_source(little: Path) -> None:
    shutil.copy(MODELS / "resnet18.onnx", little.parent / "base.onnx")
    with pytest.raises(LabError, match=r"no variant 'smal' .*did you mean 'small'"):
        build_suite(little, only=["smal"])
    (little.parent / "base.onnx").unlink()
    little.write_text(LITTLE.replace('source = "make.py"', ""))
    with pytest.raises(LabError, match=r"baseline\.model: .*base\.onnx does not exist"):
        build_suite(little)


def test_an_input_that_does_not_fit_the_model_is_one_line_and_nothing_is_built(little: Path) -> None:
    little.write_text(LITTLE.replace("mean = [0.5]", "mean = [0.5, 0.4, 0.3]"))
    with pytest.raises(RecipeError, match=r"sparse: .*base\.onnx gets images of 1 channels, and `mean` has 3 values"):
        build_suite(little)
    assert not (little.parent / "models").exists()


def test_a_layout_that_the_file_shows_is_that_of_its_recipes(little: Path) -> None:
    turned = LITTLE.replace("quantize_int4", "quantize_int8").replace('"NCHW"', '"NHWC"')
    little.write_text(turned)
    assert [path.name for path in build_suite(little)] == ["sparse.onnx", "small.onnx"]


def linear(path: Path, *, opset: int, constants: bool = False, half: bool = False) -> Path:
    """Write a convolution and a matrix product in an old operator set, as Paddle keeps its weights, or in fp16."""
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    dtype = np.float16 if half else np.float32
    rng = np.random.default_rng(1)
    weights = {
        "k": rng.normal(0, 0.1, (4, 1, 8, 8)).astype(dtype), "w": rng.normal(0, 0.1, (256, 3)).astype(dtype),
    }  # fmt: skip
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    nodes = [
        onnx.helper.make_node("Conv", ["x", "k"], ["c"], strides=[8, 8]),
        onnx.helper.make_node("Flatten", ["c"], ["f"]),
        onnx.helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    if constants:
        nodes = [*(onnx.helper.make_node("Constant", [], [one.name], value=one) for one in tensors), *nodes]
    graph = onnx.helper.make_graph(
        nodes,
        "old",
        [onnx.helper.make_tensor_value_info("x", kind, ["N", 1, 64, 64]),
         *([] if constants else [onnx.helper.make_tensor_value_info(one.name, kind, one.dims) for one in tensors])],
        [onnx.helper.make_tensor_value_info("y", kind, ["N", 3])],
        [] if constants else tensors,
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=7), path)
    return path


@pytest.mark.parametrize(
    "how",
    [{"opset": 11}, {"opset": 9}, {"opset": 13, "constants": True}, {"opset": 17}, {"opset": 17, "half": True}],
    ids=str,
)
def test_old_and_odd_files_are_quantised_into_files_that_run(how: dict[str, Any], little: Path) -> None:
    path = linear(little.parent / "base.onnx", **how)
    little.write_text(LITTLE.replace("quantize_int4", "quantize_int8"))
    (built,) = build_suite(little, only=["small"])
    images = np.random.default_rng(2).normal(0, 1, (4, 1, 64, 64)).astype(np.float16 if how.get("half") else np.float32)
    before, after = (
        onnxruntime.InferenceSession(str(one), providers=["CPUExecutionProvider"]).run(None, {"x": images})[0]
        for one in (path, built)
    )
    assert np.corrcoef(before.ravel().astype(float), after.ravel().astype(float))[0, 1] > 0.9


def test_a_file_that_no_runtime_loads_is_not_called_built(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", opset=13)
    model = onnx.load(path)
    model.graph.node[0].op_type = "Konv"
    onnx.save(model, path)
    with pytest.raises(RecipeError, match=r"quantize_int8 wrote a file that does not run \(.*Konv"):
        trial.run(path, "quantize_int8")
    assert not path.exists()


def split_file(folder: Path, *, shared: int) -> str:
    """Write train and test images, of which `shared` are in both, and return the keys of `[data]`."""
    train, test = drawn("train", range(30)), drawn("test", range(9))
    images = train.images.copy()
    images[:shared] = test.images[:shared]
    np.savez(
        folder / "data.npz",
        train_images=images,
        train_labels=train.labels,
        test_images=test.images,
        test_labels=test.labels,
    )
    return labs.npz("data.npz", classes=phantom.CLASSES)


def with_int8(data: str) -> str:
    """Return a suite that calibrates on its train split."""
    more = '[[variant]]\nid = "int8"\nrecipe = "quantize_int8"\n'
    return labs.suite_toml(title="Little", data=data, more=f'source = "make.py"\n{more}')


def test_a_recipe_does_not_learn_from_images_that_are_measured(little: Path) -> None:
    data = split_file(little.parent, shared=2)
    little.write_text(with_int8(data))
    with pytest.raises(RecipeError) as caught:
        build_suite(little)
    assert (
        "int8: 2 of 30 images of the split train are (nearly) in test too: 2 identical and 0 nearly identical pairs; "
        'remove them, or write overlap = "leave_out" under [data]: the recipe then does not see them'
    ) in str(caught.value)
    little.write_text(with_int8(f'{data}\noverlap = "leave_out"'))
    assert [path.name for path in build_suite(little)] == ["int8.onnx"]


def test_a_patient_of_the_measured_split_is_refused_as_a_teacher_and_may_be_left_out(little: Path) -> None:
    train, test = drawn("train", range(30)), drawn("test", range(9))
    np.savez(
        little.parent / "data.npz",
        train_images=train.images,
        train_labels=train.labels,
        train_who=np.arange(30) // 3,
        test_images=test.images,
        test_labels=test.labels,
        test_who=np.arange(9) + 8,
    )
    data = f'{labs.npz("data.npz", classes=phantom.CLASSES)}\ngroup = "who"'
    little.write_text(with_int8(data))
    with pytest.raises(RecipeError) as caught:
        build_suite(little)
    assert "int8: 6 of 30 images of the split train are of patients who are in test too; remove them" in str(
        caught.value
    )
    little.write_text(with_int8(f'{data}\noverlap = "leave_out"'))
    assert [path.name for path in build_suite(little)] == ["int8.onnx"]


def test_a_recipe_that_finds_no_train_split_takes_no_other_for_it(little: Path) -> None:
    test = drawn("test", range(9))
    np.savez(little.parent / "data.npz", images=test.images, labels=test.labels)
    little.write_text(with_int8(labs.npz("data.npz", classes=phantom.CLASSES)))
    with pytest.raises(RecipeError) as caught:
        build_suite(little)
    assert "data.npz: has no split train: no array train_images, only images, labels" in str(caught.value)
    assert 'or write train = "data/train.npz" under [data] of the suite' in str(caught.value)


def test_what_is_measured_is_no_split_to_learn_from(little: Path) -> None:
    little.write_text(with_int8('source = "phantom"\nsplit = "train"\ntrain = 30\ntest = 9'))
    with pytest.raises(RecipeError, match="the split train is what is measured, and a recipe must not learn from it"):
        build_suite(little)


def test_a_baseline_script_that_fails_is_named(little: Path) -> None:
    (little.parent / "make.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(RecipeError, match=r"make\.py failed"):
        build_suite(little)
