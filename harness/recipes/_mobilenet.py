"""The student of `distill`: MobileNetV2 (Sandler et al.) for images of 28 to 128 pixels. Imports torch."""
# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable
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
        taken, last = channels_at(width, 16), channels_at(width, 320)
        layers: list[nn.Module] = [convolution(channels, taken, 3, stride=2)]
        for expansion, at_width_1, repeats, stride in _STAGES:
            given = channels_at(width, at_width_1)
            for repeat in range(repeats):
                layers.append(InvertedResidual(taken, given, taken * expansion, stride=stride if repeat == 0 else 1))
                taken = given
        layers += [convolution(taken, last, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.layers(x.permute(0, 3, 1, 2) if self.nhwc else x)
        return logits


class InvertedResidual(nn.Module):
    """Widen, filter each channel alone, narrow; with a shortcut where the shapes allow it.

    Args:
        taken: channels of its input.
        given: channels of its output.
        wide: channels in between; those of the input are not widened where they are as many.
        stride: of the filters.
        size: of the filters.
        activation: behind the first two convolutions.
        attention: makes what weighs so many channels behind the filters.
    """

    def __init__(
        self,
        taken: int,
        given: int,
        wide: int,
        *,
        stride: int = 1,
        size: int = 3,
        activation: type[nn.Module] = nn.ReLU6,
        attention: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and taken == given
        self.layers = nn.Sequential(
            *([convolution(taken, wide, 1, activation=activation)] if wide != taken else []),
            convolution(wide, wide, size, stride=stride, groups=wide, activation=activation),
            *([attention(wide)] if attention else []),
            nn.Conv2d(wide, given, 1, bias=False),
            nn.BatchNorm2d(given),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, taken, H, W) to (N, given, H / stride, W / stride)."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.shortcut else y


def convolution(
    taken: int, given: int, size: int, *, stride: int = 1, groups: int = 1, activation: type[nn.Module] = nn.ReLU6
) -> nn.Module:
    """Return a convolution, its batch normalisation and its activation.

    Args:
        taken: channels of its input.
        given: channels of its output.
        size: of the filters.
        stride: of the filters.
        groups: of channels that are filtered apart.
        activation: behind it.
    """
    filters = nn.Conv2d(taken, given, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(filters, nn.BatchNorm2d(given), activation())


def channels_at(width: float, at_width_1: int) -> int:
    """Return the number of channels at a width, a multiple of 8."""
    return max(8, round(at_width_1 * width / 8) * 8)
