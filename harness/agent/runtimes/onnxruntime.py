"""runtimes = ["onnxruntime==1.31.1"]

Runs .onnx files; latency is one `InferenceSession.run` with a ready input array.
"""

from __future__ import annotations

from typing import Any

REQUIREMENT = "onnxruntime"
CONSTRAINTS: tuple[str, ...] = ()
FORMATS = ("onnx",)

_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}


class Session:
    """One loaded model with one input; `shape` is the input's, `dtype` its numpy type."""

    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime as ort

        ort.set_default_logger_severity(3)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f"the model has {len(inputs)} inputs; models with one input are supported")
        if inputs[0].type not in _TYPES:
            raise ValueError(f"the model's input is {inputs[0].type}; float, float16, uint8 and int8 are supported")
        self._name = inputs[0].name
        self.shape = list(inputs[0].shape)
        self.dtype = _TYPES[inputs[0].type]
        self.quantization = (0.0, 0)

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""
        return {self._name: x}

    def call(self, bound: Any) -> Any:
        """Run one inference and return the outputs; this is what is timed."""
        return self._session.run(None, bound)

    def result(self, outputs: Any) -> Any:
        """Return the first output as float32, without the batch axis."""
        return outputs[0][0].astype("float32")


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    import onnxruntime as ort

    return {"runtime": "onnxruntime", "runtime_version": ort.__version__, "accelerator": "CPUExecutionProvider"}
