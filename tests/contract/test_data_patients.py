"""The patient of each image, which split a list says it is of, and masks that lie beside their images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import LabError
from harness.model import Samples
from tests.contract.data_files import GREY, make_folder, read, save


def patients(samples: Samples) -> list[str]:
    assert samples.groups is not None
    return [samples.group_names[number] for number in samples.groups]


def npz(base: Path, **arrays: Any) -> Mapping[str, Any]:
    np.savez(base / "some.npz", images=GREY, labels=np.arange(6) % 3, **arrays)
    return {"path": "some.npz", "group": "patient"}


@pytest.mark.parametrize("who", [np.array([7, 7, 3, 3, 3, 12]), np.array([["b"], ["b"], ["a"], ["a"], ["a"], ["c"]])])
def test_an_array_names_the_patient_of_each_image(who: np.ndarray[Any, Any], tmp_path: Path) -> None:
    samples = read("npz", npz(tmp_path, patient=who), tmp_path)
    assert samples.groups is not None
    assert samples.groups.tolist() == [1, 1, 0, 0, 0, 2]
    assert samples.description == "6 images of 3 patients from some.npz, split test"
    assert patients(samples) == [str(one) for one in who.ravel()]


def test_each_split_has_an_array_of_patients_of_its_own(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "m.npz",
        train_images=GREY[:4],
        train_labels=np.arange(4) % 2,
        train_patient=[1, 1, 2, 3],
        test_images=GREY[4:],
        test_labels=np.arange(2),
        test_patient=[3, 4],
    )
    keys = {"path": "m.npz", "group": "patient"}
    assert patients(read("npz", keys, tmp_path)) == ["3", "4"]
    assert patients(read("npz", keys, tmp_path, split="train")) == ["1", "1", "2", "3"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, r"some\.npz: has no array patient of patients, only images, labels; add it, or correct `group`"),
        ({"patient": [1, 2]}, r"patient: has the shape \(2,\) for 6 images; save one patient an image"),
        ({"patient": [1, 2, -1, 3, 4, -1]}, r"patient: says no patient of image 2 \(2 of 6 lack one\); give every"),
        ({"patient": ["a", "b", "c", "d", " ", "e"]}, r"patient: says no patient of image 4 \(1 of 6 lack one\)"),
        ({"patient": [0.5] * 6}, r"patient: holds float64; save the patients as whole numbers or as texts"),
    ],
)
def test_patients_that_cannot_be_read_are_refused(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=said):
        read("npz", npz(tmp_path, **arrays), tmp_path)


def listed(base: Path, *lines: str) -> Mapping[str, Any]:
    (base / "data").mkdir(exist_ok=True)
    (base / "data/images.csv").write_text("\n".join(lines) + "\n")
    return {**make_folder(base), "list": "data/images.csv"}


def rows(of: str) -> list[str]:
    return [f"test/{('normal', 'cyst', 'solid')[index % 3]}/{index}.png,{one}" for index, one in enumerate(of)]


def test_a_list_names_the_patient_of_each_image_of_a_folder(tmp_path: Path) -> None:
    keys = {**listed(tmp_path, "file, patient", *rows("aabbcc"), "train/x.png,z"), "group": "patient"}
    samples = read("folder", keys, tmp_path)
    assert patients(samples) == ["a", "b", "a", "c", "b", "c"], "images come by their classes"
    assert samples.description == "6 images of 3 patients in 3 classes from test/, split test"


def test_a_list_that_lacks_something_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    keys = {**listed(tmp_path, "file,patient", *rows("aabbc")), "group": "patient"}
    with pytest.raises(LabError, match=r"says no patient of test/solid/5\.png \(1 of 6 images lack one\); add a line"):
        read("folder", keys, tmp_path)
    with pytest.raises(LabError, match=r"images\.csv: has no column 'case', only file, patient; add it, or correct"):
        read("folder", {**keys, "group": "case"}, tmp_path)
    with pytest.raises(LabError, match=r"no\.csv: cannot be read .*write a CSV in UTF-8: file,patient,split"):
        read("folder", {**keys, "list": "no.csv"}, tmp_path)
    listed(tmp_path, "file,patient", "test/a.png,1", "test/a.png,2")
    with pytest.raises(LabError, match=r"names test/a\.png twice"):
        read("folder", keys, tmp_path)
    listed(tmp_path, "image,patient", "a.png,1")
    with pytest.raises(LabError, match=r"has no column 'file', only image, patient"):
        read("folder", keys, tmp_path)


def test_a_pattern_finds_patients_in_the_paths_of_images(tmp_path: Path) -> None:
    for index, name in enumerate(("x/P1_a", "x/P1_b", "y/P2_a")):
        save(tmp_path / f"data/test/{name}.png", GREY[index])
    assert patients(read("folder", {"group": "(P[0-9]+)_"}, tmp_path)) == ["P1", "P1", "P2"]
    with pytest.raises(LabError, match=r"'\(Q\)' finds no patient in x/P1_a\.png \(3 of 3 images lack one\)"):
        read("folder", {"group": "(Q)"}, tmp_path)
    for wrong, said in (
        ("(a)(b)", "one group, the patient, not 2"),
        ("(", "no regular expression"),
        ("who", "list = "),
    ):
        with pytest.raises(LabError, match=said):
            read("folder", {"group": wrong}, tmp_path)


def test_a_list_says_which_images_are_a_split(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"data/{'xy'[index % 2]}/{index}.png", GREY[index])
    (tmp_path / "images.csv").write_text(
        "file,split\ndata/x/0.png,train\ndata/y/1.png,test\ndata/x/2.png,val\ndata/y/3.png,train\n"
    )
    keys = {"path": "data", "list": "images.csv"}
    assert read("folder", keys, tmp_path).labels.tolist() == [1]
    assert read("folder", keys, tmp_path).classes == ("x", "y")
    assert read("folder", keys, tmp_path, split="train").labels.tolist() == [0, 1]
    assert read("folder", keys, tmp_path, split="validation").labels.tolist() == [0]
    with pytest.raises(LabError, match=r"has no image of the split holdout, only of test, train, val; correct it"):
        read("folder", keys, tmp_path, split="holdout")


def test_a_variable_names_the_folder_of_images_that_lie_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"path": "here", "variable": "EDGEWARD_PAIRS", "list": "images.csv", "origin": "ask Ann"}
    (tmp_path / "images.csv").write_text("file,split\nimages/a.png,train\nimages/b.png,test\n")
    monkeypatch.delenv("EDGEWARD_PAIRS", raising=False)
    with pytest.raises(LabError, match=r"here: there is no such folder; .*: EDGEWARD_PAIRS may name .*; ask Ann$"):
        read("folder", keys, tmp_path)
    for index, (place, name) in enumerate((("here", "a"), ("here", "b"), ("far", "a"), ("far", "b"))):
        save(tmp_path / place / f"images/{name}.png", GREY[index])
        save(tmp_path / place / f"masks/{name}.png", GREY[index] % 2)
    np.testing.assert_array_equal(read("folder", keys, tmp_path).images[0, ..., 0], GREY[1])
    monkeypatch.setenv("EDGEWARD_PAIRS", str(tmp_path / "far"))
    np.testing.assert_array_equal(read("folder", keys, tmp_path).images[0, ..., 0], GREY[3])
    np.testing.assert_array_equal(read("folder", keys, tmp_path, split="train").images[0, ..., 0], GREY[2])
    save(tmp_path / "far/images/c.png", GREY[4])
    save(tmp_path / "far/masks/c.png", GREY[4] % 2)
    with pytest.raises(LabError, match=r"says no split of images/c\.png .*with its path from .*far"):
        read("folder", keys, tmp_path)
    monkeypatch.setenv("EDGEWARD_PAIRS", str(tmp_path / "nowhere"))
    with pytest.raises(LabError, match=r"nowhere: there is no such folder, which EDGEWARD_PAIRS names; .*: ask Ann$"):
        read("folder", keys, tmp_path)
    with pytest.raises(LabError, match=r"`variable` must be called EDGEWARD_… in capitals, not 'HOME'"):
        read("folder", {**keys, "variable": "HOME"}, tmp_path)


def pairs(base: Path, *names: str, at: str = "busi") -> None:
    for index, name in enumerate(names):
        mask = np.zeros((8, 10), np.uint8)
        mask[index % 8] = 255
        save(base / at / f"{name}.png", GREY[index % 6])
        save(base / at / f"{name}_mask.png", mask)


def test_a_flat_folder_of_images_and_masks_is_read_in_pairs_where_the_suite_says_so(tmp_path: Path) -> None:
    pairs(tmp_path, "benign (1)", "malignant (1)")
    save(tmp_path / "busi/benign (1)_mask_1.png", np.full((8, 10), 255, np.uint8))
    with pytest.raises(LabError, match=r'busi: holds images and no folder; .*write masks = "beside" under \[data\]'):
        read("folder", {"path": "busi"}, tmp_path)
    samples = read("folder", {"path": "busi", "masks": "beside"}, tmp_path)
    assert samples.masks is not None
    assert samples.masks.sum(axis=(1, 2)).tolist() == [80, 10], "parts of a mask are joined"
    assert samples.classes == ("0", "1")
    assert samples.description == "2 images with masks from busi/, split test"
    with pytest.raises(LabError, match=r"busi: has no split train: .*write train"):
        read("folder", {"path": "busi", "masks": "beside"}, tmp_path, split="train")
    save(tmp_path / "busi/normal (1).png", GREY[0])
    with pytest.raises(LabError, match=r"normal \(1\)\.png: has no mask; put normal \(1\)_mask\.png beside it"):
        read("folder", {"path": "busi", "masks": "beside"}, tmp_path)


def test_pairs_may_lie_in_folders_and_a_list_may_choose_among_them(tmp_path: Path) -> None:
    pairs(tmp_path, "1", "2", at="busi/benign")
    pairs(tmp_path, "1", at="busi/malignant")
    (tmp_path / "busi/images.csv").write_text(
        "file,split,who\nbenign/1.png,test,a\nbenign/2.png,train,b\nmalignant/1.png,test,a\n"
    )
    keys = {"path": "busi", "masks": "beside", "list": "busi/images.csv", "group": "who"}
    samples = read("folder", keys, tmp_path)
    assert samples.description == "2 images of 1 patient with masks from busi/, split test"
    assert patients(samples) == ["a", "a"]
    assert len(read("folder", keys, tmp_path, split="train").images) == 1


def test_masks_alone_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "busi").mkdir()
    with pytest.raises(LabError, match="busi: holds no image"):
        read("folder", {"path": "busi", "masks": "beside"}, tmp_path)
