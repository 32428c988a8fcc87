"""Masks of DICOM files, which a list names, and how large a pixel of each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from harness.data import _dicom_file, _groups, _pictures, _spacing, _splits
from harness.model import IGNORED, FloatArray

_AT_DETECTOR = "the files say how large a pixel is at the detector alone: in the patient distances are shorter"


class Wanted(_pictures.How, Protocol):
    """What `[data]` says of masks, beside how files become pixels."""

    @property
    def mask_column(self) -> str:
        """The column of the list that names them."""

    @property
    def ignore_index(self) -> int | None:
        """The value of pixels that count for nothing."""

    @property
    def spacing(self) -> _spacing.Size | Literal["file", "none"]:
        """How large a stored pixel is, or who says it."""


@dataclass(frozen=True, slots=True)
class Masks:
    """What is known of the masks of a split.

    Attributes:
        masks: (N, H, W) class indices.
        classes: their names.
        spacing: (N, 2) height and width of a pixel in millimetres; None where nobody says it.
        remarks: what must be doubted of it.
    """

    masks: _pictures.Bytes
    classes: tuple[str, ...]
    spacing: FloatArray | None
    remarks: tuple[str, ...]


def read(
    pictures: Sequence[_dicom_file.Picture],
    files: Sequence[Path],
    options: Wanted,
    listed: _groups.Listed,
    classes: Sequence[str],
) -> Masks:
    """Return the masks of all files.

    Args:
        pictures: what each file holds.
        files: their paths.
        options: of `[data]`.
        listed: the list that names the mask of each.
        classes: the names that `[data]` gives, () for numbers.

    Raises:
        LabError: a mask is missing or of another size, a file holds several frames, or some files alone say how large
            a pixel is.
    """
    names = listed.of(files, options.mask_column)
    made = []
    for path, picture, name in zip(files, pictures, names, strict=True):
        if len(picture.frames) > 1:
            text = f"holds {len(picture.frames)} frames, and one mask cannot be that of all"
            raise _pictures.wrong(path, text, remedy="save each frame with its mask as a file of its own")
        mask = listed.path.parent / name
        if not mask.is_file():
            raise _pictures.wrong(mask, "there is no such file", remedy=f"correct {listed.path.name}")
        made.append(_pictures.mask(picture.frames.shape[2:0:-1], mask, options))
    masks = _splits.plain_masks(np.stack(made), options.ignore_index)
    highest = _splits.highest_class(masks, options.ignore_index)
    if highest == IGNORED:
        raise _pictures.wrong(listed.path, _splits.BESIDE_255, remedy=_splits.REMEDY_255)
    known = tuple(classes) or tuple(str(index) for index in range(max(2, highest + 1)))
    if highest >= len(known):
        text = f"names masks that go up to class {highest}, but `classes` in [data] names {len(known)}"
        raise _pictures.wrong(listed.path, text, remedy="name every class")
    sizes = _sizes(pictures, files, options)
    stored = [(picture.frames.shape[1], picture.frames.shape[2]) for picture in pictures]
    spacing = _spacing.resized(sizes, stored, masks.shape[1:]) if sizes else None
    at_detector = options.spacing == "file" and any(picture.at_detector for picture in pictures)
    return Masks(masks, known, spacing, (_AT_DETECTOR,) if at_detector else ())


def _sizes(pictures: Sequence[_dicom_file.Picture], files: Sequence[Path], options: Wanted) -> list[_spacing.Size]:
    """Return how large a stored pixel of each file is, nothing where distances are in pixels alone."""
    if not isinstance(options.spacing, str):
        return [options.spacing] * len(files)
    found = [picture.spacing for picture in pictures]
    known = [size for size in found if size is not None]
    remedy = f'{_spacing.DECLARE} for all, or spacing = "none", under [data]'
    if known and len(known) < len(files):
        path = files[found.index(None)]
        raise _pictures.wrong(path, "does not say how large a pixel is, and other files do", remedy=remedy)
    if len({picture.at_detector for picture in pictures}) > 1:
        path = next(path for path, one in zip(files, pictures, strict=True) if one.at_detector)
        text = "says how large a pixel is of its detector alone, and other files of the patient"
        raise _pictures.wrong(path, text, remedy=remedy)
    return known
