"""`[data] source = "folder"; path = "data/test"`: images in one folder a class, or images/ beside masks/.

Classification: `data/test/CLASS/*.png` (or jpg, bmp, tif). Segmentation: `data/test/images/*.png` beside
`data/test/masks/*.png`, whose pixels are class indices (or 0 and 255). Where PATH holds a folder named like the split,
that one is read; PATH without folders named like splits is the split `test`. `train = "data/train"` and `validation =
"FOLDER"` name folders of their own for these splits. `classes = ["normal", "cyst"]` sets their order, which must be
that of the model's outputs (otherwise: by their letters, numbers by their value); `resize = [64, 64]` brings all images
to one height and width; `mode = "L"` makes all of them grey, `mode = "RGB"` colour.

A file X_mask.png, X_mask_1.png, X_segmentation.png or X_seg.png beside an image X is its mask, never an image (BUSI,
ISIC). In masks/ these are parts of one mask, which are joined. A mask is read by its class indices: grey values, or the
indices of a palette; one that holds 0 and 255 alone has the classes 0 and 1. A JPEG can only be a mask of one class.
`labels = "labels.txt"` names the classes, one a line; `ignore_index = 254` is the value of pixels that count for
nothing. `masks = "beside"` reads such pairs for segmentation, from PATH and the folders in it: every image must have
its mask beside it.

`variable = "EDGEWARD_LESIONS"` names a variable of the environment: where it is set, it says which folder is meant in
place of `path`, for images that lie elsewhere on every machine.

`list = "images.csv"` names a list of the images: its column `file` holds paths from the list's folder (with `variable`,
from the folder of the images), and where it has a column `split`, this says which images are which split, in place of
folders. `group = "patient"` names its column of patients; `group = "(P[0-9]+)_"`, a regular expression with one group,
finds them in the images' paths instead. `subgroup = "site"` names its column of what figures are given apart for.
`spacing = [0.2, 0.2]` is height and width of a stored pixel in millimetres: distances between outlines are then given
in millimetres too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal
from unicodedata import normalize

import numpy as np

from harness.data import _groups, _pictures, _places, _spacing, _splits
from harness.errors import LabError
from harness.model import IGNORED, IntArray, Samples

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
#: The name of a mask beside an image, and that of its image.
_MASK: Final = re.compile(r"(.+)_(?:mask|segmentation|seg)(?:_\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """What `[data]` may say besides the source's name.

    Attributes:
        path: the folder, relative to the suite.
        variable: of the environment: where it is set, it is the folder instead of `path`; "" for none.
        origin: where its images are to be had, in words that are shown where the folder is missing.
        train: a folder that is the split `train` alone; "" where `path` holds it.
        validation: the same of the split `validation`.
        classes: names of the class folders in the order of the model's outputs.
        labels: a text file with these names, one a line, instead.
        ignore_index: the value of a mask's pixels that count for nothing.
        masks: "beside" where the mask of each image lies beside it, for segmentation.
        list: a CSV that says of each image, in its column `file`, the split or the patient.
        group: the column of the list that holds the patient of each image, or a regular expression with one group that
            finds it in the image's path; "" where each image is of another one.
        subgroup: the column of the list that holds what figures are given apart for; "" for nothing.
        resize: height and width in pixels that all images are brought to (bilinear; masks by nearest neighbour).
        mode: "L" for grey, "RGB" for colour, "" for what the files are.
        spacing: height and width of a stored pixel in millimetres; None where nobody says it.
    """

    path: str = "data/test"
    variable: str = ""
    origin: str = ""
    train: str = ""
    validation: str = ""
    classes: tuple[str, ...] = ()
    labels: str = ""
    ignore_index: int | None = None
    masks: Literal["", "beside"] = ""
    list: str = ""
    group: str = ""
    subgroup: str = ""
    resize: tuple[int, int] | None = None
    mode: Literal["", "L", "RGB"] = ""
    spacing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _splits.once(self.classes)
        _spacing.checked(self.spacing)
        _groups.apart(self.group, self.subgroup)
        if self.variable and not re.fullmatch("EDGEWARD_[A-Z0-9_]+", self.variable):
            raise ValueError(f"`variable` must be called EDGEWARD_… in capitals, not {self.variable!r}")
        if self.subgroup and not self.list:
            raise ValueError(f'`subgroup` needs a list with a column {self.subgroup}: write list = "images.csv"')
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError("`resize` must be [HEIGHT, WIDTH] in pixels, both at least 1")
        if "(" in self.group:
            try:
                groups = re.compile(self.group).groups
            except re.error as error:
                raise ValueError(f"`group` is no regular expression: {error}") from error
            if groups != 1:
                raise ValueError(f"`group` must have one group, the patient, not {groups}")
        elif self.group and not self.list:
            raise ValueError(
                f'`group` needs a list with a column {self.group}: write list = "images.csv", or a pattern with a group'
            )


def load(options: Options, *, split: str, base: Path, cache: Path) -> Samples:  # noqa: ARG001  nothing is derived
    """Return a split of a folder: images (N, H, W, 1 or 3) uint8 in the order of their paths.

    Args:
        options: the folder, its classes and how images are brought to one size.
        split: a folder of this name inside the path is read where there is one; else the path is the split `test`.
        base: folder of the suite.
        cache: unused.

    Raises:
        LabError: a folder or file is missing, empty, corrupt or unlike the others, or there is no such split; it names
            the file.
    """
    options = replace(options, classes=_splits.declared(options.classes, options.labels, base), labels="")
    if options.variable:
        options = _elsewhere(options)
    counted_from = base / options.path if options.variable else None
    listed = _groups.read_list(base / options.list, counted_from) if options.list else None
    root, by_list = _places.root(options, split, base, listed)
    chosen = _Chosen(options, split, root, listed, by_list)
    if options.masks == "beside":
        return _segmentation(_beside(root, listed), chosen)
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return _segmentation(_apart(root), chosen)
    return _classification(chosen)


def example(folder: Path) -> Mapping[str, Any]:
    """Write six grey images into one folder for each of three classes and return the keys that read them."""
    from PIL import Image

    classes = ["normal", "cyst", "solid"]
    for index, pixels in enumerate(np.arange(6 * 8 * 10, dtype=np.uint8).reshape(6, 8, 10)):
        file = folder / "example" / classes[index % 3] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return {"path": "example", "classes": classes}


def _elsewhere(options: Options) -> Options:
    """Return the options with the folder that the variable names as their path, where it is set.

    Raises:
        LabError: it names no folder.
    """
    named = os.environ.get(options.variable, "")
    if not named:
        hint = f"{options.variable} may name their folder"
        return replace(options, origin=f"{hint}; {options.origin}" if options.origin else hint)
    if not Path(named).is_dir():
        text = f"there is no such folder, which {options.variable} names"
        raise LabError(text, remedy=f"correct or unset it{f': {options.origin}' if options.origin else ''}", file=named)
    return replace(options, path=str(Path(named).absolute()))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which images of a folder are wanted, and of which patients they are.

    Attributes:
        options: of `[data]`.
        split: that is asked for.
        root: the folder.
        listed: the list of images, None without one.
        by_list: whether that list says which images are the split.
    """

    options: Options
    split: str
    root: Path
    listed: _groups.Listed | None
    by_list: bool

    def of_split(self, pictures: Sequence[Path]) -> tuple[Path, ...]:
        """Return the images that are of the split; raises LabError if none is."""
        if not self.by_list or self.listed is None or not pictures:
            return tuple(pictures)
        return _places.of_split(self.listed, self.split, pictures)

    def patients(self, pictures: Sequence[Path]) -> tuple[IntArray | None, tuple[str, ...]]:
        """Return the patient of each image, and what the patients are called."""
        if not self.options.group:
            return None, ()
        if "(" in self.options.group:
            return _groups.codes(_groups.of_pattern(pictures, self.options.group, self.root))
        assert self.listed is not None
        return _groups.codes(self.listed.of(pictures, self.options.group))

    def subgroups(self, pictures: Sequence[Path]) -> tuple[IntArray | None, tuple[str, ...]]:
        """Return the subgroup of each image, and what the subgroups are called."""
        if not self.options.subgroup:
            return None, ()
        assert self.listed is not None
        return _groups.subgroups(self.listed.of(pictures, self.options.subgroup), self.listed.path, "subgroup")


