"""A CNN of each frame and a recurrent network over the frames, for a loop of grey images in one tensor."""

from __future__ import annotations

import torch
from torch import nn

from .attention import Attention, attention


class FramesRecurrent(nn.Module):
    """Maps (N, T, H, W), T frames in the order of time where images have their channels, to (N, K) logits.

    Three convolutions see each frame by itself; a gated recurrent unit (Cho et al., 2014) reads what they give, first
    frame to last.

    Args:
        classes: how many logits.
        width: filters of the first convolution, of which each halves the frame.
        hidden: numbers that the recurrent unit remembers.
        attended: behind each convolution.
    """

    def __init__(self, classes: int, width: int = 8, *, hidden: int = 32, attended: Attention = "none") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        taken = 1
        for given in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(taken, given, 3, 2, 1, bias=False), nn.BatchNorm2d(given), nn.ReLU()]
            layers.append(attention(attended, given))
            taken = given
        self.frame = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.memory = nn.GRU(taken, hidden, batch_first=True)
        self.logits = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits behind the last frame."""
        frames = x.flatten(0, 1).unsqueeze(1)
        seen, _ = self.memory(self.frame(frames).unflatten(0, (-1, x.shape[1])))
        logits: torch.Tensor = self.logits(seen[:, -1])
        return logits
