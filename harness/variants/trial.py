"""A model file that a recipe wrote is loaded and run once, so that none is called built that no runtime takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness import formats
from harness.errors import RecipeError
from harness.formats import Tensor


def run(path: Path, recipe: str) -> None:
    """Load and run a built file once, on zeros, with the runtime of its format where that is installed here.

    Args:
        path: of the file; it is removed if it does not run.
        recipe: what wrote it.

    Raises:
        RecipeError: it cannot be read, loaded or run.
    """
    try:
        if formats.known(path.suffix.removeprefix(".")):
            _TRIALS[path.suffix](path)
    except ImportError:
        return  # the extra that brings the runtime is not installed: the device will say it
    except Exception as error:
        path.unlink(missing_ok=True)
        reason = " ".join(str(error).replace(str(path), path.name).split())[:300]
        raise RecipeError(
            f"{recipe} wrote a file that does not run ({type(error).__name__}: {reason})",
            remedy="export the baseline with a newer opset or converter, or bring this variant ready-made",
        ) from error


def _zeros(tensor: Tensor) -> Any | None:
    """Return an input of one image, None where its size is open."""
    shape = tensor.shape
    if shape is None or any(size is None for size in shape[1:]):
        return None
    return np.zeros((shape[0] or 1, *(int(size or 1) for size in shape[1:])), tensor.type)


def _onnx(path: Path) -> None:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {one.name: _zeros(one) for one in formats.read(path).inputs}
    if all(value is not None for value in inputs.values()):
        session.run(None, inputs)


def _tflite(path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    interpreter.invoke()


def _pte(path: Path) -> None:
    from harness.agent.runtimes import executorch

    session = executorch.Session(str(path), 1)
    session.call(session.bind(np.zeros(session.shape, session.dtype)))


_TRIALS = {".onnx": _onnx, ".tflite": _tflite, ".pte": _pte}
