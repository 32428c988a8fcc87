"""ExecuTorch programs, read by the code that reads them on a device.

A program says little: no names, nothing of what its numbers stand for, and nothing of what a backend holds (its weights
and operators). What `to_executorch` knew of the file that it exported it leaves in the program; of any other one it is
declared by the suite.
"""

from __future__ import annotations

from pathlib import Path

from harness.agent import pte
from harness.agent.runtimes import executorch
from harness.formats import ModelFile, Tensor, Unreadable


def read(path: Path) -> ModelFile:
    """Return what an ExecuTorch program says of itself."""
    try:
        program = pte.read(path.read_bytes())
    except pte.Damaged as error:
        raise Unreadable(
            f"{path.name} is no ExecuTorch program, or a damaged one: {error}", remedy="export it again"
        ) from error
    note = executorch.note(program)
    kinds = dict(note.get("kinds", {}))
    return ModelFile(
        format="pte",
        inputs=tuple(
            _tensor(name, value)
            for name, value in zip(executorch.names(program, "inputs"), program.inputs, strict=True)
        ),
        outputs=tuple(
            _tensor(name, value, str(kinds.get(name, "")))
            for name, value in zip(executorch.names(program, "outputs"), program.outputs, strict=True)
        ),
        classes=tuple(map(str, note.get("classes", ()))),
        operators={**program.kernels, **program.delegates},
        versions={"schema": str(program.version), "methods": ", ".join(program.methods)},
        parameters=None,
    )


def _tensor(name: str, value: pte.Value, kind: str = "") -> Tensor:
    return Tensor(name, value.type, value.shape, kind=kind, maker=value.maker, source=name)
