"""`dicom` reads what the standard says of pixels, and refuses what a file leaves open, damaged or with a name in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLosslessSV1

from harness import lab
from harness.data._dicom_file import write
from harness.errors import LabError
from harness.measure import remarks
from harness.measure.jobs import load_samples
from harness.model import Samples, Suite
from tests import labs
from tests.contract.data_files import GREY, read

DEEP = np.array([[-1000, 0], [40, 400]], np.int16)


def shipped(name: str) -> Path:
    """Return a file inside pydicom's own wheel."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), name
    return Path(path)


def one(base: Path, stored: Any = DEEP, window: Any = "file", **elements: Any) -> Samples:
    """Return what the source makes of one file."""
    write(base / "a.dcm", stored, **elements)
    return read("dicom", {"path": "a.dcm", "window": window}, base)


def of_shipped(name: str, **table: Any) -> Samples:
    return read("dicom", {"path": str(shipped(name)), **table}, Path("/"))


def test_values_are_what_the_modality_means_by_them(tmp_path: Path) -> None:
    samples = one(tmp_path, RescaleSlope=2, RescaleIntercept=-10, RescaleType="HU")
    assert samples.images.dtype == np.float32
    assert samples.images[0, ..., 0].tolist() == [[-2010, -10], [70, 790]]
    assert samples.description == "1 DICOM file from a.dcm, split test, grey values as stored, without labels"


def test_eight_bits_without_a_window_stay_as_they_are(tmp_path: Path) -> None:
    samples = one(tmp_path, GREY[0])
    assert samples.images.dtype == np.uint8
    np.testing.assert_array_equal(samples.images[0, ..., 0], GREY[0])


def test_a_window_is_the_files_or_the_suites_or_none(tmp_path: Path) -> None:
    # PS3.3, C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255.
    file = {"WindowCenter": 40, "WindowWidth": 401}
    assert one(tmp_path, **file).images[0, ..., 0].tolist() == [[0, 102], [128, 255]]
    assert "grey values through a window" in one(tmp_path, **file).description
    assert one(tmp_path, window=[0, 2001], **file).images[0, ..., 0].tolist() == [[0, 128], [133, 179]]
    assert one(tmp_path, window="none", **file).images[0, ..., 0].tolist() == DEEP.tolist()


def test_several_windows_are_refused_with_the_lines_to_choose_from(tmp_path: Path) -> None:
    with pytest.raises(
        LabError,
        match=r"a\.dcm: holds 2 windows and 0 tables, .*window = \[40, 400\] or window = \[600, 1600\] under \[data\]",
    ):
        one(tmp_path, WindowCenter=[40, 600], WindowWidth=[400, 1600])
    assert one(tmp_path, WindowCenter=[40, 40], WindowWidth=[401, 401]).images.max() == 255, "twice the same is one"


@pytest.mark.parametrize(("function", "middle"), [("LINEAR_EXACT", 128), ("SIGMOID", 128)])
def test_the_windows_function_is_the_files(function: str, middle: int, tmp_path: Path) -> None:
    samples = one(tmp_path, WindowCenter=40, WindowWidth=400, VOILUTFunction=function)
    assert samples.images[0, 1, 0, 0] == middle
    assert samples.images[0, 1, 1, 0] == (255 if function == "LINEAR_EXACT" else 248)


def test_where_the_smallest_value_is_the_brightest_images_are_turned_round(tmp_path: Path) -> None:
    dark = {"PhotometricInterpretation": "MONOCHROME1"}
    assert one(tmp_path, GREY[0], **dark).images[0, 0, 0, 0] == 255
    window = {"WindowCenter": 40, "WindowWidth": 401}
    assert one(tmp_path, **dark, **window).images[0, ..., 0].tolist() == [[255, 153], [127, 0]]
    assert one(tmp_path, **dark, RescaleSlope=1, RescaleIntercept=-24).images[0, 0, 0, 0] == -49 + 1024, (
        "-49 is the sum of the smallest and the largest value that 16 bits hold"
    )


def test_frames_of_a_file_are_images_of_one_patient(tmp_path: Path) -> None:
    for name, frames in (("a", GREY[:4]), ("b", GREY[4:])):
        write(tmp_path / "loops" / f"{name}.dcm", frames, PatientID=f"secret {name}")
    samples = read("dicom", {"path": "loops"}, tmp_path)
    np.testing.assert_array_equal(samples.images[..., 0], GREY)
    assert samples.groups is not None
    assert len(set(samples.groups[:4])) == len(set(samples.groups[4:])) == 1
    assert samples.groups[0] != samples.groups[4]
    assert "secret" not in repr(samples)
    assert samples.description.startswith("2 DICOM files (6 frames) of 2 patients from loops/")
    again = read("dicom", {"path": "loops/a.dcm"}, tmp_path)
    assert again.group_names[0] in samples.group_names, "a patient of two splits is known as one"


