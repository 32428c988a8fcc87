"""What figures are given apart for: an array of an .npz, a column of a folder's list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import LabError
from harness.model import Samples
from tests.contract.data_files import GREY, make_folder, read


def parts(samples: Samples) -> list[str]:
    assert samples.subgroups is not None
    return [samples.subgroup_names[number] for number in samples.subgroups]


def npz(base: Path, **arrays: Any) -> Mapping[str, Any]:
    np.savez(base / "some.npz", images=GREY, labels=np.arange(6) % 3, **arrays)
    return {"path": "some.npz", "subgroup": "site"}


def test_an_array_names_the_subgroup_of_each_image(tmp_path: Path) -> None:
    samples = read("npz", npz(tmp_path, site=np.array(["b", "a", "b", "a", "a", "c"])), tmp_path)
    assert parts(samples) == ["b", "a", "b", "a", "a", "c"]
    assert samples.subgroup == "site"
    assert samples.groups is None
    assert parts(samples.without(np.array([0, 5]))) == ["a", "b", "a", "a"]


def test_a_column_of_a_list_names_the_subgroup_of_each_image(tmp_path: Path) -> None:
    names = [f"test/{('normal', 'cyst', 'solid')[index % 3]}/{index}.png,{one}" for index, one in enumerate("aabbcc")]
    keys = {**make_folder(tmp_path), "list": "data/images.csv", "subgroup": "site"}
    (tmp_path / "data/images.csv").write_text("\n".join(["file,site", *names]) + "\n")
    samples = read("folder", keys, tmp_path)
    assert parts(samples) == ["a", "b", "a", "c", "b", "c"], "images come by their classes"
    with pytest.raises(LabError, match=r"has no column 'clinic', only file, site"):
        read("folder", {**keys, "subgroup": "clinic"}, tmp_path)
    with pytest.raises(LabError, match=r"`subgroup` needs a list with a column site"):
        read("folder", {"subgroup": "site"}, tmp_path)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, r"has no array site of subgroups, only images, labels; add it, or correct `subgroup`"),
        ({"site": np.arange(5)}, r"site: does not say the subgroup of 6 images; save one number or text an image"),
        ({"site": np.array(["a", "", "a", "a", "a", "a"])}, r"site: does not say the subgroup of 6 images"),
        ({"site": np.linspace(0, 1, 6)}, r"site: does not say the subgroup of 6 images"),
    ],
)
def test_subgroups_that_cannot_be_read_are_refused(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=said):
        read("npz", npz(tmp_path, **arrays), tmp_path)


def test_a_column_of_patients_is_no_subgroup(tmp_path: Path) -> None:
    who = np.arange(6)
    for source in ("npz", "folder"):
        keys = {**npz(tmp_path, site=who), "group": "site"} if source == "npz" else {"list": "x", "group": "site"}
        with pytest.raises(LabError, match="`subgroup` must not be site, which names the patients"):
            read(source, {**keys, "subgroup": "site"}, tmp_path)
    many = np.zeros((30, 4, 4), np.uint8)
    np.savez(tmp_path / "many.npz", images=many, labels=np.arange(30) % 2, site=np.arange(30))
    with pytest.raises(LabError, match="has 30 subgroups, and at most 20 fit into a report"):
        read("npz", {"path": "many.npz", "subgroup": "site"}, tmp_path)
