"""`recipe = "optimize_graph"`, `parameters = { level = "extended" }`: what onnxruntime does as it loads, done offline.

Constants are folded, nodes melted into one another ("basic"), and with "extended" also into onnxruntime's own
operators, which no other runtime reads. The outputs are the same; starting takes less, and an inference seldom does, as
the runtime would have done it anyway. The levels "layout" and "all" lay tensors out for the processor that builds: a
file of theirs is for that processor alone, so they are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.ports.recipes import Build
from harness.recipes import _onnx_tools

FORMATS = ("onnx",)
TOOLS = ("onnx", "onnxruntime")
TAKES = ("float32", "float16", "int8", "int4")
LEAVES = ""


@dataclass(frozen=True, slots=True)
class Options:
    """`level`: "basic" or "extended", as onnxruntime calls them."""

    level: str = "extended"

    def __post_init__(self) -> None:
        if self.level in ("layout", "all"):
            raise ValueError(
                f'level = "{self.level}" is for the processor of the machine that builds; write "basic" or "extended"'
            )
        if self.level not in ("basic", "extended"):
            raise ValueError(f'level = "{self.level}" must be "basic" or "extended"')


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the parent as onnxruntime would run it, and return how many nodes of each operator went or came.

    Raises:
        RecipeError: onnxruntime is missing, or the file is damaged.
    """
    _onnx_tools.require("build", "onnx", "onnxruntime")
    import onnx
    import onnxruntime

    before = Counter(node.op_type for node in _onnx_tools.read_onnx(job.parent).graph.node)
    asked = onnxruntime.SessionOptions()
    asked.graph_optimization_level = {
        "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    }[options.level]
    with _onnx_tools.whole(job.target) as partial:
        asked.optimized_model_filepath = str(partial)
        onnxruntime.InferenceSession(str(job.parent), asked, providers=["CPUExecutionProvider"])
        after = Counter(node.op_type for node in onnx.load(partial).graph.node)
    return {
        "nodes": [sum(before.values()), sum(after.values())],
        "operators": {
            kind: after[kind] - before[kind] for kind in sorted(before | after) if after[kind] != before[kind]
        },
    }
