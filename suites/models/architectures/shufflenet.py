"""ShuffleNetV2 (Ma et al., "ShuffleNet V2: practical guidelines for efficient CNN architecture design")."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from harness.recipes._mobilenet import convolution

from .attention import Attention, attention

#: Channels of the three stages at width 1, and how many blocks each has.
_STAGES: Final = ((116, 4), (232, 8), (464, 4))


def _filters(channels: int, stride: int) -> list[nn.Module]:
    """Return the convolution that filters each channel alone, without an activation."""
    return [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels)]


class Block(nn.Module):
    """Half of the channels goes through three convolutions, the other half passes; then both are mixed."""

    def __init__(self, taken: int, given: int, stride: int, attended: Attention) -> None:
        super().__init__()
        half = given // 2
        inner = taken // 2 if stride == 1 else taken
        self.split = stride == 1
        self.passed = (
            nn.Identity()
            if self.split
            else nn.Sequential(*_filters(taken, stride), convolution(taken, half, 1, activation=nn.ReLU))
        )
        self.changed = nn.Sequential(
            convolution(inner, half, 1, activation=nn.ReLU),
            *_filters(half, stride),
            convolution(half, half, 1, activation=nn.ReLU),
            attention(attended, half),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, taken, H, W) to (N, given, H / stride, W / stride)."""
        one, other = x.chunk(2, dim=1) if self.split else (x, x)
        joined = torch.cat([self.passed(one), self.changed(other)], dim=1)
        # Neighbouring channels come from different halves, so that the next block mixes them.
        return joined.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def shufflenet_v2(
    channels: int, classes: int, width: float = 1.0, *, attended: Attention = "none", small: bool = False
) -> nn.Module:
    """Return ShuffleNetV2.

    Args:
        channels: of the image.
        classes: how many logits.
        width: factor on every number of channels of the stages; as published at 1.
        attended: at the end of every block.
        small: for images of 28 to 64 pixels: the stem keeps their size.
    """
    taken = 24
    layers = [convolution(channels, taken, 3, stride=1 if small else 2, activation=nn.ReLU)]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, 1))
    for at_width_1, blocks in _STAGES:
        given = 2 * round(at_width_1 * width / 2)
        for block in range(blocks):
            layers.append(Block(taken, given, 2 if block == 0 else 1, attended))
            taken = given
    last = convolution(taken, 1024, 1, activation=nn.ReLU)
    return nn.Sequential(*layers, last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, classes))
