"""`[data] source = "medmnist"; name = "breastmnist"; size = 28`: a data set of MedMNIST v2, its official splits.

Sizes are 28, 64, 128 and 224. `path = "FILE"` is a local copy of the set's official .npz, or the folder that holds it;
without it, the file is looked for in the folder that EDGEWARD_MEDMNIST names, among what was fetched before and in
~/.medmnist, where the package `medmnist` keeps it, and otherwise fetched from the authors' record. Its md5 must be the
published one; `md5 = "..."` is that of another file which is meant instead, and every report then says so. The classes
are called as their authors call them.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from harness import registry
from harness.data import _medmnist_record, npz
from harness.errors import LabError
from harness.model import Samples

#: Names the folder of the files: `FOLDER/breastmnist.npz`, or `FOLDER/breastmnist/breastmnist.npz`.
VARIABLE: Final = "EDGEWARD_MEDMNIST"
#: Silence of the record's server after which there is no internet.
_SILENT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """What `[data]` may say besides the source's name.

    Attributes:
        name: of the data set, such as "breastmnist".
        size: height and width of its images.
        path: a local copy of its file or the folder that holds it, relative to the suite; "" to look for it.
        md5: of the file that is meant instead of the published one.
    """

    name: str = ""
    size: Literal[28, 64, 128, 224] = 28
    path: str = ""
    md5: str = ""

    def __post_init__(self) -> None:
        known = _medmnist_record.PUBLISHED
        if self.name in _medmnist_record.VOLUMES:
            raise ValueError(f"{self.name} holds volumes, which no task of the harness is for: choose a set of images")
        if self.name and self.name not in known:
            raise ValueError(f"MedMNIST has no set {self.name!r}: {registry.suggestion(self.name, known)}")

    @property
    def file(self) -> str:
        """The official file's name."""
        return f"{self.name}.npz" if self.size == 28 else f"{self.name}_{self.size}.npz"


def load(options: Options, *, split: str, base: Path, cache: Path) -> Samples:
    """Return an official split: images (N, size, size, 1 or 3) uint8.

    Args:
        options: name and size of the set.
        split: train, validation or test.
        base: folder of the suite.
        cache: folder below which fetched files are kept.

    Raises:
        LabError: no set is named, its file is nowhere and cannot be fetched or is not the published one, or there is no
            such split.
    """
    if not options.name:
        known = ", ".join(_medmnist_record.PUBLISHED)
        raise LabError("is not set", remedy=f"name one of {known}", file=str(base), key="data.name")
    facts = _medmnist_record.PUBLISHED[options.name]
    file = _local(options, base, cache) or _fetched(options, cache / "medmnist")
    _check_md5(file, options, facts)
    found = npz.load(npz.Options(path=str(file.absolute())), split=split, base=base, cache=cache)
    _check_fit(found, options, facts, file)
    size = f"{options.size}x{options.size}"
    remarks = found.remarks
    if options.md5:
        remarks += (
            f"{file.name} is not the published file of {facts.title} (`md5` in [data] names its checksum): what is "
            "measured cannot be held against published results",
        )
    return replace(
        found,
        classes=facts.classes,
        description=f"{found.description}: {facts.title} of MedMNIST v2, {size}, {facts.task}, {facts.licence}",
        remarks=remarks,
    )


def example(folder: Path) -> Mapping[str, Any]:
    """Write six images into `breastmnist.npz` and return the keys that read them, with the md5 of this very file."""
    file = folder / "breastmnist.npz"
    images = np.arange(6 * 28 * 28).reshape(6, 28, 28).astype(np.uint8)
    np.savez(file, test_images=images, test_labels=np.arange(6)[:, np.newaxis] % 2)
    return {"name": "breastmnist", "path": file.name, "md5": _md5(file)}


def _local(options: Options, base: Path, cache: Path) -> Path | None:
    """Return the file where it already is, None where it must be fetched."""
    if options.path:
        named = base / options.path
        found = named if named.is_file() else next(_in_folder(options, named), None)
        if found is None:
            missing = f"holds no {options.file}" if named.is_dir() else "there is no such file or folder"
            raise LabError(missing, remedy=_remedy(options, named), file=str(named), key="data.path")
        return found
    variable = os.environ.get(VARIABLE, "")
    if variable and not Path(variable).is_dir():
        text = f"there is no such folder, which {VARIABLE} names"
        raise LabError(text, remedy=f"correct or unset it; it is the folder of {options.file}", file=variable)
    places = [Path(variable)] if variable else []
    places += [cache / "medmnist", Path.home() / ".medmnist"]
    return next((file for place in places for file in _in_folder(options, place)), None)


