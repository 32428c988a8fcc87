"""Models that keep weights in other files, as exporters write them: joined into one file, which is what is measured.

The one file is hashed, counted and brought like any other, so its digest and its size are of all that a model needs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from harness import cache_dir
from harness.errors import LabError
from harness.lab import ledger

#: A protobuf, and so an ONNX file without others, can be no larger.
_MOST_BYTES: Final = 2**31 - 1
_KEPT_S: Final = 30 * 86_400


def joined(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return one file that holds an ONNX model with its weights, and the names of the files that it was made of.

    Args:
        path: of a model that keeps weights in other files.

    Raises:
        LabError: one of them is not there or lies outside of the model's folder, or all together are too large.
    """
    import onnx

    from harness import formats

    names = formats.read(path, "onnx").parts
    folder = path.parent.resolve()
    parts = [_inside(folder, name, path) for name in names]
    digests = [ledger.sha256(one) for one in (path, *parts)]
    key = hashlib.sha256("\n".join([*digests, *names]).encode()).hexdigest()
    target = cache_dir() / "joined" / key[:32] / path.name
    if target.is_file():
        target.parent.touch()
        return target, names
    if sum(one.stat().st_size for one in (path, *parts)) > _MOST_BYTES:
        raise LabError(
            f"{path.name} has more than 2 GB of weights in other files",
            remedy="ONNX cannot hold them in one file, and only one is brought to a device",
            file=str(path),
        )
    model = onnx.load(str(path), load_external_data=False)
    onnx.load_external_data_for_model(model, str(folder))
    _clear(target.parents[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        part.write(model.SerializeToString())
    Path(part.name).replace(target)
    return target, names


def _inside(folder: Path, name: str, path: Path) -> Path:
    part = (folder / name).resolve()
    if not part.is_relative_to(folder):
        raise LabError(
            f"{path.name} keeps weights in {name}, outside of its folder",
            remedy="put both into one folder and export it again",
            file=str(path),
        )
    if not part.is_file():
        raise LabError(
            f"{path.name} keeps weights in {name}, which is not there",
            remedy=f"copy it into {folder.name}/ beside the model",
            file=str(path),
        )
    return part


def _clear(folder: Path) -> None:
    """Remove what nobody used for a month."""
    for old in folder.glob("*"):
        if old.stat().st_mtime < time.time() - _KEPT_S:
            shutil.rmtree(old, ignore_errors=True)
