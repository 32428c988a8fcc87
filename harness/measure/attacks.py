"""Images that the float baseline takes for something else: FGSM and PGD with its gradients, computed on this host.

They are then given to every deployed file: *transfer attacks*, since a quantised file has no gradients to follow.
Pixels stay whole grey levels, no further than `epsilon` of 255 from where they were, as a device is given them; the
gradient goes through the input contract, x = (pixel * scale - mean) / std.

FGSM: one step of epsilon along the sign of the gradient (Goodfellow et al. 2015, arXiv:1412.6572). PGD: ten steps of a
quarter of it from a random start, held within epsilon after each (Madry et al. 2018, arXiv:1706.06083).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness import formats, lab, pixels
from harness.errors import HarnessError, RecipeError
from harness.measure.jobs import Group
from harness.model import Fit, IntArray, Samples, Suite, Variant
from harness.recipes import _onnx2torch

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
_STEPS: Final = 10
_SEED: Final = 20
#: How often the black box is tried on each image.
TRIES: Final = 20
#: Images that are differentiated at once, where the file leaves it open.
_BATCH: Final = 32
#: From which share of images without a gradient on attacks are said to be blind.
_BLIND: Final = 0.05


@dataclass(frozen=True, slots=True)
class Attacker:
    """The float baseline as a network that can be differentiated, with the images that it is to be wrong about."""

    network: Any
    fit: Fit
    batch: int
    images: Pixels
    targets: IntArray

    def gradients(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (N, H, W, C): the gradient of the loss of each image's own class with respect to its pixels."""
        import torch

        found = []
        for first in range(0, len(images), self.batch):
            chosen = slice(first, first + self.batch)
            pixel = torch.tensor(images[chosen], requires_grad=True)
            loss = _loss(self.network(self._input(pixel)), torch.tensor(self.targets[chosen]), self.fit.reading.kind)
            found.append(torch.autograd.grad(loss, pixel)[0].numpy())
        return np.concatenate(found)

    def _input(self, pixel: torch.Tensor) -> torch.Tensor:
        import torch

        spec = self.fit.input
        x = (pixel * spec.scale - torch.tensor(spec.mean)) / torch.tensor(spec.std)
        return x.permute(0, 3, 1, 2) if spec.layout == "NCHW" else x


