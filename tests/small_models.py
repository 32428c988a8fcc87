"""Tiny ONNX models of known behaviour, a data set they can tell apart, and a lab around them, made in a moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests import labs

SIZE = 16
CLASSES = ("dark", "top", "bottom")
ONNXRUNTIME = "onnxruntime==1.31.1"
LITERT = "ai-edge-litert==2.3.0"
TFLITE = "tflite-runtime==2.14.0"
RESNET = Path(__file__).parents[1] / "suites" / "models" / "resnet18.tflite"
#: No machine has this much, nor a 48-bit address space room for it.
TOO_MANY = 20_000_000

Pixels = npt.NDArray[np.uint8]


def samples(count: int = 60, *, seed: int = 5, channels: int = 1) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Return (N, 16, 16, C) images that are dark, bright above or bright below, with noise, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    images = rng.normal(50, 10, (count, SIZE, SIZE, channels))
    images[labels == 1, : SIZE // 2] += 120
    images[labels == 2, SIZE // 2 :] += 120
    return np.clip(images, 0, 255).astype(np.uint8), labels


def write_npz(path: Path, count: int = 60, *, channels: int = 1) -> Path:
    """Write `samples` as the .npz that `source = "npz"` reads."""
    images, labels = samples(count, channels=channels)
    np.savez(path, images=images, labels=labels)
    return path


def save(path: Path, nodes: list[Any], inputs: list[Any], weights: Mapping[str, npt.NDArray[Any]]) -> Path:
    """Write a model whose output is `logits`.

    Args:
        path: of the model; its folder is made.
        nodes: of ONNX.
        inputs: as `entrance_of` returns them.
        weights: name -> array.
    """
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "small", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def entrance_of(name: str = "x", kind: int = TensorProto.FLOAT, channels: int = 1) -> Any:
    """Return an input for one image.

    Args:
        name: of the input.
        kind: of its elements, as ONNX counts them.
        channels: 1 for grey, 3 for colours.
    """
    return helper.make_tensor_value_info(name, kind, [1, channels, SIZE, SIZE])


def classifier(entrance: str, channels: int = 1, out: str = "logits") -> tuple[list[Any], dict[str, Any]]:
    """Return the nodes that compare the mean of the upper half with that of the lower; linear, so any scale does."""
    half = np.full((1, channels, SIZE // 2, SIZE), 1 / (SIZE // 2 * SIZE * channels), np.float32)
    mix = np.array([[5, 20, -20], [5, -20, 20]], np.float32)
    nodes = [
        helper.make_node("Conv", [entrance, "half"], ["halves"], strides=[SIZE // 2, SIZE]),
        helper.make_node("Flatten", ["halves"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mix"], [out]),
    ]
    return nodes, {"half": half, "mix": mix}


def good(path: Path) -> Path:
    """Write a model that is right about every sample."""
    nodes, weights = classifier("x")
    return save(path, nodes, [entrance_of()], weights)


def slower(path: Path, *, layers: int = 12, features: int = 16) -> Path:
    """Write the same model with `layers` convolutions more, whose result counts nothing."""
    nodes, weights = classifier("x", out="plain")
    rng = np.random.default_rng(1)
    weights["first"] = rng.normal(0, 0.1, (features, 1, 3, 3)).astype(np.float32)
    weights["more"] = rng.normal(0, 0.1, (features, features, 3, 3)).astype(np.float32)
    weights["nothing"] = np.zeros((), np.float32)
    nodes.append(helper.make_node("Conv", ["x", "first"], ["h0"], pads=[1, 1, 1, 1]))
    for i in range(layers):
        nodes.append(helper.make_node("Conv", [f"h{i}", "more"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"h{i + 1}"]))
    nodes.append(helper.make_node("ReduceMax", [f"h{layers}"], ["most"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["most", "nothing"], ["zero"]))
    nodes.append(helper.make_node("Add", ["plain", "zero"], ["logits"]))
    return save(path, nodes, [entrance_of()], weights)


def not_a_number(path: Path) -> Path:
    """Write a model whose outputs are all NaN."""
    nodes, weights = classifier("x", out="plain")
    weights |= {"far": np.array(1e9, np.float32), "same": np.eye(len(CLASSES), dtype=np.float32)}
    nodes += [
        helper.make_node("Sub", ["plain", "far"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["root"]),
        helper.make_node("MatMul", ["root", "same"], ["logits"]),
    ]
    return save(path, nodes, [entrance_of()], weights)


def two_inputs(path: Path) -> Path:
    """Write a model that wants two images."""
    nodes, weights = classifier("both")
    return save(
        path, [helper.make_node("Add", ["x", "y"], ["both"]), *nodes], [entrance_of(), entrance_of("y")], weights
    )


def of_integers(path: Path, kind: int = TensorProto.UINT8) -> Path:
    """Write a model that takes pixels as they are (uint8), or int8 without saying what that stands for."""
    nodes, weights = classifier("floats")
    cast = helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT)
    return save(path, [cast, *nodes], [entrance_of(kind=kind)], weights)


def of_three_channels(path: Path) -> Path:
    """Write a model for colour images."""
    nodes, weights = classifier("x", channels=3)
    return save(path, nodes, [entrance_of(channels=3)], weights)


def huge(path: Path) -> Path:
    """Write a model that no memory is large enough for, though its file is tiny."""
    return _wide(path, [TOO_MANY, TOO_MANY])


def greedy(path: Path) -> Path:
    """Write a model that takes 400 MB at its first inference, for devices that have less."""
    return _wide(path, [100, 1_000_000])


def roomy(path: Path) -> Path:
    """Write a model that is right about every sample and fills 60 MB at each inference."""
    return _wide(path, [15, 1_000_000])


def roomy_twice(path: Path) -> Path:
    """Write a model that does twice what `roomy` does."""
    return _wide(path, [15, 1_000_000], times=2)


def _wide(path: Path, shape: Sequence[int], times: int = 1) -> Path:
    """Write a good model that spreads a number over a tensor of `shape`, 4 bytes an element, and adds its mean."""
    nodes, weights = classifier("x", out="plain0")
    weights["shape"] = np.array(shape, np.int64)
    for i in range(times):
        following = "logits" if i == times - 1 else f"plain{i + 1}"
        nodes += [
            helper.make_node("ReduceMax", [f"plain{i}"], [f"most{i}"], axes=[0, 1], keepdims=1),
            helper.make_node("Expand", [f"most{i}", "shape"], [f"wide{i}"]),
            helper.make_node("ReduceMean", [f"wide{i}"], [f"mean{i}"], keepdims=0),
            # The same for every class: the prediction stays.
            helper.make_node("Add", [f"plain{i}", f"mean{i}"], [following]),
        ]
    return save(path, nodes, [entrance_of()], weights)


def truncated(path: Path) -> Path:
    """Write the first half of a good model."""
    whole = good(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def random_bytes(path: Path) -> Path:
    """Write something that only its name, and the identifier in its first bytes, call a model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = np.random.default_rng(7).bytes(4096)
    path.write_bytes(content[:4] + b"TFL3" + content[8:])
    return path


