"""`[data] source = "dicom"; path = "data/test"`: DICOM files, in a folder and the folders of it, or those of a list.

Stored values become what the modality means by them, then what the file's window shows, as 0 to 255; `window = [40.0,
400.0]`, centre and width, is one window for all files, `window = "none"` leaves out any. A file with several windows is
refused with the lines to choose from, one without any keeps its values. MONOCHROME1 is turned round, colours and
palettes become RGB. The frames of a file are images of one patient. `resize = [224, 224]` brings all to one height and
width; `mode = "L"` makes all of them grey, `mode = "RGB"` colour.

`list = "images.csv"` names a list of the files, whose column `file` holds paths from its own folder; its column `label`
(or `label_column = "COLUMN"`) gives the class of each, `split` says which are which split. Without `path`, the files
are those of the list. `classes = ["benign", "malignant"]` sets the order of the model's outputs. Without labels, models
are held against one another and not against the truth. Where PATH holds a folder named like the split, that one is
read; `train` and `validation` name folders of their own for these splits. `shipped = ["examples_rgb_color.dcm"]` are
files that pydicom carries itself, for a suite that runs anywhere.

`mask_column = "mask"` names the column of the list with the mask of each file, an image of the file's own size as with
`source = "folder"`, for segmentation; `ignore_index = 254` is the value of pixels that count for nothing. How large a
pixel is, the files say: PixelSpacing, the regions of an ultrasound image, or ImagerPixelSpacing, which is that of the
detector. `spacing = [0.2, 0.2]`, height and width of a stored pixel in millimetres, says it for all; where some files
say it and some do not, it must be written, or `spacing = "none"` for distances in pixels alone.

The patient of an image is its PatientID, which is never kept; `group = "COLUMN"` of the list says it instead. Files
that identify a patient, and are not marked PatientIdentityRemoved = YES, are read in a suite with `confidential =
true` alone.
"""

from __future__ import annotations

import csv
import hashlib
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from harness import pixels
from harness.data import _dicom_file, _dicom_masks, _groups, _pictures, _places, _spacing, _splits
from harness.errors import LabError, NoSplit
from harness.model import InputSpec, IntArray, Samples

#: Patients are known by digests that mean nothing after this process has ended.
_SALT: Final = secrets.token_bytes(16)
_COLOURS: Final[Mapping[str, str]] = {"L": "grey", "RGB": "RGB", "": ""}
#: What a description says of how grey values became an image's.
_SHOWN: Final = {"window": ", grey values through a window", "stored": ", grey values as stored", "colour": ""}


@dataclass(frozen=True, slots=True)
class Options:
    """What `[data]` may say besides the source's name.

    Attributes:
        path: a folder, or one file, relative to the suite; "" where the list names the files.
        origin: where the files are to be had, in words that are shown where the folder is missing.
        shipped: instead of `path`, names of files that pydicom's own package holds: the split test.
        train: a folder that is the split `train` alone; "" where `path` holds it.
        validation: the same of the split `validation`.
        list: a CSV that says of each file its label, split or patient.
        label_column: the column of the list that holds the class of each file.
        mask_column: the column of the list that holds the mask of each file, an image of its size, for segmentation.
        group: the column of the list that holds the patient of each file, instead of its PatientID.
        classes: names in the order of the model's outputs.
        labels: a text file with these names, one a line, instead.
        window: centre and width for all files; "file" for the window of each, "none" for none.
        resize: height and width in pixels that all images are brought to (bilinear).
        mode: "L" for grey, "RGB" for colour, "" for what the files are.
        ignore_index: the value of a mask's pixels that count for nothing.
        spacing: height and width of a stored pixel in millimetres, for all files; "file" for what each says, "none" for
            distances in pixels alone. It is asked for where there are masks.
    """

    path: str = ""
    origin: str = ""
    shipped: tuple[str, ...] = ()
    train: str = ""
    validation: str = ""
    list: str = ""
    label_column: str = ""
    mask_column: str = ""
    group: str = ""
    classes: tuple[str, ...] = ()
    labels: str = ""
    window: tuple[float, float] | Literal["file", "none"] = "file"
    resize: tuple[int, int] | None = None
    mode: Literal["", "L", "RGB"] = ""
    ignore_index: int | None = None
    spacing: tuple[float, float] | Literal["file", "none"] = "file"

    def __post_init__(self) -> None:
        _spacing.checked(self.spacing)
        _splits.once(self.classes)
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError("`resize` must be [HEIGHT, WIDTH] in pixels, both at least 1")
        if not isinstance(self.window, str) and self.window[1] < 1:
            raise ValueError("`window` must be [CENTRE, WIDTH], the width at least 1")
        if self.shipped and (self.path or self.list):
            raise ValueError("`shipped` names pydicom's own files: leave out `path` and `list`, or `shipped`")
        for key in ("group", "label_column", "mask_column"):
            if getattr(self, key) and not self.list:
                raise ValueError(f'`{key}` needs a list with a column {getattr(self, key)}: write list = "images.csv"')