def _images_in(folder: Path) -> list[Path]:
    return _checked(_places.visible(folder))


def _checked(found: list[Path]) -> list[Path]:
    """Return files of a folder; raises LabError if one of them is no image."""
    for path in found:
        if path.is_dir():
            raise _pictures.wrong(
                path, "is a folder inside a folder of images", remedy="move its images up or remove it"
            )
        if path.suffix.lower() not in SUFFIXES:
            raise _pictures.wrong(path, f"is not one of {' '.join(SUFFIXES)}", remedy="convert or remove it")
    return found


def _without_masks(found: list[Path]) -> list[Path]:
    """Return the images of a folder, without the masks that lie beside them.

    Raises:
        LabError: a file is named like a mask, and there is no image that it would be of.
    """
    stems = {path.stem for path in found}
    images = []
    for path in found:
        named_as_mask = _MASK.fullmatch(path.stem)
        if named_as_mask is None:
            images.append(path)
        elif named_as_mask[1] not in stems:
            raise _pictures.wrong(
                path,
                f"is named like the mask of an image {named_as_mask[1]}, and there is none",
                remedy="put that image beside it, remove it, or rename it if it is an image itself",
            )
    return images


def _classification(chosen: _Chosen) -> Samples:
    root, options = chosen.root, chosen.options
    # macOS writes an accent behind its letter, editors write both as one: the same name.
    folders = {normalize("NFC", path.name): path for path in _places.visible(root) if path.is_dir()}
    classes = tuple(normalize("NFC", name) for name in options.classes) or _splits.in_order(folders)
    if not folders:
        loose = any(path.suffix.lower() in SUFFIXES for path in _places.visible(root))
        raise _pictures.wrong(
            root,
            "holds images and no folder" if loose else "holds no folder",
            remedy="put the images into one folder a class"
            + (', or write masks = "beside" under [data] if each has its mask X_mask.png beside it' if loose else ""),
        )
    for name in classes:
        if name not in folders:
            raise _pictures.wrong(
                root,
                f"has no folder for the class {name!r}, only {', '.join(folders)}",
                remedy="correct `classes`, or make an empty folder of this name where the split has no image of it",
            )
    for name, folder in folders.items():
        if name not in classes:
            raise _pictures.wrong(folder, "is not named in `classes` of [data]", remedy="add or remove it")
    everything = {name: _images_in(folders[name]) for name in classes}
    pictures = {name: _without_masks(paths) for name, paths in everything.items()}
    for name, paths in pictures.items():
        if not paths and not options.classes:
            raise _pictures.wrong(
                folders[name], "holds no image", remedy="add some, remove the folder, or set `classes`"
            )
    of = {path: index for index, name in enumerate(classes) for path in pictures[name]}
    if not of:
        raise _pictures.wrong(root, "holds no image in any class", remedy="add some")
    files = chosen.of_split(list(of))
    left_out = sum(map(len, everything.values())) - len(of)
    beside = f", {left_out} masks beside them left out" if left_out else ""
    images = _pictures.stack(files, options)
    groups, names = chosen.patients(files)
    parts, called = chosen.subgroups(files)
    return Samples(
        images=images,
        labels=np.array([of[path] for path in files], np.int64),
        classes=classes,
        description=f"{len(files)} images{_groups.counted(names)} in {len(classes)} classes from {root.name}/, "
        f"split {chosen.split}{beside}",
        remarks=_pictures.turned(files),
        groups=groups,
        group_names=names,
        subgroup=options.subgroup,
        subgroups=parts,
        subgroup_names=called,
    )


