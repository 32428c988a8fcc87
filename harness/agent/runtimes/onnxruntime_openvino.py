"""runtimes = ["onnxruntime-openvino==1.24.1"]

onnxruntime with Intel's OpenVINO in it, for `accelerator = "OpenVINOExecutionProvider"` on x86-64; runs .onnx files.
"""

from __future__ import annotations

from typing import Any

from harness.agent.runtimes import onnxruntime
from harness.agent.runtimes.onnxruntime import Session, offers

__all__ = ["Session", "facts", "offers"]

REQUIREMENT = "onnxruntime-openvino"
CONSTRAINTS: tuple[str, ...] = ()
FORMATS = ("onnx",)
ACCELERATORS = onnxruntime.ACCELERATORS
PROFILES = onnxruntime.PROFILES


def facts() -> dict[str, Any]:
    """Return the runtime's name, its version and what runs the model."""
    return {**onnxruntime.facts(), "runtime": REQUIREMENT}
