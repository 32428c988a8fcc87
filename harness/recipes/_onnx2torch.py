"""An ONNX file -> a torch network, also beside a torchvision that was built for another torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from harness.errors import RecipeError
from harness.recipes import _onnx_tools

if TYPE_CHECKING:
    import torch


def network(file: Path) -> torch.nn.Module:
    """Return what an ONNX file computes as a torch network.

    Raises:
        RecipeError: a library is missing, the file is damaged, or it has an operator that onnx2torch does not know.
    """
    with _torchvision():
        _onnx_tools.require("train", "torch", "onnx2torch")
    import onnx2torch

    model = _onnx_tools.read_onnx(file)
    try:
        converted: torch.nn.Module = onnx2torch.convert(model)
    except (NotImplementedError, RuntimeError, ValueError, KeyError) as error:
        raise RecipeError(
            f"{file.name} cannot be turned into a torch network: {error}",
            remedy="leave this variant out, or bring it ready-made",
        ) from error
    return converted


@contextmanager
def _torchvision() -> Iterator[None]:
    """Let onnx2torch be imported where torchvision cannot be: it needs it for two operators of object detectors.

    A torchvision that comes from another index than torch is common, and fails when it is imported.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        empty, operators = ModuleType("torchvision"), ModuleType("torchvision.ops")
        empty.ops = operators  # type: ignore[attr-defined]
        operators.roi_align = None  # type: ignore[attr-defined]
        absent = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}
        for name in absent:
            del sys.modules[name]
        sys.modules |= {"torchvision": empty, "torchvision.ops": operators}
        try:
            yield
        finally:
            # The next import of it fails as this one did.
            del sys.modules["torchvision"], sys.modules["torchvision.ops"]
    else:
        yield
