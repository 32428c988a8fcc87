"""`recipe = "prune_magnitude"`, `parameters = { sparsity = 0.5 }`: zero the weights of smallest magnitude.

One threshold holds for the whole network (Han, Pool, Tran, Dally, "Learning both weights and connections for efficient
neural networks"), without training afterwards. Neither the file nor the latency shrinks unless a runtime has sparse
kernels: this variant is here to be measured, not because it helps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.errors import RecipeError
from harness.ports import Build
from harness.recipes import _onnx_tools

FORMATS = ("onnx",)
TOOLS = ("numpy", "onnx")
TAKES = ("float32",)
LEAVES = "float32"


@dataclass(frozen=True, slots=True)
class Options:
    """`sparsity`: the share of weights set to zero, 0..1; biases are left alone."""

    sparsity: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity = {self.sparsity} must be at least 0 and below 1")


def build(job: Build, options: Options) -> None:
    """Write the parent with its smallest weights zeroed; raises RecipeError if it has none."""
    _onnx_tools.require("build", "onnx")
    import onnx
    from onnx import numpy_helper

    model = _onnx_tools.read_onnx(job.parent)
    weights = [(tensor, numpy_helper.to_array(tensor)) for _, tensor in _onnx_tools.onnx_weights(model)]
    if not weights:
        raise RecipeError(
            f"{job.parent.name} has no convolution or matrix product with float32 weights to prune",
            remedy="leave this variant out",
        )
    threshold = np.quantile(np.abs(np.concatenate([values.ravel() for _, values in weights])), options.sparsity)
    for tensor, values in weights:
        kept = np.where(np.abs(values) < threshold, np.float32(0), values)
        tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))
    with _onnx_tools.whole(job.target) as partial:
        onnx.save(model, str(partial))
