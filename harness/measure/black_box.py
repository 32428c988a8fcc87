"""The square attack against one deployed file: nothing of the model is known but what it answers on the device.

Stripes of plus or minus epsilon, then squares that shrink from step to step, each kept where the model is less sure of
the truth than before (Andriushchenko et al. 2020, arXiv:1912.00049), by adversarial-robustness-toolbox
(`pip install 'edgeward[attacks]'`). Each step asks the device once, so that the attack adapts to that very file.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError

Pixels = npt.NDArray[np.uint8]
#: Steps behind the stripes.
ITERATIONS: Final = 20
_SEED: Final = 20
#: The share of an image's pixels that the first square has, where it fits.
_FIRST: Final = 0.8
#: What stands for an infinite log odds, of which no difference could be taken.
_SURE: Final = 1e6


class Asked:
    """What a model gave for images, each of which the device is asked for once.

    Args:
        ask: (M, H, W, C) images -> (M, ...) outputs of the model on the device.
        judge: (M, ...) outputs -> (M, 2 K): how sure the model is of each class, then 1 for the class it calls, else 0.
    """

    def __init__(
        self, ask: Callable[[Pixels], npt.NDArray[Any]], judge: Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]
    ) -> None:
        self._ask, self._judge = ask, judge
        self._known: dict[bytes, tuple[npt.NDArray[Any], npt.NDArray[np.float64]]] = {}

    def outputs(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return (M, ...) the model's outputs for images."""
        return np.stack([row for row, _ in self._of(images)])

    def judged(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return (M, 2 K) what `judge` says of images."""
        return np.stack([row for _, row in self._of(images)])

    def _of(self, images: npt.NDArray[Any]) -> list[tuple[npt.NDArray[Any], npt.NDArray[np.float64]]]:
        whole = np.rint(images).astype(np.uint8)
        keys = [image.tobytes() for image in whole]
        new = {key: image for key, image in zip(keys, whole, strict=True) if key not in self._known}
        if new:
            outputs = self._ask(np.stack(list(new.values())))
            sure = np.clip(np.nan_to_num(self._judge(outputs), posinf=_SURE, neginf=-_SURE), -_SURE, _SURE)
            self._known |= dict(zip(new, zip(outputs, sure, strict=True), strict=True))
        return [self._known[key] for key in keys]


def square(images: Pixels, labels: npt.NDArray[np.int64], classes: int, epsilon: int, asked: Asked) -> npt.NDArray[Any]:
    """Return (N, ...) what a model gives for images that were changed until it calls them wrongly, as far as that went.

    The steps are drawn from NumPy's shared generator, seeded here: where several devices are attacked at the same time
    they are not the same ones the next time.

    Args:
        images: (N, H, W, C) grey levels.
        labels: (N,) the truth.
        classes: how many there are.
        epsilon: by how many grey levels a pixel may change.
        asked: the model on its device.

    Raises:
        HarnessError: the library is not installed, or the device gives nothing.
    """
    try:
        evasion = importlib.import_module("art.attacks.evasion")
        estimators = importlib.import_module("art.estimators.classification")
    except ImportError as error:
        raise HarnessError(
            f"the square attack needs adversarial-robustness-toolbox: {error}",
            remedy="pip install 'edgeward[attacks]', or leave square out of attacks",
        ) from error
    height, width = images.shape[1:3]
    # The library draws a square's place among those that are left beside it, so that one line must be.
    share = min(_FIRST, (min(height, width) - 1) ** 2 / (height * width))
    # Its labels are as wide as what `judged` gives, of which the first half are the classes.
    model = estimators.BlackBoxClassifierNeuralNetwork(
        asked.judged, images.shape[1:], 2 * classes, channels_first=False, clip_values=(0, 255)
    )
    attack = evasion.SquareAttack(
        model,
        norm=np.inf,
        adv_criterion=lambda said, truth: (said[:, classes:] * truth[:, :classes]).sum(axis=1) == 0,
        loss=lambda changed, truth: (asked.judged(changed)[:, :classes] * truth[:, :classes]).sum(axis=1),
        max_iter=ITERATIONS,
        eps=epsilon,
        p_init=share,
        batch_size=len(images),
        verbose=False,
    )
    before = np.random.get_state()
    np.random.seed(_SEED)
    try:
        changed = attack.generate(images.astype(np.float32), y=np.asarray(labels, np.int64))
    finally:
        np.random.set_state(before)
    return asked.outputs(changed)
