"""Rounding as int8 does it, inside a torch network that is trained, where onnxruntime's quantizer rounds.

Weights and activations are rounded to their 8-bit grid and computed with in float32; the gradient passes as if nothing
were rounded, but not from values that the grid clips. Ranges of activations follow those of the batches by moving
averages (Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
sections 3 and 3.1), those of weights are what the weights span. Places, signs and the sharing of scales are read from
the file that onnxruntime's quantizer has written, so that what is trained is what will run: torch.ao.quantization
(deprecated) and torchao know neither the additions of residual networks in what onnx2torch makes, nor a way to ONNX.
Needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    import onnx

    from harness.recipes._onnx2torch import Trainable

#: How far a moving average goes towards the newest batch; torch's own observers take the same.
_TOWARDS: Final = 0.01
#: onnxruntime's symmetric 8 bits leave -128 out.
_HIGHEST: Final = 127


class Activation(nn.Module):  # type: ignore[misc]
    """Rounds to 256 steps from `low` to `high`, which contain 0.

    Args:
        low: lowest value at first.
        high: highest value at first.
        learns: whether they follow the batches in training.

    Attributes:
        followed: whether they have.
    """

    def __init__(self, low: float, high: float, *, learns: bool) -> None:
        super().__init__()
        self.low: torch.Tensor
        self.high: torch.Tensor
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("high", torch.tensor(high))
        self.learns, self.followed = learns, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, ...) rounded."""
        if self.training and self.learns:
            low, high = x.detach().aminmax()
            self.low.lerp_(low, _TOWARDS)
            self.high.lerp_(high, _TOWARDS)
            self.followed = True
        return self.rounded(x)

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, ...) rounded, without learning from it."""
        low, high = self.low.clamp(max=0), self.high.clamp(min=0)
        scale = _above_0((high - low) / 255)
        return torch.fake_quantize_per_tensor_affine(x, scale, (-low / scale).round().int(), 0, 255)


class Follower(nn.Module):  # type: ignore[misc]
    """Rounds as an earlier activation does: a maximum, or another shape, of its values."""

    def __init__(self, of: Activation) -> None:
        super().__init__()
        self._of = (of,)  # no module of its own: its buffers would be there twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, ...) rounded."""
        return self._of[0].rounded(x)


class Weight(nn.Module):  # type: ignore[misc]
    """Rounds weights to -127..127 steps, each as wide as the largest of its channel needs; `axis` None: of all."""

    def __init__(self, axis: int | None) -> None:
        super().__init__()
        self._axis = axis

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weights rounded."""
        if self._axis is None:
            scale = _above_0(weight.detach().abs().amax() / _HIGHEST)
            return torch.fake_quantize_per_tensor_affine(
                weight, scale, torch.tensor(0, dtype=torch.int32), -_HIGHEST, _HIGHEST
            )
        others = [one for one in range(weight.dim()) if one != self._axis]
        scale = _above_0(weight.detach().abs().amax(others) / _HIGHEST)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, self._axis, -_HIGHEST, _HIGHEST)


@dataclass(slots=True)
class Places:
    """Where a file in 8 bits rounds.

    Attributes:
        activations: name of a tensor -> that of the first one with its scale, which is its own for most.
        ranges: the lowest and the highest value that those may have.
        weights: name of an initialiser -> the axis of its channels, None where all have one scale.
    """

    activations: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    weights: dict[str, int | None] = field(default_factory=dict)


def places(quantised: onnx.ModelProto) -> Places:
    """Return where a file that onnxruntime's quantizer has written rounds."""
    from onnx import numpy_helper
    from onnxruntime.quantization.quant_utils import QUANT_INPUT_SUFFIX, TENSOR_NAME_QUANT_SUFFIX

    values = {one.name: one for one in quantised.graph.initializer}
    found = Places()
    first: dict[str, str] = {}
    for node in quantised.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = numpy_helper.to_array(values[node.input[1]])
        if node.op_type == "QuantizeLinear":
            name = node.input[0].removesuffix(QUANT_INPUT_SUFFIX)
            found.activations[name] = first.setdefault(node.input[1], name)
            zero = int(numpy_helper.to_array(values[node.input[2]]))
            found.ranges.setdefault(found.activations[name], (-zero * float(scale), (255 - zero) * float(scale)))
        elif node.input[0] in values and values[node.input[0]].data_type == quantised.graph.initializer[0].INT8:
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            weight = node.input[0].removesuffix(TENSOR_NAME_QUANT_SUFFIX)
            found.weights[weight] = axis % len(values[node.input[0]].dims) if scale.ndim else None
    return found


class Rounding:
    """Puts the rounding of a file into the network of its float model.

    Args:
        model: whose network it is.
        at: where it is rounded.
        ranges: lowest and highest value of each activation that calibration has seen.
    """

    def __init__(self, model: Trainable, at: Places, ranges: Mapping[str, tuple[float, float]]) -> None:
        self._made: dict[str, Activation] = {}
        for name, axis in at.weights.items():
            if name in model.weights:
                holder, own = model.weights[name]
                turned = axis is not None and model.is_turned(name)
                parametrize.register_parametrization(
                    holder, own, Weight(1 - axis if turned and axis in (0, 1) else axis)
                )
        entrances = iter(model.entrances)
        for step in list(model.network.graph.nodes):
            if step.op == "placeholder":
                self._put(model.network, step, next(entrances), at, ranges)
            elif step.op == "call_module":
                self._put(model.network, step, model.node(step).output[0], at, ranges)
        model.network.recompile()

    def hold(self) -> None:
        """Let ranges stay as they are from now on."""
        for one in self._made.values():
            one.learns = False

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and the highest value of each activation, as training has left them."""
        return {name: (one.low.item(), one.high.item()) for name, one in self._made.items() if one.followed}

    def _put(
        self, network: Any, step: torch.fx.Node, name: str, at: Places, ranges: Mapping[str, tuple[float, float]]
    ) -> None:
        """Round one activation."""
        first = at.activations.get(name)
        if first is None or (first != name and first not in self._made):
            return
        if first == name:
            (low, high), (lowest, highest) = at.ranges[name], ranges[name]
            # A softmax has a range of its own in the file, whatever was seen.
            as_seen = np.isclose(high - low, max(highest, 0) - min(lowest, 0), rtol=1e-4)
            self._made[name] = module = Activation(low, high, learns=bool(as_seen))
        else:
            module = Follower(self._made[first])
        target = f"rounded_{len(list(network.named_children()))}"
        network.add_submodule(target, module)
        users: Iterable[torch.fx.Node] = list(step.users)
        with network.graph.inserting_after(step):
            rounded = network.graph.call_module(target, (step,))
        for user in users:
            user.replace_input_with(step, rounded)


def _above_0(scale: torch.Tensor) -> torch.Tensor:
    """Return scales, 1 where nothing differs from 0."""
    return torch.where(scale > torch.finfo(torch.float32).tiny, scale, torch.ones_like(scale))