Maker = Callable[[Path], Path]

ACCEPT = "[accept]\naccuracy = { min = 0.9 }\n"


def write_suite(
    lab: Path, name: str, baseline: tuple[str, Maker], variants: Mapping[str, Maker] | None = None,
    *, confidential: bool = False, ending: str = "onnx",
) -> Path:  # fmt: skip
    """Write suites/`name`.toml with its data and models; a maker whose name is `missing` writes none."""
    folder = lab / "suites"
    makers = {baseline[0]: baseline[1], **(variants or {})}
    for identity, make in makers.items():
        make(folder / "models" / f"{identity}.{_ending(make, ending)}")
    write_npz(folder / "data.npz")
    listed = "".join(
        f'[[variant]]\nid = "{identity}"\nmodel = "models/{identity}.{_ending(make, ending)}"\n'
        for identity, make in (variants or {}).items()
    )
    text = labs.suite_toml(
        title="Bright halves",
        confidential=confidential,
        data=labs.npz(classes=CLASSES),
        normal="",
        positive="top",
        load="max_duration_s = 20",
        baseline=baseline[0],
        model=f"models/{baseline[0]}.{ending}",
        more=listed + ACCEPT,
    )
    (folder / f"{name}.toml").write_text(text)
    return folder / f"{name}.toml"


def _ending(make: Maker, ending: str) -> str:
    return "tflite" if make is random_bytes else ending


def missing(path: Path) -> Path:
    """Write nothing."""
    return path


def resnet(path: Path) -> Path:
    """Put the first suite's LiteRT baseline there: it takes (1, 1, 64, 64)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(RESNET, path)
    return path


def write_device(
    lab: Path, name: str, *, workdir: Path, runtimes: Sequence[str] = (ONNXRUNTIME,), more: str = ""
) -> Path:
    """Write devices/`name`.toml for this machine, with a workdir of the test's own."""
    path = lab / "devices" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(labs.device_toml(workdir=workdir, runtimes=runtimes, more=more))
    return path


def of_any_batch(path: Path) -> Path:
    """Write a good model that takes as many images at once as it is given."""
    nodes, weights = classifier("x")
    return save(path, nodes, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, SIZE, SIZE])], weights)
