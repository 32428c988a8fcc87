"""The phantom gives the same labelled images on every machine, and its masks say what its labels say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from harness.data import phantom
from harness.errors import LabError

#: sha256 of image and mask of (split, index) with the default seed. Raise `phantom.VERSION` when these change.
RECORDED = {
    ("train", 0): "1a062c27bca031cfbb284178cd9e54b298c341e6a02875e2adbd7c4b7a44d3b7",
    ("train", 1): "393be792e2090c9384fbd300182168d32e89b74ce189f4b8932b9d54acd07b3b",
    ("validation", 2): "94acd81247596c2962a8a420710cdd4b050fd37d6f5b203eaf9281e087eaf938",
    ("test", 898): "4ee321f2fe8008ebe9df65eef2e94d7cb7fe056cdb6678737b490700c5ff0ef5",
}
SMALL = phantom.Options(train=30, validation=9, test=60)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(("split", "index"), RECORDED)
def test_an_image_has_the_recorded_bytes(split: str, index: int) -> None:
    image, mask = phantom.draw(phantom.Options().seed, split, index)
    assert image.shape == mask.shape == (phantom.PIXELS, phantom.PIXELS)
    assert hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest() == RECORDED[split, index]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(tmp_path: Path, cache: Path) -> None:
    first = phantom.load(SMALL, split="test", base=tmp_path, cache=cache)
    again = phantom.load(SMALL, split="test", base=tmp_path, cache=tmp_path / "elsewhere")
    other = phantom.load(phantom.Options(seed=8, test=60), split="test", base=tmp_path, cache=cache)
    assert first.images.tobytes() == again.images.tobytes()
    assert first.images.tobytes() != other.images.tobytes()


def test_no_image_of_one_split_is_in_another(tmp_path: Path, cache: Path) -> None:
    splits = [phantom.load(SMALL, split=split, base=tmp_path, cache=cache).images for split in phantom.SPLITS]
    images = [image.tobytes() for split in splits for image in split]
    assert len(set(images)) == len(images) == 99


def test_the_classes_are_balanced_and_the_description_says_synthetic(tmp_path: Path, cache: Path) -> None:
    samples = phantom.load(SMALL, split="test", base=tmp_path, cache=cache)
    assert samples.images.shape == (60, 64, 64, 1)
    assert samples.images.dtype == np.uint8
    assert np.bincount(samples.labels).tolist() == [20, 20, 20]
    assert samples.classes == ("normal", "cyst", "solid")
    assert samples.synthetic
    assert "synthetic" in samples.description


def test_a_mask_holds_the_label_of_its_image_and_nothing_else(tmp_path: Path, cache: Path) -> None:
    samples = phantom.load(SMALL, split="test", base=tmp_path, cache=cache)
    assert samples.masks is not None
    for mask, label in zip(samples.masks, samples.labels, strict=True):
        lesion = np.count_nonzero(mask) / mask.size
        assert set(np.unique(mask)) == ({0, label} if label else {0})
        assert not label or 0.01 < lesion < 0.25


def test_tissue_behind_a_cyst_is_brighter_and_behind_a_solid_lesion_darker_than_beside_it(tmp_path: Path) -> None:
    samples = phantom.load(phantom.Options(test=180), split="test", base=tmp_path, cache=tmp_path)
    assert samples.masks is not None
    differences: dict[int, list[float]] = {1: [], 2: []}
    for image, mask, label in zip(samples.images[..., 0].astype(float), samples.masks, samples.labels, strict=True):
        if label:
            behind = np.flatnonzero(mask.any(axis=1)).max() + 2
            columns = mask.any(axis=0)
            differences[int(label)].append(image[behind:, columns].mean() - image[behind:, ~columns].mean())
    assert np.median(differences[1]) > 5
    assert np.median(differences[2]) < -5


def test_an_image_cut_short_in_the_cache_is_made_again(tmp_path: Path) -> None:
    options = phantom.Options(validation=3)
    whole = phantom.load(options, split="validation", base=tmp_path, cache=tmp_path)
    file = next(tmp_path.glob("*.npz"))
    file.write_bytes(file.read_bytes()[:5000])
    again = phantom.load(options, split="validation", base=tmp_path, cache=tmp_path)
    assert again.images.tobytes() == whole.images.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_loop_begins_with_the_single_image_and_moves_with_its_mask(tmp_path: Path) -> None:
    options = phantom.Options(test=3, frames=16)
    samples = phantom.load(options, split="test", base=tmp_path, cache=tmp_path)
    single = phantom.load(phantom.Options(test=3), split="test", base=tmp_path, cache=tmp_path)
    assert samples.masks is not None
    assert single.masks is not None
    assert samples.images.shape == (48, 64, 64, 1)
    np.testing.assert_array_equal(samples.images[::16], single.images)
    np.testing.assert_array_equal(samples.masks[::16], single.masks)
    assert samples.labels.tolist() == [0] * 16 + [1] * 16 + [2] * 16
    assert samples.groups is not None
    assert samples.groups.tolist() == np.repeat(range(3), 16).tolist()
    assert samples.description.startswith("3 cine loops of 16 frames of synthetic ultrasound phantoms (test")
    depth = np.array([np.nonzero(mask)[0].mean() for mask in samples.masks[16:32]])
    assert 1 <= depth.max() - depth[0] <= 3.5, "the lesion is pushed by one to three pixels"
    loop = samples.images[16:32, ..., 0].astype(float)
    steps, others = np.abs(np.diff(loop, axis=0)).mean(), np.abs(loop[0] - single.images[2, ..., 0]).mean()
    assert 0 < steps < others / 2, "a frame is like the one before it and unlike another patient's"


def test_a_stack_is_a_frame_behind_those_before_it(tmp_path: Path) -> None:
    single = phantom.load(phantom.Options(test=2, frames=5), split="test", base=tmp_path, cache=tmp_path)
    options = phantom.Options(test=2, frames=5, stack=3)
    samples = phantom.load(options, split="test", base=tmp_path, cache=tmp_path)
    assert samples.images.shape == (6, 64, 64, 3)
    assert samples.masks is not None
    assert single.masks is not None
    for image, mask, last in zip(samples.images, samples.masks, (2, 3, 4, 7, 8, 9), strict=True):
        np.testing.assert_array_equal(image.transpose(2, 0, 1), single.images[last - 2 : last + 1, ..., 0])
        np.testing.assert_array_equal(mask, single.masks[last])
    assert samples.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert samples.groups is not None
    assert samples.groups.tolist() == samples.labels.tolist()
    assert samples.description.endswith("(test, seed 7), each frame with the 2 before it: no patient, no scanner")
    with pytest.raises(ValueError, match="stack = 3 is more than a loop has: set frames to 3 or more"):
        phantom.Options(stack=3)


def test_with_masks_as_the_truth_it_is_a_segmentation_set(tmp_path: Path) -> None:
    samples = phantom.load(phantom.Options(test=3, truth="masks"), split="test", base=tmp_path, cache=tmp_path)
    assert samples.masks is not None
    assert (len(samples.labels), samples.groups, samples.classes) == (0, None, phantom.CLASSES)
    assert [sorted(set(mask.ravel().tolist())) for mask in samples.masks] == [[0], [0, 1], [0, 2]]


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="test = 0 must be at least 1"):
        phantom.Options(test=0)
    with pytest.raises(ValueError, match="frames = 0 must be at least 1"):
        phantom.Options(frames=0)


def test_an_unknown_split_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"data\.split: .*'tset'; use one of train, validation, test"):
        phantom.load(SMALL, split="tset", base=tmp_path, cache=tmp_path)
