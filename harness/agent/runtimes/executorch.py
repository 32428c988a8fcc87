"""runtimes = ["executorch==1.5.1"]

Runs .pte files, ExecuTorch's programs; latency is one call of the method `forward` with a ready tensor, its outputs
copied. The wheel's interface for Python is built on torch, which goes to the device with it: half a gigabyte there, and
in every figure of memory. The parts that run a model are the same as without Python. Which backend runs what was
decided when the file was exported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.agent import pte
from harness.agent.images import Misfit

REQUIREMENT = "executorch"
#: Each release is built against one torch. Of other builds than +cpu the one for x86-64 brings gigabytes of CUDA.
CONSTRAINTS: tuple[str, ...] = ("executorch>=1.5,<1.6", "torch==2.13.0+cpu")
#: The wheel asks for its exporters' libraries, too; this is what is imported when a model runs.
ALONE_WITH = ("torch", "numpy", "typing-extensions")
#: Of torch and executorch what no model needs to run.
LEFT_OUT = (
    "torch/include/*", "torch/test/*", "torch/share/*", "torch/bin/test_*", "torch/bin/*_test", "torch/bin/protoc*",
    "executorch/backends/*", "executorch/data/*", "executorch/devtools/*", "executorch/examples/*", "executorch/exir/*",
    "executorch/extension/llm/*", "executorch/extension/training/*", "executorch/kernels/*", "executorch/codegen/*",
    "executorch/include/*", "executorch/test/*",
)  # fmt: skip
#: What Python compiles of torch when it is first imported: bytes, files.
COMPILED = (40_000_000, 1200)
FORMATS = ("pte",)
#: Backends that programs can be exported for; this wheel has the first three.
ACCELERATORS = (
    "OpenvinoBackend", "QnnBackend", "XnnpackBackend", "CoreMLBackend", "MPSBackend", "VulkanBackend", "EthosUBackend",
    "NeuropilotBackend", "SamsungBackend",
)  # fmt: skip

_KERNELS = "executorch's own kernels (CPU)"
_EXPORTED = "what the program was exported for (CPU)"


class Session:
    """One loaded program; `shape` is that of the input that takes images, `dtype` its numpy type.

    `accelerator` is the backend asked for that the program really was exported for, "" if none.
    """

    #: Its input keeps the size that it was exported with.
    one_at_a_time = "ExecuTorch"

    def __init__(
        self,
        path: str,
        threads: int,
        accelerator: str = "",
        trace: str = "",
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        del trace  # what runs a part is in the file
        import torch
        from executorch.extension.pybindings import _C

        self._torch = torch
        torch.set_num_threads(threads)
        _C._unsafe_reset_threadpool(threads)
        self._said = pte.read(Path(path).read_bytes())
        # It says this itself only by ending the process, or by a number.
        lacking = sorted(set(self._said.delegates) - set(_C._get_registered_backend_names()))
        if lacking:
            raise Misfit(f"the program was exported for {', '.join(lacking)}, which this build of executorch lacks")
        self._program = _C._load_program(path, program_verification=_C.Verification.InternalConsistency)
        self._method = self._program.load_method(pte.METHOD)
        self.accelerator = accelerator if accelerator in self._said.delegates else ""
        inputs = names(self._said, "inputs")
        images = [place for place, name in enumerate(inputs) if name not in constants]
        if len(images) != 1:
            raise Misfit(
                f"the model has {len(images)} inputs; one takes the images, and the others need a constant each: "
                "write them into `inputs`, or export it with the image as its only input"
            )
        given = self._said.inputs[images[0]]
        if given.shape is None or not given.contiguous:
            raise Misfit("the model's input has open sizes or another order in memory; export it with fixed sizes")
        self._place, self._outputs = images[0], names(self._said, "outputs")
        self._inputs = [
            None if place == self._place else self._full(self._said.inputs[place], constants[name])
            for place, name in enumerate(inputs)
        ]
        self.shape = list(given.shape)
        self.dtype = given.type
        self.quantization = (0.0, 0)

    def _full(self, given: pte.Value, value: float) -> Any:
        return self._torch.full(given.shape, value, dtype=getattr(self._torch, given.type))

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""
        tensors = list(self._inputs)
        tensors[self._place] = self._torch.tensor(x)
        return tensors

    def call(self, bound: Any) -> Any:
        """Run one inference and return copies of the outputs; this is what is timed."""
        return self._method.call(bound)

    def result(self, outputs: Any, output: str = "", labels: Sequence[str] = ()) -> Any:
        """Return one output as float32, without the batch axis.

        Args:
            outputs: what `call` returned.
            output: its name, or its place where the file has none for it; "" for the first.
            labels: unused: there are no texts and no maps.
        """
        del labels
        return outputs[self._outputs.index(output) if output else 0][0].float().numpy()

    def quantised(self) -> bool:
        """Return whether kernels compute with integers that stand for numbers; what a backend does is not said."""
        return any(name.startswith("quantized_decomposed::") for name in self._said.kernels)

    def nodes(self) -> dict[str, int]:
        """Return backend -> parts of the model that it runs, each counted once, and the operators that kernels run."""
        kernels = {_KERNELS: sum(self._said.kernels.values())} if self._said.kernels else {}
        return {**self._said.delegates, **kernels}


def names(program: pte.Program, role: str) -> list[str]:
    """Return what a program's "inputs" or "outputs" are called: by the recipe's note, else by their places: 0, 1, …"""
    given = note(program).get(role, [])
    count = len(getattr(program, role))
    return given if len(given) == count else [str(place) for place in range(count)]


def note(program: pte.Program) -> dict[str, Any]:
    """Return what edgeward's recipe left in a program; nothing in one that came from elsewhere."""
    try:
        found = json.loads(program.note or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def offers() -> list[str]:
    """Return the backends in this build of executorch."""
    import torch  # noqa: F401  loads the libraries that the next one is linked to
    from executorch.extension.pybindings import _C

    return list(_C._get_registered_backend_names())


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    import torch  # noqa: F401  imported here, so that no load of a model is charged for it
    from executorch.version import __version__

    return {"runtime": "executorch", "runtime_version": __version__, "accelerator": _EXPORTED}
