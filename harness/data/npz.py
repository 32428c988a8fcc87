"""`[data] source = "npz"; path = "data/test.npz"`: arrays in one NumPy file.

The arrays are `images` (N, H, W[, C]) and `labels` (N) or `masks` (N, H, W), which are the split `test`, or, as
MedMNIST names them, `test_images` and `test_labels`, chosen by `split`. `train = "data/train.npz"` and `validation =
"FILE"` name files of their own for these splits. `classes = ["normal", "cyst"]` names the classes in the order of the
model's outputs, `labels = "labels.txt"` does the same with one name a line; without them they are named by their
numbers, and text labels are sorted, numbers in them by their value. Masks of 0 and 255 alone have the classes 0 and 1;
`ignore_index = 254` is the value of pixels that count for nothing. `group = "patient"` names the array (N,) of the
patients, whole numbers or texts: `patient` beside `images`, `test_patient` beside `test_images`.
`subgroup = "site"` names such an array of what figures are given apart for. Labels (N, K) of 0 and 1 are several an
image, for `kind = "multilabel"`; `missing = "ignore"` takes -1 and NaN among them as unknown. `spacing = [0.2, 0.2]` is
height and width of a pixel in millimetres: distances between outlines are then given in millimetres too.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from harness.data import _groups, _spacing, _splits
from harness.errors import LabError, NoSplit
from harness.model import IGNORED, IntArray, Samples

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What `[data]` may say besides the source's name.

    Attributes:
        path: the .npz file, relative to the suite.
        train: a file that holds the split `train` alone; "" where `path` holds it.
        validation: the same of the split `validation`.
        classes: names in the order of the model's outputs.
        labels: a text file with these names, one a line, instead.
        ignore_index: the value of a mask's pixels that count for nothing.
        group: the array that holds the patient of each image; "" where each image is of another one.
        subgroup: the array that holds what figures are given apart for; "" for nothing.
    """

    path: str = "data/test.npz"
    train: str = ""
    validation: str = ""
    classes: tuple[str, ...] = ()
    labels: str = ""
    ignore_index: int | None = None
    group: str = ""
    subgroup: str = ""
    spacing: tuple[float, float] | None = None
    missing: Literal["refuse", "ignore"] = "refuse"

    def __post_init__(self) -> None:
        _spacing.checked(self.spacing)
        _splits.once(self.classes)
        _groups.apart(self.group, self.subgroup)


def load(options: Options, *, split: str, base: Path, cache: Path) -> Samples:  # noqa: ARG001  nothing is derived
    """Return a split of an .npz file.

    Args:
        options: the file and the names of its classes.
        split: `test` takes `test_images`, or `images` of a file that holds no other split.
        base: folder of the suite.
        cache: unused.

    Raises:
        LabError: the file is missing or corrupt, an array is missing, or they do not fit one another.
        NoSplit: it has no such split.
    """
    options = replace(options, classes=_splits.declared(options.classes, options.labels, base), labels="")
    alone = _splits.path_alone(split, train=options.train, validation=options.validation)
    path = base / (alone or options.path)
    with _opened(path) as arrays:
        return _split(arrays, options, split, alone=bool(alone))


def _split(arrays: _Arrays, options: Options, split: str, *, alone: bool) -> Samples:
    """Return a split; arguments as for `load`, of which `alone` says that the file holds this split and no other."""
    path = arrays.path
    prefix = _prefix(arrays, split, path, alone=alone)
    images = _images(arrays[f"{prefix}images"], path, f"{prefix}images")
    labels, masks = np.empty(0, np.int64), None
    if f"{prefix}masks" in arrays:
        masks, classes = _masks(arrays[f"{prefix}masks"], images, options, path, f"{prefix}masks")
    elif f"{prefix}labels" in arrays:
        several = arrays[f"{prefix}labels"]
        if several.ndim == 2 and several.shape[1] > 1:
            labels, classes = _several(several, len(images), options, path, f"{prefix}labels")
        else:
            labels, classes = _labels(arrays, f"{prefix}labels", len(images), options, path)
    else:
        raise _wrong(path, f"has no {prefix}labels and no {prefix}masks, only {_listed(arrays)}", remedy="add one")
    groups, names = _groups_of(arrays, f"{prefix}{options.group}", len(images), path) if options.group else (None, ())
    parts, called = _subgroups_of(arrays, prefix, options, len(images), path)
    return Samples(
        images=images,
        labels=labels,
        classes=classes,
        description=f"{len(images)} images{_groups.counted(names)} from {path.name}, split {split}",
        masks=masks,
        groups=groups,
        group_names=names,
        subgroup=options.subgroup,
        subgroups=parts,
        subgroup_names=called,
        spacing=np.tile(options.spacing, (len(images), 1)) if options.spacing and masks is not None else None,
    )


