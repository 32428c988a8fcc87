"""The builder of labs: texts of device and suite files, and a small lab with real models, few images, one device."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

MODELS = Path(__file__).parents[1] / "suites" / "models"

_DEVICE = """\
kind = "{kind}"
address = "{address}"
workdir = "{workdir}"
runtimes = {runtimes}
"""

_SUITE = """\
title = "{title}"
confidential = {confidential}

[data]
{data}

[data.input]
layout = "NCHW"
scale = {scale}
{normal}
[task]
kind = "classification"
positive = "{positive}"

[load]
{load}
control = {control}

[baseline]
id = "{baseline}"
model = {model}
{more}
"""

NORMAL = "mean = [0.5]\nstd = [0.25]\n"


def listed(texts: Sequence[str]) -> str:
    """Return a TOML array of strings."""
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def npz(path: str = "data.npz", *, classes: Sequence[str] = ()) -> str:
    """Return the keys of `[data]` for an .npz file."""
    named = f"\nclasses = {listed(classes)}" if classes else ""
    return f'source = "npz"\npath = "{path}"{named}'


def device_toml(
    *,
    workdir: Path | str,
    kind: str = "workstation",
    address: str = "local:",
    runtimes: Sequence[str] = ("onnxruntime==1.31.1",),
    more: str = "",
) -> str:
    """Return a device file, of this machine unless said otherwise.

    Args:
        workdir: where the harness may live on the device.
        kind: what sort of device it is.
        address: how it is reached.
        runtimes: requirements of pip.
        more: TOML after these keys.
    """
    return _DEVICE.format(kind=kind, address=address, workdir=workdir, runtimes=listed(runtimes)) + more


def suite_toml(
    *,
    title: str = "Small",
    confidential: bool = False,
    data: str = npz(classes=("normal", "cyst", "solid")),
    normal: str = NORMAL,
    scale: float = 1 / 255,
    positive: str = "solid",
    load: str = "max_duration_s = 5",
    control: bool = False,
    baseline: str = "base",
    model: str | Sequence[str] = "base.onnx",
    more: str = "",
) -> str:
    """Return a suite file of a classification.

    Args:
        title: what a report calls it.
        confidential: whether its images must not stay on a device.
        data: keys of `[data]`.
        normal: keys of `[data.input]` after the scale.
        scale: what pixels are multiplied by.
        positive: the class that is looked for.
        load: keys of `[load]`.
        control: whether the baseline's own file takes turns once more; most tests are of something else.
        baseline: its id.
        model: its file, or its files in several formats.
        more: TOML after the baseline's table: variants, `[accept]`.
    """
    return _SUITE.format(
        title=title,
        confidential=str(confidential).lower(),
        data=data,
        normal=normal,
        scale=scale,
        positive=positive,
        load=load,
        control=str(control).lower(),
        baseline=baseline,
        model=f'"{model}"' if isinstance(model, str) else listed(model),
        more=more,
    )


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
    (folder / "devices" / "here.toml").write_text(device_toml(workdir=workdir or folder / "work"))
    (folder / "suites" / f"{name}.toml").write_text(suite_toml(more=more))
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


def run_pytest(
    lab: Path, *options: str, timeout_s: float = 300, step_summary: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a lab, in a process of its own.

    Args:
        lab: the folder.
        options: of pytest.
        timeout_s: how long it may take.
        step_summary: what GITHUB_STEP_SUMMARY is; never that of the job that runs these tests.
    """
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": step_summary}
    return subprocess.run(
        command, cwd=lab, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
