"""Small labs for tests that go through pytest or the command line: real models, few images, one device."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

MODELS = Path(__file__).parents[1] / "suites" / "models"

DEVICE = """\
kind = "workstation"
address = "local:"
workdir = "{workdir}"
runtimes = ["onnxruntime==1.31.1"]
"""

SUITE = """\
title = "Small"

[data]
source = "npz"
path = "data.npz"
classes = ["normal", "cyst", "solid"]

[data.input]
layout = "NCHW"
scale = 0.00392156862745098
mean = [0.5]
std = [0.25]

[task]
kind = "classification"
positive = "solid"

[load]
max_duration_s = 5

[baseline]
id = "base"
model = "base.onnx"
{more}
"""


def make(folder: Path, *, more: str = "", name: str = "small", images: int = 24, workdir: Path | None = None) -> Path:
    """Make a lab with the device `here` and one suite.

    Beside base.onnx lie int8.onnx (faster) and int4.onnx (slower), for variants that `more` brings.

    Args:
        folder: of the lab, and of its device's workdir unless that is given.
        more: TOML after the baseline's table.
        name: of the suite's file.
        images: how many there are.
        workdir: one where agent and runtimes may be already, which spares bringing them.
    """
    for part in ("devices", "suites"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "devices" / "here.toml").write_text(DEVICE.format(workdir=workdir or folder / "work"))
    (folder / "suites" / f"{name}.toml").write_text(SUITE.format(more=more))
    for source, target in (("resnet18", "base"), ("resnet18-int8", "int8"), ("resnet18-int4", "int4")):
        shutil.copy(MODELS / f"{source}.onnx", folder / "suites" / f"{target}.onnx")
    random = np.random.default_rng(11)
    np.savez(
        folder / "suites" / "data.npz",
        images=random.integers(0, 255, (images, 64, 64), dtype=np.uint8),
        labels=np.arange(images) % 3,
    )
    return folder


def variant(name: str, *, model: str = "", xfail: str = "") -> str:
    """Return the TOML of a ready-made variant; its model is NAME.onnx unless given."""
    reason = f'xfail = "{xfail}"\n' if xfail else ""
    return f'\n[[variant]]\nid = "{name}"\nmodel = "{model or name + ".onnx"}"\n{reason}'


def run_pytest(lab: Path, *options: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Run pytest in a lab, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=lab, capture_output=True, text=True, timeout=timeout_s, check=False)
