"""How strong each corruption is at the severities 1 to 5: the numbers of MedMNIST-C's registry, set by set.

From the registry of Di Salvo et al. 2024, "MedMNIST-C: comprehensive benchmark and improved classifier robustness by
simulating realistic image corruptions" (github.com/francescodisalvo05/medmnistc-api, Apache-2.0). Sets with corruptions
of stained slides and skin are not among them. `gain` and `shadow` are ours, for ultrasound.

A number means: `pixelate` the share of the size that is left; `jpeg_compression` the quality; `gaussian_noise` and
`speckle_noise` the deviation, of pixels from 0 to 1; `impulse_noise` the share of pixels; `shot_noise` photons of a
white pixel; `motion_blur` and `defocus_blur` a radius and a sigma, `gaussian_blur` the width of the kernel, all in
pixels of an image of 224; `brightness` and `contrast` a factor; `gamma` an exponent; `gain` decibels of a picture whose
range is 60; `shadow` the share of the width, and how much of the brightness is left below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Step = float | tuple[float, float]
Steps = tuple[Step, ...]

#: The severities that a suite may ask for.
LEVELS: Final = (1, 2, 3, 4, 5)
_UP: Final[Mapping[str, Steps]] = {
    "brightness_up": (1.1, 1.2, 1.3, 1.4, 1.5),
    "brightness_down": (0.9, 0.8, 0.7, 0.6, 0.5),
    "contrast_up": (1.1, 1.2, 1.3, 1.4, 1.6),
    "contrast_down": (0.9, 0.8, 0.7, 0.6, 0.4),
    "gamma_corr_up": (1.1, 1.2, 1.3, 1.4, 1.6),
    "gamma_corr_down": (0.9, 0.8, 0.7, 0.6, 0.4),
}
_NOISE: Final[Mapping[str, Steps]] = {
    "gaussian_noise": (0.04, 0.08, 0.12, 0.18, 0.26),
    "speckle_noise": (0.05, 0.15, 0.2, 0.35, 0.45),
    "impulse_noise": (0.01, 0.03, 0.06, 0.09, 0.17),
    "shot_noise": (60, 25, 18, 10, 5),
}
_COARSE: Final[Steps] = (0.30, 0.25, 0.20, 0.15, 0.10)
_JPEG: Final[Steps] = (50, 30, 15, 10, 7)
_ORGANS: Final[Mapping[str, Steps]] = {
    "pixelate": (0.7, 0.6, 0.5, 0.40, 0.35),
    "jpeg_compression": _JPEG,
    "gaussian_noise": (0.04, 0.08, 0.12, 0.16, 0.20),
    "speckle_noise": (0.05, 0.10, 0.20, 0.30, 0.40),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.08),
    "shot_noise": (200, 100, 50, 25, 15),
    "gaussian_blur": (11, 13, 15, 17, 21),
    "brightness_up": (1.2, 1.3, 1.4, 1.5, 1.6),
    "brightness_down": (0.8, 0.75, 0.7, 0.65, 0.60),
    "contrast_up": (1.3, 1.4, 1.6, 1.7, 1.8),
    "contrast_down": (0.8, 0.7, 0.6, 0.55, 0.5),
    "gamma_corr_up": (1.3, 1.4, 1.6, 1.8, 2.0),
    "gamma_corr_down": _UP["gamma_corr_down"],
}
#: Set of MedMNIST -> corruption -> what the severities 1 to 5 mean.
REGISTRIES: Final[Mapping[str, Mapping[str, Steps]]] = {
    "breastmnist": {
        "pixelate": _COARSE,
        "jpeg_compression": _JPEG,
        "speckle_noise": (0.10, 0.15, 0.20, 0.25, 0.30),
        "motion_blur": ((5, 5), (9, 7), (9, 10), (13, 10), (17, 12)),
        "brightness_up": (1.4, 1.5, 1.6, 1.8, 2.0),
        "brightness_down": (0.55, 0.5, 0.45, 0.4, 0.3),
        "contrast_down": _UP["contrast_down"],
    },
    "chestmnist": {
        "pixelate": _COARSE,
        "jpeg_compression": _JPEG,
        **_NOISE,
        "gaussian_blur": (3, 5, 7, 9, 11),
        **_UP,
    },
    "octmnist": {
        "pixelate": _COARSE,
        "jpeg_compression": (30, 15, 10, 7, 5),
        "speckle_noise": (0.15, 0.30, 0.40, 0.50, 0.60),
        "defocus_blur": ((0.5, 0.6), (1, 0.5), (1.5, 0.1), (2.0, 0.5), (2.5, 0.1)),
        "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "contrast_down": (0.6, 0.4, 0.3, 0.2, 0.15),
    },
    "organamnist": _ORGANS,
    "organcmnist": _ORGANS,
    "organsmnist": _ORGANS,
    "pneumoniamnist": {
        "pixelate": (0.8, 0.7, 0.6, 0.5, 0.40),
        "jpeg_compression": _JPEG,
        "gaussian_noise": (0.04, 0.05, 0.06, 0.07, 0.08),
        "speckle_noise": (0.05, 0.07, 0.10, 0.15, 0.20),
        "impulse_noise": (0.005, 0.01, 0.013, 0.017, 0.02),
        "shot_noise": (300, 200, 150, 100, 80),
        "gaussian_blur": (3, 5, 7, 9, 11),
        **_UP,
    },
    "retinamnist": {
        "pixelate": (0.8, 0.60, 0.50, 0.40, 0.35),
        "jpeg_compression": (30, 25, 20, 10, 5),
        "gaussian_noise": (0.04, 0.08, 0.12, 0.16, 0.20),
        "speckle_noise": (0.10, 0.15, 0.20, 0.25, 0.30),
        "defocus_blur": ((4, 0.1), (5, 0.2), (6, 0.3), (7, 0.4), (8, 0.5)),
        "motion_blur": ((8, 5), (15, 5), (15, 8), (15, 12), (20, 15)),
        "brightness_down": _UP["brightness_down"],
        "contrast_down": _UP["contrast_down"],
    },
    "tissuemnist": {
        "pixelate": (0.40, 0.30, 0.20, 0.15, 0.10),
        "jpeg_compression": (25, 20, 15, 10, 7),
        "impulse_noise": (0.01, 0.015, 0.02, 0.025, 0.03),
        "gaussian_blur": (13, 15, 17, 21, 25),
        "brightness_up": (1.3, 1.4, 1.5, 1.6, 1.7),
        "brightness_down": (0.8, 0.7, 0.6, 0.5, 0.4),
        "contrast_up": _UP["contrast_up"],
        "contrast_down": _UP["contrast_down"],
    },
}
#: Those that MedMNIST-C has not; every set may be given them.
OWN: Final[Mapping[str, Steps]] = {
    "gain": (3, 6, 9, 12, 15),
    "shadow": ((0.10, 0.6), (0.15, 0.45), (0.20, 0.3), (0.25, 0.2), (0.30, 0.1)),
}


def steps(registry: str) -> Mapping[str, Steps]:
    """Return corruption -> what its severities mean, of one set and of ours; of "" ours alone."""
    return {**REGISTRIES.get(registry, {}), **OWN}
