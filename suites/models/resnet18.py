"""The baseline `resnet18-fp32`: architecture, training, export to `resnet18.onnx` and `resnet18.tflite`.

    python suites/models/resnet18.py

needs `pip install 'edgeward[train]'` and, for the .tflite, `litert-torch==0.10` (2 GB; it may live in an environment of
its own: `python suites/models/resnet18.py --tflite` then only converts the weights that the training kept). The seeds
are fixed; another processor still changes the last digits, and so the trained weights.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness import cache_dir
from harness.data import phantom
from harness.model import InputSpec, Samples
from harness.recipes import _training
from harness.recipes._inputs import prepare

HERE = Path(__file__).resolve().parent
WEIGHTS = cache_dir() / "resnet18.pt"
INPUT = InputSpec(layout="NCHW", scale=1 / 255, mean=(0.5,), std=(0.25,))
WIDTH = 16


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., "Deep residual learning for image recognition")."""

    def __init__(self, taken: int, given: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(taken, given, 3, stride, 1, bias=False), nn.BatchNorm2d(given))
        self.second = nn.Sequential(nn.Conv2d(given, given, 3, 1, 1, bias=False), nn.BatchNorm2d(given))
        self.shortcut = (
            nn.Identity()
            if stride == 1 and taken == given
            else nn.Sequential(nn.Conv2d(taken, given, 1, stride, bias=False), nn.BatchNorm2d(given))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, taken, H, W) to (N, given, H / stride, W / stride)."""
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def resnet18(width: int = WIDTH, classes: int = len(phantom.CLASSES)) -> nn.Module:
    """Return ResNet-18 with `width` filters in its first stage and a stem that keeps 64-pixel images large enough."""
    layers: list[nn.Module] = [
        nn.Conv2d(1, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    taken = width
    for stage in range(4):
        given = width << stage
        layers += [Block(taken, given, 1 if stage == 0 else 2), Block(given, given, 1)]
        taken = given
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, classes))


def data(split: str) -> Samples:
    """Return a split of the suite's data."""
    return phantom.load(phantom.Options(), split=split, base=HERE, cache=cache_dir() / "data")


def train() -> nn.Module:
    """Train on the train split, say how well it does on the validation split, and keep the weights."""
    torch.set_num_threads(2)
    torch.manual_seed(7)
    network = resnet18()
    samples, held_out = data("train"), data("validation")
    schedule = _training.Schedule(epochs=24, learning_rate=4e-3)
    started = time.monotonic()
    _training.fit(network, prepare(samples.images, INPUT), samples.labels, schedule, progress=print)
    with torch.inference_mode():
        guess = network(torch.from_numpy(prepare(held_out.images, INPUT))).argmax(1).numpy()
    print(f"trained in {time.monotonic() - started:.0f} s; validation accuracy {np.mean(guess == held_out.labels):.3f}")
    torch.save(network.state_dict(), WEIGHTS)
    return network


def export_tflite(network: nn.Module, target: Path = HERE / "resnet18.tflite") -> None:
    """Write the .tflite; its input stays (1, 1, 64, 64)."""
    import litert_torch

    litert_torch.convert(network, (torch.zeros(1, 1, 64, 64),)).export(str(target))


def main() -> None:
    """Train and export; with --tflite convert the kept weights only."""
    if "--tflite" in sys.argv:
        network = resnet18()
        network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
        export_tflite(network.eval())
        return
    network = train()
    _training.export_onnx(network, (1, 64, 64), HERE / "resnet18.onnx")
    try:
        export_tflite(network)
    except ImportError as error:
        sys.exit(
            f"resnet18.onnx is written, resnet18.tflite is not ({error}): run this again with --tflite where it is"
        )


if __name__ == "__main__":
    main()
