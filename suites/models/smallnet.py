"""The baseline of `smoke.toml`: a network so small that emulated processors run it, too.

    python suites/models/smallnet.py

trains it in three minutes and writes `smallnet.onnx` and `smallnet.tflite`; for what it needs, and for `--tflite`, see
`resnet18.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import resnet18
import torch
from torch import nn

from harness import cache_dir
from harness.data import phantom
from harness.recipes import _training
from harness.recipes._inputs import prepare

HERE = Path(__file__).resolve().parent
WEIGHTS = cache_dir() / "smallnet.pt"
#: Filters of the four convolutions, each of which halves the image: a million multiplications in all.
FILTERS = (8, 16, 32, 64)


def smallnet(classes: int = len(phantom.CLASSES)) -> nn.Module:
    """Return four 3x3 convolutions, the mean over the image and one linear layer."""
    layers: list[nn.Module] = []
    taken = 1
    for given in FILTERS:
        layers += [nn.Conv2d(taken, given, 3, 2, 1, bias=False), nn.BatchNorm2d(given), nn.ReLU()]
        taken = given
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, classes))


def train() -> nn.Module:
    """Train on the train split, say how well it does on the validation split, and keep the weights."""
    torch.set_num_threads(2)
    torch.manual_seed(7)
    network = smallnet()
    samples, held_out = resnet18.data("train"), resnet18.data("validation")
    schedule = _training.Schedule(epochs=24, learning_rate=4e-3)
    _training.fit(network, prepare(samples.images, resnet18.INPUT), samples.labels, schedule, progress=print)
    with torch.inference_mode():
        guess = network(torch.from_numpy(prepare(held_out.images, resnet18.INPUT))).argmax(1).numpy()
    print(f"validation accuracy {np.mean(guess == held_out.labels):.3f}")
    torch.save(network.state_dict(), WEIGHTS)
    return network


def main() -> None:
    """Train and export; with --tflite convert the kept weights only."""
    network = smallnet()
    if "--tflite" in sys.argv:
        network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    else:
        network = train()
        _training.export_onnx(network, (1, 64, 64), HERE / "smallnet.onnx")
    try:
        resnet18.export_tflite(network.eval(), HERE / "smallnet.tflite")
    except ImportError as error:
        sys.exit(f"smallnet.tflite is not written ({error}): run this again with --tflite where litert-torch is")


if __name__ == "__main__":
    main()
