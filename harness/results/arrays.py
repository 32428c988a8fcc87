"""Files of numbers that came from a device -> arrays: the one place where they are read, and held against the events.

Nothing is loaded before the file's header says what the contract says (`harness.agent.contract.ARRAYS`) and the file is
as long as its header says. The format is that of numpy.lib.format, versions 1 and 2.
"""

from __future__ import annotations

import math
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.agent import contract
from harness.results.events import Untrue
from harness.results.job_log import JobLog
from harness.units import human

#: The first bytes of the file, and the longest header of an array that is one of ours; bytes.
_MAGIC: Final = b"\x93NUMPY"
_LONGEST: Final = 10_000
#: What all writers make of it: type, order, shape. Nothing of a device is read as Python.
_HEADER: Final = re.compile(
    rb"\{'descr': '([ -&(-~]{1,20})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?)\),? ?\}\s*"
)
#: How deep an array of outputs may be.
_AXES: Final = 8


def read(file: Path, name: str, *, device: str, model: int | None = None) -> npt.NDArray[Any]:
    """Return the array of a file that was fetched from a device.

    Args:
        file: on this host.
        name: of the array, a key of `contract.ARRAYS`.
        device: whose it is, for the error.
        model: the place in the job of the model that it is of.

    Raises:
        Untrue: it is no such array, or a number in it is out of its range; the message names the column.
    """
    try:
        return _read(file, contract.ARRAYS[name])
    except (ValueError, OSError) as error:
        raise Untrue(f"the array {name} cannot be accepted ({error})", where=device, model=model) from error


