"""`recipe = "share_parameters"`, `parameters = { clusters = 16 }`: the weights of a layer take few values, no training.

The weights of each convolution or matrix product are put into clusters by k-means, begun at even distances between the
smallest and the largest, and each becomes the centre of its cluster; zeros stay zeros (Han, Mao, Dally, "Deep
compression", ICLR 2016). The runtimes know nothing of it: the file is as large as before and no faster. What shrinks is
the file compressed, as an app or a slow connection carries it; the ledger keeps both sizes under `deflated_bytes`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.errors import RecipeError
from harness.ports.recipes import Build
from harness.recipes import _onnx_tools

FORMATS = ("onnx",)
TOOLS = ("numpy", "scipy", "onnx")
TAKES = ("float32",)
LEAVES = "float32"

_ROUNDS: Final = 25


@dataclass(frozen=True, slots=True)
class Options:
    """`clusters`: how many values a layer's weights take; `min_weights`: smaller tensors are left alone."""

    clusters: int = 16
    min_weights: int = 2048

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= 65536:
            raise ValueError(f"clusters = {self.clusters} must be 2 to 65536")
        if self.min_weights < 1:
            raise ValueError(f"min_weights = {self.min_weights} must be 1 or more")


def build(job: Build, options: Options) -> Mapping[str, Any]:
    """Write the parent with shared weights, and return how many tensors share them and what both files are compressed.

    Raises:
        RecipeError: onnx is missing, or no tensor is large enough.
    """
    _onnx_tools.require("build", "onnx")
    import onnx
    from onnx import numpy_helper

    model = _onnx_tools.read_onnx(job.parent)
    before = model.SerializeToString()
    least = max(options.min_weights, options.clusters)
    chosen = [tensor for _, tensor in _onnx_tools.onnx_weights(model) if np.prod(tensor.dims) >= least]
    if not chosen:
        raise RecipeError(
            f"{job.parent.name} has no convolution or matrix product with {least} float32 weights or more",
            remedy="lower min_weights or clusters, or leave this variant out",
        )
    for tensor in chosen:
        values = shared(numpy_helper.to_array(tensor), options.clusters)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with _onnx_tools.whole(job.target) as partial:
        onnx.save(model, str(partial))
    sizes = [len(zlib.compress(one)) for one in (before, model.SerializeToString())]
    return {"tensors": len(chosen), "deflated_bytes": sizes}


def shared(weights: npt.NDArray[np.float32], clusters: int) -> npt.NDArray[np.float32]:
    """Return weights of at most `clusters` values beside zero, each the mean of those that it stands for."""
    from scipy.cluster.vq import kmeans2

    present = weights[weights != 0].astype(np.float64)
    if len(np.unique(present)) <= clusters:
        return weights
    start = np.linspace(present.min(), present.max(), clusters)
    with _onnx_tools.quiet():  # it warns of clusters that nothing is nearest to
        centres, nearest = kmeans2(present[:, None], start[:, None], iter=_ROUNDS, minit="matrix")
    result = np.zeros_like(weights)
    result[weights != 0] = centres[nearest, 0]
    return result
