"""`recipe = "transfer"`, `parameters = { trunk = "models/chest.onnx" }`: a network that learnt something else first.

The last layer of `trunk`, an .onnx of any task, is replaced by one for the suite's classes. First that layer alone
learns, while all others stay as they are (`frozen_epochs`), then all of them do (Yosinski, Clune, Bengio, Lipson, "How
transferable are features in deep neural networks?", 2014). The trunk is fed as the baseline is, of which nothing else
is taken. Needs `pip install 'edgeward[train]'`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness import formats
from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _lessons, _normalising, _onnx2torch, _onnx_tools, _training

if TYPE_CHECKING:
    import torch

FORMATS = ("onnx",)
TOOLS = ("numpy", "torch", "onnx", "onnx2torch")
TAKES = ("float32", "float16", "int8", "int4")
LEAVES = "float32"
#: What it makes may be another architecture than the baseline's.
ANOTHER = True


@dataclass(frozen=True, slots=True)
class Options:
    """What is taken over, and how it learns.

    Attributes:
        trunk: the .onnx whose layers are taken over, relative to the suite.
        frozen_epochs: passes over the train split in which the new last layer alone learns.
        epochs: passes in which all layers do; 0 for none.
        learning_rate: its highest value while all learn; the new layer alone learns at ten times as much.
        augment: whether images are mirrored, shifted and changed in gain; no for images whose sides carry meaning.
        seed: of the new layer's first weights and of the order of images.
    """

    trunk: Path = Path()
    frozen_epochs: int = 10
    epochs: int = 10
    learning_rate: float = 1e-3
    augment: bool = True
    seed: int = 7

    def __post_init__(self) -> None:
        if self.trunk == Path():
            raise ValueError("trunk is not set: name the .onnx whose layers are taken over")
        if self.frozen_epochs < 0 or self.epochs < 0 or not self.frozen_epochs + self.epochs:
            raise ValueError("frozen_epochs and epochs must be 0 or more, and one of them above 0")


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the network that learnt again, and return what was taken over.

    Raises:
        RecipeError: torch is missing, the trunk cannot be read, takes other images, or does not end in a linear layer
            that gives a logit for each class of its own; or training fails.
    """
    _onnx_tools.require("train", "torch")
    import torch

    lesson, file = _lessons.lesson(job), job.folder / options.trunk
    inputs, labels, classes = lesson.inputs, lesson.labels, lesson.classes
    network = _onnx2torch.network(file)
    name, last = _last(network, file)
    features = _features(network, last, inputs, file)
    torch.manual_seed(options.seed)
    new = torch.nn.Linear(last.in_features, classes)
    if options.frozen_epochs:
        alone = _training.Schedule(options.frozen_epochs, 10 * options.learning_rate, augment=False, seed=options.seed)
        _training.fit(new, features, labels, alone)
    network.set_submodule(name, new)
    if _normalising.normalise(network):
        # What was taken over stays as it is until all layers learn.
        with _training.room(f"64 images of {inputs.shape[1:]} at once"):
            _normalising.settle(network, inputs)
    if options.epochs:
        every = _training.Schedule(options.epochs, options.learning_rate, augment=options.augment, seed=options.seed)
        _training.fit(network, inputs, labels, every, layout=job.input.layout)
    _training.export_onnx(network.eval(), inputs.shape[1:], job.target)
    kept = sum(one.numel() for one in network.parameters()) - sum(one.numel() for one in new.parameters())
    return {"trunk": file.name, "classes_before": last.out_features, "classes": classes, "weights_taken_over": kept}


def _last(network: torch.nn.Module, file: Path) -> tuple[str, torch.nn.Linear]:
    """Return the name of the layer that gives the classes, and the layer.

    Raises:
        RecipeError: there is no such layer at the end.
    """
    from torch import nn

    outputs = formats.read(file).outputs
    columns = outputs[0].shape[-1] if outputs and outputs[0].shape else None
    layers = [(name, one) for name, one in network.named_modules() if name and not list(one.children())]
    name, layer = layers[-1] if layers else ("", None)
    logits = len(outputs) == 1 and outputs[0].kind == "logits"
    if not logits or not isinstance(layer, nn.Linear) or layer.out_features != columns:
        raise RecipeError(
            f"{file.name} does not end in one linear layer that gives a logit for each class, so none can be replaced",
            remedy="export it without what follows that layer, such as a softmax",
        )
    return name, layer


def _features(
    network: torch.nn.Module, last: torch.nn.Linear, inputs: npt.NDArray[np.float32], file: Path
) -> npt.NDArray[np.float32]:
    """Return (N, F) what the last layer is given for each input.

    Raises:
        RecipeError: the network takes other images.
    """
    import torch

    found: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    network.eval()
    try:
        with torch.no_grad():
            for begin in range(0, len(inputs), 64):
                network(torch.from_numpy(inputs[begin : begin + 64]))
    except (RuntimeError, ValueError) as error:
        takes = ", ".join(map(str, formats.read(file).inputs))
        raise RecipeError(
            f"{file.name} takes {takes}, and the suite's images come as {list(inputs.shape[1:])}",
            remedy="name a trunk for images like these, or write size, color and layout into [baseline] input",
        ) from error
    finally:
        hook.remove()
    features: npt.NDArray[np.float32] = torch.cat(found).numpy()
    return features
