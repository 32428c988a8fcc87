"""U-Net (Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation"), MONAI's."""

from __future__ import annotations

from monai.networks import nets
from torch import nn

from .attention import Attention, attention


class UNet(nets.UNet):
    """Maps (N, C, H, W) to (N, K, H, W) logits; H and W are multiples of 2 to the number of levels less one.

    Args:
        channels: of the image.
        classes: logits of each pixel.
        width: filters of the first level; each further one has twice as many.
        levels: how many there are.
        attended: at the end of each level on the way down.
    """

    def __init__(
        self, channels: int, classes: int, width: int = 16, *, levels: int = 4, attended: Attention = "none"
    ) -> None:
        self.attended = attended
        filters = [width << level for level in range(levels)]
        strides = [2] * (levels - 1)
        super().__init__(2, channels, classes, filters, strides, num_res_units=2, act="relu", norm="batch")

    def _get_down_layer(self, in_channels: int, out_channels: int, strides: int, is_top: bool) -> nn.Module:
        level = super()._get_down_layer(in_channels, out_channels, strides, is_top)
        return level if self.attended == "none" else nn.Sequential(level, attention(self.attended, out_channels))
