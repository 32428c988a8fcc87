"""What every recipe needs: its libraries, the weights of an ONNX file, and a result that is whole."""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from harness import registry
from harness.errors import RecipeError

if TYPE_CHECKING:
    import onnx

#: Operators whose second input holds what was learnt.
WEIGHTED: Final = ("Conv", "Gemm", "MatMul", "ConvTranspose")


def require(extra: str, *modules: str) -> None:
    """Import the libraries a recipe needs.

    Args:
        extra: the extra of edgeward that brings them, "build" or "train".
        modules: their import names.

    Raises:
        RecipeError: one of them is missing or does not fit the others (a torchvision for another torch).
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except (ImportError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            remedy = f"pip install 'edgeward[{extra}]'"
            if "torchvision" in reason:
                remedy += " (torch and torchvision must come from one index)"
            raise RecipeError(f"{name} cannot be imported ({reason})", remedy=f"install it with: {remedy}") from error


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Give a temporary path of the same suffix that becomes `target` on success and vanishes on failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield partial
        partial.chmod(0o644)  # some converters write programs' rights
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a converter's chatter off the terminal; its errors are exceptions and come through."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_onnx(file: Path) -> onnx.ModelProto:
    """Return an ONNX model; raises RecipeError when the file is missing or damaged, or has branches."""
    require("build", "onnx")
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(file))
    except (OSError, DecodeError, ValueError) as error:
        raise RecipeError(f"{file} cannot be read as ONNX ({error})", remedy="export it again") from error
    branch = next((node for node in model.graph.node if node.op_type == "If"), None)
    if branch is not None:
        raise RecipeError(
            f"{file.name} has a branch (the node {branch.name or branch.output[0]}, If), and a recipe would change but "
            "the part that is outside of it",
            remedy='write "early_exit" last in the chain, or give a baseline without branches',
        )
    _plain(model.graph)
    _unshare(model.graph)
    return model


def fed(model: onnx.ModelProto, file: Path, inputs: npt.NDArray[Any]) -> tuple[str, npt.NDArray[Any]]:
    """Return the name of a model's only input, and images in its type.

    Args:
        model: as `read_onnx` returns it.
        file: it was read from.
        inputs: (N, ...) images as `prepare` makes them.

    Raises:
        RecipeError: it has several inputs, or takes no floats.
    """
    import onnx

    if len(model.graph.input) != 1:
        raise RecipeError(
            f"{file.name} has {len(model.graph.input)} inputs",
            remedy="export it with the image as its only input, or bring this variant ready-made",
        )
    entrance = model.graph.input[0]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(entrance.type.tensor_type.elem_type)
    if dtype.kind != "f":
        raise RecipeError(
            f"{file.name} takes {dtype}: it is quantised already",
            remedy="give a baseline with a float input, or bring this variant ready-made",
        )
    return entrance.name, inputs.astype(dtype, copy=False)


#: Names in a message; a model may have hundreds.
_SHOWN: Final = 12


def unknown_node(name: str, known: Iterable[str], file: Path) -> RecipeError:
    """Return the error of a name that no node of a file has, with the nearest that one has.

    Args:
        name: what was asked for.
        known: the names of its nodes, in their order.
        file: the model.
    """
    names = [one for one in known if one]
    close = registry.nearest(name, names)
    some = f"its nodes are {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"
    return RecipeError(f"{file.name} has no node {name!r}", remedy=f"did you mean {close!r}?" if close else some)


def name_nodes(nodes: Iterable[onnx.NodeProto]) -> bool:
    """Call each node without a name by its first output, and return whether there were any."""
    nameless = [node for node in nodes if not node.name]
    for node in nameless:
        node.name = node.output[0]
    return bool(nameless)


def known_nodes(names: Iterable[str], model: onnx.ModelProto, file: Path) -> list[str]:
    """Return names that nodes of a model have.

    Args:
        names: what was asked for.
        model: whose nodes all have names.
        file: it was read from.

    Raises:
        RecipeError: no node has one of them.
    """
    known, asked = [node.name for node in model.graph.node], list(names)
    for name in asked:
        if name not in known:
            raise unknown_node(name, known, file)
    return asked


#: Quantised tensors of one scale a channel came with this operator set.
_QUANTISABLE: Final = 13


def modern(model: onnx.ModelProto, file: Path) -> onnx.ModelProto:
    """Return the model in an operator set that can be quantised, converted where its own is older.

    Raises:
        RecipeError: it cannot be converted.
    """
    from onnx import version_converter

    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), _QUANTISABLE)
    if opset >= _QUANTISABLE:
        return model
    try:
        return version_converter.convert_version(model, _QUANTISABLE)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise RecipeError(
            f"{file.name} is of opset {opset} and cannot be converted to {_QUANTISABLE} ({reason})",
            remedy=f"export it with opset {_QUANTISABLE} or newer",
        ) from error


def _plain(graph: onnx.GraphProto) -> None:
    """Make weights in Constant nodes, as Paddle exports them, initialisers, and no initialiser an input."""
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        values = [one.t for one in node.attribute if one.name == "value"]
        if len(values) == 1:
            tensor = graph.initializer.add()
            tensor.CopyFrom(values[0])
            tensor.name = node.output[0]
            graph.node.remove(node)
    weights = {tensor.name for tensor in graph.initializer}
    for one in [one for one in graph.input if one.name in weights]:
        graph.input.remove(one)


def _unshare(graph: onnx.GraphProto) -> None:
    """Give each operator its own weights: torch's export lets equal ones point at one tensor through an Identity."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.input[0] in constants and node.output[0] not in outputs:
            copy = graph.initializer.add()
            copy.CopyFrom(constants[node.input[0]])
            copy.name = node.output[0]
            constants[copy.name] = copy
            graph.node.remove(node)


def onnx_weights(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, onnx.TensorProto]]:
    """Yield each convolution or matrix product with its learnt float32 weights, each tensor once."""
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in constants:
            tensor = constants.pop(node.input[1])
            if tensor.data_type == onnx.TensorProto.FLOAT:
                yield node, tensor


def check_reducible(parent: Path) -> None:
    """Raise RecipeError where weights cannot have 7 bits, since none but onnxruntime's quantiser makes such."""
    if parent.suffix != ".onnx":
        raise RecipeError(
            f"{parent.name}: ai-edge-quantizer, which writes .tflite, has no weights of 7 bits",
            remedy="take reduce_range out of its parameters, or build this variant as .onnx",
        )
