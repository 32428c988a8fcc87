"""SqueezeNet 1.1 (Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters")."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from harness.recipes._mobilenet import channels_at

from .attention import Attention, attention

#: Of each block at width 1: channels that are kept, and channels of each of its two branches; None halves the image.
_BLOCKS: Final = ((16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256))


class Fire(nn.Module):
    """Few channels, then many again: half of them by filters of one pixel, half by filters of nine."""

    def __init__(self, taken: int, kept: int, branch: int, attended: Attention) -> None:
        super().__init__()
        self.kept = nn.Sequential(nn.Conv2d(taken, kept, 1), nn.ReLU())
        self.one = nn.Sequential(nn.Conv2d(kept, branch, 1), nn.ReLU())
        self.nine = nn.Sequential(nn.Conv2d(kept, branch, 3, padding=1), nn.ReLU())
        self.attention = attention(attended, 2 * branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, taken, H, W) to (N, 2 * branch, H, W)."""
        x = self.kept(x)
        y: torch.Tensor = self.attention(torch.cat([self.one(x), self.nine(x)], dim=1))
        return y


def squeezenet(
    channels: int, classes: int, width: float = 1.0, *, attended: Attention = "none", small: bool = False
) -> nn.Module:
    """Return SqueezeNet 1.1; it has no normalisation, so it wants a low learning rate.

    Args:
        channels: of the image.
        classes: how many logits.
        width: factor on every number of channels.
        attended: at the end of every block.
        small: for images of 28 to 64 pixels: the stem keeps their size.
    """
    taken = channels_at(width, 64)
    layers: list[nn.Module] = [nn.Conv2d(channels, taken, 3, 1 if small else 2, 1), nn.ReLU()]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, 1))
    for block in _BLOCKS:
        if block is None:
            layers.append(nn.MaxPool2d(3, 2, 1))
            continue
        kept, branch = (channels_at(width, count) for count in block)
        layers.append(Fire(taken, kept, branch, attended))
        taken = 2 * branch
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Conv2d(taken, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
