"""runtimes = ["onnxruntime==1.31.1"]

Runs .onnx files; latency is one `InferenceSession.run` with a ready input array.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.agent.images import Misfit

REQUIREMENT = "onnxruntime"
CONSTRAINTS: tuple[str, ...] = ()
FORMATS = ("onnx",)
#: Every execution provider that onnxruntime knows by name; which of them a device offers depends on the wheel.
ACCELERATORS = (
    "ACLExecutionProvider", "AzureExecutionProvider", "CANNExecutionProvider", "CPUExecutionProvider",
    "CUDAExecutionProvider", "CoreMLExecutionProvider", "DmlExecutionProvider", "DnnlExecutionProvider",
    "MIGraphXExecutionProvider", "NnapiExecutionProvider", "NvTensorRTRTXExecutionProvider",
    "OpenVINOExecutionProvider", "QNNExecutionProvider", "RknpuExecutionProvider", "TensorrtExecutionProvider",
    "VSINPUExecutionProvider", "VitisAIExecutionProvider", "WebGpuExecutionProvider", "XnnpackExecutionProvider",
)  # fmt: skip

#: A session with `trace` knows what each node took.
PROFILES = True

_CPU = "CPUExecutionProvider"
#: What the name of an event in a trace has behind that of the node, where it is of its computing.
_COMPUTED = "_kernel_time"
#: Providers with threads of their own take their number from an option of their own, not from the session's.
_THREADS = {"OpenVINOExecutionProvider": "num_of_threads", "XnnpackExecutionProvider": "intra_op_num_threads"}
#: What the names of operators on quantised tensors have in them.
_QUANTISED = (b"QuantizeLinear", b"QLinear", b"ConvInteger", b"MatMulInteger", b"MatMulNBits")
_TYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(uint8)": "uint8",
    "tensor(int8)": "int8", "tensor(uint16)": "uint16", "tensor(int16)": "int16", "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}  # fmt: skip


class Session:
    """One loaded model; `shape` is that of the input that takes images, `dtype` its numpy type.

    `accelerator` is the execution provider asked for that the session really holds, "" if none. With `trace`, the
    beginning of a file name, the session also notes what ran each node, which costs time: never do so in timed ones.
    """

    def __init__(
        self,
        path: str,
        threads: int,
        accelerator: str = "",
        trace: str = "",
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        import onnxruntime as ort

        ort.set_default_logger_severity(3)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if trace:
            options.enable_profiling, options.profile_file_prefix = True, trace
        wanted = [accelerator] if accelerator in offers() else []
        own = {_THREADS[name]: str(threads) for name in wanted if name in _THREADS}
        providers = [*((name, own) for name in wanted if name != _CPU), (_CPU, {})]
        # Without this a provider that fails is replaced by the processor in the middle of a run, with a mere print.
        self._session = ort.InferenceSession(path, options, providers=providers, enable_fallback=0)
        self.accelerator = accelerator if accelerator in self._session.get_providers() else ""
        every = self._session.get_inputs()
        inputs = [one for one in every if one.name not in constants]
        if len(inputs) != 1:
            raise Misfit(
                f"the model has {len(inputs)} inputs; one takes the images, and the others need a constant each: "
                "write them into `inputs`, or export it with the image as its only input"
            )
        self._constants = [(one, constants[one.name]) for one in every if one.name in constants]
        if inputs[0].type not in _TYPES:
            raise Misfit(f"the model's input is {inputs[0].type}; export it with a float32 input")
        self._name, self._path = inputs[0].name, path
        self._outputs = [one.name for one in self._session.get_outputs()]
        self.shape = list(inputs[0].shape)
        self.dtype = _TYPES[inputs[0].type]
        self.quantization = (0.0, 0)

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""
        return {self._name: x, **{one.name: _full(one, value, len(x)) for one, value in self._constants}}

    def call(self, bound: Any) -> Any:
        """Run one inference and return the outputs; this is what is timed."""
        return self._session.run(None, bound)

    def result(self, outputs: Any, output: str = "", labels: Sequence[str] = ()) -> Any:
        """Return one output as float32, without the batch axis.

        Args:
            outputs: what `call` returned.
            output: its name in the file, "" for the first.
            labels: texts become their places in it; the numbers of a map come in its order.
        """
        answer = outputs[self._outputs.index(output) if output else 0]
        if isinstance(answer, list):
            return _of_map(answer[0], labels)
        if labels and answer.dtype.kind != "f":
            answer = _places(answer, labels)
        # A label for each image may come without an axis of its own.
        return answer[0].astype("float32")

    def quantised(self) -> bool:
        """Return whether some operator computes with integers that stand for numbers: their names are in the file."""
        raw = Path(self._path).read_bytes()
        return any(mark in raw for mark in _QUANTISED)

    def nodes(self) -> dict[str, int]:
        """Return provider -> nodes it ran since loading, of a session with `trace`; a part compiled as one counts once.

        Call once after one inference; the trace is removed.
        """
        return dict(Counter(event["args"]["provider"] for event in self._traced() if _of_node(event)))

    def operators(self, counted: Sequence[bool]) -> list[tuple[str, str, str, int]]:
        """Return name, type, provider and ns of each node, once, in the last inferences of a session with `trace`.

        `counted` says of each of these inferences, in their order, whether it counts. What runs inside a node, as in a
        branch, is not in its time. onnxruntime notes whole microseconds, rounded down. Call once; the trace is removed.

        Raises:
            ValueError: the trace does not hold so many.
        """
        events = self._traced()
        runs = sorted(event["ts"] for event in events if event["name"] == "model_run")
        if len(runs) < len(counted):
            raise ValueError(f"its trace holds {len(runs)} of {len(counted)} inferences")
        runs = runs[-len(counted) :]
        known: Counter[tuple[str, str, str, str]] = Counter()
        for event, alone in _alone([one for one in events if _of_node(one) and one["ts"] >= runs[0]]):
            if not counted[bisect_right(runs, event["ts"]) - 1]:
                continue
            said = event["args"]
            # Nodes of both ways of a branch may have one name.
            number = str(said.get("node_index", ""))
            known[
                event["name"].removesuffix(_COMPUTED), said.get("op_name") or "unknown", said["provider"], number
            ] += alone * 1000
        return [(name, kind, provider, ns) for (name, kind, provider, _), ns in known.items()]

    def _traced(self) -> list[dict[str, Any]]:
        trace = Path(self._session.end_profiling())
        events: list[dict[str, Any]] = json.loads(trace.read_text())
        trace.unlink()
        return events


def _of_node(event: dict[str, Any]) -> bool:
    return "provider" in event.get("args", {})


def _alone(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Return each event with its time, in µs, less that of the events inside it: a branch is noted with its nodes."""
    found = [[event, event["dur"]] for event in sorted(events, key=lambda one: (one["tid"], one["ts"], -one["dur"]))]
    around: list[list[Any]] = []
    for one in found:
        event = one[0]
        while around and (around[-1][0]["tid"] != event["tid"] or _end(around[-1][0]) <= event["ts"]):
            around.pop()
        if around:
            around[-1][1] -= event["dur"]
        around.append(one)
    return [(event, alone) for event, alone in found]


def _end(event: dict[str, Any]) -> int:
    end: int = event["ts"] + event["dur"]
    return end


def _full(given: Any, value: float, images: int) -> Any:
    """Return an input of one number; an axis that is open is the images'."""
    import numpy as np

    shape = [size if isinstance(size, int) and size > 0 else images for size in given.shape]
    return np.full(shape, value, _TYPES[given.type])


def _of_map(row: dict[Any, float], labels: Sequence[str]) -> Any:
    """Return the numbers of a map from labels, in the order of `labels`."""
    import numpy as np

    named = {str(label): number for label, number in row.items()}
    return np.array([named[label] for label in labels or sorted(named)], np.float32)


def _places(answer: Any, labels: Sequence[str]) -> Any:
    """Return the place of each label in `labels`; one that is not there is -1."""
    import numpy as np

    known = {label: place for place, label in enumerate(labels)}
    return np.array([known.get(str(one), -1) for one in answer.reshape(-1)]).reshape(answer.shape)


def offers() -> list[str]:
    """Return the execution providers in this build of onnxruntime."""
    import onnxruntime as ort

    return list(ort.get_available_providers())


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    import onnxruntime as ort

    return {"runtime": "onnxruntime", "runtime_version": ort.__version__, "accelerator": _CPU}
