"""A .tflite model written by hand with the schema that LiteRT's wheel holds: no converter is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class _Graph:
    """Tensors, operators and buffers of one subgraph."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.buffers = [schema.BufferT()]  # the first is the empty one, by convention

    def tensor(self, name: str, shape: tuple[int, ...], data: npt.NDArray[Any] | None = None) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
        whole = data is not None and data.dtype == np.int32
        tensor.type = self._schema.TensorType.INT32 if whole else self._schema.TensorType.FLOAT32
        if data is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, code: int, inputs: list[int], output: int, options: Any) -> int:
        operator = self._schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [output]
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, type(options).__name__[:-1])
        operator.builtinOptions = options
        self.operators.append(operator)
        return output


def convolutions(path: Path, *, size: int = 64, features: int = 32, layers: int = 12) -> Path:
    """Write a model of some ten milliseconds that takes (1, size, size, 1) and answers (1, features)."""
    from ai_edge_litert import schema_py_generated as schema

    rng, graph = np.random.default_rng(1), _Graph(schema)
    last = graph.tensor("x", (1, size, size, 1))
    for i in range(layers):
        weights = rng.normal(0, 0.1, (features, 3, 3, features if i else 1)).astype(np.float32)
        zeros = np.zeros(features, np.float32)
        inputs = [last, graph.tensor(f"w{i}", weights.shape, weights), graph.tensor(f"b{i}", zeros.shape, zeros)]
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.SAME
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        last = graph.operator(0, inputs, graph.tensor(f"h{i}", (1, size, size, features)), options)
    axes = graph.tensor("axes", (2,), np.array([1, 2], np.int32))
    last = graph.operator(1, [last, axes], graph.tensor("y", (1, features)), schema.ReducerOptionsT())
    path.write_bytes(_packed(schema, graph, last, {"CONV_2D": 1, "MEAN": 1}))
    return path


def _packed(schema: Any, graph: _Graph, output: int, versions: Mapping[str, int]) -> bytes:
    import flatbuffers

    model, subgraph = schema.ModelT(), schema.SubGraphT()
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = (
        graph.tensors,
        graph.operators,
        [0],
        [output],
    )
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [subgraph], graph.buffers, []
    for name, version in versions.items():
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = version
        model.operatorCodes.append(code)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def of_integers(path: Path, weights: npt.NDArray[np.float32], bias: npt.NDArray[Any], *, size: int = 16) -> Path:
    """Write a linear model whose input is int16 with a scale of 1/32767, as 16x8 quantisation writes it.

    Args:
        path: of the file.
        weights: (size * size, K).
        bias: (K,).
        size: height and width of the image.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = _Graph(schema)
    first = graph.tensor("x", (1, size, size, 1))
    graph.tensors[first].type = schema.TensorType.INT16
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = np.array([1 / 32767], np.float32), np.array([0], np.int64)
    graph.tensors[first].quantization = quantization
    floats = graph.operator(0, [first], graph.tensor("f", (1, size, size, 1)), schema.DequantizeOptionsT())
    inputs = [
        floats,
        graph.tensor("w", weights.T.shape, np.ascontiguousarray(weights.T)),
        graph.tensor("b", bias.shape, bias.astype(np.float32)),
    ]
    last = graph.operator(1, inputs, graph.tensor("y", (1, len(bias))), schema.FullyConnectedOptionsT())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_packed(schema, graph, last, {"DEQUANTIZE": 3, "FULLY_CONNECTED": 1}))
    return path