def test_a_file_without_a_patient_is_taken_for_another_one_and_it_is_said(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.dcm", GREY[0], PatientID="P1")
    write(tmp_path / "in" / "b.dcm", GREY[1])
    samples = read("dicom", {"path": "in"}, tmp_path)
    assert samples.remarks == ("1 of 2 files name no patient: each is taken for another one",)
    assert len(samples.group_names) == 2


def listed(base: Path) -> Mapping[str, Any]:
    rows = ["file,label,split,person"]
    for index in range(6):
        write(base / "in" / f"{index}.dcm", GREY[index])
        rows.append(
            f"in/{index}.dcm,{('benign', 'malignant')[index % 2]},{'train' if index < 4 else 'test'},{index // 2}"
        )
    (base / "list.csv").write_text("\n".join(rows))
    return {"list": "list.csv"}


def test_labels_splits_and_patients_are_a_lists(tmp_path: Path) -> None:
    table = listed(tmp_path)
    for where in ({}, {"path": "in"}):
        train = read("dicom", {**table, **where, "group": "person"}, tmp_path, "train")
        assert train.labels.tolist() == [0, 1, 0, 1]
        assert train.classes == ("benign", "malignant")
        assert train.groups is not None
        assert train.groups.tolist() in ([0, 0, 1, 1], [1, 1, 0, 0]), "digests have no order"
        assert len(read("dicom", {**table, **where}, tmp_path).images) == 2
    turned = read("dicom", {**table, "classes": ["malignant", "benign"]}, tmp_path)
    assert turned.labels.tolist() == [1, 0]
    for more, complaint in (
        ({"label_column": "grade"}, "has no column 'grade'"),
        ({"classes": ["benign"]}, "holds the class 'malignant', which `classes`"),
    ):
        with pytest.raises(LabError, match=rf"list\.csv: {complaint}"):
            read("dicom", {**table, **more}, tmp_path)
    with pytest.raises(LabError, match="has no image of the split validation"):
        read("dicom", table, tmp_path, "validation")
    (tmp_path / "in/5.dcm").unlink()
    with pytest.raises(LabError, match=r"5\.dcm: there is no such file; correct list\.csv"):
        read("dicom", table, tmp_path)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"PatientName": "Doe^Jane", "PatientID": "4711"}, "PatientName, PatientID in 1 of 1"),
        ({"PatientBirthDate": "19700101"}, "PatientBirthDate in 1 of 1"),
        ({"PatientName": "Doe", "PatientIdentityRemoved": "NO"}, "PatientName"),
        ({"PatientName": "P-17", "PatientID": "P-17", "PatientIdentityRemoved": "YES"}, ""),
        ({"PatientName": "^^", "PatientID": " "}, ""),
        ({"BurnedInAnnotation": "YES", "PatientIdentityRemoved": "YES"}, "BurnedInAnnotation (text in the pixels)"),
        ({"BurnedInAnnotation": "NO"}, ""),
        ({"RecognizableVisualFeatures": "YES"}, "a recognisable face"),
    ],
)
def test_what_identifies_a_patient_is_known(elements: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    found = one(tmp_path, GREY[0], **elements).identifying
    assert said in found
    assert bool(found) == bool(said)
    assert "Doe" not in found


def test_a_name_within_a_sequence_is_one_too(tmp_path: Path) -> None:
    inner = pydicom.Dataset()
    inner.PatientName = "Doe"
    assert one(tmp_path, GREY[0], RequestAttributesSequence=[inner]).identifying.startswith("PatientName in 1")


def test_shipped_colours_and_palettes_and_loops_become_red_green_and_blue() -> None:
    loop = of_shipped("examples_ybr_color.dcm")
    assert loop.images.shape == (30, 240, 320, 3)
    assert loop.images.dtype == np.uint8
    assert loop.groups is not None
    assert set(loop.groups.tolist()) == {0}
    for name, shape in (
        ("examples_palette.dcm", (350, 800)), ("examples_rgb_color.dcm", (240, 320)),
        ("examples_jpeg2k.dcm", (480, 640)), ("ExplVR_BigEnd.dcm", (60, 80)), ("SC_rgb_rle_2frame.dcm", (100, 100)),
    ):  # fmt: skip
        samples = of_shipped(name)
        assert samples.images.shape[1:] == (*shape, 3), name
        assert samples.images.dtype == np.uint8, name
    plain, other = (of_shipped(name).images for name in ("SC_rgb_rle.dcm", "SC_ybr_full_422_uncompressed.dcm"))
    assert np.abs(plain.astype(int) - other).mean() < 3, "the same picture, stored in other colours"


def test_shipped_files_are_read_by_name_as_the_split_test(tmp_path: Path) -> None:
    table = {"shipped": ["examples_ybr_color.dcm", "examples_rgb_color.dcm"], "mode": "L"}
    samples = read("dicom", table, tmp_path)
    assert samples.images.shape == (31, 240, 320, 1)
    assert samples.groups is not None
    first, *loop, other = samples.groups.tolist()
    assert (set(loop), other) == ({first}, 1 - first)
    assert samples.description.startswith("2 DICOM files (31 frames) of 2 patients from pydicom's package, split test")
    with pytest.raises(LabError, match=r'names files that are the split test, not train; .*train = "FOLDER"'):
        read("dicom", table, tmp_path, "train")


def test_every_way_of_storing_the_shipped_mr_image_gives_the_same_pixels() -> None:
    first = of_shipped("MR_small.dcm").images
    assert (first.min(), first.max()) == (52, 255), "127 through a window of 1600 around 600"
    for name in ("RLE", "bigendian", "expb", "implicit", "jp2klossless", "padded"):
        np.testing.assert_array_equal(of_shipped(f"MR_small_{name}.dcm").images, first, err_msg=name)
    hu = of_shipped("CT_small.dcm").images
    assert (hu.min(), hu.max()) == (128 - 1024, 2191 - 1024)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("MR_truncated.dcm", r"truncated or damaged: .*8130 vs 8192 bytes.*copy it again"),
        ("rtplan.dcm", "holds no image but is of the modality RTPLAN"),
        ("liver_1frame.dcm", r"holds a segmentation, no image \(SEG\)"),
        ("rtdose.dcm", "holds doses, no image"),
        ("no_meta.dcm", "is no DICOM file: DICM does not stand"),
        ("README.txt", "is no DICOM file"),
        ("meta_missing_tsyntax.dcm", "holds no image, or is truncated"),
        ("examples_overlay.dcm", r"holds 2 windows.*window = \[450, 790\] or window = \[200, 443\]"),
        ("JPGExtended.dcm", r"is compressed as JPEG Extended .*pip install pylibjpeg pylibjpeg-libjpeg"),
    ],
)
def test_a_shipped_file_that_cannot_be_used_is_named(name: str, complaint: str) -> None:
    with pytest.raises(LabError, match=rf"{name}: .*{complaint}"):
        of_shipped(name)


