"""Names of classes from a file and in any form of Unicode, pixels that count for nothing, pictures that are turned."""

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


def load(source: str, folder: Path, **keys: Any) -> Samples:
    module = registry.load("data", source, file="s.toml", key="data.source")
    options = registry.options(module, keys, file="s.toml", key="data")
    found: Samples = module.load(options, split="test", base=folder, cache=folder / "cache")
    return found


def write(source: str, folder: Path) -> dict[str, Any]:
    """Write three classes and return the key that finds them."""
    module = registry.load("data", source, file="s.toml", key="data.source")
    return {"path": module.example(folder)["path"]}


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_a_labels_file_names_the_classes_in_the_order_of_the_model(source: str, tmp_path: Path) -> None:
    keys = write(source, tmp_path)
    (tmp_path / "labels.txt").write_text("solid\nnormal\n\ncyst\n")
    assert load(source, tmp_path, **keys, labels="labels.txt").classes == ("solid", "normal", "cyst")
    with pytest.raises(LabError, match=r"labels\.txt: data\.labels: stands beside `classes`; leave one of them"):
        load(source, tmp_path, **keys, labels="labels.txt", classes=["a", "b", "c"])
    with pytest.raises(LabError, match=r"none\.txt: cannot be read"):
        load(source, tmp_path, **keys, labels="none.txt")
    (tmp_path / "labels.txt").write_text("a\nb\na\n")
    with pytest.raises(LabError, match="names a class twice"):
        load(source, tmp_path, **keys, labels="labels.txt")


def test_an_accent_is_the_same_however_a_file_system_writes_it(tmp_path: Path) -> None:
    for name in (unicodedata.normalize("NFD", "bénin"), "malin"):
        (tmp_path / "data/test" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "data/test" / name / "1.png")
    assert load("folder", tmp_path, classes=["malin", "bénin"]).classes == ("malin", "bénin")
    assert load("folder", tmp_path).classes == ("bénin", "malin")


def masks(tmp_path: Path, source: str, values: np.ndarray, **keys: Any) -> Samples:
    images = np.zeros((len(values), 6, 6), np.uint8)
    if source == "npz":
        np.savez(tmp_path / "m.npz", images=images, masks=values)
        return load("npz", tmp_path, path="m.npz", **keys)
    for kind, arrays in (("images", images), ("masks", values)):
        (tmp_path / "m" / kind).mkdir(parents=True, exist_ok=True)
        for index, array in enumerate(arrays):
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / "m" / kind / f"{index}.png")
    return load("folder", tmp_path, path="m", **keys)


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
    (said,) = load("folder", tmp_path).remarks
    assert said.startswith("1 of 3 images hold an EXIF orientation, which is not applied")
