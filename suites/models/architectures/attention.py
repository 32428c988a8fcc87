"""Blocks that weigh channels, or places too; every architecture of this folder takes one of them by name."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Attention = Literal["none", "squeeze_excitation", "cbam"]


class SqueezeExcitation(nn.Module):
    """Each channel times a number between 0 and 1 (Hu, Shen, Sun, "Squeeze-and-excitation networks").

    The gate is piecewise linear, as in MobileNetV3: it needs no exponential on the device.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, (channels // 4 + 4) // 8 * 8)
        inner += 8 if inner < 0.9 * channels / 4 else 0  # MobileNetV3's rounding
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        return x * self.gate(x)


class CBAM(nn.Module):
    """Each channel, then each place weighed (Woo et al., "CBAM: convolutional block attention module")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 16, 4)
        self.shared = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1))
        self.place = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        mean, highest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        x = x * torch.sigmoid(self.shared(mean) + self.shared(highest))
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.place(seen))


def attention(kind: Attention, channels: int) -> nn.Module:
    """Return the block of that name for a tensor of so many channels."""
    return {"none": lambda _: nn.Identity(), "squeeze_excitation": SqueezeExcitation, "cbam": CBAM}[kind](channels)
