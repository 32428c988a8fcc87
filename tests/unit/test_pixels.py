"""Images are brought to a model's size and colours by named filters, the same for every device."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from harness import pixels
from harness.model import InputSpec

GREY = np.random.default_rng(3).integers(0, 256, (2, 9, 12, 1), dtype=np.uint8)
COLOUR = np.random.default_rng(4).integers(0, 256, (2, 9, 12, 3), dtype=np.uint8)


def test_images_that_need_nothing_are_the_same_array() -> None:
    assert pixels.converted(COLOUR, InputSpec()) is COLOUR
    assert pixels.converted(COLOUR, InputSpec(size=(9, 12), resize="bilinear")) is COLOUR


@pytest.mark.parametrize("name", pixels.FILTERS)
def test_a_filter_with_antialias_is_pillows_of_that_name(name: str) -> None:
    made = pixels.converted(COLOUR, InputSpec(size=(5, 4), resize=name))
    filter_ = Image.Resampling[name.upper()]
    wanted = [np.asarray(Image.fromarray(image).resize((4, 5), filter_)) for image in COLOUR]
    assert made.dtype == np.uint8
    assert made.tolist() == np.stack(wanted).tolist()


def test_without_antialias_neighbours_of_a_point_are_interpolated_at_pixel_centres() -> None:
    floats = GREY.astype(np.float32)
    made = pixels.converted(floats, InputSpec(size=(3, 4), resize="bilinear", antialias=False))
    rows, columns = (np.arange(3) + 0.5) * 3 - 0.5, (np.arange(4) + 0.5) * 3 - 0.5
    at = np.meshgrid(rows, columns, indexing="ij")
    wanted = map_coordinates(floats[0, ..., 0], at, order=1)
    np.testing.assert_allclose(made[0, ..., 0], wanted, atol=1e-3)
    plain = pixels.converted(floats, InputSpec(size=(3, 4), resize="bilinear"))
    assert np.abs(plain - made).max() > 1
    with pytest.raises(ValueError, match="antialias = false goes with nearest, bilinear, bicubic"):
        pixels.converted(floats, InputSpec(size=(3, 4), resize="lanczos", antialias=False))


def test_colours_are_turned_repeated_and_weighted() -> None:
    assert pixels.converted(COLOUR, InputSpec(color="BGR")).tolist() == COLOUR[..., ::-1].tolist()
    assert pixels.converted(GREY, InputSpec(color="RGB")).tolist() == np.repeat(GREY, 3, axis=-1).tolist()
    grey = pixels.converted(COLOUR, InputSpec(color="grey"))
    pillow = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in COLOUR])
    assert np.abs(grey[..., 0].astype(int) - pillow).max() <= 1
    assert pixels.channels(3, InputSpec(color="grey")) == 1
    with pytest.raises(ValueError, match="images of 4 channels cannot be made RGB"):
        pixels.channels(4, InputSpec(color="RGB"))
