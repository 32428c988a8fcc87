"""A lab of one device and one suite as a person writes it down, and each file with one thing changed."""

from __future__ import annotations

from pathlib import Path

from harness import lab
from harness.lab import ledger
from harness.model import Case, Device, Step, Suite
from tests import labs

DEVICE = """
kind = "sbc"
address = "ssh://bench@pi5.lab:22"
tags = ["arm64", "nightly"]
runtimes = ["onnxruntime==1.31.1", "ai-edge-litert==2.3.0"]
[ssh]
identity = "~/.ssh/lab"
[meter]
kind = "power_supply"
[limits]
max_start_temperature_c = 55
min_battery_ratio = 0.3
"""


MORE = """
[[variant]]
id = "net-int8"
recipe = "quantize_int8"
[[variant]]
id = "small"
model = "models/small.onnx"
xfail = "slow here"
[accept]
sensitivity = { non_inferior_by = 0.03 }
latency_p90_s = { max = 0.033 }
"""
SUITE = labs.suite_toml(
    title="Lesions",
    data=labs.npz("data/test.npz"),
    load="threads = 2",
    baseline="net-fp32",
    model=["models/net.onnx", "models/net.tflite"],
    more=MORE,
)


def device(folder: Path, old: str = "", new: str = "", name: str = "pi5") -> Device:
    assert old in DEVICE
    path = folder / "devices" / f"{name}.toml"
    path.write_text(DEVICE.replace(old, new) if old else DEVICE)
    return lab.read_device(path)


def suite(folder: Path, old: str = "", new: str = "") -> Suite:
    assert old in SUITE
    (folder / "suites/lesions.toml").write_text(SUITE.replace(old, new, 1) if old else SUITE)
    return lab.read_suite(folder / "suites/lesions.toml")


def ids(found: list[Case]) -> list[str]:
    return [case.id for case in found]


def build(folder: Path) -> None:
    """Write what a build of net-int8 from net.onnx leaves behind."""
    models = folder / "suites/models"
    built = models / "net-int8.onnx"
    built.write_bytes(b"built")
    parent = ledger.sha256(models / "net.onnx")
    made = ledger.Made("quantize_int8", {})
    key = ledger.key([Step("quantize_int8")], parent)
    entry = ledger.Entry((made,), "net.onnx", parent, key, ledger.sha256(built), 5)
    ledger.write(models, {"net-int8.onnx": entry})
