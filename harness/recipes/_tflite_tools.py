"""What recipes need of a .tflite file: its operators by name, and how ai-edge-quantizer feeds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import formats
from harness.errors import RecipeError
from harness.recipes import _onnx_tools

#: Operators that hold what was learnt, as ai-edge-quantizer calls them.
WEIGHTED: Final = ("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE")


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a file's first subgraph.

    Attributes:
        name: of its first output tensor.
        kind: as ai-edge-quantizer calls it, "" where it does not know it.
        scope: what its rules are matched against.
    """

    name: str
    kind: str
    scope: str


def operators(file: Path) -> list[Operator]:
    """Return the operators of a file; raises RecipeError when it is missing or damaged."""
    check(file)
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as tools

    model = tools.read_model(str(file))
    graph, found = model.subgraphs[0], []
    for one in graph.operators:
        kind = tools.TFL_OP_CODE_TO_NAME.get(model.operatorCodes[one.opcodeIndex].builtinCode)
        name = tools.get_tensor_name(graph.tensors[one.outputs[0]]) if len(one.outputs) else ""
        found.append(Operator(name, str(kind.value) if kind else "", tools.get_op_scope(one, graph.tensors)))
    return found


def check(file: Path) -> None:
    """Raise RecipeError unless a file is a .tflite model with float32 inputs."""
    try:
        inputs = formats.read(file).inputs
    except (formats.Unreadable, OSError) as error:
        raise RecipeError(f"{file} cannot be read as TensorFlow Lite ({error})", remedy="convert it again") from error
    for one in inputs:
        if one.type != "float32":
            raise RecipeError(
                f"{file.name} takes {one.type}: it is quantised already",
                remedy="give a baseline with a float input, or bring this variant ready-made",
            )


def known(name: str, names: Iterable[str], file: Path) -> str:
    """Return a name that is among those of a file's operators.

    Args:
        name: what was asked for.
        names: those of its operators, in their order.
        file: the model.

    Raises:
        RecipeError: it is not, with the nearest that is.
    """
    names = list(names)
    if name not in names:
        raise _onnx_tools.unknown_node(name, names, file)
    return name


def chosen(rules: Any, operator: Operator) -> bool:
    """Return whether rules of ai-edge-quantizer change an operator."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    if not operator.kind:
        return False
    algorithm, _ = rules.get_quantization_configs(TFLOperationName(operator.kind), operator.scope)
    return bool(algorithm != AlgorithmName.NO_QUANTIZE)


def exactly(operator: Operator) -> str:
    """Return the expression that matches one operator alone."""
    return f"^{re.escape(operator.scope)}$"


def write(parent: Path, target: Path, rules: Any, *, exclude: Sequence[str] = (), ranges: Any = None) -> None:
    """Write what ai-edge-quantizer's rules make of a file.

    Args:
        parent: the file.
        target: of the new one.
        rules: which operators become what.
        exclude: names of operators that stay as they are.
        ranges: of activations, for rules that need them.

    Raises:
        RecipeError: an operator is not in the file, or the rules change none of them.
    """
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    all_of_it = {one.name: one for one in operators(parent)}
    for name in exclude:
        scope = exactly(all_of_it[known(name, all_of_it, parent)])
        rules.add_quantization_config(scope, TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if not any(chosen(rules, one) for one in all_of_it.values()):
        kinds = sorted({one.kind or "unknown operators" for one in all_of_it.values()})
        raise RecipeError(
            f"none of the operators of {parent.name} would change (it has {', '.join(kinds)})",
            remedy="leave fewer of them out, or leave this variant out",
        )
    with _onnx_tools.quiet():
        target.unlink(missing_ok=True)  # the tool overwrites nothing
        tool = quantizer.Quantizer(str(parent), rules.get_quantization_recipe())
        tool.quantize(ranges).export_model(str(target))


def fed(file: Path) -> tuple[str, list[str]]:
    """Return the name of the file's first signature and those of its inputs.

    Raises:
        RecipeError: it has none, or more than one input.
    """
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(file)).get_signature_list()
    if not signatures:
        raise RecipeError(
            f"{file.name} has no signature, by which ai-edge-quantizer feeds a model",
            remedy="convert it again with a signature, or bring this variant ready-made",
        )
    name = next(iter(signatures))
    inputs = list(signatures[name]["inputs"])
    if len(inputs) != 1:
        raise RecipeError(
            f"{file.name} has {len(inputs)} inputs",
            remedy="convert it with the image as its only input, or bring this variant ready-made",
        )
    return name, inputs
