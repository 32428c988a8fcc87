"""The model's input is (pixel * scale - mean) / std in the model's own layout."""

from __future__ import annotations

import numpy as np
import pytest

from harness.model import InputSpec
from harness.recipes._inputs import prepare

IMAGES = np.random.default_rng(3).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
SPEC = InputSpec(layout="NHWC", scale=1 / 255, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    x = prepare(IMAGES, SPEC)
    assert x.dtype == np.float32
    assert x[1, 2, 3, 2] == pytest.approx((IMAGES[1, 2, 3, 2] / 255 - 0.3) / 0.125, rel=1e-6)


def test_channels_come_first_for_nchw_and_the_numbers_are_the_same() -> None:
    spec = InputSpec(layout="NCHW", scale=SPEC.scale, mean=SPEC.mean, std=SPEC.std)
    x = prepare(IMAGES, spec)
    assert x.shape == (2, 3, 4, 5)
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(np.moveaxis(x, 1, -1), prepare(IMAGES, SPEC))


def test_one_mean_serves_all_channels_and_float_images_are_taken_as_they_are() -> None:
    floats = IMAGES.astype(np.float32) / 7
    np.testing.assert_allclose(prepare(floats, InputSpec("NHWC", 2.0, (1.0,), (4.0,))), (floats * 2 - 1) / 4, rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mean_that_does_not_fit_the_channels_is_an_error(channels: int) -> None:
    with pytest.raises(ValueError, match=f"do not fit images with {channels} channels"):
        prepare(IMAGES[..., :channels], InputSpec("NHWC", 1.0, (0.1, 0.2), (1.0,)))
