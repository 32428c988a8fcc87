"""What runs a model on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol


class LoadedModel(Protocol):
    """One loaded model with one input, as `Runtime.Session` makes it on the device.

    Attributes:
        shape: of the input; a size that may vary is not a number.
        dtype: numpy's name of the input's type.
        quantization: scale and zero point of a quantised input; (0.0, 0) for any other.
        accelerator: the one asked for if it really is used, else "".
    """

    shape: Sequence[Any]
    dtype: str
    quantization: tuple[float, int]
    accelerator: str

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""

    def call(self, bound: Any) -> Any:
        """Run one inference and return the outputs; this is what is timed."""

    def result(self, outputs: Any, output: str = "", labels: Sequence[str] = ()) -> Any:
        """Return one output as float32, without the batch axis.

        Args:
            outputs: what `call` returned.
            output: its name in the file, "" for the first.
            labels: what its answers are called where they are texts, which become their places here, or the keys of a
                map, whose numbers come in this order.
        """

    def quantised(self) -> bool:
        """Return whether the model computes with integers that stand for numbers."""

    def nodes(self) -> dict[str, int]:
        """Return what ran -> nodes it ran since loading, of a session with `trace`; called once after one inference."""


class TracedModel(LoadedModel, Protocol):
    """What `Runtime.Session` makes where `PROFILES` is true."""

    def operators(self, counted: Sequence[bool]) -> list[tuple[str, str, str, int]]:
        """Return name, type, provider and ns of each node, once, in the last inferences of a session with `trace`.

        `counted` says of each of these inferences, in their order, whether it counts. The ns are of all that do, and
        what runs inside a node, as in a branch, is not in its own. Called once; ValueError if the trace holds fewer.
        """


class Runtime(Protocol):
    """harness/agent/runtimes/NAME.py: loads and calls models on the device, so it imports nothing of ours.

    Attributes:
        REQUIREMENT: the distribution that is installed on the device.
        CONSTRAINTS: on what is installed with it, such as `numpy<2`.
        ALONE_WITH: the distributions that it needs to run a model, where its wheel asks for more than that: nothing
            else is installed with it. Empty: what the wheel asks for.
        LEFT_OUT: patterns of files (fnmatch) in its folder that no model needs to run.
        COMPILED: bytes and files that Python adds to its folder when it is first used; (0, 0) for the usual.
        FORMATS: of the models that it runs, which are their files' suffixes.
        ACCELERATORS: every name that it knows an accelerator by; which of them a device has is seen there.
        PROFILES: whether a session with `trace` knows what each node took (`TracedModel`).
    """

    REQUIREMENT: str
    CONSTRAINTS: tuple[str, ...]
    ALONE_WITH: tuple[str, ...] = ()
    LEFT_OUT: tuple[str, ...] = ()
    COMPILED: tuple[int, int] = (0, 0)
    FORMATS: tuple[str, ...]
    ACCELERATORS: tuple[str, ...]
    PROFILES: bool = False

    def Session(  # noqa: N802 a class
        self,
        path: str,
        threads: int,
        accelerator: str = "",
        trace: str = "",
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> LoadedModel:
        """Load a model.

        Args:
            path: of its file.
            threads: that an inference may use.
            accelerator: one of `offers()` to use, "" for none.
            trace: beginning of the name of a file to note in what ran each node, "" not to.
            constants: its inputs beside the one that takes images, each with its value.
        """

    def offers(self) -> list[str]:
        """Return the accelerators that it can use on this device."""

    def facts(self) -> dict[str, Any]:
        """Return `runtime`, `runtime_version` and `accelerator`: its name, its version, what runs models by default."""
