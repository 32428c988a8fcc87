"""The baseline and a variant of `mobilenet-224.toml`: MobileNetV2 and MobileNetV3-Small at full width, 224 x 224.

    EDGEWARD_MEDMNIST=FOLDER python suites/models/mobilenet_224.py

Their filters are random and stay so: hours of training are not worth it where time, memory and the loss of a variant
against its own baseline are what is asked for. Normalisations are given the statistics of images, so that numbers keep
their size through all layers, and the last layer alone is fitted, by ridge regression. Accuracies are therefore no
measure of these architectures. See `baselines.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import baselines
import torch
from architectures.mobilenet import mobilenet_v2, mobilenet_v3
from torch import nn

from harness import lab

#: Images that the statistics are of.
_SEEN: Final = 64
#: What the fitted logits are of an image's own class; of the other one its negative.
_LOGIT: Final = 3.0
_RIDGE: Final = 1.0


def fitted(network: nn.Sequential, inputs: baselines.Inputs, labels: torch.Tensor) -> nn.Sequential:
    """Give statistics to the normalisations and weights to the last layer.

    Args:
        network: untrained; its last layer is linear.
        inputs: (N, C, H, W), prepared.
        labels: (N,) classes.
    """
    body, last = network[:-1], network[-1]
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # of all that is seen, not of what was seen last
    with torch.inference_mode():
        body.train()
        body(torch.from_numpy(inputs[:_SEEN]))
        body.eval()
        seen = torch.cat([body(part) for part in torch.from_numpy(inputs).split(32)]).double()
        seen = torch.cat([seen, torch.ones(len(seen), 1)], dim=1)
        wanted = _LOGIT * (2 * nn.functional.one_hot(labels).double() - 1)
        weights = torch.linalg.solve(seen.T @ seen + _RIDGE * torch.eye(seen.shape[1]), seen.T @ wanted)
    last.weight.data, last.bias.data = weights[:-1].T.float().contiguous(), weights[-1].float()
    return network.eval()


def main() -> None:
    """Make and write both."""
    suite = lab.read_suite(baselines.HERE.parent / "mobilenet-224.toml")
    inputs, samples = baselines.images(suite, "train")
    for name, make in (("v2", mobilenet_v2), ("v3", partial(mobilenet_v3, kind="small"))):
        torch.manual_seed(baselines.FIRST_SEED)
        network = fitted(make(channels=1, classes=2), inputs, torch.from_numpy(samples.labels))
        baselines.written(network, suite, baselines.HERE / f"breast224-mobilenet{name}.onnx")
        print(baselines.judged(network, suite), flush=True)


if __name__ == "__main__":
    main()
