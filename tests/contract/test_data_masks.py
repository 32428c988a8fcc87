"""Names of classes from a file and in any form of Unicode, masks in all their forms, pictures that are turned."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness import registry
from harness.errors import LabError
from harness.metrics import segmentation
from harness.model import IGNORED, Answers, Reading, Samples, Task
from tests.contract.data_files import GREY, make_folder, read, save


def write(source: str, folder: Path) -> dict[str, Any]:
    """Write three classes and return the key that finds them."""
    module = registry.load("data", source, file="s.toml", key="data.source")
    return {"path": module.example(folder)["path"]}


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_a_labels_file_names_the_classes_in_the_order_of_the_model(source: str, tmp_path: Path) -> None:
    keys = write(source, tmp_path)
    (tmp_path / "labels.txt").write_text("solid\nnormal\n\ncyst\n")
    assert read(source, {**keys, "labels": "labels.txt"}, tmp_path).classes == ("solid", "normal", "cyst")
    with pytest.raises(LabError, match=r"labels\.txt: data\.labels: stands beside `classes`; leave one of them"):
        read(source, {**keys, "labels": "labels.txt", "classes": ["a", "b", "c"]}, tmp_path)
    with pytest.raises(LabError, match=r"none\.txt: cannot be read"):
        read(source, {**keys, "labels": "none.txt"}, tmp_path)
    (tmp_path / "labels.txt").write_text("a\nb\na\n")
    with pytest.raises(LabError, match="names a class twice"):
        read(source, {**keys, "labels": "labels.txt"}, tmp_path)


def test_an_accent_is_the_same_however_a_file_system_writes_it(tmp_path: Path) -> None:
    for name in (unicodedata.normalize("NFD", "bénin"), "malin"):
        (tmp_path / "data/test" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "data/test" / name / "1.png")
    assert read("folder", {"classes": ["malin", "bénin"]}, tmp_path).classes == ("malin", "bénin")
    assert read("folder", {}, tmp_path).classes == ("bénin", "malin")


def masks(tmp_path: Path, source: str, values: np.ndarray, **keys: Any) -> Samples:
    images = np.zeros((len(values), 6, 6), np.uint8)
    if source == "npz":
        np.savez(tmp_path / "m.npz", images=images, masks=values)
        return read("npz", {"path": "m.npz", **keys}, tmp_path)
    for kind, arrays in (("images", images), ("masks", values)):
        (tmp_path / "m" / kind).mkdir(parents=True, exist_ok=True)
        for index, array in enumerate(arrays):
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / "m" / kind / f"{index}.png")
    return read("folder", {"path": "m", **keys}, tmp_path)


@pytest.mark.parametrize("source", ["npz", "folder"])
@pytest.mark.parametrize("ignore", [255, 254])
def test_pixels_that_count_for_nothing_are_no_class(source: str, ignore: int, tmp_path: Path) -> None:
    values = np.zeros((2, 6, 6), np.uint8)
    values[:, 2:4], values[:, 5] = 1, ignore
    found = masks(tmp_path, source, values, ignore_index=ignore)
    assert found.classes == ("0", "1")
    assert found.masks is not None
    assert np.unique(found.masks).tolist() == [0, 1, IGNORED]
    answers = np.where(values == ignore, 1, values).astype(np.float32)[:, np.newaxis]
    judged = segmentation.evaluate(Answers(answers, Reading(kind="sigmoid")), found, Task("segmentation", "1"))
    assert judged.estimates["dice"].point == 1.0, "what lies where nothing counts is no error"
    assert judged.estimates["hausdorff"].point == 0.0


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_masks_of_nothing_and_all_are_two_classes(source: str, tmp_path: Path) -> None:
    values = np.zeros((2, 6, 6), np.uint8)
    values[:, 2:4] = 255
    found = masks(tmp_path, source, values)
    assert found.classes == ("0", "1")
    assert found.masks is not None
    assert np.unique(found.masks).tolist() == [0, 1]


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_255_beside_other_classes_is_not_guessed(source: str, tmp_path: Path) -> None:
    values = np.zeros((2, 6, 6), np.uint8)
    values[:, 2:4], values[:, 5] = 1, 255
    with pytest.raises(LabError, match=r"holds 255 beside other classes.*; write ignore_index = 255 under \[data\]"):
        masks(tmp_path, source, values)


def test_a_picture_that_a_camera_noted_to_be_turned_is_remarked(tmp_path: Path) -> None:
    for name, orientation in (("a", 6), ("b", 1), ("c", 0)):
        (tmp_path / "data/test/x").mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"data/test/x/{name}.jpg", exif=exif)
    (said,) = read("folder", {}, tmp_path).remarks
    assert said.startswith("1 of 3 images hold an EXIF orientation, which is not applied")


def test_masks_beside_images_are_no_images(tmp_path: Path) -> None:
    table = make_folder(tmp_path)
    mask = np.zeros((8, 10), np.uint8)
    for name in ("normal/0_mask", "cyst/1_mask", "cyst/1_mask_1", "solid/2_segmentation"):
        save(tmp_path / f"data/test/{name}.png", mask)
    samples = read("folder", table, tmp_path)
    assert len(samples.images) == 6
    assert samples.description.endswith("split test, 4 masks beside them left out")
    save(tmp_path / "data/test/cyst/lonely_mask.png", mask)
    with pytest.raises(
        LabError, match=r"lonely_mask\.png: is named like the mask of an image lonely, and there is none"
    ):
        read("folder", table, tmp_path)


def test_two_masks_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("images/a", "masks/a"):
        save(tmp_path / f"data/test/{name}.png", GREY[0] % 2)
    save(tmp_path / "data/test/masks/a.bmp", GREY[0] % 2)
    with pytest.raises(LabError, match=r"a\.png: and a\.bmp are two masks of one name"):
        read("folder", {}, tmp_path)


def parts(tmp_path: Path, *names: str) -> list[np.ndarray[Any, Any]]:
    """Write one image `a` and masks of these names, each with a pixel row of its own; return the masks."""
    save(tmp_path / "data/test/images/a.png", GREY[0])
    made = []
    for row, name in enumerate(names):
        mask = np.zeros((8, 10), np.uint8)
        mask[row] = 255
        save(tmp_path / f"data/test/masks/{name}.png", mask)
        made.append(mask)
    return made


def test_parts_of_a_mask_are_joined(tmp_path: Path) -> None:
    parts(tmp_path, "a_mask", "a_mask_1", "a_mask_2")
    masks = read("folder", {}, tmp_path).masks
    assert masks is not None
    assert masks[0].sum(axis=1).tolist() == [10, 10, 10, 0, 0, 0, 0, 0]


def test_parts_that_give_a_pixel_two_classes_are_refused(tmp_path: Path) -> None:
    parts(tmp_path, "a", "a_mask")
    for name, value in (("a", 1), ("a_mask", 2)):
        save(tmp_path / f"data/test/masks/{name}.png", np.full((8, 10), value, np.uint8))
    with pytest.raises(LabError, match=r"a_mask\.png: and a\.png give a pixel two classes"):
        read("folder", {}, tmp_path)


def test_palettes_are_read_by_their_index_and_grey_saved_as_colour_as_grey(tmp_path: Path) -> None:
    indices = np.arange(80, dtype=np.uint8).reshape(8, 10) % 3
    save(tmp_path / "data/test/images/a.png", GREY[0])
    painted = Image.fromarray(indices, "P")
    painted.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    (tmp_path / "data/test/masks").mkdir(parents=True)
    painted.save(tmp_path / "data/test/masks/a.png")
    np.testing.assert_array_equal(read("folder", {}, tmp_path).masks, indices[np.newaxis])
    save(tmp_path / "data/test/masks/a.png", indices, "RGB")
    np.testing.assert_array_equal(read("folder", {}, tmp_path).masks, indices[np.newaxis])
    coloured = np.zeros((8, 10, 3), np.uint8)
    coloured[:4, :, 0] = 255
    save(tmp_path / "data/test/masks/a.png", coloured)
    with pytest.raises(LabError, match=r"a\.png: is a mask in RGB; save one grey value"):
        read("folder", {}, tmp_path)


def test_a_jpeg_is_a_mask_of_one_class_or_none(tmp_path: Path) -> None:
    wide = np.zeros((64, 80), np.uint8)
    wide[16:48, 16:48] = 255
    save(tmp_path / "data/test/images/a.png", wide)
    save(tmp_path / "data/test/masks/a.jpg", wide)
    np.testing.assert_array_equal(read("folder", {}, tmp_path).masks, (wide == 255)[np.newaxis])
    save(tmp_path / "data/test/masks/a.jpg", wide // 255)
    with pytest.raises(
        LabError, match=r"a\.jpg: is a JPEG, whose compression changes class indices; save masks as PNG"
    ):
        read("folder", {}, tmp_path)