def _loss(outputs: torch.Tensor, targets: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the summed cross entropy, so that each image has a gradient of its own."""
    import torch

    flat = outputs.reshape(len(targets), -1)
    if flat.shape[1] == 1:  # one number speaks of the second of two classes
        name = "binary_cross_entropy_with_logits" if kind == "logits" else "binary_cross_entropy"
        loss: Any = getattr(torch.nn.functional, name)
        return loss(flat[:, 0], targets.to(flat.dtype), reduction="sum")
    if kind == "logits":
        return torch.nn.functional.cross_entropy(flat, targets, reduction="sum")
    return torch.nn.functional.nll_loss(flat.clamp_min(1e-12).log(), targets, reduction="sum")


def attacker(group: Group, samples: Samples) -> Attacker:
    """Return the baseline of a group's suite as a network, in whatever format the group measures it.

    Args:
        group: the cases.
        samples: the split.

    Raises:
        HarnessError: it cannot be differentiated here, and why.
    """
    suite = group.suite
    if samples.images.dtype != np.uint8:
        raise _refused(suite, f"attacks are of pixels of 8 bits, and these are {samples.images.dtype}")
    head = _head(suite)
    fit = lab.fit(suite, head, samples)
    if fit.reading.kind == "labels" or fit.labels:
        raise _refused(suite, "answers with labels, which have no gradient")
    if fit.constants or not np.array_equal(pixels.converted(samples.images[:1], fit.input), samples.images[:1]):
        raise _refused(suite, "takes more than the images as they are, which attacks cannot be made through")
    file = formats.read(head.path, head.format)
    if len(file.outputs) != 1:
        raise _refused(suite, f"has {len(file.outputs)} outputs, and attacks are made through one")
    names = fit.reading.classes or samples.classes
    order = np.array([names.index(name) for name in samples.classes], np.int64)
    network = _onnx2torch.network(head.path).eval()
    shape = file.inputs[0].shape if file.inputs else None
    batch = _BATCH if shape and not isinstance(shape[0], int) else 1
    return Attacker(network, fit, batch, samples.images, order[samples.labels])


def _head(suite: Suite) -> Variant:
    for one in suite.variants:
        if one.id == suite.baseline and one.format == "onnx" and not one.problem:
            return one
    raise _refused(suite, "is not there as .onnx, the format whose gradients can be followed")


def _refused(suite: Suite, text: str) -> RecipeError:
    return RecipeError(
        f"the baseline {suite.baseline} {text}" if not text.startswith("attacks") else text,
        remedy="remove attacks from [robustness], or bring a baseline that can be attacked",
    )


def fgsm(one: Attacker, epsilon: int) -> tuple[Pixels, float]:
    """Return images one step along the gradient, and the share of images that have none.

    Args:
        one: the baseline.
        epsilon: by how many grey levels a pixel may change.
    """
    start = one.images.astype(np.float32)
    gradient = one.gradients(start)
    blind = float((np.abs(gradient).reshape(len(gradient), -1).max(axis=1) == 0).mean())
    return _whole(start + epsilon * np.sign(gradient)), blind


def pgd(one: Attacker, epsilon: int) -> tuple[Pixels, float]:
    """Return images ten steps along the gradient, and the share of images that have none at their random start.

    Args:
        one: the baseline.
        epsilon: by how many grey levels a pixel may change.
    """
    start = one.images.astype(np.float32)
    low, high = np.clip(start - epsilon, 0, 255), np.clip(start + epsilon, 0, 255)
    drawn = np.random.default_rng(_SEED).uniform(-epsilon, epsilon, start.shape)
    found, blind = np.clip(start + drawn.astype(np.float32), low, high), 0.0
    for step in range(_STEPS):
        gradient = one.gradients(found)
        if not step:
            blind = float((np.abs(gradient).reshape(len(gradient), -1).max(axis=1) == 0).mean())
        found = np.clip(found + epsilon / 4 * np.sign(gradient), low, high)
    return _whole(found), blind


def _whole(values: npt.NDArray[np.float32]) -> Pixels:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def stripes(images: Pixels, epsilon: int) -> Pixels:
    """Return (TRIES * N, H, W, C): every image with vertical stripes of plus or minus epsilon, drawn afresh each time.

    So begins the square attack (Andriushchenko et al. 2020, arXiv:1912.00049), which needs no gradient; here each image
    has so many tries, none of which knows of the others, and the one that harms a model most is that model's answer.

    Args:
        images: (N, H, W, C) uint8.
        epsilon: by how many grey levels a pixel may change.
    """
    drawn = np.random.default_rng(_SEED).choice([-epsilon, epsilon], (TRIES, len(images), 1, *images.shape[2:]))
    return np.asarray(np.clip(images.astype(np.int16) + drawn, 0, 255), np.uint8).reshape(-1, *images.shape[1:])


#: Name in `[robustness] attacks` -> what makes it with gradients.
ATTACKS: Final[dict[str, Callable[[Attacker, int], tuple[Pixels, float]]]] = {"fgsm": fgsm, "pgd": pgd}


def made(group: Group, samples: Samples) -> tuple[list[tuple[str, int, Pixels]], list[str]]:
    """Return name, epsilon and images of every attack with gradients that the suite asks for, and remarks on them.

    Args:
        group: the cases.
        samples: the split.

    Raises:
        HarnessError: the baseline cannot be attacked here, and why.
    """
    wanted = group.suite.robustness
    by_gradient = [name for name in wanted.attacks if name in ATTACKS] if wanted is not None else []
    if wanted is None or not by_gradient:
        return [], []
    if not len(samples.labels):
        raise HarnessError("attacks need labelled images", remedy="remove attacks from [robustness]")
    one = attacker(group, samples)
    found, remarks = [], []
    for name in by_gradient:
        images, blind = ATTACKS[name](one, wanted.epsilon)
        found.append((name, wanted.epsilon, images))
        if blind > _BLIND:
            remarks.append(
                f"gradient masking: {blind:.0%} of the images have no gradient in the baseline, so {name.upper()} "
                "cannot see how to change them, and says little about their robustness"
            )
    return found, remarks
