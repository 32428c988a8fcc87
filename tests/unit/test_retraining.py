"""`qat`, `prune_magnitude` with training, and `distill` behind other steps: models are trained on as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from devices.virtual.requirements import lacking
from harness.errors import RecipeError
from harness.lab import ledger
from harness.model import Reading
from harness.ports.recipes import Build
from harness.recipes import (
    _host,
    _int8_onnx,
    _lessons,
    _onnx2torch,
    _onnx_tools,
    _training,
    distill,
    prune_filters,
    prune_magnitude,
    qat,
    quantize_int8,
)
from harness.recipes._inputs import prepare
from harness.variants.build import build_suite
from tests import labs
from tests.bright_halves import save
from tests.unit.test_build import linear
from tests.unit.test_training import LITTLE, SPEC, _torch, answers, filters, halves, job, parent, right

__all__ = ("_torch", "parent")  # fixtures

if not lacking("extra:train=torch"):
    import torch
    from torch import nn


def weights(model: Path) -> npt.NDArray[np.float32]:
    """Return all weights that a pruning counts, in one row."""
    found = [numpy_helper.to_array(one) for _, one in _onnx_tools.onnx_weights(onnx.load(model))]
    return np.concatenate([one.ravel() for one in found])


def scales(model: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return the scales in an 8-bit file by their names."""
    constants = onnx.load(model).graph.initializer
    return {one.name: numpy_helper.to_array(one) for one in constants if one.name.endswith("_scale")}


