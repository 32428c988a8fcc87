"""What a file that is called a model is by its first bytes, where that is something else."""

from __future__ import annotations

import mmap
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness.model import Reason

#: How a file begins -> what it is, and what to do.
_BEGINNINGS: Final = (
    (b"version https://git-lfs", Reason("is a git-LFS pointer, not the model itself", "run `git lfs pull`")),
    (b"/annex/objects/", Reason("is a git-annex pointer, not the model itself", "run `git annex get` on it")),
    (b"<?xml", Reason("is an XML text, perhaps OpenVINO's", "export the model as {wanted}")),
    (b"<", Reason("is a web page, as a failed download leaves it", "download the file itself")),
    (b"{", Reason("is a JSON text, perhaps the answer of a failed download", "download the file itself")),
    (b"\x89HDF", Reason("is an HDF5 file, as Keras writes it", "convert it to {wanted}")),
    (b"\x80\x02", Reason("is a pickled PyTorch file", "export the model as {wanted}")),
    (b"\x80\x04", Reason("is a pickled Python object", "export the model as {wanted}")),
    (b"\x1f\x8b", Reason("is compressed with gzip", "unpack it")),
    (b"\xfd7zXZ", Reason("is compressed with xz", "unpack it")),
    (b"7z\xbc\xaf", Reason("is a 7-Zip archive", "unpack it")),
    (b"\x93NUMPY", Reason("is a NumPy array, not a model", "correct its path")),
    (b"\x89PNG", Reason("is an image, not a model", "correct its path")),
)
#: The key of the place of a tensor's values in an ONNX file (onnx.proto), and the tag of the name behind it.
_LOCATION: Final = b"\n\x08location\x12"
#: What stands before it there and nowhere else: the tag of field 13 of TensorProto, external_data, and a length.
_EXTERNAL: Final = re.compile(rb"\x6a(?:[\x00-\x7f]|[\x80-\xff][\x01-\x7f])\Z", re.DOTALL)
#: Identifiers that FlatBuffers files carry behind their first four bytes.
_FLATBUFFERS: Final = {
    b"TFL3": ("tflite", Reason("is a TensorFlow Lite model", "give it the suffix .tflite")),
    b"ET12": ("pte", Reason("is an ExecuTorch program", "give it the suffix .pte")),
    b"ORTM": ("ort", Reason("is a model in onnxruntime's own format", "use the .onnx file that it was made of")),
}
#: Formats whose files carry one -> what is said of a file without.
_MARKS: Final = {"tflite": "TensorFlow Lite model (TFL3", "pte": "ExecuTorch program (ET12"}


def mistaken(path: Path, format_: str) -> Reason | None:
    """Return what a file is instead of a model of its format and what to do, None where nothing speaks against it.

    Args:
        path: a file that can be read.
        format_: its suffix without the dot; of those that runtimes of other distributions bring nothing is known.
    """
    if format_ not in ("onnx", *_MARKS):
        return None
    with path.open("rb") as file:
        start = file.read(1024)
    wanted = f".{format_}"
    # The four bytes before it are a number, which may look like the beginning of anything.
    kind, other = _FLATBUFFERS.get(start[4:8], ("", None))
    if kind:
        return other if kind != format_ else None
    if start.startswith(b"PK\x03\x04"):
        return _wanting(_of_zip(path), wanted)
    found = next((said for beginning, said in _BEGINNINGS if start.lstrip().startswith(beginning)), None)
    if found:
        return _wanting(found, wanted)
    if start and not start.strip(b"\0"):
        text = "begins with nothing but zeros, as an interrupted download leaves it"
        return Reason(text, "copy or download it again")
    if format_ in _MARKS:
        return Reason(f"is no {_MARKS[format_]} is not in its first bytes)", "export it again, or correct its suffix")
    return None


def _wanting(reason: Reason, wanted: str) -> Reason:
    return replace(reason, remedy=reason.remedy.format(wanted=wanted))


def apart(path: Path, format_: str) -> bool:
    """Return whether a model keeps weights in another file, as ONNX files may; nothing is parsed."""
    if format_ != "onnx" or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_LOCATION)
        while at >= 0:
            start = at + len(_LOCATION)
            if _EXTERNAL.search(content[max(0, at - 3) : at]):
                return True
            at = content.find(_LOCATION, start)
    return False


def _of_zip(path: Path) -> Reason:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return Reason("is the beginning of a zip archive", "copy or download it again")
    if any("/code/" in name or name.startswith("code/") for name in names):
        return Reason("is a TorchScript archive", "export the model as {wanted}")
    if any(name.endswith("data.pkl") for name in names):
        return Reason("is a PyTorch checkpoint, which holds weights and no model", "export the model as {wanted}")
    if "model.weights.h5" in names:
        return Reason("is a Keras model", "convert it to {wanted}")
    if names and all(name.endswith(".npy") for name in names):
        return Reason("is an .npz file of arrays, not a model", "correct its path")
    return Reason("is a zip archive", "unpack it, and name the model in it")
