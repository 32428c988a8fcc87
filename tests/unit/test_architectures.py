"""Every architecture of the suites' folder: the published number of weights, and the same outputs as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from devices.virtual.requirements import lacking, require
from harness.recipes import _training

#: What an exported network may differ by from its torch network, of the difference that another image makes.
TOLERANCE = 0.01

if not lacking("extra:train=torch", "extra:train=monai"):
    import torch
    from torch import nn

    from suites.models.architectures.mobilenet import mobilenet_v2, mobilenet_v3
    from suites.models.architectures.recurrent import FramesRecurrent
    from suites.models.architectures.resnet import resnet18
    from suites.models.architectures.shufflenet import shufflenet_v2
    from suites.models.architectures.squeezenet import squeezenet
    from suites.models.architectures.transformer import VisionTransformer
    from suites.models.architectures.unet import UNet

    FAMILIES: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
        "resnet18": (partial(resnet18, 1, 3, 4), (1, 28, 28)),
        "mobilenet_v2": (partial(mobilenet_v2, 1, 3, 0.1, small=True), (1, 28, 28)),
        "mobilenet_v3_small": (partial(mobilenet_v3, 1, 3, 0.1, small=True), (1, 28, 28)),
        "mobilenet_v3_large": (partial(mobilenet_v3, 3, 3, 0.1, kind="large"), (3, 64, 64)),
        "shufflenet_v2": (partial(shufflenet_v2, 1, 3, 0.1, small=True), (1, 28, 28)),
        "squeezenet": (partial(squeezenet, 1, 3, 0.1, small=True), (1, 28, 28)),
        "unet": (partial(UNet, 1, 3, 4), (1, 32, 32)),
        "recurrent": (partial(FramesRecurrent, 3, 4), (5, 28, 28)),
    }
    PUBLISHED: dict[str, tuple[Callable[..., Any], int]] = {
        # As the papers have them, and as torchvision counts them: RGB, 224 x 224, 1000 classes.
        "resnet18": (partial(resnet18, small=False), 11_689_512),
        "mobilenet_v2": (mobilenet_v2, 3_504_872),
        "mobilenet_v3_small": (mobilenet_v3, 2_542_856),
        "mobilenet_v3_large": (partial(mobilenet_v3, kind="large"), 5_483_032),
        "shufflenet_v2": (shufflenet_v2, 2_278_604),
        "squeezenet": (squeezenet, 1_235_496),
    }
else:
    FAMILIES, PUBLISHED = {}, {}

#: Exported: each with the block that has the most operators, and one with each.
EXPORTED = [*((name, "cbam") for name in FAMILIES), ("resnet18", "none"), ("resnet18", "squeeze_excitation")]


@pytest.fixture(autouse=True)
def _torch() -> Iterator[None]:
    require("extra:train=torch", "extra:train=monai")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other are slow where other tests run, too
    yield
    torch.set_num_threads(threads)


def test_torch_and_monai_are_here() -> None:
    assert FAMILIES  # otherwise the tests below have no cases, which nobody would see


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_architecture_at_full_width_has_the_published_number_of_weights(name: str) -> None:
    make, weights = PUBLISHED[name]
    with torch.device("meta"):
        network = make(3, 1000)
    assert sum(one.numel() for one in network.parameters()) == weights


@pytest.mark.parametrize("name", FAMILIES)
def test_an_architecture_has_the_attention_that_is_asked_for(name: str) -> None:
    make, _ = FAMILIES[name]
    for kind, block in (("none", ""), ("squeeze_excitation", "SqueezeExcitation"), ("cbam", "CBAM")):
        with torch.device("meta"):
            modules = [type(module).__name__ for module in make(attended=kind).modules()]
        assert set(modules) & {"SqueezeExcitation", "CBAM"} == ({block} if block else set())


def differs_by(network: nn.Module, shape: tuple[int, ...], folder: Path) -> float:
    """Export a network and return its largest difference from torch, of the largest between two of three inputs.

    Args:
        network: any; its weights become such that an input still matters behind many layers.
        shape: of one input.
        folder: where the file goes.
    """
    for weights in network.parameters():
        if weights.ndim > 1:
            nn.init.kaiming_normal_(weights)
    x = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (3, *shape)).astype(np.float32))
    x *= torch.tensor([0.0, 1.0, 30.0]).reshape(3, *(1 for _ in shape))
    with torch.no_grad():
        for _ in range(9):
            network(x)  # its normalisations learn what they divide by
        expected = network.eval()(x).numpy()
    _training.export_onnx(network, shape, folder / "network.onnx")
    session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    assert [type(one.shape[0]) for one in (*session.get_inputs(), *session.get_outputs())] == [str, str], "free batch"
    (given,) = session.run(["logits"], {"input": x.numpy()})
    assert given.shape == expected.shape
    return float(np.abs(given - expected).max() / np.ptp(expected, axis=0).max())


@pytest.mark.parametrize(("name", "kind"), EXPORTED, ids=[f"{name}-{kind}" for name, kind in EXPORTED])
def test_an_architecture_gives_the_same_outputs_in_onnxruntime(name: str, kind: str, tmp_path: Path) -> None:
    make, shape = FAMILIES[name]
    torch.manual_seed(1)
    assert differs_by(make(attended=kind), shape, tmp_path) < TOLERANCE


def test_the_vision_transformer_gives_the_same_outputs_in_onnxruntime(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = VisionTransformer(1, 3, size=28, patch=7, hidden=16, layers=2)
    assert differs_by(network, (1, 28, 28), tmp_path) < TOLERANCE


def test_the_recurrent_network_sees_the_order_of_frames() -> None:
    torch.manual_seed(1)
    network = FramesRecurrent(3, 4).eval()
    frames = torch.randn(1, 5, 28, 28)
    with torch.no_grad():
        assert not torch.allclose(network(frames), network(frames.flip(1)), atol=1e-4)