def load(options: Options, *, split: str, base: Path, cache: Path) -> Samples:  # noqa: ARG001  nothing is derived
    """Return a split: images (N, H, W, 1 or 3) in the order of the files and of the frames in each.

    Args:
        options: the files, and how they become images.
        split: a folder of this name inside the path, or what the list says; else the path is the split `test`.
        base: folder of the suite.
        cache: unused: what is derived from a patient's file is kept nowhere.

    Raises:
        LabError: a file is missing, no DICOM, truncated, unlike the others, or leaves open what is meant.
    """
    listed = _groups.read_list(base / options.list) if options.list else None
    files, place = _files(options, split, base, listed)
    spaced = bool(options.mask_column) and options.spacing == "file"
    pictures = [_dicom_file.read(path, options.window, spaced=spaced) for path in files]
    images = _images(pictures, files, options)
    counts = [len(picture.frames) for picture in pictures]
    labels, classes = _labels(files, options, base, listed)
    groups, names, remarks = _patients(pictures, files, options, listed)
    if options.mask_column and listed is not None:
        marked = _dicom_masks.read(pictures, files, options, listed, classes)
        labels, classes, remarks = None, marked.classes, (*remarks, *marked.remarks)
    else:
        marked = None
    counted = f"{len(files)} DICOM {'file' if len(files) == 1 else 'files'}"
    counted += f" ({len(images)} frames)" if len(images) != len(files) else ""
    shown = _SHOWN[pictures[0].shown]
    return Samples(
        images=images,
        labels=np.repeat(labels, counts) if labels is not None else np.empty(0, np.int64),
        classes=classes,
        description=f"{counted}{_groups.counted(names)} from {place}, split {split}{shown}"
        + (", with masks" if marked else "" if labels is not None else ", without labels"),
        masks=marked.masks if marked else None,
        spacing=marked.spacing if marked else None,
        remarks=remarks,
        groups=np.repeat(groups, counts) if groups is not None else None,
        group_names=names,
        identifying=_identifying(pictures, files),
    )


def example(folder: Path) -> Mapping[str, Any]:
    """Write six grey images of three classes, and a list of them, and return the keys that read them."""
    classes = ["normal", "cyst", "solid"]
    images = np.arange(6 * 8 * 10, dtype=np.uint8).reshape(6, 8, 10)
    with (folder / "example.csv").open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["file", "label"])
        for index, stored in enumerate(images):
            file = folder / "example" / f"{index}.dcm"
            _dicom_file.write(file, stored, PatientID=f"P{index}", PatientIdentityRemoved="YES")
            lines.writerow([f"example/{index}.dcm", classes[index % 3]])
    return {"path": "example", "list": "example.csv", "classes": classes}


def _files(options: Options, split: str, base: Path, listed: _groups.Listed | None) -> tuple[tuple[Path, ...], str]:
    """Return the files of a split, and what is said of where they are."""
    alone = _splits.path_alone(split, train=options.train, validation=options.validation)
    if options.shipped and not alone:
        if _splits.canonical(split) != "test":
            text = f"names files that are the split test, not {split}"
            remedy = f"name a folder{_splits.line_to_write(split, 'FOLDER')}"
            raise NoSplit(text, remedy=remedy, file=str(base), key="data.shipped")
        return tuple(_dicom_file.shipped(name, base) for name in options.shipped), "pydicom's package"
    if not options.path and not alone:
        if listed is None:
            remedy = "write it, or the `list` of the files"
            raise LabError("is not set", remedy=remedy, file=str(base), key="data.path")
        root, by_list = listed.path.parent, "split" in listed.columns
        found = [root / name for name in listed.rows]
        missing = [path for path in found if not path.is_file()]
        if missing:
            raise _pictures.wrong(missing[0], "there is no such file", remedy=f"correct {listed.path.name}")
        if not by_list and _splits.canonical(split) != "test":
            text = f"says of no file that it is {split}"
            raise NoSplit(text, remedy="add a column `split`", file=str(listed.path))
        place = listed.path.name
    elif not alone and (base / options.path).is_file():
        if _splits.canonical(split) != "test":
            raise NoSplit(
                f"is one file, which is the split test, not {split}",
                remedy=f"name a folder{_splits.line_to_write(split, 'FOLDER')}",
                file=str(base / options.path),
            )
        return (base / options.path,), Path(options.path).name
    else:
        root, by_list = _places.root(options, split, base, listed)
        found, place = _below(root, listed), f"{root.name}/"
    if not found:
        raise _pictures.wrong(root, "holds no file", remedy="put DICOM files there")
    return (_places.of_split(listed, split, found) if by_list and listed is not None else tuple(found)), place