def residual(path: Path, *, seed: int = 5) -> Path:
    """Write what exporters make and torch does not: kept normalisations, a shortcut, plain products, probabilities."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.3) -> npt.NDArray[np.float32]:
        return rng.normal(0, scale, shape).astype(np.float32)

    tensors = {"w1": normal(8, 1, 3, 3), "w2": normal(8, 8, 3, 3, scale=0.1), "w3": normal(128, 2, scale=0.1)}
    tensors |= {"g": 1 + normal(8), "b": normal(8), "m": normal(8), "v": 1 + np.abs(normal(8)), "c": normal(2)}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2], name="first"),
        helper.make_node("BatchNormalization", ["c1", "g", "b", "m", "v"], ["n1"], name="normal"),
        helper.make_node("Relu", ["n1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], name="second"),
        helper.make_node("Add", ["c2", "r1"], ["a"], name="add"),
        helper.make_node("Relu", ["a"], ["r2"], name="relu2"),
        helper.make_node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "w3"], ["y"], name="product"),
        helper.make_node("Add", ["y", "c"], ["z"], name="bias"),
        helper.make_node("Softmax", ["z"], ["logits"], name="softmax"),
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    return save(path, nodes, constants, shape=("N", 1, 16, 16))


def test_qat_writes_a_file_that_runs_in_8_bits_with_the_scales_of_its_training(parent: Path, tmp_path: Path) -> None:
    target, calibrated = tmp_path / "qat.onnx", tmp_path / "int8.onnx"
    found = qat.build(job(parent, target), qat.Options(epochs=3, augment=False, learning_rate=1e-3))
    assert found == {"int8_operators": {"QGemm": 1, "QLinearConv": 3}, "float_layers": []}
    assert right(target) > 0.95
    quantize_int8.build(job(parent, calibrated), quantize_int8.Options())
    trained, before = scales(target), scales(calibrated)
    assert trained.keys() == before.keys()
    ranges = [name for name, one in trained.items() if not one.ndim and name != "input_scale"]
    assert all(trained[name] != before[name] for name in ranges)
    channels = [len(one) for one in trained.values() if one.ndim and len(one) > 1]
    assert sorted(set(channels)) == [2, 8, 16], "one scale for each channel of weights"
    assert next(one.version for one in onnx.load(target).opset_import if one.domain in ("", "ai.onnx")) >= 13


def test_qat_and_trained_pruning_give_the_same_file_for_the_same_seed(parent: Path, tmp_path: Path) -> None:
    for number, seed in enumerate((1, 1, 2)):
        qat.build(job(parent, tmp_path / f"qat{number}.onnx"), qat.Options(epochs=1, seed=seed))
        options = prune_magnitude.Options(epochs=1, schedule="gradual", seed=seed)
        prune_magnitude.build(job(parent, tmp_path / f"sparse{number}.onnx"), options)
    for name in ("qat", "sparse"):
        first, same, other = (ledger.sha256(tmp_path / f"{name}{number}.onnx") for number in range(3))
        assert first == same != other


@pytest.mark.parametrize("exclude", [(), ("second",)], ids=str)
def test_the_network_that_is_trained_rounds_where_the_file_rounds(exclude: tuple[str, ...], tmp_path: Path) -> None:
    from harness.recipes import _fake_int8

    model, inputs = residual(tmp_path / "m.onnx"), prepare(halves(48, 3).images, SPEC)
    eight = _int8_onnx.Int8(model, inputs, tmp_path, exclude=exclude)
    eight.write(tmp_path / "8.onnx")
    network = _onnx2torch.Trainable(eight.prepared, model)
    at = _fake_int8.places(onnx.load(tmp_path / "8.onnx"))
    _fake_int8.Rounding(network, at, eight.ranges())
    with torch.no_grad():
        trained = network.network.eval()(torch.from_numpy(inputs)).numpy()
    plain_settings = onnxruntime.SessionOptions()  # kernels for 8 bits have approximations of their own
    plain_settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(tmp_path / "8.onnx"), plain_settings, providers=["CPUExecutionProvider"])
    (written,) = session.run(None, {"x": inputs})
    assert np.mean(np.round(written * 255) == np.round(trained * 255)) > 0.7, "the file rounds biases, too"
    np.testing.assert_allclose(trained, written, atol=2.01 / 255)
    assert set(at.weights) == {"ConvBnFusion_W_w1", "w2", "w3"} - ({"w2"} if exclude else set())


def test_qat_learns_through_kept_normalisations_shortcuts_products_and_probabilities(tmp_path: Path) -> None:
    target = tmp_path / "qat.onnx"
    options = qat.Options(epochs=5, soft=0.0, augment=False, learning_rate=1e-2, batch=32)
    found = qat.build(job(residual(tmp_path / "m.onnx"), target), options)
    assert found["int8_operators"]["QLinearConv"] == 2
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(target).graph.node}
    assert right(target) > 0.95


def test_weights_go_back_to_where_they_came_from(tmp_path: Path) -> None:
    model = onnx.load(residual(tmp_path / "m.onnx"))
    model.graph.node[3].input[1] = "w2"
    before = model.SerializeToString()
    trainable = _onnx2torch.Trainable(model, tmp_path / "m.onnx")
    assert trainable.write_back().SerializeToString() == before
    assert sorted(trainable.weights) == ["w1", "w2", "w3"]
    with torch.no_grad():
        for number, tensor in enumerate(trainable.network.parameters()):
            tensor.fill_(number + 1)
    values = {one.name: numpy_helper.to_array(one) for one in trainable.write_back().graph.initializer}
    changed = {name for name, value in values.items() if np.ptp(value) == 0}
    assert changed == {"w1", "w2", "w3", "g", "b"}, "the bias of a plain addition does not learn"


def test_a_training_whose_loss_rises_says_so(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training diverged: its loss (rose from|is nan).*; lower `learning_rate`"):
        qat.build(job(parent, tmp_path / "x.onnx"), qat.Options(epochs=3, learning_rate=30.0, augment=False))
    assert not list(tmp_path.iterdir())
    even = np.arange(10) % 2
    with pytest.raises(RecipeError, match=r"loss rose from 0\.1000 in the first epoch to 0\.7000 in the last"):
        _training._check_fell([0.1, 0.9, 0.7], even, 1.0)
    _training._check_fell([0.001, 0.01], even, 1.0)
    _training._check_fell([0.7, 0.75], even, 1.0)


def test_a_training_that_finds_no_memory_is_a_memory_error() -> None:
    class Vast(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.empty(len(x), 1 << 50) * self.one

    samples = halves(8, 1)
    with pytest.raises(MemoryError, match=r"for 8 images of \(1, 16, 16\) at once"):
        _training.fit(Vast(), prepare(samples.images, SPEC), samples.labels, LITTLE)


@pytest.mark.parametrize("schedule", ["one_shot", "gradual"])
def test_what_is_pruned_stays_zero_and_the_rest_learns(schedule: Any, parent: Path, tmp_path: Path) -> None:
    untrained, target = tmp_path / "plain.onnx", tmp_path / "trained.onnx"
    prune_magnitude.build(job(parent, untrained), prune_magnitude.Options(0.9))
    options = prune_magnitude.Options(0.9, epochs=4, schedule=schedule, augment=False)
    prune_magnitude.build(job(parent, target), options)
    counts = [np.count_nonzero(weights(one)) for one in (untrained, target)]
    assert counts[0] == counts[1] == pytest.approx(0.1 * weights(parent).size, abs=2)
    if schedule == "one_shot":
        np.testing.assert_array_equal(weights(untrained) == 0, weights(target) == 0)
    assert right(target) > max(0.9, right(untrained) - 0.01)
    nodes = [[one.op_type for one in onnx.load(path).graph.node] for path in (parent, target)]
    assert nodes[0] == nodes[1]


def test_a_layer_that_pruning_leaves_empty_is_named(tmp_path: Path) -> None:
    given = job(residual(tmp_path / "m.onnx"), tmp_path / "x.onnx")
    assert prune_magnitude.build(given, prune_magnitude.Options(0.5)) == {}
    model = onnx.load(given.parent)
    (second,) = [one for one in model.graph.initializer if one.name == "w2"]
    second.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(second) / 1000, "w2"))
    onnx.save(model, given.parent)
    assert prune_magnitude.build(given, prune_magnitude.Options(0.7)) == {"empty_layers": ["second"]}


def test_sparsity_rises_as_a_cubic_and_then_stays() -> None:
    at = [prune_magnitude.sparsity_at(step, 100, 0.8) for step in (0, 50, 100, 150)]
    assert at == pytest.approx([0, 0.8 * (1 - 0.125), 0.8, 0.8])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"schedule": "gradual"}, "removes weights in training: give `epochs`"),
        ({"steps": 3, "epochs": 1}, 'is of schedule = "gradual"'),
        ({"epochs": -1}, "epochs = -1 must be 0 or more"),
        ({"soft": 2.0}, r"soft = 2\.0 must lie between 0 and 1"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        prune_magnitude.Options(**options)


def test_a_schedule_longer_than_the_training_is_refused(parent: Path, tmp_path: Path) -> None:
    options = prune_magnitude.Options(epochs=1, schedule="gradual", steps=5)
    with pytest.raises(
        RecipeError, match=r"steps = 5 of parent\.onnx, but 1 epochs have 4: its sparsity would not reach"
    ):
        prune_magnitude.build(job(parent, tmp_path / "x.onnx"), options)


def test_qat_keeps_the_zeros_of_a_pruned_model(parent: Path, tmp_path: Path) -> None:
    sparse, target = tmp_path / "sparse.onnx", tmp_path / "both.onnx"
    prune_magnitude.build(job(parent, sparse), prune_magnitude.Options(0.8, epochs=2, augment=False))
    qat.build(job(sparse, target), qat.Options(epochs=1, augment=False))
    eight = [
        numpy_helper.to_array(one) for one in onnx.load(target).graph.initializer
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1
    ]  # fmt: skip
    assert sum(np.count_nonzero(one == 0) for one in eight) >= 0.8 * weights(parent).size - 2
    assert right(target) > 0.9


def test_distill_behind_another_step_trains_its_model_on_to_follow_the_baseline(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow, target, own, asked = tmp_path / "narrow.onnx", tmp_path / "both.onnx", _lessons.teacher, []

    def teacher(file: Path, given: Build) -> _training.Teacher:
        asked.append(file)
        return own(file, given)

    monkeypatch.setattr(_lessons, "teacher", teacher)
    prune_filters.build(job(parent, narrow), prune_filters.Options(ratio=0.5, epochs=2, augment=False))
    second = replace(job(narrow, target), first=parent)
    distill.build(second, distill.Options(epochs=3, augment=False))
    assert asked == [parent, parent]
    assert filters(target) == filters(narrow) == [4, 8, 8]
    assert right(target) > 0.9
    nearer = [np.mean((answers(one) - answers(parent)) ** 2) for one in (target, narrow)]
    assert nearer[0] < nearer[1]
    with pytest.raises(
        RecipeError, match=r"width = 0\.5 is that of a new student, and here narrow\.onnx is the student"
    ):
        distill.build(second, distill.Options(width=0.5))


def test_labels_are_learnt_in_the_order_of_the_models_outputs(parent: Path, tmp_path: Path) -> None:
    given = job(parent, tmp_path / "x.onnx")
    turned = replace(given, reading=Reading(classes=("right", "nothing", "left")))
    assert _lessons.lesson(given).labels[:4].tolist() == [0, 1, 0, 1]
    assert _lessons.lesson(turned).labels[:4].tolist() == [2, 0, 2, 0]
    with pytest.raises(
        RecipeError, match=r"gives numbers of shape \(1, 2\) for one image, and only one for each of the 3"
    ):
        qat.build(turned, qat.Options(epochs=1))
    with pytest.raises(RecipeError, match=r"outputs of parent\.onnx are a, b, and left of the data is none of them"):
        _lessons.lesson(replace(given, reading=Reading(classes=("a", "b"))))


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_teacher_of_a_fixed_batch_answers_for_any_number_of_images(tmp_path: Path, size: int) -> None:
    model = residual(tmp_path / "m.onnx")
    given = job(model, tmp_path / "x.onnx")
    inputs = prepare(halves(7, 1).images, SPEC)
    expected = _lessons.teacher(model, given)(inputs)
    fixed = onnx.load(model)
    for one in (*fixed.graph.input, *fixed.graph.output):
        one.type.tensor_type.shape.dim[0].ClearField("dim_param")
        one.type.tensor_type.shape.dim[0].dim_value = size
    onnx.save(fixed, model.with_name("fixed.onnx"))
    np.testing.assert_allclose(_lessons.teacher(model.with_name("fixed.onnx"), given)(inputs), expected, atol=1e-5)


def test_only_logits_and_probabilities_are_trained(tmp_path: Path) -> None:
    model = residual(tmp_path / "m.onnx")
    given = job(model, tmp_path / "x.onnx")
    inputs = prepare(halves(4, 1).images, SPEC)
    np.testing.assert_allclose(np.exp(_lessons.teacher(model, given)(inputs)), _host.answers(model, inputs), atol=1e-6)
    changed = onnx.load(model)
    changed.graph.node[-1].op_type = "Sigmoid"
    onnx.save(changed, model.with_name("sigmoid.onnx"))
    with pytest.raises(RecipeError, match=r"sigmoid\.onnx gives sigmoid, and only logits, or probabilities"):
        qat.build(replace(given, parent=model.with_name("sigmoid.onnx")), qat.Options(epochs=1))


def test_the_baseline_is_the_parent_where_no_step_was_before(parent: Path, tmp_path: Path) -> None:
    given = job(parent, tmp_path / "x.onnx")
    assert given.baseline == parent
    assert replace(given, parent=tmp_path / "y.onnx", first=parent).baseline == parent


def test_a_suite_trains_a_chain_and_its_ledger_says_what_runs_in_8_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path / "cache"))
    linear(tmp_path / "base.onnx", opset=17)
    more = """[[variant]]
id = "both"
recipe = ["prune_magnitude", "qat"]
parameters = [{ sparsity = 0.5, epochs = 1, schedule = "gradual", steps = 1 }, { epochs = 1, batch = 8 }]
"""
    file = tmp_path / "tiny.toml"
    file.write_text(labs.suite_toml(title="Tiny", data='source = "phantom"\ntrain = 12\ntest = 6', more=more))
    assert [path.name for path in build_suite(file)] == ["both.onnx"]
    pruned, eight = ledger.read(tmp_path / "models")["both.onnx"].steps
    assert (pruned.settings or {})["seed"] == (eight.settings or {})["seed"] == 7
    assert eight.found == {"int8_operators": {"QLinearConv": 1, "QLinearMatMul": 1}, "float_layers": []}
    assert pruned.data == eight.data
    assert build_suite(file) == []


def test_a_task_without_classes_cannot_be_trained(parent: Path, tmp_path: Path) -> None:
    given = job(parent, tmp_path / "x.onnx")
    task = replace(given.task, kind="segmentation", positive="")
    with pytest.raises(RecipeError, match="only classifiers can be trained here, not segmentation"):
        qat.build(replace(given, task=task), qat.Options())