def weights(file: Path, due: Mapping[str, npt.NDArray[Any]], *, device: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz file that was fetched from a device.

    Args:
        file: on this host.
        due: name -> an array of the same shape and type.
        device: whose it is, for the error.

    Raises:
        Untrue: it is no such file, lacks one, or one has another shape or type or a number that is not finite.
    """
    try:
        _check_file(file)
        with np.load(file, allow_pickle=False) as found:
            for name, like in due.items():
                _check_member(found, name, like)
            return {name: _finite(name, found[name], like) for name, like in due.items()}
    except (ValueError, OSError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise Untrue(f"{contract.WEIGHTS_FILE} cannot be accepted ({error})", where=device) from error


def check_outputs(log: JobLog, model: int, device: str) -> None:
    """Raise Untrue unless there is a row of outputs for every sample.

    Args:
        log: with the model's outputs.
        model: its place in the job.
        device: whose they are, for the error.
    """
    due, rows = log.of(contract.Accuracy, model)[0].samples, len(log.array(model, "outputs"))
    if rows != due:
        raise _apart(f"outputs: {rows} rows of {due} samples", model, device)


def check(log: JobLog, model: int, device: str) -> None:
    """Raise Untrue unless a model's arrays and its events tell the same.

    Args:
        log: with all arrays of the model.
        model: its place in the job.
        device: whose they are, for the error.
    """
    own = {name: log.arrays[f"m{model}.{name}.npy"] for name in contract.ARRAYS if f"m{model}.{name}.npy" in log.arrays}
    if "outputs" in own:
        if not log.of(contract.Accuracy, model):
            raise _apart("outputs: there was no accuracy pass", model, device)
        check_outputs(log, model, device)
    if "parts" in own:
        said = log.of(contract.Parts, model)[0]
        if (len(own["parts"]), int(own["parts"].sum())) != (said.count, said.ns):
            raise _apart("parts: their number or their sum is not that of the event", model, device)
    if "rounds" in own and (wrong := _wrong_rounds(log, model, own)):
        raise _apart(wrong, model, device)


def _apart(text: str, model: int, device: str) -> Untrue:
    return Untrue(f"its arrays do not tell what its events do ({text})", where=device, model=model)


def _wrong_rounds(log: JobLog, model: int, own: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return what of the timed pass cannot be, "" if all of it can."""
    table, said = own["rounds"], log.rounds_of(model)
    starts, stops = table[:, 1], table[:, 2]
    if not len(table):
        return "rounds: there is none"
    if starts[0] != 0 or (starts[1:] != stops[:-1]).any() or (stops < starts).any():
        return "rounds: start and stop leave a gap, or overlap"
    if stops[-1] != len(own["latency"]):
        return f"latency: {len(own['latency'])} samples where the rounds have {stops[-1]}"
    if sustained := log.of(contract.Sustained, model):
        windows = len(sustained[0].windows)
        if len(table) != windows or table[:, 0].any() or (stops == starts).any():
            return f"rounds: {len(table)} of {windows} windows"
        return ""
    counts = [one.round.count for one in said]
    if table[:, 0].tolist() != [one.launch for one in said] or (stops - starts).tolist() != counts:
        return "rounds: launch or count is not that of the events"
    spent = own["frames"][:, 2] if "frames" in own else own["latency"]
    if len(spent) != stops[-1]:
        return f"frames: {len(spent)} rows where the rounds have {stops[-1]}"
    ends = np.concatenate([[0], np.cumsum(spent)])[np.concatenate([[0], stops])]
    if np.diff(ends).tolist() != [one.round.ns for one in said]:
        return "latency: it does not add up to ns of its rounds"
    return _wrong_frames(own, said) if "frames" in own else ""


def _wrong_frames(own: Mapping[str, npt.NDArray[Any]], said: Any) -> str:
    """Return what of a stream's frames cannot be, "" if all of it can."""
    frames, waits = own["frames"], sum(one.round.waits or 0 for one in said)
    if (frames[:, 1] + frames[:, 2] != own["latency"]).any():
        return "frames: waited and inferred are not the latency"
    for (_, start, stop, _), one in zip(own["rounds"].tolist(), said, strict=True):
        numbers = frames[start:stop, 0]
        if (np.diff(numbers) <= 0).any() or (len(numbers) and numbers[-1] >= (one.round.arrived or 0)):
            return f"frames: frame is not one of the {one.round.arrived} that arrived, in their order"
    return "" if len(own["jitter"]) == waits else f"jitter: {len(own['jitter'])} of {waits} waits"


def _read(file: Path, due: contract.Array) -> npt.NDArray[Any]:
    size = _check_file(file)
    with file.open("rb") as opened:
        shape, at = _header(opened.read(_LONGEST), due.dtype)
        if len(due.columns) == 1 and len(shape) != 1:
            raise ValueError(f"its shape is {shape} where one axis is due")
        if len(due.columns) > 1 and shape[1:] != (len(due.columns),):
            raise ValueError(f"its shape is {shape} where (N, {len(due.columns)}) is due")
        dtype, count = np.dtype(due.dtype), math.prod(shape)
        if at + count * dtype.itemsize != size:
            raise ValueError(f"it has {size} bytes where its header says {at + count * dtype.itemsize}")
        opened.seek(at)
        found = np.fromfile(opened, dtype, count).reshape(shape)
    for number, (name, low, high) in enumerate(due.columns):
        column = found if found.ndim == 1 else found[:, number]
        wrong = column[(column < low) | (column > high)]
        if len(wrong):
            raise ValueError(f"{name}: {wrong[0]} is not between {low} and {high}")
    return found


def _check_file(file: Path) -> int:
    """Return the size of a file; raises ValueError if it is no file of its own, or too large."""
    seen = file.lstat()
    if not stat.S_ISREG(seen.st_mode):
        raise ValueError("it is no regular file")
    if seen.st_size > contract.FILE_BYTES:
        raise ValueError(f"it has {human(seen.st_size, 'B')}")
    return seen.st_size


def _header(begun: bytes, dtype: str) -> tuple[tuple[int, ...], int]:
    """Return the shape that a header says, and where the numbers begin; raises ValueError if it is none of ours.

    Args:
        begun: the first bytes of the file.
        dtype: that is due.
    """
    version, lengths = begun[6:8], {b"\x01\x00": "<H", b"\x02\x00": "<I"}
    if begun[:6] != _MAGIC or version not in lengths or len(begun) < 12:
        raise ValueError("it is no .npy file of version 1 or 2")
    (length,) = struct.unpack_from(lengths[version], begun, 8)
    at = 8 + struct.calcsize(lengths[version]) + length
    if at > len(begun):
        raise ValueError(f"its header has {length} bytes")
    text = begun[at - length : at]
    said = _HEADER.fullmatch(text)
    if said is None:
        raise ValueError("its header is none")
    if said[1].decode() != dtype or said[2] != b"False":
        raise ValueError(f"its type is {said[1].decode()} where {dtype} in C order is due")
    shape = tuple(int(size) for size in said[3].split(b",") if size.strip())
    if not 1 <= len(shape) <= _AXES:
        raise ValueError(f"its shape is {str(shape)[:40]}")
    return shape, at


def _check_member(found: Any, name: str, like: npt.NDArray[Any]) -> None:
    """Raise ValueError if an array of an .npz would be larger than one that is due: packed, nothing shows that."""
    packed = found.zip.getinfo(f"{name}.npy")
    if packed.file_size > like.nbytes + _LONGEST:
        raise ValueError(f"{name}: it has {human(packed.file_size, 'B')}")


def _finite(name: str, array: Any, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if (array.dtype, array.shape) != (like.dtype, like.shape):
        raise ValueError(f"{name}: {array.dtype} {array.shape} where {like.dtype} {like.shape} is due")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: a number is not finite")
    kept: npt.NDArray[Any] = array
    return kept
