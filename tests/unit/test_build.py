"""`edgeward build`: what is made, made again or refused, and which images a recipe may learn from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from harness import lab
from harness.data import phantom
from harness.errors import LabError, RecipeError
from harness.lab import ledger
from harness.variants import trial
from harness.variants.build import build_suite
from harness.variants.chains import Watcher
from tests import labs
from tests.phantoms import drawn

SUITES = Path(__file__).resolve().parents[2] / "suites"
MODELS = SUITES / "models"

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
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a suite whose baseline's files are made by a script, and a cache in which nothing is built yet."""
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "suites").mkdir()
    file = tmp_path / "suites" / "little.toml"
    file.write_text(LITTLE)
    source, target = MODELS / "resnet18.onnx", tmp_path / "suites" / "base.onnx"
    (tmp_path / "suites" / "make.py").write_text(f"import shutil\nshutil.copy({str(source)!r}, {str(target)!r})\n")
    return file


def test_build_makes_a_missing_baseline_by_its_source_then_each_variant_once(little: Path) -> None:
    models = little.parent / "models"
    lines: list[str] = []
    assert build_suite(little, watcher=Watcher(lines.append)) == [models / "sparse.onnx", models / "small.onnx"]
    assert lines[0] == "base.onnx: make.py …"
    assert build_suite(little) == []
    assert build_suite(little, force=True, only=["small"]) == [models / "small.onnx"]
    assert all(not variant.problem for variant in lab.read_suite(little).variants)
    entry = ledger.read(models)["small.onnx"]
    (step,) = entry.steps
    assert (entry.parent, entry.sha256) == ("base.onnx", ledger.sha256(models / "small.onnx"))
    assert (step.recipe, step.settings, step.data) == ("quantize_int4", {"min_weights": 2048}, {})
    assert step.tools["onnx"] == onnx.__version__


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


def test_the_recipes_without_training_build_files_that_their_suite_takes(little: Path) -> None:
    linear(little.parent / "base.onnx", opset=17)
    small = {"low_rank": "parameters.ratio = 0.5", "share_parameters": "parameters.min_weights = 100"}
    names = ("quantize_dynamic", "float16", "optimize_graph", "low_rank", "share_parameters")
    variants = "".join(f'[[variant]]\nid = "{one}"\nrecipe = "{one}"\n{small.get(one, "")}\n' for one in names)
    little.write_text(LITTLE.split("[[variant]]")[0] + variants)
    assert [path.stem for path in build_suite(little)] == list(names)
    assert all(not variant.problem for variant in lab.read_suite(little).variants)
    found = {path: entry.steps[0].found for path, entry in ledger.read(little.parent / "models").items()}
    assert found["low_rank.onnx"]["ranks"] == {"c": "2 of 4", "y": "2 of 3"}
    assert found["share_parameters.onnx"]["tensors"] == 2
    assert found["quantize_dynamic.onnx"] == {}
    assert build_suite(little) == []


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


def test_a_train_split_that_is_measured_as_a_whole_leaves_a_recipe_nothing(little: Path) -> None:
    test = drawn("test", range(9))
    for name in ("data", "again"):
        np.savez(little.parent / f"{name}.npz", images=test.images, labels=test.labels)
    data = f'{labs.npz("data.npz", classes=phantom.CLASSES)}\ntrain = "again.npz"\noverlap = "leave_out"'
    little.write_text(with_int8(data))
    with pytest.raises(RecipeError, match="every image of the split train is of the split test too"):
        build_suite(little)


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


def test_what_a_recipe_decided_stands_in_the_ledger(little: Path) -> None:
    parameters = "parameters = { calibration = 10, bound = { margin = 0.5, split = 'train' } }"
    little.write_text(with_int8('source = "phantom"\ntrain = 30\ntest = 9') + parameters)
    lines: list[str] = []
    build_suite(little, watcher=Watcher(lines.append))
    entry = ledger.read(little.parent / "models")["int8.onnx"]
    (step,) = entry.steps
    assert step.parameters["bound"] == {"margin": 0.5, "split": "train"}
    assert step.found["float_layers"] == []
    assert 0 <= step.found["baseline"] - step.found["reached"] <= 0.5
    assert "int8.onnx: float_layers = []" in lines
    assert build_suite(little) == []