def _below(folder: Path, listed: _groups.Listed | None) -> list[Path]:
    """Return all files in a folder and the folders of it, without the list and the directory of a medium."""
    found: list[Path] = []
    for path in _places.visible(folder):
        if path.is_dir():
            found += _below(path, listed)
        elif path.name != "DICOMDIR" and (listed is None or not path.samefile(listed.path)):
            found.append(path)
    return found


def _images(pictures: Sequence[_dicom_file.Picture], files: Sequence[Path], options: Options) -> _dicom_file.Array:
    """Return the frames of all files, which are alike in what their values mean, in colours and in size."""
    spec = InputSpec(size=options.resize, resize="bilinear", color=_COLOURS[options.mode])
    first, made = pictures[0], []
    for path, picture in zip(files, pictures, strict=True):
        grey = "colour" not in (picture.shown, first.shown)
        if picture.frames.dtype != first.frames.dtype or (grey and picture.shown != first.shown):
            raise _pictures.wrong(
                path,
                f"and {files[0].name} are not shown alike: one has a window, or more bits, and the other does not",
                remedy='write window = [CENTRE, WIDTH] or window = "none" under [data]',
            )
        made.append(pixels.converted(picture.frames, spec))
        shape, wanted = made[-1].shape[1:], made[0].shape[1:]
        if shape[:2] != wanted[:2]:
            raise _pictures.wrong(
                path,
                f"is {shape[0]}x{shape[1]} pixels and {files[0].name} {wanted[0]}x{wanted[1]}",
                remedy=f"set resize = [{wanted[0]}, {wanted[1]}] in [data]",
            )
        if shape[2] != wanted[2]:
            raise _pictures.wrong(
                path,
                f"and {files[0].name} are not both grey or both colour",
                remedy='set mode = "L" or "RGB" in [data]',
            )
    return np.concatenate(made)


def _labels(
    files: Sequence[Path], options: Options, base: Path, listed: _groups.Listed | None
) -> tuple[IntArray | None, tuple[str, ...]]:
    """Return the class of each file, None where nobody says any, and the classes' names."""
    classes = _splits.declared(options.classes, options.labels, base)
    column = options.label_column or "label"
    if listed is None or options.mask_column or (column not in listed.columns and not options.label_column):
        return None, classes
    said = listed.of(files, column)
    # A class that this split lacks is still an output of the model, so the whole list is asked.
    classes = classes or _splits.in_order({row[column] for row in listed.rows.values() if row.get(column)})
    unknown = sorted(set(said) - set(classes))
    if unknown:
        text = f"holds the class {unknown[0]!r}, which `classes` in [data] does not name"
        raise _pictures.wrong(listed.path, text, remedy="name every class, or correct the list")
    return np.array([classes.index(name) for name in said], np.int64), classes


def _patients(
    pictures: Sequence[_dicom_file.Picture], files: Sequence[Path], options: Options, listed: _groups.Listed | None
) -> tuple[IntArray | None, tuple[str, ...], tuple[str, ...]]:
    """Return the patient of each file, what the patients are called, and what is to be doubted of it."""
    if options.group and listed is not None:
        return *_groups.codes([_digest(name) for name in listed.of(files, options.group)]), ()
    nameless = sum(not picture.patient for picture in pictures)
    if nameless == len(files) and all(len(picture.frames) == 1 for picture in pictures):
        return None, (), ()
    names = [
        _digest(picture.patient) if picture.patient else _digest(f"{path}\0")
        for path, picture in zip(files, pictures, strict=True)
    ]
    remark = f"{nameless} of {len(files)} files name no patient: each is taken for another one"
    return *_groups.codes(names), (remark,) if nameless else ()


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), key=_SALT, digest_size=16).hexdigest()


def _identifying(pictures: Sequence[_dicom_file.Picture], files: Sequence[Path]) -> str:
    """Return what identifies patients, and where, "" where nothing does."""
    found = Counter(name for picture in pictures for name in picture.identifying)
    if not found:
        return ""
    where = [path for path, picture in zip(files, pictures, strict=True) if picture.identifying]
    return f"{', '.join(found)} in {len(where)} of {len(files)} files, the first {where[0].name}"
