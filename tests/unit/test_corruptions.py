"""Corruptions: the same pixels for every model, and more of the same at a higher severity."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from harness import corruptions

EVERY = sorted(
    {(name, step) for steps in (*corruptions.REGISTRIES.values(), corruptions.OWN) for name, step in steps.items()}
)


def textures() -> np.ndarray:
    """Return (3, 224, 224, 1) images with coarse and fine structure, of the size that severities are stated for."""
    noise = np.random.default_rng(3).normal(size=(3, 224, 224, 1))
    coarse, fine = (ndimage.gaussian_filter(noise, (0, width, width, 0)) for width in (6, 1.2))
    mixed = coarse / coarse.std() + fine / fine.std()
    return np.asarray(np.clip(110 + 25 * mixed, 0, 255), np.uint8)


IMAGES = textures()


def strength(images: np.ndarray, name: str, step: corruptions.Step) -> float:
    changed = corruptions.corrupted(images, name, step)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    return float(np.abs(changed.astype(float) - images).mean())


@pytest.mark.parametrize(("name", "steps"), EVERY, ids=lambda value: str(value))
def test_a_higher_severity_changes_more(name: str, steps: tuple[corruptions.Step, ...]) -> None:
    assert len(steps) == len(corruptions.LEVELS)
    found = [strength(IMAGES, name, step) for step in steps]
    assert found[0] > 0
    assert found[-1] > found[0]
    # Squares of a pixelated image may happen to fall on what is there; a longer smear with one sigma is the same.
    assert all(np.diff(found) >= -0.1 * np.array(found[1:])), found


@pytest.mark.parametrize("name", sorted(corruptions.KNOWN))
def test_the_same_images_give_the_same_pixels_and_each_image_its_own_noise(name: str) -> None:
    step = next(steps[2] for one, steps in EVERY if one == name)
    same = np.repeat(IMAGES[1:2], 4, axis=0)
    changed = corruptions.corrupted(same, name, step)
    assert np.array_equal(changed, corruptions.corrupted(same, name, step))
    random = name.endswith("noise") or name in ("motion_blur", "shadow")
    assert (len({image.tobytes() for image in changed}) > 1) is random


def test_colours_and_other_channels_are_corrupted_too() -> None:
    for channels in (2, 3):
        images = np.repeat(IMAGES[:2], channels, axis=-1)
        for name in corruptions.KNOWN:
            step = next(steps[4] for one, steps in EVERY if one == name)
            assert strength(images, name, step) > 0


def test_published_severities_are_those_of_the_registry() -> None:
    breast = corruptions.REGISTRIES["breastmnist"]
    assert list(breast) == [
        "pixelate", "jpeg_compression", "speckle_noise", "motion_blur", "brightness_up", "brightness_down",
        "contrast_down",
    ]  # fmt: skip
    assert breast["speckle_noise"] == (0.10, 0.15, 0.20, 0.25, 0.30)
    assert {name for steps in corruptions.REGISTRIES.values() for name in steps} | set(corruptions.OWN) == set(
        corruptions.KNOWN
    )


def test_pixels_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="pixels of 8 bits, and these are float32"):
        corruptions.corrupted(IMAGES.astype(np.float32), "gain", 3)
