"""ResNet-18 (He et al., "Deep residual learning for image recognition"), MONAI's."""

from __future__ import annotations

from monai.networks import nets
from torch import nn

from .attention import Attention, attention


def resnet18(
    channels: int, classes: int, width: int = 64, *, attended: Attention = "none", small: bool = True
) -> nn.Module:
    """Return the network.

    Args:
        channels: of the image.
        classes: how many logits.
        width: filters of the first stage; 64 as published.
        attended: at the end of every residual branch.
        small: for images of 28 to 64 pixels: a 3x3 stem that keeps their size, as the authors of MedMNIST have it.
    """
    stem = {"conv1_t_size": 3, "conv1_t_stride": 1, "no_max_pool": True} if small else {}
    network = nets.resnet18(
        spatial_dims=2,
        n_input_channels=channels,
        num_classes=classes,
        widen_factor=width / 64,
        bias_downsample=False,
        **stem,
    )
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            if attended != "none":
                block.bn2 = nn.Sequential(block.bn2, attention(attended, block.conv2.out_channels))
    return network