def example(folder: Path) -> Mapping[str, Any]:
    """Write six grey images of three classes into `example.npz` and return the keys that read them."""
    images = np.arange(6 * 8 * 10, dtype=np.uint8).reshape(6, 8, 10)
    np.savez(folder / "example.npz", images=images, labels=np.arange(6) % 3)
    return {"path": "example.npz", "classes": ["normal", "cyst", "solid"]}


def _wrong(path: Path, text: str, key: str = "", *, remedy: str) -> LabError:
    return LabError(text, remedy=remedy, file=str(path), key=key)


def _listed(arrays: Mapping[str, Array]) -> str:
    return ", ".join(sorted(arrays)) or "nothing"


class _Arrays(Mapping[str, Array]):
    """The arrays of a file, each read when it is asked for: a file of all splits may be larger than the memory."""

    def __init__(self, path: Path, archive: np.lib.npyio.NpzFile) -> None:
        self.path = path
        self._archive = archive

    def __getitem__(self, name: str) -> Array:
        if name not in self._archive.files:
            raise KeyError(name)
        with _readable(self.path):
            array: Array = self._archive[name]
        if not isinstance(array, np.ndarray):  # a member that is no array comes as bytes
            raise _wrong(self.path, "is no array of NumPy", name, remedy="save it again with numpy.savez")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.files)

    def __len__(self) -> int:
        return len(self._archive.files)


