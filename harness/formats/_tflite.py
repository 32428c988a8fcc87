"""TensorFlow Lite files, read with the `tflite` package: the schema of the format, without an interpreter."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness.formats import ModelFile, Tensor, Unreadable, _meaning

#: Builtin operators -> what they are called in ONNX, as far as it matters what their numbers stand for.
_CALLED: Final = {
    "SOFTMAX": "Softmax", "LOGISTIC": "Sigmoid", "LOG_SOFTMAX": "LogSoftmax", "ARG_MAX": "ArgMax",
    "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual", "LESS": "Less", "LESS_EQUAL": "LessOrEqual",
    "CONV_2D": "Conv", "DEPTHWISE_CONV_2D": "Conv", "TRANSPOSE_CONV": "ConvTranspose", "CONV_3D": "Conv",
    "FULLY_CONNECTED": "Gemm", "BATCH_MATMUL": "MatMul", "RESHAPE": "Reshape", "SQUEEZE": "Squeeze",
    "EXPAND_DIMS": "Unsqueeze", "TRANSPOSE": "Transpose", "CAST": "Cast", "QUANTIZE": "QuantizeLinear",
    "DEQUANTIZE": "DequantizeLinear", "RESIZE_BILINEAR": "Resize", "RESIZE_NEAREST_NEIGHBOR": "Resize",
    "CONCATENATION": "Concat", "AVERAGE_POOL_2D": "AveragePool", "MAX_POOL_2D": "MaxPool", "MEAN": "ReduceMean",
    "REDUCE_MAX": "ReduceMax", "DEPTH_TO_SPACE": "DepthToSpace", "BROADCAST_TO": "Expand", "SLICE": "Slice",
    "STRIDED_SLICE": "Slice", "GATHER": "Gather", "SPLIT": "Split", "PAD": "Pad", "PADV2": "Pad", "ADD": "Add",
    "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "NEG": "Neg", "RELU": "Relu", "RELU6": "Relu", "LEAKY_RELU": "LeakyRelu",
    "PRELU": "PRelu", "ELU": "Elu", "GELU": "Gelu", "HARD_SWISH": "HardSwish", "SUM": "ReduceSum", "ADD_N": "Sum",
}  # fmt: skip
#: Where the vtable of an operator's code says its field `builtin_code` lies.
_BUILTIN_CODE: Final = 10
_TYPES: Final = {
    "FLOAT32": "float32", "FLOAT16": "float16", "FLOAT64": "float64", "INT8": "int8", "UINT8": "uint8",
    "INT16": "int16", "UINT16": "uint16", "INT32": "int32", "UINT32": "uint32", "INT64": "int64", "BOOL": "bool",
    "STRING": "text",
}  # fmt: skip


def read(path: Path) -> ModelFile:
    """Return what a TensorFlow Lite file says of itself."""
    from tflite.Model import Model

    raw = path.read_bytes()
    if not Model.ModelBufferHasIdentifier(raw, 0):
        raise Unreadable(f"{path.name} is no TensorFlow Lite model", remedy="export it again")
    try:
        model = Model.GetRootAsModel(raw, 0)
        return _Graph(model).described(_classes(raw))
    # What flatbuffers raises where a file ends too early or an offset leads out of it; tensors that are made of
    # themselves recur without end.
    except (struct.error, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise Unreadable(f"{path.name} is a damaged TensorFlow Lite model", remedy="convert it again") from error


class _Graph:
    """The first subgraph, which is the one that interpreters run."""

    def __init__(self, model: Any) -> None:
        self._model, self._graph = model, model.Subgraphs(0)
        graph = self._graph
        self._operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        self._names = [_operator_name(model.OperatorCodes(one.OpcodeIndex())) for one in self._operators]
        self._made = {int(out): i for i, one in enumerate(self._operators) for out in _list(one.OutputsAsNumpy())}

    def described(self, classes: tuple[str, ...]) -> ModelFile:
        graph = self._graph
        description = (self._model.Description() or b"").decode("utf-8", "replace")
        return ModelFile(
            format="tflite",
            inputs=tuple(self._tensor(i) for i in _list(graph.InputsAsNumpy())),
            outputs=tuple(self._output(i) for i in _list(graph.OutputsAsNumpy())),
            classes=classes,
            operators=dict(Counter(self._names)),
            versions={
                "schema": str(self._model.Version()),
                **({"description": description} if description else {}),
            },
            parameters=sum(math.prod(self._sizes(i)) for i in range(graph.TensorsLength()) if self._is_constant(i)),
            macs=self._macs(),
        )

    def _tensor(self, index: int) -> Tensor:
        tensor = self._graph.Tensors(index)
        sizes = _list(tensor.ShapeAsNumpy())
        signature = _list(tensor.ShapeSignatureAsNumpy()) or sizes
        # Converters write 1 for a size that they do not know; one that stands there is what interpreters run at.
        known = {i: size for i, size in enumerate(sizes) if size > 1 and i > 0}
        shape = tuple(size if size > 0 else known.get(i) for i, size in enumerate(signature))
        held = tensor.Quantization()
        scales = _floats(held.ScaleAsNumpy()) if held is not None else []
        zeros = _list(held.ZeroPointAsNumpy()) if held is not None else []
        scale, zero = (scales[0], zeros[0] if zeros else 0) if len(scales) == 1 else (0.0, 0)
        return Tensor(tensor.Name().decode("utf-8", "replace"), _type_name(tensor.Type()), shape, scale, zero)

    def _output(self, index: int) -> Tensor:
        one = self._tensor(index)
        made = self._made.get(index)
        maker = self._names[made] if made is not None else ""
        kind = _meaning.of_output(self._kind(index), self._back(index))
        return Tensor(
            one.name,
            one.type,
            one.shape,
            one.scale,
            one.zero_point,
            kind,
            maker,
            source=self._source(index),
        )

    def _source(self, index: int) -> str:
        """Return the name of the tensor that an output's answer is taken from."""
        while (made := self._made.get(index)) is not None and self._names[made] in (
            "RESHAPE", "SQUEEZE", "CAST", "DEQUANTIZE", "QUANTIZE", "ARG_MAX",
        ):  # fmt: skip
            index = _list(self._operators[made].InputsAsNumpy())[0]
        return str(self._graph.Tensors(index).Name().decode("utf-8", "replace"))

    def _back(self, index: int) -> Iterator[str]:
        """Yield the operators that made a tensor, the last one first, each by what it made of its first input."""
        seen = set[int]()
        while (made := self._made.get(index)) is not None:
            if made in seen:
                raise ValueError("an operator is fed with what it makes")
            seen.add(made)
            yield _CALLED.get(self._names[made], self._names[made])
            inputs = _list(self._operators[made].InputsAsNumpy())
            # SPLIT alone has its axis first.
            data = [one for one in inputs if one >= 0 and not self._is_constant(one)]
            if not data:
                return
            index = data[0]

    def _kind(self, index: int) -> str:
        made = self._made.get(index)
        if made is None:
            return _meaning.OPEN
        inputs = _list(self._operators[made].InputsAsNumpy())
        before = (self._kind(one) for one in inputs if one >= 0 and not self._is_constant(one))
        return _meaning.behind(_CALLED.get(self._names[made], ""), before)

    def _is_constant(self, index: int) -> bool:
        if (made := self._made.get(index)) is not None:
            inputs = _list(self._operators[made].InputsAsNumpy())
            return bool(inputs) and all(one < 0 or self._is_constant(one) for one in inputs)
        buffer = self._model.Buffers(self._graph.Tensors(index).Buffer())
        # Large files keep their weights behind the flatbuffer, and only where they lie in it.
        return buffer is not None and (buffer.DataLength() > 0 or buffer.Offset() > 1)

    def _sizes(self, index: int) -> list[int]:
        return [max(size, 1) for size in _list(self._graph.Tensors(index).ShapeAsNumpy())]

    def _macs(self) -> int:
        total = 0
        for name, one in zip(self._names, self._operators, strict=True):
            if name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"):
                continue
            inputs, (out,) = _list(one.InputsAsNumpy()), _list(one.OutputsAsNumpy())[:1]
            kernel, made = self._sizes(inputs[1]), math.prod(self._sizes(out))
            if name == "DEPTHWISE_CONV_2D":
                total += made * kernel[1] * kernel[2]
            elif name == "TRANSPOSE_CONV":
                total += math.prod(self._sizes(inputs[2])) * math.prod(kernel[:-1])
            else:
                total += made * math.prod(kernel[1:])
        return total


