"""runtimes = ["ai-edge-litert==2.3.0"]

Runs .tflite files; latency is set_tensor + invoke + get_tensor: the same span of work as other runtimes' calls.
"""

from __future__ import annotations

from typing import Any

REQUIREMENT = "ai-edge-litert"
CONSTRAINTS: tuple[str, ...] = ()
FORMATS = ("tflite",)


class Session:
    """One loaded model with one input; `shape` is the input's, `dtype` its numpy type."""

    def __init__(self, path: str, threads: int, interpreter: Any = None) -> None:
        if interpreter is None:
            from ai_edge_litert.interpreter import Interpreter

            interpreter = Interpreter
        self._interpreter = interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise ValueError(f"the model has {len(inputs)} inputs; models with one input are supported")
        self._input = inputs[0]["index"]
        self._output = self._interpreter.get_output_details()[0]
        self.shape = [int(size) for size in inputs[0]["shape"]]
        self.dtype = inputs[0]["dtype"].__name__
        scale, zero_point = inputs[0]["quantization"]
        self.quantization = (float(scale), int(zero_point))

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""
        return x

    def call(self, bound: Any) -> Any:
        """Run one inference and return the output; this is what is timed."""
        self._interpreter.set_tensor(self._input, bound)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])

    def result(self, outputs: Any) -> Any:
        """Return the first output as float32 (dequantised), without the batch axis."""
        first = outputs[0].astype("float32")
        scale, zero_point = self._output["quantization"]
        return (first - zero_point) * scale if scale else first


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    import ai_edge_litert

    return {"runtime": "ai-edge-litert", "runtime_version": ai_edge_litert.__version__, "accelerator": "XNNPACK (CPU)"}
