"""Batch normalisations of a network that came from an ONNX file, which has most of them folded into its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]


def layers(network: torch.nn.Module) -> list[torch.nn.BatchNorm2d]:
    """Return a network's batch normalisations."""
    from torch import nn

    return [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]


def normalise(network: torch.nn.Module) -> bool:
    """Put a batch normalisation behind every convolution, unless the file has kept its own; return whether.

    Exported files have theirs folded into the weights; without any, a network that lost half its filters has
    activations of the wrong size and dies in training. The export folds these in again.
    """
    from torch import nn

    modules = dict(network.named_modules())
    if any(isinstance(module, nn.BatchNorm2d) for module in modules.values()):
        return False
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            parent, _, child = name.rpartition(".")
            normalised = nn.Sequential(module, nn.BatchNorm2d(module.out_channels))
            setattr(modules[parent], child, normalised)
    return True


def settle(network: torch.nn.Module, inputs: Floats, batch: int = 64) -> None:
    """Let normalisations that were put in change nothing for these inputs: they give what they are given.

    Args:
        network: with normalisations as `normalise` put them in.
        inputs: (N, C, H, W) or (N, H, W, C), prepared.
        batch: how many go through it at a time.
    """
    import torch

    put_in = layers(network)
    sums = [torch.zeros(3, layer.num_features, dtype=torch.float64) for layer in put_in]

    def seen(place: int, given: torch.Tensor) -> None:
        flat = given.detach().double().transpose(0, 1).flatten(1)
        sums[place] += torch.stack([torch.full_like(flat[:, 0], flat.shape[1]), flat.sum(1), (flat**2).sum(1)])

    hooks = [
        layer.register_forward_pre_hook(lambda _, given, place=place: seen(place, given[0]))
        for place, layer in enumerate(put_in)
    ]
    # As they were put in, they change next to nothing: a mean of 0 and a variance of 1.
    network.eval()
    for layer in put_in:
        layer.eps = 0.0
    with torch.no_grad():
        for begin in range(0, len(inputs), batch):
            network(torch.from_numpy(inputs[begin : begin + batch]))
    for hook in hooks:
        hook.remove()
    for layer, (count, total, squares) in zip(put_in, sums, strict=True):
        mean, layer.eps = total / count, 1e-5
        variance = (squares / count - mean**2).clamp(min=0.0)
        layer.running_mean, layer.running_var = mean.float(), variance.float()
        layer.bias.data, layer.weight.data = mean.float(), (variance + layer.eps).sqrt().float()