def _segmentation(masks: Mapping[Path, Sequence[Path]], chosen: _Chosen) -> Samples:
    """Return the samples of a split.

    Args:
        masks: of each image of the folder.
        chosen: which of them are wanted.
    """
    root, options = chosen.root, chosen.options
    pictures = chosen.of_split(list(masks))
    indices, classes = _classes(
        np.stack([_pictures.joined(path, masks[path], options) for path in pictures]), options, root
    )
    groups, names = chosen.patients(pictures)
    parts, called = chosen.subgroups(pictures)
    spacing = None
    if options.spacing is not None:
        stored = [_pictures.shape(path) for path in pictures]
        spacing = _spacing.resized([options.spacing] * len(pictures), stored, indices.shape[1:])
    return Samples(
        images=_pictures.stack(pictures, options),
        labels=np.empty(0, np.int64),
        classes=classes,
        description=f"{len(pictures)} images{_groups.counted(names)} with masks from {root.name}/, "
        f"split {chosen.split}",
        masks=indices,
        remarks=_pictures.turned(pictures),
        groups=groups,
        group_names=names,
        subgroup=options.subgroup,
        subgroups=parts,
        subgroup_names=called,
        spacing=spacing,
    )


def _apart(root: Path) -> dict[Path, Sequence[Path]]:
    """Return the masks of each image, where images/ and masks/ are two folders."""
    pictures = _images_in(root / "images")
    if not pictures:
        raise _pictures.wrong(root / "images", "holds no image", remedy="add some")
    masks = _masks_of(_images_in(root / "masks"), pictures)
    for path in pictures:
        if path.stem not in masks:
            raise _pictures.wrong(path, "has no mask", remedy="put one of the same name into masks/")
    extra = masks.keys() - {path.stem for path in pictures}
    if extra:
        raise _pictures.wrong(
            masks[min(extra)][0], "has no image", remedy="put one of the same name into images/ or remove it"
        )
    return {path: masks[path.stem] for path in pictures}


