"""A small vision transformer (Dosovitskiy et al., "An image is worth 16x16 words"), MONAI's; no CNN."""

from __future__ import annotations

import torch
from monai.networks import nets
from torch import nn


class VisionTransformer(nn.Module):
    """Maps (N, C, size, size) to (N, K) logits.

    Args:
        channels: of the image.
        classes: how many logits.
        size: height and width of the image, a multiple of `patch`.
        patch: height and width of what becomes one token.
        hidden: numbers of a token.
        layers: how many there are, each with four heads.
    """

    def __init__(
        self, channels: int, classes: int, *, size: int = 28, patch: int = 4, hidden: int = 64, layers: int = 4
    ) -> None:
        super().__init__()
        self.network = nets.ViT(
            channels,
            size,
            patch,
            hidden_size=hidden,
            mlp_dim=2 * hidden,
            num_layers=layers,
            num_heads=4,
            classification=True,
            num_classes=classes,
            post_activation="none",  # its default squeezes the logits between -1 and 1
            spatial_dims=2,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.network(x)[0]
        return logits
