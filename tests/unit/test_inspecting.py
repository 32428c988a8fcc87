"""`edgeward inspect` and `edgeward init --model`: what a file says, and a suite that runs without an edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto

from harness import lab
from harness.cli import cli
from harness.cli.settings import Settings
from harness.measure.jobs import load_samples
from tests import small_models, tflite_models
from tests.answering_models import IMAGES, LABELS, model, node

FLOAT = TensorProto.FLOAT


def edgeward(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(word) for word in words], obj=Settings())
    return done.exit_code, done.output


def facts(*words: object) -> dict[str, Any]:
    code, said = edgeward("inspect", *words, "--json")
    assert code == 0, said
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "test.npz", images=IMAGES, labels=LABELS)
    return tmp_path / "test.npz"


def test_a_model_is_shown_with_its_tensors_its_work_and_the_lines_to_paste(tmp_path: Path, data: Path) -> None:
    path = model(tmp_path / "m.onnx", [node("Softmax", ["logits"], ["p"], axis=1)], [("p", FLOAT, ["N", 3])])
    code, said = edgeward("inspect", path, "--data", data)
    assert code == 0
    assert "any x 1 x 16 x 16" in said
    assert "probabilities" in said
    assert "multiply-adds: 768" in said
    assert "fits: its numbers are read as probabilities" in said
    assert f'model = "{path}"' in said
    assert 'layout = "NCHW"\n' in said
    found = facts(path, "--data", data)
    assert found["size_bytes"] == path.stat().st_size
    assert found["operators"] == {"Flatten": 1, "Gemm": 1, "Softmax": 1}
    assert found["data"]["reading"]["kind"] == "probabilities"
    assert found["toml"] in said
    suite = tmp_path / "pasted.toml"
    suite.write_text(found["toml"])
    assert lab.read_suite(suite).variants[0].problem == "", "what is printed is a suite"


def test_what_a_file_leaves_open_is_a_line_to_answer(tmp_path: Path, data: Path) -> None:
    path = model(
        tmp_path / "m.onnx",
        [node("Sin", ["logits"], ["one"]), node("Cos", ["logits"], ["two"])],
        [("one", FLOAT, ["N", 3]), ("two", FLOAT, ["N", 3])],
    )
    found = facts(path, "--data", data)
    assert '# output = { name = "one" or "two", kind = "logits" or' in found["toml"]
    assert "which one is judged is not said" in found["data"]["refused"]


def test_a_tflite_model_is_shown_with_its_integers(tmp_path: Path) -> None:
    path = tflite_models.of_integers(tmp_path / "m.tflite", np.zeros((256, 3), np.float32), np.zeros(3))
    code, said = edgeward("inspect", path)
    assert code == 0
    assert "(integer - 0) * 3.0518" in said
    assert 'layout = "NHWC"\n' in said


def test_operators_that_no_runtime_here_has_are_named(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", [node("Shine", ["logits"], ["y"], domain="my.own")], [("y", FLOAT, None)])
    assert facts(path)["lacking"]["my.own.Shine"].startswith("an operator of its own")


def test_a_file_that_is_no_model_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_text("<html></html>")
    code, said = edgeward("inspect", tmp_path / "page.onnx")
    assert code == 2
    assert said.startswith(f"edgeward: {tmp_path / 'page.onnx'}: is a web page")
    for name, words in (("none.onnx", "there is no such file"), ("m.pt", "there is no such file")):
        assert words in edgeward("inspect", tmp_path / name)[1]
    small_models.truncated(tmp_path / "half.onnx")
    assert (
        "half.onnx is no ONNX model, or a damaged one; export it again"
        in edgeward("inspect", tmp_path / "half.onnx")[1]
    )


def test_init_with_a_model_and_its_data_writes_a_suite_that_needs_no_edit(tmp_path: Path, data: Path) -> None:
    path = model(
        tmp_path / "my model.onnx", before=[node("Transpose", ["x"], ["xf"], perm=[0, 3, 1, 2])], shape=["N", 16, 16, 1]
    )
    code, said = edgeward("init", tmp_path / "lab", "--model", path, "--data", data, "--positive", "1")
    assert code == 0, said
    (file,) = (tmp_path / "lab/suites").glob("*.toml")
    assert file.name == "my-model.toml"
    suite = lab.read_suite(file)
    samples = load_samples(suite)
    fit = lab.fit(suite, suite.variants[0], samples)
    assert (fit.input.layout, fit.reading.kind, suite.task.positive) == ("NHWC", "logits", "1")
    assert len(samples.images) == len(IMAGES)
    assert (tmp_path / "lab/suites/models/my model.onnx").read_bytes() == path.read_bytes()


def test_init_brings_the_weights_that_lie_beside_the_model(tmp_path: Path, data: Path) -> None:
    import onnx

    whole = onnx.load(model(tmp_path / "m.onnx"))
    onnx.save(whole, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    code, said = edgeward("init", tmp_path / "lab", "--model", tmp_path / "m.onnx", "--data", data)
    assert code == 0, said
    suite = lab.read_suite(tmp_path / "lab/suites/m.toml")
    assert suite.variants[0].problem == ""
    assert suite.variants[0].parts == ("m.data",)
    (tmp_path / "m.data").unlink()
    code, said = edgeward("init", tmp_path / "other", "--model", tmp_path / "m.onnx", "--data", data)
    assert code == 2
    assert "keeps weights in m.data, which is not there" in said


def test_init_refuses_what_only_a_person_knows_before_it_writes(tmp_path: Path) -> None:
    two = np.eye(3, 2, dtype=np.float32)
    path = model(tmp_path / "m.onnx", [node("MatMul", ["logits", "two"], ["y"])], [("y", FLOAT, ["N", 2])], two=two)
    np.savez(tmp_path / "two.npz", images=IMAGES, labels=LABELS % 2)
    code, said = edgeward("init", tmp_path / "lab", "--model", path, "--data", tmp_path / "two.npz")
    assert code == 2
    assert "the data has the classes 0, 1; give --positive 0 or give --positive 1" in said
    code, said = edgeward("init", tmp_path / "lab", "--model", path)
    assert "--model and --data go together; give both, or neither" in said
    assert not (tmp_path / "lab").exists()
