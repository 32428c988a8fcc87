"""runtimes = ["tflite-runtime==2.14.0"]

Runs .tflite files where its successor LiteRT has no wheel (32-bit ARM); needs numpy 1 and Python 3.11 or older.
"""

from __future__ import annotations

from typing import Any

from harness.agent.runtimes import litert

REQUIREMENT = "tflite-runtime"
CONSTRAINTS = ("numpy<2",)
FORMATS = ("tflite",)
ACCELERATORS = litert.ACCELERATORS


class Session(litert.Session):
    """One loaded model; the interpreter's interface is the one LiteRT inherited."""

    @staticmethod
    def interpreter() -> Any:
        """Return the class of the interpreter."""
        from tflite_runtime.interpreter import Interpreter

        return Interpreter


def offers() -> list[str]:
    """Return the delegates that the interpreter can be asked for."""
    return litert.offers()


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    import tflite_runtime

    return {"runtime": "tflite-runtime", "runtime_version": tflite_runtime.__version__, "accelerator": "XNNPACK (CPU)"}
