""".tflite models written by hand with the schema that LiteRT's wheel holds: no converter is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Graph:
    """Tensors, operators and buffers of a model; a second graph for the same file begins with `beside` the first."""

    def __init__(self, beside: Graph | None = None) -> None:
        from ai_edge_litert import schema_py_generated

        self.schema: Any = schema_py_generated
        self.tensors: list[Any] = []
        self._operators: list[Any] = []
        # The first buffer is the empty one, by convention.
        self._buffers: list[Any] = beside._buffers if beside else [self.schema.BufferT()]
        self._codes: dict[tuple[str, int], int] = beside._codes if beside else {}

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        data: npt.NDArray[Any] | None = None,
        kind: str = "FLOAT32",
        sizes: tuple[int, ...] | None = None,
    ) -> int:
        """Add a tensor and return its number.

        Args:
            name: of the tensor.
            shape: its sizes; -1 for one that is known only when the model runs.
            data: its values, if it is a constant; int32 ones keep their type.
            kind: its type, as the schema calls it.
            sizes: what it runs at, where that is known and not 1 in place of every -1.
        """
        tensor = self.schema.TensorT()
        tensor.name, tensor.buffer, tensor.hasRank = name, 0, True
        tensor.shape = list(sizes or [max(size, 1) for size in shape])
        tensor.shapeSignature = list(shape) if -1 in shape else None
        whole = data is not None and data.dtype == np.int32
        tensor.type = getattr(self.schema.TensorType, "INT32" if whole else kind)
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], output: int, options: str = "", **values: Any) -> int:
        """Add an operator and return its output.

        Args:
            name: of a built-in operator as the schema has it, any other for a custom one.
            inputs: numbers of tensors.
            output: of a tensor.
            options: name of the table of options, "" for none.
            values: of that table; `version` is the operator's own.
        """
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((name, values.pop("version", 1)), len(self._codes))
        operator.inputs, operator.outputs = list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for key, value in values.items():
                setattr(operator.builtinOptions, key, value)
        self._operators.append(operator)
        return output

    def convolution(self, name: str, last: int, shape: tuple[int, ...], weights: npt.NDArray[np.float32]) -> int:
        """Add a convolution that keeps height and width, and return its output.

        Args:
            name: of the output.
            last: the input.
            shape: of the output.
            weights: (features, height, width, channels).
        """
        zeros = np.zeros(len(weights), np.float32)
        inputs = [last, self.tensor(f"{name}.w", weights.shape, weights), self.tensor(f"{name}.b", zeros.shape, zeros)]
        one = dict.fromkeys(("strideH", "strideW", "dilationHFactor", "dilationWFactor"), 1)
        output = self.tensor(name, shape)
        return self.operator("CONV_2D", inputs, output, "Conv2DOptions", padding=self.schema.Padding.SAME, **one)

    def linear(self, name: str, last: int, weights: npt.NDArray[np.float32], bias: npt.NDArray[Any]) -> int:
        """Add a fully connected layer and return its output.

        Args:
            name: of the output.
            last: the input.
            weights: (inputs, outputs).
            bias: (outputs,).
        """
        turned = np.ascontiguousarray(weights.T)
        inputs = [last, self.tensor(f"{name}.w", turned.shape, turned)]
        inputs.append(self.tensor(f"{name}.b", bias.shape, bias.astype(np.float32)))
        return self.operator("FULLY_CONNECTED", inputs, self.tensor(name, (1, len(bias))), "FullyConnectedOptions")

    def subgraph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        """Return the subgraph as the schema has it."""
        subgraph = self.schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self._operators
        subgraph.inputs, subgraph.outputs = list(inputs), list(outputs)
        return subgraph

    def write(
        self, path: Path, subgraphs: Sequence[Any], signatures: Sequence[tuple[str, int]] = (),
    ) -> Path:  # fmt: skip
        """Write a model.

        Args:
            path: of the file; its folder is made.
            subgraphs: the first is the main one.
            signatures: (key, number of its subgraph) pairs.
        """
        import flatbuffers

        model = self.schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, list(subgraphs), self._buffers
        model.operatorCodes = [self._code(*one) for one in self._codes]
        model.signatureDefs = [self._signature(key, index, subgraphs[index]) for key, index in signatures]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(builder.Output()))
        return path

    def _code(self, name: str, version: int) -> Any:
        code, known = self.schema.OperatorCodeT(), vars(self.schema.BuiltinOperator)
        code.customCode = None if name in known else name
        code.builtinCode = known.get(name, self.schema.BuiltinOperator.CUSTOM)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        return code

    def _signature(self, key: str, index: int, subgraph: Any) -> Any:
        signature = self.schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, index
        for field, numbers in (("inputs", subgraph.inputs), ("outputs", subgraph.outputs)):
            listed = []
            for number in numbers:
                named = self.schema.TensorMapT()
                named.name, named.tensorIndex = subgraph.tensors[number].name, number
                listed.append(named)
            setattr(signature, field, listed)
        return signature


def convolutions(path: Path, *, size: int = 64, features: int = 32, layers: int = 12) -> Path:
    """Write a model of some ten milliseconds that takes (1, size, size, 1) and answers (1, features)."""
    rng, graph = np.random.default_rng(1), Graph()
    last = graph.tensor("x", (1, size, size, 1))
    for i in range(layers):
        weights = rng.normal(0, 0.1, (features, 3, 3, features if i else 1)).astype(np.float32)
        last = graph.convolution(f"h{i}", last, (1, size, size, features), weights)
    axes = graph.tensor("axes", (2,), np.array([1, 2], np.int32))
    last = graph.operator("MEAN", [last, axes], graph.tensor("y", (1, features)), "ReducerOptions")
    return graph.write(path, [graph.subgraph([0], [last])])


def of_integers(path: Path, weights: npt.NDArray[np.float32], bias: npt.NDArray[Any], *, size: int = 16) -> Path:
    """Write a linear model whose input is int16 with a scale of 1/32767, as 16x8 quantisation writes it.

    Args:
        path: of the file.
        weights: (size * size, K).
        bias: (K,).
        size: height and width of the image.
    """
    graph = Graph()
    first = graph.tensor("x", (1, size, size, 1), kind="INT16")
    quantization = graph.schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = np.array([1 / 32767], np.float32), np.array([0], np.int64)
    graph.tensors[first].quantization = quantization
    floats = graph.operator(
        "DEQUANTIZE", [first], graph.tensor("f", (1, size, size, 1)), "DequantizeOptions", version=3
    )
    last = graph.linear("y", floats, weights, bias)
    return graph.write(path, [graph.subgraph([first], [last])])