#: How much is shown of what a library says, which may hold bytes of the file; characters.
_SAID: Final = 300


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say of what is wrong with a file what it is, and what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise _wrong(path, "there is no such file", remedy="correct `path` in [data] or put the data there") from error
    except IsADirectoryError as error:
        raise _wrong(path, "is a folder", remedy='for a folder of images write source = "folder"') from error
    # NumPy tokenizes a header that it cannot parse.
    except (
        *(ValueError, EOFError, OSError, RuntimeError, MemoryError, SyntaxError),
        *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
    ) as error:
        if "pickle" in str(error):
            raise _wrong(path, "holds Python objects, which are never loaded", remedy="save plain arrays") from error
        raise _wrong(
            path, f"cannot be read as an .npz ({str(error)[:_SAID]})", remedy="copy or save it again"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[_Arrays]:
    with _readable(path):
        with path.open("rb") as stream:
            begins = stream.read(6)
        if begins and not begins.startswith((b"PK", b"\x93NUMPY")):  # NumPy would take it for Python objects
            raise _wrong(
                path, "is no .npz: it does not begin as one", remedy="copy it again, or save it with numpy.savez"
            )
        archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise _wrong(path, "is a single array", remedy="save images and labels together with numpy.savez")
    with archive:
        yield _Arrays(path, archive)


def _prefix(arrays: Mapping[str, Array], split: str, path: Path, *, alone: bool) -> str:
    """Return what stands before `images` and `labels` in the names of a split's arrays.

    Args:
        arrays: of the file.
        split: that is asked for.
        path: of the file.
        alone: whether the suite says that the file holds this split and no other.
    """
    splits = [name.removesuffix("_images") for name in arrays if name.endswith("_images")]
    found = _splits.named(split, splits)
    if len(found) > 1:
        both = " and ".join(f"{name}_images" for name in found)
        raise _wrong(path, f"holds {both}, which both mean the split {split}", remedy="rename or remove one")
    if found:
        return f"{found[0]}_"
    if "images" in arrays and (alone or _splits.canonical(split) == "test"):
        if beside := _splits.others(split, splits):
            raise _wrong(
                path,
                f"holds images beside {beside[0]}_images, which leaves open what split they are",
                remedy=f"rename them {split}_images, and their labels alike",
            )
        return ""
    wanted = f"images or {split}_images" if _splits.canonical(split) == "test" or alone else f"{split}_images"
    raise NoSplit(
        f"has no split {split}: no array {wanted}, only {_listed(arrays)}",
        remedy=f"add {split}_images and their labels, correct `split`{_splits.line_to_write(split, 'data/{}.npz')}",
        file=str(path),
    )


def _images(images: Array, path: Path, key: str) -> Array:
    """Return (N, H, W, C) as uint8 or float32."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or 0 in images.shape:
        raise _wrong(path, f"has the shape {images.shape}", key, remedy="(N, H, W) or (N, H, W, C) is needed")
    if images.shape[3] > 4 and images.shape[1] <= 4:
        raise _wrong(path, f"has its channels first, {images.shape}", key, remedy="save images.transpose(0, 2, 3, 1)")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iufb":
        raise _wrong(path, f"holds {images.dtype}", key, remedy="numbers are needed")
    converted = images.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(converted).all(axis=(1, 2, 3)))
    if bad.size:
        raise _wrong(path, f"image {bad[0]} holds NaN or infinity", key, remedy="repair or remove it")
    return converted


def _whole(values: Array, path: Path, key: str) -> IntArray:
    """Return class indices as int64; labels of 0.5 or -1 are nobody's class."""
    if values.dtype.kind not in "iufb":
        raise _wrong(path, f"holds {values.dtype}", key, remedy="save class indices, whole numbers from 0")
    strange = np.argwhere(~((values == np.rint(values)) & (values >= 0)))
    if len(strange):
        value, image = values[tuple(strange[0])], int(strange[0][0])
        images = len(np.unique(strange[:, 0]))
        raise _wrong(
            path,
            f"holds {value:g} in image {image}, which is no class index ({images} of {len(values)} images have such)",
            key,
            remedy="save whole numbers from 0, and leave out what has no class",
        )
    return values.astype(np.int64)


def _names(highest: int, options: Options, path: Path, key: str) -> tuple[str, ...]:
    if not options.classes:
        return tuple(str(index) for index in range(highest + 1))
    if highest >= len(options.classes):
        raise _wrong(
            path,
            f"goes up to class {highest}, but `classes` in [data] names {len(options.classes)}",
            key,
            remedy="name every class, or correct what is beyond them",
        )
    return options.classes


def _labels(
    arrays: Mapping[str, Array], key: str, count: int, options: Options, path: Path
) -> tuple[IntArray, tuple[str, ...]]:
    labels = arrays[key]
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels  # MedMNIST's (N, 1)
    if labels.ndim != 1:
        raise _wrong(path, f"has the shape {labels.shape}", key, remedy="one label an image, (N,), is needed")
    if len(labels) != count:
        raise _wrong(path, f"holds {len(labels)} labels for {count} images", key, remedy="save them again together")
    every = [arrays[name] for name in arrays if name.endswith("_labels")]
    if labels.dtype.kind == "U":
        return _named(labels, [array for array in every if array.dtype.kind == "U"], options, path, key)
    whole = _whole(labels, path, key)
    # A class that this split lacks is still an output of the model, so the other splits are asked too.
    others = [array for array in every if array.dtype.kind in "iu"]
    highest = max(
        [int(whole.max())] + ([] if options.classes else [int(array.max()) for array in others if array.size])
    )
    return whole, _names(highest, options, path, key)


def _several(values: Array, count: int, options: Options, path: Path, key: str) -> tuple[IntArray, tuple[str, ...]]:
    """Return (N, K) labels of 0 and 1, and -1 where nobody knows and the suite says what is to be done."""
    if len(values) != count:
        raise _wrong(path, f"holds labels of {len(values)} images for {count}", key, remedy="save them again together")
    k = values.shape[1]
    if options.classes and len(options.classes) != k:
        text = f"has {k} labels an image, but `classes` in [data] names {len(options.classes)}"
        raise _wrong(path, text, key, remedy="name every label")
    if values.dtype.kind not in "iufb":
        raise _wrong(path, f"holds {values.dtype}", key, remedy="save 0 and 1")
    numbers = values.astype(np.float64)
    numbers = np.where(np.isnan(numbers), -1, numbers)
    strange = ~np.isin(numbers, (-1, 0, 1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        text = f"holds {numbers[row, column]:g} for label {column} of image {row}, and labels of several are 0 or 1"
        raise _wrong(path, text, key, remedy="save 0 and 1, or one label an image, (N,)")
    unknown = int((numbers < 0).sum())
    if unknown and options.missing == "refuse":
        raise _wrong(
            path,
            f"holds {unknown} labels that are not known (-1 or NaN)",
            key,
            remedy='write missing = "ignore" under [data]: they count for nothing then; or complete them',
        )
    return numbers.astype(np.int64), options.classes or tuple(str(index) for index in range(k))


def _named(
    labels: Array, everywhere: Sequence[Array], options: Options, path: Path, key: str
) -> tuple[IntArray, tuple[str, ...]]:
    classes = options.classes or _splits.in_order(
        {str(label) for array in (labels, *everywhere) for label in array.ravel()}
    )
    unknown = sorted({str(label) for label in labels} - set(classes))
    if unknown:
        raise _wrong(
            path,
            f"holds the class {unknown[0]!r}, which `classes` in [data] does not name",
            key,
            remedy="name every class",
        )
    index = {name: position for position, name in enumerate(classes)}
    return np.array([index[str(label)] for label in labels], np.int64), classes


def _groups_of(arrays: Mapping[str, Array], key: str, count: int, path: Path) -> tuple[IntArray, tuple[str, ...]]:
    if key not in arrays:
        remedy = "add it, or correct `group` under [data]"
        raise _wrong(path, f"has no array {key} of patients, only {_listed(arrays)}", remedy=remedy)
    return _groups.of_array(arrays[key], count, path, key)


def _subgroups_of(
    arrays: Mapping[str, Array], prefix: str, options: Options, count: int, path: Path
) -> tuple[IntArray | None, tuple[str, ...]]:
    key = f"{prefix}{options.subgroup}"
    if not options.subgroup:
        return None, ()
    if key not in arrays:
        remedy = "add it, or correct `subgroup` under [data]"
        raise _wrong(path, f"has no array {key} of subgroups, only {_listed(arrays)}", remedy=remedy)
    values = arrays[key].reshape(-1)
    if len(values) != count or values.dtype.kind not in "iuU" or not all(str(one).strip() for one in values):
        remedy = "save one number or text an image"
        raise _wrong(path, f"does not say the subgroup of {count} images", key, remedy=remedy)
    return _groups.subgroups([str(one).strip() for one in values], path, key)


def _masks(
    masks: Array, images: Array, options: Options, path: Path, key: str
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    masks = masks[..., 0] if masks.ndim == 4 and masks.shape[3] == 1 else masks
    if masks.shape != images.shape[:3]:
        raise _wrong(
            path,
            f"has the shape {masks.shape} for images of {images.shape[:3]}",
            key,
            remedy="save them again together",
        )
    whole = _whole(masks, path, key)
    if whole.max() > 255:
        raise _wrong(path, f"goes up to class {whole.max()}", key, remedy="at most 256 classes are possible")
    plain = _splits.plain_masks(whole.astype(np.uint8), options.ignore_index)
    highest = _splits.highest_class(plain, options.ignore_index)
    if highest == IGNORED:
        raise _wrong(path, _splits.BESIDE_255, key, remedy=_splits.REMEDY_255)
    return plain, _names(highest, options, path, key)
