"""Where an ONNX model's outputs on a device begin to differ from the host's: the first layer, in topological order.

Every intermediate tensor is made part of one long output, each behind the count of its numbers, so that any runner
gives it back as it gives any output. Layers that are looked at cannot be fused, so this is not quite the model that was
timed; it is so on both sides.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness import deploy
from harness.deploy import DeviceHandle, files
from harness.errors import MeasurementError, RecipeError, Unsupported
from harness.lab import fit as lab_fit
from harness.measure.group import check_confidential
from harness.measure.jobs import Group, inputs_files, job
from harness.measure.reference import HOST, end_job, forward, new_folder
from harness.measure.space import blobs
from harness.model import Case, Reading, Samples
from harness.ports.runners import Wanted
from harness.recipes import _onnx_tools

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]

_OUTPUT: Final = "edgeward/layers"


@dataclass(frozen=True, slots=True)
class Layer:
    """One tensor on both sides.

    Attributes:
        name: the tensor's.
        operator: what made it.
        size: how many numbers it has for one sample.
        largest: the largest absolute difference, device from host.
        relative: the norm of the difference over the norm of the host's numbers, of all samples together.
    """

    name: str
    operator: str
    size: int
    largest: float
    relative: float


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """All layers that both sides have, in topological order; `first` is the place of the first beyond the tolerance."""

    layers: tuple[Layer, ...]
    first: int | None
    tolerance: float
    samples: int


def compare_layers(
    case: Case, samples: Samples, handle: DeviceHandle, *, against: Path | str, tolerance: float
) -> LayerComparison:
    """Run a model on its device and on this host with every layer exposed, and find where the two begin to differ.

    Args:
        case: the model, its runtime and the device, which must be held.
        samples: a few samples, all of which are run.
        handle: of the device.
        against: what the host runs: a runtime requirement, or another .onnx file whose tensors have the same names.
        tolerance: the relative difference from which two layers are not alike.

    Raises:
        RecipeError: onnx is not installed, or the file cannot be read.
        Unsupported: the file is no ONNX file, or its images may not go over this connection.
        MeasurementError: one of the sides gave no outputs, or they have no tensor in common.
    """
    _check(case)
    theirs = against if isinstance(against, Path) else case.variant.path
    runtime = case.runtime if isinstance(against, Path) else against
    handle.say(f"{case.variant.path.name} on {case.device.id}")
    ours = _run(case, case.variant.path, samples, handle)
    handle.say(f"{theirs.name} with {runtime} on this host")
    with DeviceHandle(HOST) as here:
        host = _run(replace(case, runtime=runtime), theirs, samples, here)
    layers = tuple(_layers(ours, host))
    if not layers:
        raise MeasurementError(
            f"{case.variant.path.name} and {theirs.name} have no tensor in common", remedy="name another file"
        )
    first = next((i for i, layer in enumerate(layers) if not layer.relative <= tolerance), None)
    return LayerComparison(layers, first, tolerance, len(samples.images))


def exposed(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[tuple[str, str]]]:
    """Return a copy whose one output, (1, L), is the sizes of all tensors and then their numbers, and what they are.

    Args:
        model: with one input, in topological order as the format demands.

    Returns:
        The model, and (tensor, operator) for each in topological order.
    """
    from onnx import TensorProto, helper, numpy_helper, shape_inference

    made = shape_inference.infer_shapes(model)
    graph = made.graph
    known = {one.name: one.type for one in (*graph.value_info, *graph.output)}
    tensors = [(name, node.op_type) for node in graph.node for name in node.output if _plain(name, node, known)]
    graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), f"{_OUTPUT}/flat"))
    graph.initializer.append(numpy_helper.from_array(np.array([1, -1], np.int64), f"{_OUTPUT}/row"))
    sizes, numbers = [], []
    for i, (name, _) in enumerate(tensors):
        part = f"{_OUTPUT}/{i}"
        graph.node.extend([
            helper.make_node("Size", [name], [f"{part}/size"]),
            helper.make_node("Cast", [f"{part}/size"], [f"{part}/sized"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", [f"{part}/sized", f"{_OUTPUT}/flat"], [f"{part}/count"]),
            helper.make_node("Cast", [name], [f"{part}/cast"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", [f"{part}/cast", f"{_OUTPUT}/flat"], [f"{part}/numbers"]),
        ])  # fmt: skip
        sizes.append(f"{part}/count")
        numbers.append(f"{part}/numbers")
    graph.node.append(helper.make_node("Concat", [*sizes, *numbers], [f"{_OUTPUT}/all"], axis=0))
    graph.node.append(helper.make_node("Reshape", [f"{_OUTPUT}/all", f"{_OUTPUT}/row"], [_OUTPUT]))
    del graph.output[:], graph.value_info[:]
    graph.output.append(helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, [1, None]))
    return made, tensors


def _plain(name: str, node: onnx.NodeProto, known: dict[str, Any]) -> bool:
    """Return whether an output is a tensor of numbers that depends on the input."""
    from onnx import TensorProto

    if not name or node.op_type in ("Constant", "ConstantOfShape"):
        return False
    kind = known.get(name)
    if kind is None:
        return not node.op_type.startswith(("Sequence", "SplitToSequence", "Optional"))
    return bool(kind.HasField("tensor_type") and kind.tensor_type.elem_type != TensorProto.STRING)


def _check(case: Case) -> None:
    variant = case.variant
    if variant.format != "onnx":
        raise Unsupported(
            f"layers are looked at in .onnx files, {variant.path.name} is none",
            remedy="name a variant in ONNX",
            device=case.device.id,
        )
    check_confidential(Group(case.suite, case.device, case.runtime, (case,)))


@dataclass(frozen=True, slots=True)
class _Side:
    """What one side gave: tensors in topological order, and (samples, numbers) of each."""

    tensors: list[tuple[str, str]]
    numbers: dict[str, Floats]


def _run(case: Case, file: Path, samples: Samples, handle: DeviceHandle) -> _Side:
    model, tensors = exposed(_onnx_tools.read_onnx(file))
    if not tensors:
        raise RecipeError(f"{file} has no layer to look at", remedy="export it again")
    raw = model.SerializeToString()
    digest = hashlib.sha256(raw).hexdigest()
    device = handle.device
    # Fed as the model itself is; what it gives is the long output alone.
    fed = replace(lab_fit(case.suite, replace(case.variant, path=file), samples), reading=Reading(), labels=())
    with tempfile.NamedTemporaryFile(suffix=".onnx") as made:
        made.write(raw)
        made.flush()
        own = replace(case, variant=replace(case.variant, path=Path(made.name), sha256=digest), device=device)
        group = Group(own.suite, device, own.runtime, (own,), {own.id: fed})
        with (
            inputs_files(group, samples) as inputs,
            _brought(handle, {digest: Path(made.name), **inputs.files}, own.runtime) as (runtime, where, folder),
        ):
            what = job(group, where, inputs, runtime, quick=False)
            (answer,) = forward(handle, replace(what, meter=None), folder=folder)
    if answer.outputs is None:
        text = f"{file.name} with its layers exposed does not run: {answer.why_not}"
        raise MeasurementError(text, remedy="look at this layer by hand", where=device.id)
    return _Side(tensors, _cut(answer.outputs, [name for name, _ in tensors], file))


@contextmanager
def _brought(
    handle: DeviceHandle, wanted: dict[str, Path], requirement: str
) -> Iterator[tuple[str, dict[str, str], str]]:
    """Bring what a pass needs into a folder of its job, and remove that afterwards, whatever happens.

    Yields the runtime's folder, where each file is, and the job's folder: on the leased device one of the jobs that the
    next campaign removes if this one is killed.
    """
    names = {digest: "the model with its layers" for digest, path in wanted.items() if path.suffix == ".onnx"}
    deploy.prepare(handle, Wanted((requirement,), (blobs(wanted, handle.root, names),)))
    runtime = deploy.runtime(handle, requirement)
    folder = new_folder(handle)
    try:
        files.close_to_others(handle, folder)
        yield runtime, files.blobs(handle, wanted, folder=folder), folder
    finally:
        end_job(handle.device, folder)


def _cut(outputs: Floats, names: Sequence[str], file: Path) -> dict[str, Floats]:
    """Return tensor -> (samples, numbers), cut out of the long output."""
    rows = outputs.reshape(len(outputs), -1)
    sizes = rows[:, : len(names)].astype(np.int64)
    if (sizes != sizes[0]).any() or sizes[0].sum() + len(names) != rows.shape[1]:
        raise MeasurementError(
            f"{file.name}: the tensors' sizes differ between samples",
            remedy="they cannot be compared: name another variant",
        )
    ends = len(names) + np.cumsum(sizes[0])
    return {name: rows[:, end - size : end] for name, size, end in zip(names, sizes[0], ends, strict=True)}


def _layers(ours: _Side, theirs: _Side) -> Iterator[Layer]:
    for name, operator in ours.tensors:
        mine, other = ours.numbers[name], theirs.numbers.get(name)
        if other is not None and other.shape == mine.shape and mine.size:
            yield Layer(name, operator, mine.shape[1], *_distance(mine, other))


def _distance(mine: Floats, other: Floats) -> tuple[float, float]:
    """Return the largest and the relative difference; infinite where only one side has a number."""
    if not np.array_equal(np.isfinite(mine), np.isfinite(other)):
        return float("inf"), float("inf")
    fine = np.isfinite(other)
    a, b = mine[fine].astype(np.float64), other[fine].astype(np.float64)
    if not len(b):
        return 0.0, 0.0
    apart, size = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    return float(np.abs(a - b).max()), apart / size if size else (0.0 if apart == 0 else float("inf"))
