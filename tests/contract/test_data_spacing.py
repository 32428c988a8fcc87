"""How large a pixel is: what DICOM files and suites say, and what is refused because they do not."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from harness import lab
from harness.data._dicom_file import write
from harness.errors import LabError
from harness.measure.jobs import load_samples
from harness.model import Samples
from tests.contract.data_files import read as read_source

CLASSES = ["background", "lesion"]


def read(base: Path, table: Mapping[str, Any]) -> Samples:
    own = dict(table)
    return read_source(own.pop("source"), own, base)


def region(down: float, across: float) -> Dataset:
    """Return a region of an ultrasound image, its pixels `down` and `across` centimetres."""
    found = Dataset()
    found.RegionSpatialFormat, found.RegionDataType = 1, 1
    found.PhysicalUnitsXDirection = found.PhysicalUnitsYDirection = 3
    found.PhysicalDeltaY, found.PhysicalDeltaX = down, across
    return found


def measures(spacing: Sequence[float]) -> list[Dataset]:
    """Return a functional group of the kind that enhanced files have."""
    inner, outer = Dataset(), Dataset()
    inner.PixelSpacing = list(spacing)
    outer.PixelMeasuresSequence = [inner]
    return [outer]


def dicoms(base: Path, *files: Mapping[str, Any], sizes: Sequence[tuple[int, int]] = ()) -> Mapping[str, Any]:
    """Write files with these elements and a mask of each, and return what reads them."""
    with (base / "list.csv").open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["file", "mask"])
        for index, elements in enumerate(files):
            height, width = sizes[index] if sizes else (16, 20)
            write(base / f"{index}.dcm", np.full((height, width), 100, np.uint8), **elements)
            mask = np.zeros((height, width), np.uint8)
            mask[4:8, 4:10] = 1
            Image.fromarray(mask).save(base / f"{index}_mask.png")
            lines.writerow([f"{index}.dcm", f"{index}_mask.png"])
    return {"source": "dicom", "list": "list.csv", "mask_column": "mask", "classes": CLASSES}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PixelSpacing": [0.3, 0.2]}, (0.3, 0.2)),
        ({"SharedFunctionalGroupsSequence": measures([0.5, 0.4])}, (0.5, 0.4)),
        ({"SequenceOfUltrasoundRegions": [region(0.01, 0.02)]}, (0.1, 0.2)),
        ({"SequenceOfUltrasoundRegions": [region(-0.01, 0.02), region(0.01, 0.02)]}, (0.1, 0.2)),
        ({"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [0.15, 0.3]}, (0.1, 0.2)),
    ],
)
def test_the_size_of_a_pixel_is_what_the_file_says(
    elements: Mapping[str, Any], expected: tuple[float, float], tmp_path: Path
) -> None:
    found = read(tmp_path, dicoms(tmp_path, elements, elements))
    assert found.spacing is not None
    assert found.spacing == pytest.approx(np.array([expected, expected]))
    assert found.masks is not None
    assert found.masks.sum() == 2 * 24
    assert found.remarks == ()


def test_the_size_at_a_detector_is_used_and_doubted(tmp_path: Path) -> None:
    found = read(tmp_path, dicoms(tmp_path, {"ImagerPixelSpacing": [0.15, 0.15]}))
    assert found.spacing is not None
    assert found.spacing == pytest.approx(np.array([[0.15, 0.15]]))
    assert "in the patient distances are shorter" in found.remarks[0]


def test_images_made_smaller_have_larger_pixels_each_by_its_own(tmp_path: Path) -> None:
    said = {"PixelSpacing": [0.3, 0.2]}
    table = dicoms(tmp_path, said, said, sizes=[(16, 20), (32, 20)])
    found = read(tmp_path, {**table, "resize": [8, 10]})
    assert found.spacing is not None
    assert found.spacing == pytest.approx(np.array([[0.6, 0.4], [1.2, 0.4]]))
    declared = read(tmp_path, {**table, "resize": [8, 10], "spacing": [1.0, 1.0]})
    assert declared.spacing is not None
    assert declared.spacing == pytest.approx(np.array([[2.0, 2.0], [4.0, 2.0]]))


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (
            [{"PixelSpacing": [0.3, 0.2]}, {}],
            r"1\.dcm: does not say how large a pixel is, and other files do; write spacing = \[HEIGHT, WIDTH\] .* "
            r'for all, or spacing = "none"',
        ),
        (
            [{"PixelSpacing": [0.3, 0.2]}, {"ImagerPixelSpacing": [0.3, 0.2]}],
            r"1\.dcm: says how large a pixel is of its detector alone, and other files of the patient",
        ),
        (
            [{"PixelSpacing": [0.3, 0.2], "SequenceOfUltrasoundRegions": [region(0.01, 0.01)]}],
            r"0\.dcm: says two sizes of a pixel: its region 1 has another than PixelSpacing; write "
            r'spacing = \[0\.3, 0\.2\] or spacing = \[0\.1, 0\.1\] or spacing = "none"',
        ),
        ([{"PixelSpacing": [0.0, 0.2]}], r"0\.dcm: says that a pixel is 0 x 0\.2 mm; write spacing"),
    ],
)
def test_what_some_files_leave_open_is_refused_and_pixels_can_be_asked_for(
    files: list[Mapping[str, Any]], complaint: str, tmp_path: Path
) -> None:
    table = dicoms(tmp_path, *files)
    with pytest.raises(LabError, match=complaint):
        read(tmp_path, table)
    assert read(tmp_path, {**table, "spacing": "none"}).spacing is None
    assert read(tmp_path, {**table, "spacing": [0.5, 0.5]}).spacing is not None


def test_files_of_which_none_says_it_have_distances_in_pixels(tmp_path: Path) -> None:
    assert read(tmp_path, dicoms(tmp_path, {}, {})).spacing is None


def test_a_loop_or_a_mask_that_is_not_there_or_of_another_size_is_refused(tmp_path: Path) -> None:
    table = dicoms(tmp_path, {}, {})
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "1_mask.png")
    with pytest.raises(LabError, match=r"1_mask\.png: is 4x4 and its image 16x20 pixels"):
        read(tmp_path, table)
    (tmp_path / "1_mask.png").unlink()
    with pytest.raises(LabError, match=r"1_mask\.png: there is no such file; correct list\.csv"):
        read(tmp_path, table)
    write(tmp_path / "1.dcm", np.zeros((3, 16, 20), np.uint8))
    with pytest.raises(LabError, match=r"1\.dcm: holds 3 frames, and one mask cannot be that of all"):
        read(tmp_path, table)


def test_a_suite_says_it_for_folders_and_arrays(tmp_path: Path) -> None:
    masks = np.zeros((2, 8, 10), np.uint8)
    masks[:, 2:4] = 1
    np.savez(tmp_path / "a.npz", images=masks, masks=masks)
    arrays = read(tmp_path, {"source": "npz", "path": "a.npz", "spacing": [0.5, 0.25]})
    assert arrays.spacing is not None
    assert arrays.spacing.tolist() == [[0.5, 0.25]] * 2
    for kind in ("images", "masks"):
        (tmp_path / "f" / kind).mkdir(parents=True)
        for index, size in enumerate([(8, 10), (16, 10)]):
            Image.fromarray(np.eye(*size, dtype=np.uint8)).save(tmp_path / "f" / kind / f"{index}.png")
    folder = read(tmp_path, {"source": "folder", "path": "f", "resize": [8, 5], "spacing": [0.5, 0.25]})
    assert folder.spacing is not None
    assert folder.spacing.tolist() == [[0.5, 0.5], [1.0, 0.5]]
    assert folder.without(np.array([0])).spacing is not None
    with pytest.raises(LabError, match=r"`spacing` must be \[HEIGHT, WIDTH\] of a stored pixel in millimetres"):
        read(tmp_path, {"source": "npz", "path": "a.npz", "spacing": [0.5, 0.0]})


def test_millimetres_are_refused_before_anything_is_measured_where_nobody_says_them(tmp_path: Path) -> None:
    masks = np.zeros((2, 8, 10), np.uint8)
    masks[:, 2:4] = 1
    np.savez(tmp_path / "test.npz", images=masks, masks=masks)
    path = tmp_path / "s.toml"
    path.write_text(
        """\
title = "a"
[data]
source = "npz"
path = "test.npz"
[data.input]
layout = "NCHW"
scale = 1.0
[task]
kind = "segmentation"
surface_tolerance_mm = 1.0
[baseline]
id = "m"
model = "m.onnx"
[accept]
hausdorff_95_mm = { non_inferior_by = 1.0 }
"""
    )
    complaint = (
        r"accept\.hausdorff_95_mm: is in millimetres, and how large a pixel .* write spacing = \[HEIGHT, WIDTH\]"
    )
    with pytest.raises(LabError, match=complaint):
        load_samples(lab.read_suite(path))
    path.write_text(path.read_text().replace('"test.npz"', '"test.npz"\nspacing = [0.2, 0.2]'))
    assert load_samples(lab.read_suite(path)).spacing is not None
