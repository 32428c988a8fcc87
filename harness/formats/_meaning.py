"""What the numbers of an output stand for, by the operators that made them: never by the numbers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

LOGITS, PROBABILITIES, SIGMOID, LABELS, OPEN = "logits", "probabilities", "sigmoid", "labels", ""

#: Operators that decide alone, whatever comes before them.
_DECIDES: Final = {
    **dict.fromkeys(("Softmax", "QLinearSoftmax"), PROBABILITIES),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "QLinearSigmoid"), SIGMOID),
    # softmax of a log-softmax is the softmax of what went into it.
    "LogSoftmax": LOGITS,
    **dict.fromkeys(("ArgMax", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), LABELS),
    **dict.fromkeys(
        (
            "Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "ConvInteger", "MatMulInteger", "QLinearConv", "QGemm",
            "QLinearMatMul", "FusedConv", "FusedMatMul", "FusedGemm", "MatMulNBits", "MatMulBnb4", "NhwcConv",
            "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "GRU", "LSTM",
            "RNN", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
        ),
        LOGITS,
    ),
}  # fmt: skip
#: Operators behind which a number stands for what it stood for: other places, sizes and types, means of neighbours.
_KEEPS: Final = frozenset((
    "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "CastLike", "Dropout", "Resize",
    "Upsample", "QuantizeLinear", "DequantizeLinear", "Clip", "AveragePool", "GlobalAveragePool", "Pad",
    "QLinearGlobalAveragePool", "QLinearAveragePool", "ReduceMean", "Expand", "DepthToSpace",
))  # fmt: skip
#: The same, but the file does not say of which class a number is that is left: as the last of a model they answer
#: nothing.
_PARTS: Final = frozenset(("Slice", "Gather", "Split", "GatherND", "GatherElements", "ReduceMax"))
#: The same where each class has its own number; probabilities that sum to one do so no more.
_JOINS: Final = frozenset(("Concat", "QLinearConcat", "MaxPool", "GlobalMaxPool", *_PARTS))
#: Arithmetic: logits stay logits under it, probabilities stay nothing that is known.
_RECKONS: Final = frozenset((
    "Add", "Sub", "Mul", "Div", "Neg", "Relu", "LeakyRelu", "PRelu", "Elu", "Gelu", "HardSwish", "QLinearAdd",
    "QLinearMul", "QLinearLeakyRelu", "Sum", "Mean", "ReduceSum",
))  # fmt: skip


def behind(operator: str, before: Iterator[str]) -> str:
    """Return what an operator's output stands for.

    Args:
        operator: its name in ONNX.
        before: what each of its inputs that is no constant stands for; asked only where it matters.
    """
    if operator in _DECIDES:
        return _DECIDES[operator]
    if operator in _KEEPS:
        return _common(list(before))
    if operator in _JOINS:
        kept = _common(list(before))
        return OPEN if kept == PROBABILITIES else kept
    if operator in _RECKONS:
        kept = _common(list(before))
        return kept if kept == LOGITS else OPEN
    return OPEN


def of_output(kind: str, operators: Iterator[str]) -> str:
    """Return what an output stands for.

    Args:
        kind: of its numbers.
        operators: that made it, the last one first, as far as one leads to the other alone.
    """
    last = next((operator for operator in operators if operator not in _KEEPS), "")
    return OPEN if last in _PARTS else kind


def _common(kinds: Sequence[str]) -> str:
    return kinds[0] if kinds and len(set(kinds)) == 1 else OPEN