def _beside(root: Path, listed: _groups.Listed | None) -> dict[Path, Sequence[Path]]:
    """Return the masks of each image, where both lie in one folder, or in the folders of it."""
    found: dict[Path, Sequence[Path]] = {}
    for folder in (root, *(path for path in _places.visible(root) if path.is_dir())):
        own = [path for path in _places.visible(folder) if listed is None or not path.samefile(listed.path)]
        files = _checked([path for path in own if folder != root or not path.is_dir()])
        pictures = _without_masks(files)
        masks = _masks_of([path for path in files if path not in pictures], pictures)
        for path in pictures:
            if path.stem not in masks:
                remedy = f"put {path.stem}_mask.png beside it: black where the image holds nothing of the class"
                raise _pictures.wrong(path, "has no mask", remedy=remedy)
            found[path] = masks[path.stem]
    if not found:
        raise _pictures.wrong(root, "holds no image", remedy="add some")
    return found


def _masks_of(files: Sequence[Path], pictures: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the masks of each image by the image's name: NAME, NAME_mask, NAME_mask_1, … are parts of one mask."""
    stems, seen = {path.stem for path in pictures}, dict[str, Path]()
    masks: dict[str, list[Path]] = {}
    for path in files:
        if path.stem in seen:
            raise _pictures.wrong(path, f"and {seen[path.stem].name} are two masks of one name", remedy="remove one")
        seen[path.stem] = path
        part = _MASK.fullmatch(path.stem)
        of = part[1] if part is not None and path.stem not in stems and part[1] in stems else path.stem
        masks.setdefault(of, []).append(path)
    return masks


def _classes(masks: _pictures.Bytes, options: Options, root: Path) -> tuple[_pictures.Bytes, tuple[str, ...]]:
    """Return masks as class indices, and the classes' names."""
    masks = _splits.plain_masks(masks, options.ignore_index)
    highest = _splits.highest_class(masks, options.ignore_index)
    if highest == IGNORED:
        raise _pictures.wrong(root / "masks", _splits.BESIDE_255, remedy=_splits.REMEDY_255)
    names = options.classes or tuple(str(index) for index in range(max(2, highest + 1)))
    if highest >= len(names):
        raise _pictures.wrong(
            root / "masks",
            f"goes up to class {highest}, but `classes` in [data] names {len(names)}",
            remedy="name every class",
        )
    return masks, names
