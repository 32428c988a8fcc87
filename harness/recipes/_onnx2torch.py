"""An ONNX file -> a torch network, and what was trained back into the file.

It works also beside a torchvision that was built for another torch.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.errors import RecipeError
from harness.recipes import _onnx_tools

if TYPE_CHECKING:
    import onnx
    import torch

#: Operators of files whose weights or values are integers.
_INTEGERS: Final = re.compile(r"Quantize|^QLinear|Integer$|NBits$")
#: Which input of a node a tensor of its torch module comes from.
_PLACES: Final = {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}


def network(file: Path) -> torch.nn.Module:
    """Return what an ONNX file computes as a torch network.

    Raises:
        RecipeError: a library is missing, the file is damaged, or it has an operator that onnx2torch does not know.
    """
    return _converted(_onnx_tools.read_onnx(file), file)


def _converted(model: onnx.ModelProto, file: Path) -> torch.nn.Module:
    _check_floats(model, file)
    with _torchvision():
        _onnx_tools.require("train", "torch", "onnx2torch")
    import onnx2torch

    try:
        converted: torch.nn.Module = onnx2torch.convert(model, attach_onnx_mapping=True)
    except (NotImplementedError, RuntimeError, ValueError, KeyError) as error:
        raise RecipeError(
            f"{file.name} cannot be turned into a torch network: {error}",
            remedy="leave this variant out, or bring it ready-made",
        ) from error
    return converted


def _check_floats(model: onnx.ModelProto, file: Path) -> None:
    """Raise RecipeError where weights are no float32 numbers: what was quantised or halved has nothing that learns."""
    from onnx import TensorProto

    node = next((one for one in model.graph.node if _INTEGERS.search(one.op_type)), None)
    halved = next(
        (one.name for one in model.graph.initializer if one.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16)),
        None,
    )
    if node is not None or halved is not None:
        what = f"quantised values ({node.op_type} {node.name!r})" if node is not None else f"half floats ({halved!r})"
        raise RecipeError(
            f"{file.name} computes with {what}, and only a network of float32 weights becomes one of torch",
            remedy="name the model that it was made of, or leave this variant out",
        )


class Trainable:
    """A model whose weights are trained as a torch network and put back where they were: its nodes stay the same.

    Args:
        model: as `read_onnx` returns it; it is changed.
        file: it was read from.

    Attributes:
        network: torch's; what could not be put back does not learn.
        weights: name of an initialiser with the weights of a convolution or matrix product -> the torch module that
            holds them, and by which name.

    Raises:
        RecipeError: as of `network`, or nothing in it can learn.
    """

    def __init__(self, model: onnx.ModelProto, file: Path) -> None:
        _own(model.graph)
        self.network: Any = _converted(model, file)
        self.weights: dict[str, tuple[torch.nn.Module, str]] = {}
        self._model = model
        #: Name of an initialiser -> what torch has of it, and whether that is its transpose.
        self._homes: dict[str, tuple[torch.Tensor, bool]] = {}
        self._made = {output: node for node in model.graph.node for output in node.output}
        self._values = {one.name: one for one in model.graph.initializer}
        for step in self.network.graph.nodes:
            if step.op == "call_module":
                self._find(step)
        at_home = {id(tensor) for tensor, _ in self._homes.values()}
        for tensor in self.network.parameters():
            tensor.requires_grad_(id(tensor) in at_home)
        if not self.weights:
            raise RecipeError(
                f"{file.name} has no convolution or matrix product with float32 weights to train",
                remedy="leave this variant out",
            )

    def node(self, step: torch.fx.Node) -> onnx.NodeProto:
        """Return the node of the model that a call of a module computes."""
        return self._made[self.network.get_submodule(step.target).onnx_mapping.outputs[0]]

    @property
    def entrances(self) -> list[str]:
        """Names of the model's inputs, in the order in which the network takes them."""
        return [one.name for one in self._model.graph.input]

    def is_turned(self, name: str) -> bool:
        """Return whether torch keeps the weights of an initialiser the other way round."""
        return self._homes[name][1]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights of convolutions and matrix products, by the names of their initialisers."""
        return {name: self._homes[name][0] for name in self.weights}

    def write_back(self) -> onnx.ModelProto:
        """Return the model with what its network has learnt."""
        from onnx import numpy_helper

        for name, (tensor, turned) in self._homes.items():
            learnt = tensor.detach().numpy()
            kept = np.ascontiguousarray(learnt.T if turned else learnt)
            self._values[name].CopyFrom(numpy_helper.from_array(kept, name))
        return self._model

    def _find(self, step: torch.fx.Node) -> None:
        """Note where each tensor of one module comes from."""
        import torch

        node, module = self.node(step), self.network.get_submodule(step.target)
        for holder in module.modules():
            turned = node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute)
            for own, tensor in [*holder.named_parameters(recurse=False), *holder.named_buffers(recurse=False)]:
                place = _PLACES.get(own, 0)
                of_weight = turned and own == "weight"
                if 0 < place < len(node.input) and self._is(node.input[place], tensor, of_weight):
                    self._homes[node.input[place]] = tensor, of_weight
                    if own == "weight" and node.op_type in _onnx_tools.WEIGHTED:
                        self.weights[node.input[1]] = holder, own
        if node.op_type not in ("MatMul", "Gemm") or len(step.args) < 2 or step.args[1].op != "get_attr":
            return
        # The weights of a plain product are a constant to onnx2torch, which would not learn.
        of, _, own = step.args[1].target.rpartition(".")
        holder = self.network.get_submodule(of)
        constant = getattr(holder, own)
        if constant.dtype == torch.float32:
            delattr(holder, own)
            holder.register_parameter(own, torch.nn.Parameter(constant.clone()))
            self._homes[node.input[1]] = getattr(holder, own), False
            self.weights[node.input[1]] = holder, own

    def _is(self, name: str, tensor: torch.Tensor, turned: bool) -> bool:
        """Return whether a tensor of torch holds what an initialiser does; a Gemm may scale it."""
        from onnx import numpy_helper

        if name not in self._values:
            return False
        value = numpy_helper.to_array(self._values[name])
        return value.dtype == np.float32 and np.array_equal(value.T if turned else value, tensor.detach().numpy())


def _own(graph: onnx.GraphProto) -> None:
    """Give each node its own weights, as torch's network has them."""
    values = {one.name: one for one in graph.initializer if one.data_type == one.FLOAT}
    taken: set[str] = set()
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in taken:
                copy = graph.initializer.add()
                copy.CopyFrom(values[name])
                copy.name = node.input[place] = f"{name}/{node.output[0]}/{place}"
            if name in values:
                taken.add(name)


@contextmanager
def _torchvision() -> Iterator[None]:
    """Let onnx2torch be imported where torchvision cannot be: it needs it for two operators of object detectors.

    A torchvision that comes from another index than torch is common, and fails when it is imported.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        empty, operators = ModuleType("torchvision"), ModuleType("torchvision.ops")
        empty.ops = operators  # type: ignore[attr-defined]
        operators.roi_align = None  # type: ignore[attr-defined]
        absent = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}
        for name in absent:
            del sys.modules[name]
        sys.modules |= {"torchvision": empty, "torchvision.ops": operators}
        try:
            yield
        finally:
            # The next import of it fails as this one did.
            del sys.modules["torchvision"], sys.modules["torchvision.ops"]
    else:
        yield
