"""runtimes = ["ai-edge-litert==2.3.0"]

Runs .tflite files; latency is set_tensor + invoke + get_tensor: the same span of work as other runtimes' calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.agent.images import Misfit

REQUIREMENT = "ai-edge-litert"
CONSTRAINTS: tuple[str, ...] = ()
FORMATS = ("tflite",)
#: What LiteRT can use somewhere; its Python interpreter offers XNNPACK alone.
ACCELERATORS = ("gpu", "nnapi", "xnnpack")

_BUILTIN = "builtin kernels (CPU)"
_DELEGATE = "DELEGATE"
#: The signature that is meant where nobody names one, as TensorFlow calls it.
_DEFAULT = "serving_default"


class Session:
    """One loaded model with one input; `shape` is the input's, `dtype` its numpy type.

    `accelerator` is the delegate asked for that the interpreter really uses, "" if none.
    """

    #: Its input keeps the size that it was loaded with.
    one_at_a_time = "LiteRT"

    def __init__(
        self,
        path: str,
        threads: int,
        accelerator: str = "",
        trace: str = "",
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        del trace  # what runs a node is known here without tracing
        self._interpreter = self.interpreter()(model_path=path, num_threads=threads)
        self._refuse_another_signature()
        every = self._interpreter.get_input_details()
        inputs = [one for one in every if one["name"] not in constants]
        if len(inputs) != 1:
            raise Misfit(
                f"the model has {len(inputs)} inputs; one takes the images, and the others need a constant each: "
                "write them into `inputs`, or export it with the image as its only input"
            )
        _refuse_open_sizes(inputs[0])
        self._interpreter.allocate_tensors()
        self.accelerator = accelerator if accelerator in offers() and self._delegates() else ""
        for one in every:
            if one["name"] in constants:
                self._interpreter.set_tensor(one["index"], _full(one, constants[one["name"]]))
        self._input = inputs[0]["index"]
        self._outputs = self._interpreter.get_output_details()
        self.shape = [int(size) for size in inputs[0]["shape"]]
        self.dtype = inputs[0]["dtype"].__name__
        scale, zero_point = inputs[0]["quantization"]
        self.quantization = (float(scale), int(zero_point))

    @staticmethod
    def interpreter() -> Any:
        """Return the class of the interpreter, by whatever distribution it is brought."""
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""
        return x

    def call(self, bound: Any) -> Any:
        """Run one inference and return the outputs; this is what is timed."""
        self._interpreter.set_tensor(self._input, bound)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(one["index"]) for one in self._outputs]

    def result(self, outputs: Any, output: str = "", labels: Sequence[str] = ()) -> Any:
        """Return one output as float32 (dequantised), without the batch axis.

        Args:
            outputs: what `call` returned.
            output: its name in the file, "" for the first.
            labels: unused: there are no texts and no maps.
        """
        del labels
        place = [one["name"] for one in self._outputs].index(output) if output else 0
        first = outputs[place][0].astype("float32")
        scale, zero_point = self._outputs[place]["quantization"]
        return (first - zero_point) * scale if scale else first

    def quantised(self) -> bool:
        """Return whether some tensor holds integers that stand for numbers."""
        return any(len(one["quantization_parameters"]["scales"]) for one in self._interpreter.get_tensor_details())

    def nodes(self) -> dict[str, int]:
        """Return how many nodes of the model each of XNNPACK and the built-in kernels runs."""
        nodes = self._interpreter._get_ops_details()
        own = [node for node in nodes if node["op_name"] != _DELEGATE]
        makers = {int(tensor): index for index, node in enumerate(own) for tensor in node["outputs"]}
        taken: set[int] = set()
        for delegate in self._delegates():
            # What lies between a delegate's outputs and its inputs is what it replaced.
            fence = {int(tensor) for tensor in delegate["inputs"]}
            look = [int(tensor) for tensor in delegate["outputs"]]
            while look:
                tensor = look.pop()
                if tensor in makers and tensor not in fence and makers[tensor] not in taken:
                    taken.add(makers[tensor])
                    look += [int(one) for one in own[makers[tensor]]["inputs"]]
        counts = {"xnnpack": len(taken), _BUILTIN: len(own) - len(taken)}
        return {name: count for name, count in counts.items() if count}

    def _refuse_another_signature(self) -> None:
        """Refuse a file whose signatures do not say that the first subgraph, which is what runs, is meant."""
        keys = list(self._interpreter.get_signature_list())
        meant = [_DEFAULT] if _DEFAULT in keys else keys
        wrapped = self._interpreter._interpreter
        if any(wrapped.GetSubgraphIndexFromSignature(key) for key in meant):
            raise Misfit(
                f"the model's first subgraph is what runs, and its signatures ({', '.join(sorted(keys))}) do not say "
                "that it is meant; export it with the one that is meant alone"
            )

    def _delegates(self) -> list[Any]:
        return [node for node in self._interpreter._get_ops_details() if node["op_name"] == _DELEGATE]


def _refuse_open_sizes(given: Any) -> None:
    """Refuse an input whose sizes, but for the number of images, are known only when it runs."""
    sizes = [int(size) for size in given["shape_signature"]]
    # Converters write 1 where they do not know a size; one that stands there is what it runs at.
    if any(size < 0 and i > 0 and given["shape"][i] <= 1 for i, size in enumerate(sizes)):
        shape = ", ".join("any" if size < 0 else str(size) for size in sizes)
        raise Misfit(f"the model's input leaves sizes open, ({shape}); export it with fixed sizes")


def _full(given: Any, value: float) -> Any:
    """Return an input of one number, in integers where those stand for numbers."""
    import numpy as np

    scale, zero_point = given["quantization"]
    return np.full(given["shape"], round(value / scale) + zero_point if scale else value, given["dtype"])


def offers() -> list[str]:
    """Return the delegates that the interpreter can be asked for."""
    return ["xnnpack"]


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    import ai_edge_litert

    return {"runtime": "ai-edge-litert", "runtime_version": ai_edge_litert.__version__, "accelerator": "XNNPACK (CPU)"}