def _operator_name(code: Any) -> str:
    from flatbuffers.number_types import Int32Flags
    from tflite.utils import opcode2name

    # Old files hold the code in a byte, newer ones in the integer `builtin_code` (schema.fbs), often in that alone; the
    # package's own accessor then gives the byte, so the field is read where it lies.
    table = code._tab
    at = table.Offset(_BUILTIN_CODE)
    number = max(code.DeprecatedBuiltinCode(), table.Get(Int32Flags, at + table.Pos) if at else 0)
    if code.CustomCode():
        return str(code.CustomCode().decode("utf-8", "replace"))
    try:
        return str(opcode2name(number))
    except (KeyError, ValueError):
        return f"operator {number}"


def _type_name(number: int) -> str:
    from tflite.TensorType import TensorType

    names = {value: name for name, value in vars(TensorType).items() if isinstance(value, int)}
    name = str(names.get(number, number))
    return _TYPES.get(name, name.lower())


def _list(values: Any) -> list[int]:
    return [int(one) for one in values] if isinstance(values, np.ndarray) else []


def _floats(values: Any) -> list[float]:
    return [float(one) for one in values] if isinstance(values, np.ndarray) else []


def _classes(raw: bytes) -> tuple[str, ...]:
    """Return the names of classes from the labels file that metadata writers append to a model, as a zip archive."""
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        return ()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        texts = [name for name in archive.namelist() if name.endswith(".txt")]
        if len(texts) != 1:
            return ()
        lines = archive.read(texts[0]).decode("utf-8", "replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip())
