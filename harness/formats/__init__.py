"""What a model file says of itself: its inputs and outputs, what their numbers stand for, and what it needs.

A file is read, never run, and no runtime is needed for it. One module for each format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from harness.errors import HarnessError

#: Format -> the module that reads it. Of the formats that runtimes of other distributions bring nothing is known.
_READERS: Final = {"onnx": "harness.formats._onnx", "tflite": "harness.formats._tflite", "pte": "harness.formats._pte"}


class Unreadable(HarnessError):
    """A file that is no model of its format, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    Attributes:
        name: in the file.
        type: numpy's name of its type; "text" for strings, "map" for a map from labels to numbers for each image.
        shape: None for a size that may vary; None as a whole where not even the number of axes is said.
        scale, zero_point: what its integers stand for, (integer - zero_point) * scale; 0 where nobody says.
        kind: what an output's numbers stand for, as in `harness.model.Reading`; "" where the file leaves it open.
        maker: the operator that makes an output, for messages.
        labels: what the answers are called, of texts, maps, and the labels of classifiers.
        source: name of what an output's answers are taken from: two outputs of one source are one answer said twice.
    """

    name: str
    type: str
    shape: tuple[int | None, ...] | None = None
    scale: float = 0.0
    zero_point: int = 0
    kind: str = ""
    maker: str = ""
    labels: tuple[str, ...] = ()
    source: str = ""

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name} ({self.type}, any shape)"
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({self.type} [{sizes}])"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What one file says.

    Attributes:
        format: "onnx", "tflite" or "pte".
        inputs, outputs: in the file's order.
        classes: names of the classes in the order of the outputs, from the file's own metadata.
        operators: domain and name of each operator -> how often it stands in the file.
        versions: what it was written for and by: operator sets, producer.
        parts: other files beside it that hold weights, as the file names them.
        parameters: how many numbers its weights are; None where the file does not say it.
        macs: multiplications with an addition in one inference, through all branches; None where sizes are open.
        paths: outputs that say which way an image takes through it: the condition of an `If`. They are no answers.
    """

    format: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    classes: tuple[str, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    parameters: int | None = 0
    macs: int | None = None
    paths: tuple[str, ...] = ()


def known(format_: str) -> bool:
    """Return whether files of a format can be read here."""
    return format_ in _READERS


def read(path: Path, format_: str = "") -> ModelFile:
    """Return what a model file says of itself; a file that did not change is read once a process.

    Args:
        path: of the file.
        format_: its format; by its suffix where this is "".

    Raises:
        Unreadable: it is no such model.
        OSError: it cannot be read.
    """
    status = path.stat()
    return _read(path, format_ or path.suffix.removeprefix("."), status.st_size, status.st_mtime_ns)


@cache
def _read(path: Path, format_: str, size: int, mtime_ns: int) -> ModelFile:  # noqa: ARG001  they say whether it changed
    reader: Callable[[Path], ModelFile] = import_module(_READERS[format_]).read
    return reader(path)
