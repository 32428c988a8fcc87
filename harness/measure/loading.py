"""Does a runtime take a model file? It is asked: in a process of its own on this host, by the agent of devices."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import deploy, registry
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.formats import ModelFile
from harness.measure.reference import HOST, ONLY_OUTPUTS, forward
from harness.ports.runners import Wanted

#: Where a file leaves a size open.
_SIZE = 32
#: Kinds of errors that come before the file is loaded; any other one says that it was.
_BEFORE = ("model", "runtime", "died", "killed", "memory", "timeout")


def refusal(path: Path, file: ModelFile, runtime: str) -> str:
    """Return why a runtime does not load a model file, in its own words; "" where it does.

    Args:
        path: of the file.
        file: what it says of itself.
        runtime: the requirement, which is brought as to any device.

    Raises:
        HarnessError: the runtime cannot be brought or started here.
    """
    with tempfile.TemporaryDirectory() as work, DeviceHandle(replace(HOST, runtimes=(runtime,))) as handle:
        images = Path(work) / "images.npy"
        np.save(images, np.zeros((1, *_size(file)), np.uint8))
        deploy.prepare(handle, Wanted((runtime,)))
        folder = deploy.runtime(handle, runtime)
        what = contract.Job(
            seed=0,
            models=[contract.Model("model", str(path.absolute()), registry.runtime_name(runtime), folder)],
            threads=1,
            input=contract.Input(str(images), "NHWC" if file.format == "tflite" else "NCHW", 1.0, [0.0], [1.0]),
            plan=ONLY_OUTPUTS,
        )
        (answer,) = forward(handle, what)
    return answer.error.message if answer.error is not None and answer.error.kind in _BEFORE else ""


def _size(file: ModelFile) -> tuple[int, ...]:
    """Return height, width and channels of an image that a model may take."""
    shape = file.inputs[0].shape if file.inputs else None
    sizes = [int(size or _SIZE) for size in (shape or ())[1:]]
    if len(sizes) != 3:
        return _SIZE, _SIZE, 1
    return (sizes[0], sizes[1], sizes[2]) if file.format == "tflite" else (sizes[1], sizes[2], sizes[0])
