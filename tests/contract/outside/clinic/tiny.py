"""runtimes = ["numpy==2.4.6"]

Runs .tiny files: one linear layer, `weights` (pixels, classes) and `bias` (classes,), as numpy.savez writes them, and
the `size` of its images. It goes to the device, so it imports numpy where a model is loaded, and nothing of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

REQUIREMENT = "numpy"
CONSTRAINTS: tuple[str, ...] = ()
FORMATS = ("tiny",)
ACCELERATORS: tuple[str, ...] = ()


class Session:
    """One loaded model with one input; `shape` is the input's, `dtype` its numpy type."""

    def __init__(
        self,
        path: str,
        threads: int,
        accelerator: str = "",
        trace: str = "",
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        import numpy as np

        del threads, accelerator, trace, constants  # it has one thread, no accelerator, one node and one input
        with np.load(path) as model:
            self._weights, self._bias, size = model["weights"], model["bias"], model["size"].tolist()
        self.shape = [1, 1, *size]
        self.dtype = "float32"
        self.quantization = (0.0, 0)
        self.accelerator = ""

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""
        return x.reshape(1, -1)

    def call(self, bound: Any) -> Any:
        """Run one inference and return the outputs; this is what is timed."""
        return bound @ self._weights + self._bias

    def result(self, outputs: Any, output: str = "", labels: Sequence[str] = ()) -> Any:
        """Return the only output as float32, without the batch axis.

        Args:
            outputs: what `call` returned.
            output: unused: there is one.
            labels: unused: it gives numbers.
        """
        del output, labels
        return outputs[0].astype("float32")

    def quantised(self) -> bool:
        """Return False: it computes with floats."""
        return False

    def nodes(self) -> dict[str, int]:
        """Return what ran -> nodes it ran."""
        return {"numpy": 1}


def offers() -> list[str]:
    """Return no accelerators."""
    return []


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    import numpy as np

    return {"runtime": "numpy", "runtime_version": np.__version__, "accelerator": "tiny (CPU)"}
