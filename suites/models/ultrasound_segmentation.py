"""The baseline of `ultrasound-segmentation.toml`: a U-Net with 8 filters in its first level, on stills of 128 x 128.

    EDGEWARD_USGRA_SEG=FOLDER OMP_NUM_THREADS=1 python suites/models/ultrasound_segmentation.py

see `baselines.py`. Fifteen images are few: each is changed in another way in every step, by far more than elsewhere
here. No setting was chosen by the nine images that judge it. Vessels there: Dice 0.567 [0.286, 0.782], normalised
surface Dice at 2 pixels 0.421 [0.202, 0.673]; nerves: Dice 0.340 [0.145, 0.600]; bootstrap over the nine images.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import baselines
import numpy as np
import numpy.typing as npt
import torch
from architectures.unet import UNet
from torch.nn import functional

from harness.recipes import _training
from harness.recipes._training import Schedule

#: Background is nine tenths of the pixels: it counts for less, so that outlines count.
_WEIGHTS: Final = (0.3, 1.0, 1.0)
#: Of the suite's `[data.input]`.
_MEAN, _STD = 0.5, 0.25


def fit(network: torch.nn.Module, inputs: baselines.Inputs, truth: npt.NDArray[np.int64], schedule: Schedule) -> None:
    """Train in place, on images that are changed anew in every step.

    Args:
        network: maps (N, 1, H, W) to (N, K, H, W) logits.
        inputs: (N, 1, H, W), prepared.
        truth: (N, H, W) classes.
        schedule: how long and how; an epoch is as many images as there are, drawn with replacement.
    """
    random = torch.Generator().manual_seed(schedule.seed)
    images, masks = torch.from_numpy(inputs), torch.from_numpy(truth)
    steps = _training.steps_of(schedule, len(inputs))
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.learning_rate, total_steps=steps, pct_start=0.2)
    network.train()
    for step in range(steps):
        rows = torch.randint(len(images), (schedule.batch,), generator=random)
        batch, wanted = changed(images[rows], masks[rows], random)
        found = loss(network(batch.contiguous(memory_format=torch.channels_last)), wanted)
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
        pace.step()
        _training.check_finite(found.item(), schedule.learning_rate)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {steps}: loss {found.item():.4f}", flush=True)


def loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy with weights, plus one minus the mean soft Dice of all classes but the background.

    The latter as in Milletari, Navab, Ahmadi, "V-Net: fully convolutional neural networks for volumetric medical image
    segmentation", over the whole batch and with plain sums below.

    Args:
        logits: (N, K, H, W).
        truth: (N, H, W) classes.
    """
    shares = logits.softmax(1)
    wanted = functional.one_hot(truth, shares.shape[1]).movedim(-1, 1).float()
    both, each = (shares * wanted).sum((0, 2, 3)), (shares + wanted).sum((0, 2, 3))
    dice = (2 * both + 1) / (each + 1)
    return functional.cross_entropy(logits, truth, torch.tensor(_WEIGHTS)) + 1 - dice[1:].mean()


def changed(images: torch.Tensor, masks: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and masks mirrored, turned, enlarged, shifted and bent, and images of other gain, gamma and noise.

    Args:
        images: (N, 1, H, W), prepared.
        masks: (N, H, W) classes.
        random: of the changes.
    """
    count, _, *size = images.shape

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=random)

    angle, factor, aspect = between(-0.35, 0.35), between(-0.35, 0.35).exp(), between(-0.15, 0.15).exp()
    side = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    moves = torch.empty(count, 2, 3)
    moves[:, 0, 0], moves[:, 0, 1] = angle.cos() * factor * aspect * side, -angle.sin() * factor * side
    moves[:, 1, 0], moves[:, 1, 1] = angle.sin() * factor * aspect, angle.cos() * factor
    moves[:, 0, 2], moves[:, 1, 2] = between(-0.3, 0.3), between(-0.2, 0.2)
    grid = functional.affine_grid(moves, list(images.shape), align_corners=False)
    grid = grid + _field(0.05 * torch.randn(count, 2, 5, 5, generator=random), size).permute(0, 2, 3, 1)
    # What comes in from beyond the edges is black, and background.
    black = -_MEAN / _STD
    sampled = partial(functional.grid_sample, grid=grid, padding_mode="zeros", align_corners=False)
    grey = (sampled(images - black) * _STD).clamp(0, 1)
    outlined = sampled(masks[:, None].float(), mode="nearest")[:, 0].long()
    each = (count, 1, 1, 1)
    grey = grey ** between(-0.4, 0.4).exp().view(each) * between(0.7, 1.4).view(each)
    grey = grey * (1 + _field(0.3 * torch.randn(count, 1, 3, 3, generator=random), size))
    grey = grey * (1 + 0.15 * between(0, 1).view(each) * torch.randn(grey.shape, generator=random))
    return (grey.clamp(0, 1) - _MEAN) / _STD, outlined


def _field(coarse: torch.Tensor, size: list[int]) -> torch.Tensor:
    return functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)


BASELINE = baselines.Baseline(
    suite="ultrasound-segmentation",
    make=partial(UNet, channels=1, classes=3, width=8),
    schedule=Schedule(epochs=600, learning_rate=5e-3, batch=4),
    fit=fit,
)

if __name__ == "__main__":
    baselines.main(BASELINE)