def test_a_compression_that_no_decoder_here_reads_names_what_installs_one() -> None:
    data = pydicom.dcmread(shipped("SC_rgb_jpeg_gdcm.dcm"))
    assert data.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    with pytest.raises(LabError, match=r"could not be decoded .*pip install pylibjpeg pylibjpeg-libjpeg"):
        of_shipped("SC_rgb_jpeg_gdcm.dcm")


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "image_dfl.dcm"]
)
def test_a_file_cut_off_anywhere_is_refused_or_has_all_its_pixels(name: str, tmp_path: Path) -> None:
    whole, expected = shipped(name).read_bytes(), of_shipped(name).images
    refused = 0
    for cut in (0, 100, 200, len(whole) // 4, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 300, len(whole) - 9):
        (tmp_path / "cut.dcm").write_bytes(whole[:cut])
        try:
            found = read("dicom", {"path": "cut.dcm"}, tmp_path).images
        except LabError as error:
            refused += "cut.dcm" in str(error) and bool(error.remedy)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=f"cut at {cut} of {len(whole)}")
    assert refused >= 6


def test_files_that_are_not_alike_are_refused_with_the_line_to_write(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder / "a.dcm", GREY[0])
    write(folder / "b.dcm", GREY[1, :4])
    with pytest.raises(LabError, match=r"b\.dcm: is 4x10 pixels and a\.dcm 8x10; set resize = \[8, 10\]"):
        read("dicom", {"path": "in"}, tmp_path)
    assert read("dicom", {"path": "in", "resize": [4, 4]}, tmp_path).images.shape == (2, 4, 4, 1)
    write(folder / "b.dcm", np.stack([GREY[1]] * 3, axis=-1))
    with pytest.raises(LabError, match=r"b\.dcm: and a\.dcm are not both grey or both colour"):
        read("dicom", {"path": "in"}, tmp_path)
    assert read("dicom", {"path": "in", "mode": "RGB"}, tmp_path).images.shape == (2, 8, 10, 3)
    write(folder / "b.dcm", GREY[1], WindowCenter=100, WindowWidth=100)
    with pytest.raises(LabError, match=r'b\.dcm: and a\.dcm are not shown alike.*or window = "none" under \[data\]'):
        read("dicom", {"path": "in"}, tmp_path)
    assert read("dicom", {"path": "in", "window": "none"}, tmp_path).images.shape == (2, 8, 10, 1)


