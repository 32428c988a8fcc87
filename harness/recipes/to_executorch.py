"""`recipe = "to_executorch"`, `parameters = { backend = "xnnpack" }`: the model as an ExecuTorch program, .pte.

The ONNX file becomes a torch network (onnx2torch), is exported for one image at a time (torch.export), and what XNNPACK
takes is given to it; `backend = ""` leaves all to the runtime's own kernels. Weights and outputs stay as they are, so a
variant of it is held against the baseline's own program: `convert = ["to_executorch"]` under [baseline]. A program has
no names and does not say what its numbers stand for; what the ONNX file says of it is left in the program. Needs
`pip install 'edgeward[executorch]'`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import formats
from harness.agent import pte
from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _onnx2torch, _onnx_tools

if TYPE_CHECKING:
    from harness.formats import ModelFile

FORMATS = ("onnx",)
GIVES = "pte"
TOOLS = ("torch", "onnx", "onnx2torch", "executorch")
TAKES = ("float32",)
LEAVES = ""


@dataclass(frozen=True, slots=True)
class Options:
    """`backend`: "xnnpack", or "" for the runtime's own kernels alone."""

    backend: str = "xnnpack"

    def __post_init__(self) -> None:
        if self.backend not in ("xnnpack", ""):
            raise ValueError(f'backend = "{self.backend}" must be "xnnpack" or "" for none')


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the program, and return how many parts and operators each backend and kernel was given.

    Raises:
        RecipeError: a library is missing, the file cannot be turned into a torch network, or has not one input of fixed
            sizes.
    """
    with _calm():
        _onnx_tools.require("executorch", "torch", "executorch.exir")
    import torch
    from executorch.exir import to_edge_transform_and_lower

    file = formats.read(job.parent)
    shape = _shape(job, file)
    network = _onnx2torch.network(job.parent).eval()
    with _calm(), _onnx_tools.whole(job.target) as partial:
        exported = torch.export.export(network, (torch.zeros(shape),))
        program = to_edge_transform_and_lower(
            exported, partitioner=_partitioners(options.backend), constant_methods={pte.NOTE: _note(file)}
        ).to_executorch()
        partial.write_bytes(program.buffer)
        found = pte.read(partial.read_bytes())
    return {"parts": found.delegates, "kernels": found.kernels}


def _shape(job: Build, file: ModelFile) -> tuple[int, ...]:
    """Return the shape of an input of one image: the file's, where it leaves sizes open the suite's."""
    (given, *others) = file.inputs
    if others or given.shape is None or given.type != "float32":
        raise RecipeError(
            f"{job.parent.name} takes {', '.join(map(str, file.inputs))}",
            remedy="export it with one float32 input of four axes, or bring this variant ready-made",
        )
    sizes = job.input.size
    wanted = (None, None, *(sizes or (None, None))) if job.input.layout == "NCHW" else (None, *(sizes or ()), None)
    shape = [1, *(size or other for size, other in zip(given.shape[1:], wanted[1:], strict=False))]
    if len(shape) != len(given.shape) or None in shape:
        raise RecipeError(
            f"{job.parent.name} takes {given}, and a program runs at fixed sizes",
            remedy="export the baseline with fixed sizes, or write `size` under [data.input]",
        )
    return tuple(int(size) for size in shape if size is not None)


def _partitioners(backend: str) -> list[Any]:
    if not backend:
        return []
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return [XnnpackPartitioner()]


def _note(file: ModelFile) -> str:
    """Return what the program has no room for, as the reader of the format finds it there."""
    return json.dumps(
        {
            "inputs": [one.name for one in file.inputs],
            "outputs": [one.name for one in file.outputs],
            "kinds": {one.name: one.kind for one in file.outputs},
            "classes": list(file.classes),
        }
    )


@contextmanager
def _calm() -> Iterator[None]:
    """Keep what the exporters say of themselves off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with _onnx_tools.quiet():
            yield
    finally:
        logging.disable(before)
