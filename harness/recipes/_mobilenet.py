"""The student of `distill`: MobileNetV2 (Sandler et al.) for images of 64 to 128 pixels. Imports torch."""
# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Final

import torch
from torch import nn

#: Expansion, output channels at width 1, repeats and first stride of each stage.
_STAGES: Final = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 3, 2), (6, 96, 2, 1))


class Student(nn.Module):
    """Maps (N, C, H, W), or (N, H, W, C) for the layout NHWC, to (N, K) logits."""

    def __init__(self, channels: int, classes: int, width: float, layout: str) -> None:
        super().__init__()
        self.nhwc = layout == "NHWC"
        taken, last = _channels(16, width), _channels(320, width)
        layers: list[nn.Module] = [_convolution(channels, taken, 3, stride=2)]
        for expansion, at_width_1, repeats, stride in _STAGES:
            given = _channels(at_width_1, width)
            for repeat in range(repeats):
                layers.append(InvertedResidual(taken, given, expansion, stride if repeat == 0 else 1))
                taken = given
        layers += [_convolution(taken, last, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.layers(x.permute(0, 3, 1, 2) if self.nhwc else x)
        return logits


class InvertedResidual(nn.Module):
    """Widen, filter each channel alone, narrow; with a shortcut where the shapes allow it."""

    def __init__(self, taken: int, given: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = taken * expansion
        self.shortcut = stride == 1 and taken == given
        self.layers = nn.Sequential(
            *([_convolution(taken, wide, 1)] if expansion > 1 else []),
            _convolution(wide, wide, 3, stride=stride, groups=wide),
            nn.Conv2d(wide, given, 1, bias=False),
            nn.BatchNorm2d(given),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, taken, H, W) to (N, given, H / stride, W / stride)."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.shortcut else y


def _convolution(taken: int, given: int, size: int, stride: int = 1, groups: int = 1) -> nn.Module:
    convolution = nn.Conv2d(taken, given, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(given), nn.ReLU6())


def _channels(at_width_1: int, width: float) -> int:
    return max(8, round(at_width_1 * width / 8) * 8)
