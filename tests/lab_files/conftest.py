"""The lab, written into a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab_files.written import DEVICE, SUITE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab with one device, one suite and three model files."""
    for name in ("devices", "suites/models"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "devices/pi5.toml").write_text(DEVICE)
    (tmp_path / "suites/lesions.toml").write_text(SUITE)
    for name in ("net.onnx", "net.tflite", "small.onnx"):
        (tmp_path / "suites/models" / name).write_bytes(f"a model: {name}".encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path
