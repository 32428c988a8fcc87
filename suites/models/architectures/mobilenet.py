"""MobileNetV2 (Sandler et al.) and MobileNetV3 (Howard et al., "Searching for MobileNetV3")."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from torch import nn

from harness.recipes._mobilenet import InvertedResidual, channels_at, convolution

from .attention import Attention, attention

#: Of version 2: expansion, channels at width 1, repeats, first stride.
_SECOND: Final = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
)  # fmt: skip
#: Of version 3: size of the filters, channels between and out at width 1, whether attended, whether hard swish, stride.
_SMALL: Final = (
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1), (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2), (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
)  # fmt: skip
_LARGE: Final = (
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)  # fmt: skip


def mobilenet_v2(
    channels: int, classes: int, width: float = 1.0, *, attended: Attention = "none", small: bool = False
) -> nn.Module:
    """Return MobileNetV2; attention is none as published.

    Args:
        channels: of the image.
        classes: how many logits.
        width: factor on every number of channels.
        attended: behind the filters of every block.
        small: for images of 28 to 64 pixels: the stem keeps their size.
    """
    taken, last = channels_at(width, 32), channels_at(max(width, 1.0), 1280)
    layers = [convolution(channels, taken, 3, stride=1 if small else 2)]
    for expansion, at_width_1, repeats, stride in _SECOND:
        given = channels_at(width, at_width_1)
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            layers.append(
                InvertedResidual(taken, given, taken * expansion, stride=step, attention=_attention(attended))
            )
            taken = given
    return nn.Sequential(*layers, convolution(taken, last, 1), *_head(last, classes))


def mobilenet_v3(
    channels: int,
    classes: int,
    width: float = 1.0,
    *,
    kind: Literal["small", "large"] = "small",
    attended: Attention = "squeeze_excitation",
    small: bool = False,
) -> nn.Module:
    """Return MobileNetV3; squeeze-and-excitation is part of it as published.

    Args:
        channels: of the image.
        classes: how many logits.
        width: factor on every number of channels.
        kind: which of the two published ones.
        attended: behind the filters of those blocks that have it as published.
        small: for images of 28 to 64 pixels: the stem keeps their size.
    """
    blocks, before_logits = (_SMALL, 1024) if kind == "small" else (_LARGE, 1280)
    taken = channels_at(width, 16)
    layers = [convolution(channels, taken, 3, stride=1 if small else 2, activation=nn.Hardswish)]
    for size, between, out, has_attention, swish, stride in blocks:
        given, wide = channels_at(width, out), channels_at(width, between)
        layers.append(
            InvertedResidual(
                taken,
                given,
                wide,
                stride=stride,
                size=size,
                activation=nn.Hardswish if swish else nn.ReLU,
                attention=_attention(attended) if has_attention else None,
            )
        )
        taken = given
    wide = channels_at(width, blocks[-1][1])
    layers.append(convolution(taken, wide, 1, activation=nn.Hardswish))
    last = channels_at(max(width, 1.0), before_logits)
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, last), nn.Hardswish(), nn.Linear(last, classes)
    )


def _head(taken: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, classes)]


def _attention(kind: Attention) -> Callable[[int], nn.Module] | None:
    return None if kind == "none" else partial(attention, kind)
