"""`edgeward inspect --runtime`: which runtime loads a file, and which operator another one lacks."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from onnx import TensorProto

from harness.cli import cli
from harness.cli.settings import Settings
from tests import small_models as small
from tests.answering_models import model, node


def test_a_runtime_is_asked_whether_it_loads_a_file_and_names_the_operator_that_it_lacks(tmp_path: Path) -> None:
    # Relu of 16-bit integers is in the standard, and onnxruntime has no kernel for it.
    short = [
        node("Cast", ["logits"], ["short"], to=TensorProto.INT16),
        node("Relu", ["short"], ["kept"]),
        node("Cast", ["kept"], ["p"], to=TensorProto.FLOAT),
    ]
    lacking = model(tmp_path / "short.onnx", short, [("p", TensorProto.FLOAT, ["N", 3])])
    good = small.good(tmp_path / "good.onnx")
    answers = []
    for path in (good, lacking):
        words = ["inspect", str(path), "--runtime", small.ONNXRUNTIME, "--runtime", "ai-edge-litert==2.3.0"]
        text = CliRunner().invoke(cli, words, obj=Settings())
        assert text.exit_code == 0, text.output
        assert "ai-edge-litert==2.3.0: does not load it: it reads tflite files" in text.output
        found = json.loads(CliRunner().invoke(cli, [*words, "--json"], obj=Settings()).output)
        answers.append(found["runtimes"][small.ONNXRUNTIME])
    assert answers[0] == ""
    assert "Could not find an implementation for Relu" in answers[1]


def test_a_runtime_that_nobody_knows_is_refused_with_the_nearest(tmp_path: Path) -> None:
    words = ["inspect", str(small.good(tmp_path / "good.onnx")), "--runtime", "onnxrantime==1.31.1"]
    done = CliRunner().invoke(cli, words, obj=Settings())
    assert done.exit_code != 0
    assert "did you mean 'onnxruntime'?" in str(done.exception or "") + done.output