def test_a_folder_is_read_with_the_folders_of_it_and_its_splits(tmp_path: Path) -> None:
    write(tmp_path / "in" / "P1" / "S1" / "IM0001", GREY[0])
    write(tmp_path / "in" / "P1" / "S2" / "IM0001", GREY[1])
    (tmp_path / "in" / "DICOMDIR").write_bytes(b"the directory of the medium")
    assert len(read("dicom", {"path": "in"}, tmp_path).images) == 2
    with pytest.raises(LabError, match="in: has no split train"):
        read("dicom", {"path": "in"}, tmp_path, "train")
    write(tmp_path / "in" / "train" / "IM0001", GREY[2])
    assert len(read("dicom", {"path": "in"}, tmp_path, "train").images) == 1
    for table, complaint in (
        ({}, r"data\.path: is not set"),
        ({"path": "nowhere"}, r"nowhere: there is no such folder; .*put the images there$"),
        ({"path": "nowhere", "origin": "ask Ann"}, "there is no such folder; .*: ask Ann$"),
        ({"path": "in", "shipped": ["a.dcm"]}, "leave out `path` and `list`, or `shipped`"),
        ({"shipped": ["examples.dcm"]}, r"data\.shipped: pydicom holds no file 'examples\.dcm'"),
        ({"path": "in/train/IM0001", "split": "x"}, "unknown key"),
        ({"path": "in", "group": "person"}, "`group` needs a list with a column person"),
        ({"path": "in", "window": [1.0, 0.0]}, "`window` must be"),
    ):
        with pytest.raises(LabError, match=complaint):
            read("dicom", table, tmp_path)


def in_a_suite(base: Path, *, confidential: bool = False, data: str = "") -> Suite:
    """Return a suite of the files in `in`, which may identify patients."""
    (base / "base.onnx").write_bytes(b"a model")
    text = labs.suite_toml(confidential=confidential, positive="", data=f'source = "dicom"\npath = "in"{data}')
    (base / "s.toml").write_text(text)
    return lab.read_suite(base / "s.toml")


def test_files_that_identify_a_patient_are_read_in_a_confidential_suite_alone(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.dcm", GREY[0], PatientName="Doe^Jane", PatientID="4711")
    with pytest.raises(
        LabError, match=r"confidential: is not set, and .*: PatientName, PatientID in 1 of 1 files"
    ) as it:
        load_samples(in_a_suite(tmp_path))
    assert "Doe" not in str(it.value)
    assert "4711" not in str(it.value)
    assert len(load_samples(in_a_suite(tmp_path, confidential=True)).images) == 1


def test_a_confidential_suite_names_no_file_of_its_data(tmp_path: Path) -> None:
    write(tmp_path / "in" / "Adam^Ann" / "1.dcm", GREY[0], PatientName="Adam^Ann", PatientID="4712")
    (tmp_path / "in" / "Doe^Jane").mkdir()
    (tmp_path / "in" / "Doe^Jane" / "1.dcm").write_bytes(b"no such thing")
    with pytest.raises(LabError, match="Doe"):
        load_samples(in_a_suite(tmp_path))
    with pytest.raises(LabError, match="file 2 of the data") as caught:
        load_samples(in_a_suite(tmp_path, confidential=True))
    assert "Doe" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_patient_of_two_splits_is_found(tmp_path: Path) -> None:
    for split, patients in (("train", "ABC"), ("test", "CDE")):
        for patient in patients:
            frames = np.random.default_rng([ord(patient), len(split)]).integers(0, 255, (2, 8, 10)).astype(np.uint8)
            write(tmp_path / "in" / split / f"{patient}.dcm", frames, PatientID=patient, PatientIdentityRemoved="YES")
    suite = in_a_suite(tmp_path)
    assert remarks.of_data(suite, load_samples(suite)) == [
        "1 of 3 patients, with 2 images, are in the split train too: models that learnt from it may know them by heart"
    ]
