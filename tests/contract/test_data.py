"""Every data source keeps the one promise; npz and folder refuse what they cannot read, naming the file."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness import registry
from harness.errors import LabError
from tests.contract.data_files import GREY, make_folder, read, save


def example(source: str, base: Path) -> Mapping[str, Any]:
    table: Mapping[str, Any] = registry.load("data", source, file="suite.toml", key="data.source").example(base)
    return table


@pytest.mark.parametrize("source", registry.names("data"))
def test_every_source_gives_samples_that_fit_together(source: str, tmp_path: Path) -> None:
    table = example(source, tmp_path)
    samples = read(source, table, tmp_path)
    count, height, width, channels = samples.images.shape
    assert samples.images.dtype in (np.uint8, np.float32)
    assert channels in (1, 3)
    assert samples.description
    if samples.masks is not None:
        assert samples.masks.shape == (count, height, width)
        assert samples.masks.dtype == np.uint8
    else:
        assert len(samples.labels) == count
    assert samples.labels.size or samples.masks is not None, "the example is labelled"
    if samples.labels.size:
        assert samples.labels.dtype == np.int64
        assert set(samples.labels.tolist()) <= set(range(len(samples.classes)))
    again = read(source, table, tmp_path)
    np.testing.assert_array_equal(samples.images, again.images)
    np.testing.assert_array_equal(samples.labels, again.labels)


@pytest.mark.parametrize("source", registry.names("data"))
def test_every_source_documents_its_toml_and_takes_no_required_options(source: str) -> None:
    module = registry.load("data", source, file="suite.toml", key="data.source")
    assert f'source = "{source}"' in str(module.__doc__).splitlines()[0]
    assert module.Options() == module.Options()
    assert dataclasses.fields(module.Options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(module.Options(), dataclasses.fields(module.Options)[0].name, None)


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_a_missing_path_names_itself_and_the_remedy(source: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"nowhere.*no such.*correct `path`"):
        read(source, {"path": "nowhere"}, tmp_path)


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_both_kinds_of_file_hold_the_same_images(source: str, tmp_path: Path) -> None:
    samples = read(source, example(source, tmp_path), tmp_path)
    order = samples.labels.argsort(kind="stable")
    np.testing.assert_array_equal(samples.images[order][..., 0], GREY[[0, 3, 1, 4, 2, 5]])
    assert samples.classes == ("normal", "cyst", "solid")


def npz(base: Path, **arrays: Any) -> Mapping[str, Any]:
    np.savez(base / "some.npz", **arrays)
    return {"path": "some.npz"}


def test_medmnist_names_and_shapes_are_read(tmp_path: Path) -> None:
    table = npz(
        tmp_path,
        train_images=GREY,
        train_labels=np.array([[0], [1], [2], [3], [0], [1]], np.uint8),
        val_images=GREY[:2],
        val_labels=np.array([[1], [0]], np.uint8),
        test_images=GREY[:3],
        test_labels=np.array([[0], [1], [1]], np.uint8),
    )
    test = read("npz", table, tmp_path)
    assert test.labels.tolist() == [0, 1, 1]
    assert test.classes == ("0", "1", "2", "3"), "the training labels tell how many classes the model has"
    assert len(read("npz", table, tmp_path, split="validation").images) == 2


def test_a_split_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    table = npz(tmp_path, images=GREY, labels=np.arange(6) % 3)
    for split in ("train", "validation", "val", "holdout"):
        with pytest.raises(
            LabError, match=rf"some\.npz: has no split {split}: no array {split}_images, only images, l"
        ):
            read("npz", table, tmp_path, split=split)
    folder = make_folder(tmp_path)
    with pytest.raises(LabError, match=r'test: has no split train: .*or write train = "FOLDER" under \[data\]'):
        read("folder", folder, tmp_path, split="train")
    save(tmp_path / "data/train/normal/a.png", GREY[0])
    (tmp_path / "data/test").rename(tmp_path / "data/val")
    with pytest.raises(LabError, match="data: has no split test: there is only train, val"):
        read("folder", {"path": "data"}, tmp_path)


def test_a_split_may_have_a_file_or_a_folder_of_its_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "learn.npz", images=GREY[:4], labels=[0, 1, 2, 0])
    table = {**npz(tmp_path, images=GREY, labels=np.arange(6) % 3), "train": "learn.npz"}
    assert len(read("npz", table, tmp_path, split="train").images) == 4
    assert len(read("npz", table, tmp_path).images) == 6
    folder = {**make_folder(tmp_path), "train": "learn"}
    for name in ("normal", "cyst", "solid"):
        save(tmp_path / f"learn/{name}/a.png", GREY[0])
    assert len(read("folder", folder, tmp_path, split="training").images) == 3
    with pytest.raises(LabError, match=r"none: there is no such folder; correct `validation` in \[data\]"):
        read("folder", {**folder, "validation": "none"}, tmp_path, split="val")


def test_two_arrays_or_folders_of_one_split_leave_open_which_is_meant(tmp_path: Path) -> None:
    table = npz(tmp_path, val_images=GREY, val_labels=[0] * 6, valid_images=GREY, valid_labels=[0] * 6)
    with pytest.raises(LabError, match="holds val_images and valid_images, which both mean the split validation"):
        read("npz", table, tmp_path, split="validation")
    assert len(read("npz", table, tmp_path, split="val").images) == 6, "a split's own spelling is what is meant"
    for name in ("val", "valid"):
        save(tmp_path / f"data/{name}/cyst/a.png", GREY[0])
    with pytest.raises(LabError, match="data: holds val and valid, which both mean the split validation"):
        read("folder", {"path": "data"}, tmp_path, split="validation")


def test_a_single_array_is_refused_with_what_to_save(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", GREY)
    with pytest.raises(LabError, match=r"some\.npy: is a single array; save images and labels together with"):
        read("npz", {"path": "some.npy"}, tmp_path)


def test_numbers_in_the_names_of_classes_sort_as_numbers(tmp_path: Path) -> None:
    names = ["10", "0", "2", "1", "11"]
    words = np.array([f"grade {name}" for name in names])
    images = np.repeat(GREY[:1], 5, axis=0)
    samples = read("npz", npz(tmp_path, images=images, labels=words), tmp_path)
    assert samples.classes == ("grade 0", "grade 1", "grade 2", "grade 10", "grade 11")
    assert samples.labels.tolist() == [3, 0, 2, 1, 4]
    for name in names:
        save(tmp_path / f"data/test/{name}/a.png", GREY[0])
    assert read("folder", {}, tmp_path).classes == ("0", "1", "2", "10", "11")


def test_a_class_that_this_split_lacks_keeps_its_place(tmp_path: Path) -> None:
    table = npz(
        tmp_path,
        train_images=GREY[:3],
        train_labels=np.array(["a", "b", "c"]),
        test_images=GREY[:2],
        test_labels=np.array(["a", "c"]),
    )
    assert read("npz", table, tmp_path).classes == ("a", "b", "c")
    classes = ["normal", "cyst", "solid", "other"]
    make_folder(tmp_path)
    with pytest.raises(LabError, match=r"no folder for the class 'other'.*make an empty folder of this name"):
        read("folder", {"classes": classes}, tmp_path)
    (tmp_path / "data/test/other").mkdir()
    assert read("folder", {"classes": classes}, tmp_path).classes == tuple(classes)


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_a_class_that_is_named_twice_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="`classes` names 'cyst' twice"):
        read(source, {"classes": ["cyst", "solid", "cyst"]}, tmp_path)


def test_colour_and_float_and_16_bit_arrays_keep_their_values(tmp_path: Path) -> None:
    colour = read("npz", npz(tmp_path, images=np.zeros((2, 4, 5, 3), np.uint8), labels=[0, 1]), tmp_path)
    assert colour.images.shape == (2, 4, 5, 3)
    deep = np.full((2, 4, 5), 40_000, np.uint16)
    samples = read("npz", npz(tmp_path, images=deep, labels=[0, 1]), tmp_path)
    assert samples.images.dtype == np.float32
    assert samples.images.max() == 40_000


def test_labels_may_be_words_and_masks_may_stand_in_for_labels(tmp_path: Path) -> None:
    words = read("npz", npz(tmp_path, images=GREY[:3], labels=np.array(["cyst", "normal", "cyst"])), tmp_path)
    assert (words.classes, words.labels.tolist()) == (("cyst", "normal"), [0, 1, 0])
    masked = read("npz", npz(tmp_path, images=GREY[:2], masks=np.ones((2, 8, 10), np.int64)), tmp_path)
    assert masked.masks is not None
    assert masked.masks.sum() == 160
    assert masked.labels.size == 0


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"pictures": GREY}, "has no split test: no array images or test_images, only pictures"),
        ({"images": GREY, "labels": [0] * 6, "train_images": GREY}, "holds images beside train_images"),
        ({"images": GREY}, "no labels and no masks"),
        ({"images": GREY, "labels": [0, 1]}, "labels: holds 2 labels for 6 images"),
        (
            {"images": GREY, "labels": [0, 1, 2, 0, 1, -1]},
            r"-1 in image 5, which is no class index \(1 of 6 im.*whole numbers",
        ),
        ({"images": GREY, "labels": [0.5] * 6}, r"0\.5 in image 0, .*\(6 of 6 images have such\)"),
        ({"images": GREY, "labels": np.zeros((6, 2, 2))}, "one label an image"),
        ({"images": GREY[0], "labels": [0]}, r"shape \(8, 10\)"),
        ({"images": np.zeros((2, 3, 8, 8)), "labels": [0, 1]}, r"transpose\(0, 2, 3, 1\)"),
        ({"images": np.full((2, 8, 8), np.nan), "labels": [0, 1]}, "image 0 holds NaN"),
        ({"images": GREY, "masks": np.zeros((6, 8, 9))}, "masks: has the shape"),
        ({"images": GREY, "labels": np.array([None] * 6)}, "Python objects, which are never loaded"),
        ({"images": np.empty((0, 8, 8)), "labels": np.empty(0)}, r"images: has the shape \(0, 8, 8, 1\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_the_reason(
    arrays: Mapping[str, Any], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=rf"some\.npz.*{complaint}"):
        read("npz", npz(tmp_path, **arrays), tmp_path)


def test_a_class_without_a_name_is_refused(tmp_path: Path) -> None:
    table = {**npz(tmp_path, images=GREY, labels=[0, 1, 2, 0, 1, 2]), "classes": ["normal", "cyst"]}
    with pytest.raises(LabError, match=r"goes up to class 2, but `classes` in \[data\] names 2"):
        read("npz", table, tmp_path)


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    npz(tmp_path, images=GREY, labels=[0] * 6)
    whole = (tmp_path / "some.npz").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"not a zip at all"):
        (tmp_path / "some.npz").write_bytes(content)
        with pytest.raises(LabError, match=r"some\.npz"):
            read("npz", {"path": "some.npz"}, tmp_path)


def test_a_damaged_member_of_an_npz_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "some.npz", images=np.random.default_rng(1).random((6, 40, 40)), labels=[0] * 6)
    content = bytearray((tmp_path / "some.npz").read_bytes())
    content[20_000:20_100] = bytes(100)
    (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(LabError, match=r"some\.npz: cannot be read"):
        read("npz", {"path": "some.npz"}, tmp_path)


def test_the_split_chooses_a_folder_of_its_name(tmp_path: Path) -> None:
    save(tmp_path / "data/train/cyst/a.png", GREY[0])
    for name in ("cyst", "solid"):
        save(tmp_path / f"data/test/{name}/b.jpg", GREY[1])
    assert read("folder", {"path": "data"}, tmp_path).classes == ("cyst", "solid")
    assert len(read("folder", {"path": "data"}, tmp_path, split="train").images) == 1


def test_images_of_two_sizes_name_the_first_odd_one_and_the_option(tmp_path: Path) -> None:
    table = make_folder(tmp_path)
    save(tmp_path / "data/test/cyst/9.png", np.zeros((5, 7), np.uint8))
    with pytest.raises(LabError, match=r"cyst/9\.png.*is 5x7 pixels and 0\.png 8x10; set resize = \[8, 10\]"):
        read("folder", table, tmp_path)
    assert read("folder", {**table, "resize": [4, 6]}, tmp_path).images.shape == (7, 4, 6, 1)


def test_grey_and_colour_together_name_the_option(tmp_path: Path) -> None:
    table = make_folder(tmp_path)
    save(tmp_path / "data/test/solid/9.png", GREY[0], "RGB")
    with pytest.raises(LabError, match=r'solid/9\.png.*set mode = "L" or "RGB"'):
        read("folder", table, tmp_path)
    assert read("folder", {**table, "mode": "RGB"}, tmp_path).images.shape == (7, 8, 10, 3)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def rewrite_16_bit(path: Path) -> None:
    save(path, np.full((8, 10), 40_000, np.uint16))


def rewrite_rgba(path: Path) -> None:
    save(path, GREY[0], "RGBA")


def two_frames(path: Path) -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(pixels) for pixels in GREY[:2]]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    path.write_bytes(stream.getvalue())


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (truncate, "corrupt image"),
        (lambda path: path.write_bytes(b"hello"), "not an image that can be read"),
        (rewrite_16_bit, "more than 8 bits"),
        (rewrite_rgba, "RGBA"),
        (two_frames, "holds 2 pictures"),
        (lambda path: path.rename(path.with_suffix(".webp")), "is not one of .png"),
        (lambda path: (path.unlink(), path.mkdir()), "folder inside a folder"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(
    damage: Callable[[Path], object], complaint: str, tmp_path: Path
) -> None:
    table = make_folder(tmp_path)
    damage(tmp_path / "data/test/normal/3.png")
    with pytest.raises(LabError, match=rf"normal/3\.(png|webp): .*{complaint}"):
        read("folder", table, tmp_path)


def test_class_folders_and_classes_must_agree(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with pytest.raises(LabError, match="no folder for the class 'benign'"):
        read("folder", {"classes": ["benign"]}, tmp_path)
    with pytest.raises(LabError, match="solid: is not named in `classes`"):
        read("folder", {"classes": ["normal", "cyst"]}, tmp_path)
    (tmp_path / "data/test/empty").mkdir()
    with pytest.raises(LabError, match="empty: holds no image"):
        read("folder", {}, tmp_path)


def test_leftovers_of_file_managers_are_not_images(tmp_path: Path) -> None:
    table = make_folder(tmp_path)
    (tmp_path / "data/test/cyst/Thumbs.db").write_bytes(b"x")
    (tmp_path / "data/test/.DS_Store").write_bytes(b"x")
    (tmp_path / "data/test/__MACOSX").mkdir()
    assert len(read("folder", table, tmp_path).images) == 6


def test_images_beside_masks_are_a_segmentation_set(tmp_path: Path) -> None:
    lesion = np.zeros((8, 10), np.uint8)
    lesion[2:4, 3:6] = 255
    for name in ("a", "b"):
        save(tmp_path / f"data/test/images/{name}.png", GREY[0])
        save(tmp_path / f"data/test/masks/{name}.png", lesion)
    samples = read("folder", {"classes": ["tissue", "lesion"]}, tmp_path)
    assert samples.masks is not None
    assert samples.masks.sum() == 12, "0 and 255 mean the classes 0 and 1"
    assert read("folder", {"resize": [16, 20]}, tmp_path).masks.sum() == 48  # type: ignore[union-attr]
    save(tmp_path / "data/test/masks/b.png", lesion[:4])
    with pytest.raises(LabError, match=r"masks/b\.png: is 4x10 and its image 8x10"):
        read("folder", {}, tmp_path)
    (tmp_path / "data/test/masks/b.png").unlink()
    with pytest.raises(LabError, match=r"images/b\.png: has no mask"):
        read("folder", {}, tmp_path)


@pytest.mark.parametrize(("source", "option"), [("npz", "pth"), ("folder", "resiz")])
def test_a_misspelt_option_is_met_with_the_right_one(source: str, option: str, tmp_path: Path) -> None:
    right = {"pth": "path", "resiz": "resize"}[option]
    with pytest.raises(LabError, match=rf"suite\.toml: data\.{option}: unknown key; did you mean '{right}'"):
        read(source, {option: "x"}, tmp_path)
    with pytest.raises(LabError, match=r"data: `resize` must be"):
        read("folder", {"resize": [0, 4]}, tmp_path)