def _in_folder(options: Options, folder: Path) -> Iterator[Path]:
    """Yield the file where a folder holds it, or holds a folder of the set's name that does."""
    return (one for one in (folder / options.file, folder / options.name / options.file) if one.is_file())


def _remedy(options: Options, place: Path) -> str:
    folder = place if not place.suffix else place.parent
    return f"put the file {options.file} into {folder}, from {_record(options)}"


def _record(options: Options) -> str:
    return _medmnist_record.RECORD.format(file=options.file)


def _fetched(options: Options, folder: Path) -> Path:
    """Return the file, brought from the authors' record; whether it is whole is seen by its md5 before it is kept."""
    if options.md5:
        raise LabError(
            "names a file that is not the published one, and no such file is here",
            remedy=f'write path = "FILE" under [data], or put it into {folder} as {options.file}',
            file=str(folder / options.file),
            key="data.md5",
        )
    target = folder / options.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as own:  # several devices may ask at once
            partial = Path(own) / options.file
            with urllib.request.urlopen(_record(options), timeout=_SILENT_S) as answer, partial.open("wb") as stream:
                shutil.copyfileobj(answer, stream, 1 << 20)
            _check_md5(partial, options, _medmnist_record.PUBLISHED[options.name])
            partial.replace(target)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise LabError(
            f"is not on this machine and cannot be fetched ({reason})",
            remedy=f"put the file {options.file} into {folder}, or into the folder that {VARIABLE} names; it is at "
            f"{_record(options)}",
            file=str(target),
            key="data.name",
        ) from error
    return target


def _check_md5(file: Path, options: Options, facts: _medmnist_record.Published) -> None:
    """Refuse a file that is not the one that is meant."""
    found, wanted = _md5(file), options.md5.lower() or facts.md5[options.size]
    if found == wanted:
        return
    other = next((size for size, md5 in facts.md5.items() if md5 == found), None)
    if other is not None and not options.md5:
        text, remedy = f"holds the size {other}, not {options.size}", f"write size = {other}, or correct its name"
    elif options.md5:
        text, remedy = f"has the md5 {found}, not {wanted} as [data] says", "correct `md5`, or copy the file again"
    else:
        text = f"has the md5 {found}, and {facts.title} at this size was published with {wanted}"
        remedy = f'copy it again from {_record(options)}, or write md5 = "{found}" under [data] if this file is meant'
    raise LabError(text, remedy=remedy, file=str(file))


def _md5(file: Path) -> str:
    seen = file.stat()
    return _md5_of(str(file.absolute()), seen.st_size, seen.st_mtime_ns, seen.st_ino)


@functools.lru_cache(maxsize=64)
def _md5_of(path: str, *seen: int) -> str:
    """Return the md5 of a file as it was seen; a set of 12 GB is not read again for each of its splits."""
    del seen
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check_fit(samples: Samples, options: Options, facts: _medmnist_record.Published, file: Path) -> None:
    """Refuse a file, whose md5 [data] names, that is not what its name says."""
    wanted = (options.size, options.size, facts.channels)
    if samples.images.shape[1:] != wanted:
        found, meant = ("x".join(map(str, shape)) for shape in (samples.images.shape[1:], wanted))
        text = f"holds images of {found}, and {facts.title} at size {options.size} has {meant}"
        raise LabError(text, remedy="correct `name` or `size` in [data]", file=str(file))
    several = facts.several
    if (samples.labels.ndim == 2) != several or (several and len(samples.classes) != len(facts.classes)):
        have = f"{samples.labels.shape[1]} labels" if samples.labels.ndim == 2 else "one label"
        wanted_labels = f"{len(facts.classes)} labels" if several else "one label"
        text = f"holds {have} an image, and {facts.title} has {wanted_labels}"
        raise LabError(text, remedy="correct `name` in [data], or the labels", file=str(file))
    labels = {str(number) for number in range(len(facts.classes))}
    if samples.masks is not None or not labels.issuperset(samples.classes):
        odd = "masks" if samples.masks is not None else f"the label {samples.classes[-1]!r}"
        text = f"holds {odd}, and {facts.title} has the classes 0 to {len(facts.classes) - 1}"
        raise LabError(text, remedy="correct `name` in [data], or the labels", file=str(file))
