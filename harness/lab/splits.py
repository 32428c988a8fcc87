"""A suite's `[data]` -> the samples of a split, as its source gives them, for whatever measures or learns from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from harness import cache_dir, registry
from harness.errors import HarnessError, LabError, NoSplit, Unforeseen
from harness.lab import folds
from harness.lab.reading import shown
from harness.model import Samples, Suite

#: A shorter name of a file stands in too many words.
_SHORTEST: Final = 4


def read_split(suite: Suite, split: str) -> Samples:
    """Return a split of a suite's data, as its source gives it.

    Raises:
        LabError: the data source finds it wrong, there is no such split, it cannot be reached, or its files identify
            patients and the suite is not confidential.
        Unforeseen: the data source failed otherwise.
    """
    table, file = dict(suite.data), shown(suite.file)
    module = registry.load("data", table.pop("source"), file=file, key="data.source")
    options = registry.options(module, table, file=file, key="data")
    try:
        load = partial(module.load, options, base=suite.file.parent, cache=cache_dir() / "data")
        found: Samples = load(split=split) if suite.folds is None else _of_pool(suite, load, split)
    except LabError as error:
        if not suite.confidential:
            raise
        raise _unnamed(error, suite) from None
    except HarnessError:
        raise
    except OSError as error:
        raise LabError(
            f"the split {split} cannot be read ({type(error).__name__}: {error})",
            remedy="correct what [data] names, or bring it within reach",
            file=file,
            key="data",
        ) from error
    except Exception as error:
        raise Unforeseen(f"{suite.file}: reading the data", error) from error
    _check_labels(suite, found, split)
    if found.identifying and not suite.confidential:
        raise LabError(
            f"is not set, and files of the split {split} identify patients: {found.identifying}",
            remedy="write confidential = true at the top of the suite, or remove what identifies them and mark them as "
            "PatientIdentityRemoved = YES (DICOM PS3.15, annex E)",
            file=file,
            key="confidential",
        )
    return found


def _unnamed(error: LabError, suite: Suite) -> LabError:
    """Return an error of a confidential suite without the names of its images' files, which may be patients'.

    A file is named by its place among those of the data in the order of their names, as `find FOLDER -type f |
    LC_ALL=C sort` lists them.
    """
    root = suite.file.parent / str(suite.data.get("path", ""))
    if not root.is_dir():
        return error
    names = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    places = {name: f"file {place} of the data" for place, name in enumerate(sorted(names), start=1)}
    said = [error.text, error.remedy, error.file]
    forms = [(form, name) for name in names for form in (str(root / name), shown(root / name), name, Path(name).name)]
    # The longest first: a name may end with another one.
    for form, name in sorted(forms, key=lambda one: (-len(one[0]), one)):
        if len(form) >= _SHORTEST:
            said = [text.replace(form, places[name]) for text in said]
    return type(error)(said[0], remedy=said[1], file=said[2], key=error.key)


def _of_pool(suite: Suite, load: Callable[..., Samples], split: str) -> Samples:
    """Return the split that a suite's folds make of the images, which must have no splits of their own."""
    assert suite.folds is not None
    file = shown(suite.file)
    for own in ("train", "validation"):
        try:
            load(split=own)
        except NoSplit:
            continue
        raise LabError(
            f"divides one pool, and the data has a split {own} of its own",
            remedy="remove `folds` and `fold`, or join the splits to one, such as `images` without a split's name",
            file=file,
            key="data.folds",
        )
    return folds.part(load(split="test"), suite.folds, split, file=file)


def _check_labels(suite: Suite, samples: Samples, split: str) -> None:
    """Refuse several labels an image in a task of one, and the reverse."""
    if not len(samples.labels):
        return
    file, kind = shown(suite.file), suite.task.kind
    wanted = bool(getattr(registry.load("metrics", kind, file=file, key="task.kind"), "SEVERAL_LABELS", False))
    several = samples.labels.ndim == 2
    if several and not wanted:
        one_each = bool((samples.labels.clip(0).sum(axis=1) == 1).all())
        raise LabError(
            f"is {kind!r}, and the split {split} has {samples.labels.shape[1]} labels an image"
            + (", of which each image has exactly one" if one_each else ""),
            remedy='write kind = "multilabel"'
            + (", or save the labels as one number an image, labels.argmax(axis=1)" if one_each else ""),
            file=file,
            key="task.kind",
        )
    if wanted and not several:
        raise LabError(
            f"is {kind!r}, and the split {split} has one label an image",
            remedy='write kind = "classification", or save the labels as (N, K) of 0 and 1',
            file=file,
            key="task.kind",
        )
