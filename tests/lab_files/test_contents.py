"""A file that is no model is called by what it is before anything is measured, and models are let through."""

from __future__ import annotations

import gzip
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from harness import lab
from harness.lab.contents import mistaken
from tests import labs

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def zipped(*names: str) -> Callable[[Path], object]:
    """Return what writes a zip archive with files of these names."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x")

    return write


CASES: list[tuple[str, Callable[[Path], object], str]] = [
    ("onnx", lambda path: path.write_text(POINTER), "is a git-LFS pointer, not the model itself; run `git lfs pull`"),
    ("onnx", lambda path: path.write_text("/annex/objects/SHA256E-s1--a.onnx\n"), "is a git-annex pointer"),
    ("onnx", lambda path: path.write_text("\n<!DOCTYPE html><html>404</html>"), "is a web page"),
    ("onnx", lambda path: path.write_text('<?xml version="1.0"?><net/>'), "is an XML text, perhaps OpenVINO's"),
    ("tflite", lambda path: path.write_text(json.dumps({"error": "rate limit"})), "is a JSON text"),
    ("onnx", zipped("m/code/__torch__.py", "m/data.pkl"), "is a TorchScript archive; export the model as .onnx"),
    ("onnx", zipped("m/data.pkl", "m/data/0"), "is a PyTorch checkpoint, which holds weights and no model"),
    ("tflite", zipped("config.json", "model.weights.h5"), "is a Keras model; convert it to .tflite"),
    ("onnx", lambda path: np.savez(path.open("wb"), a=np.ones(3)), "is an .npz file of arrays, not a model"),
    ("onnx", zipped("resnet.onnx"), "is a zip archive; unpack it, and name the model in it"),
    ("onnx", lambda path: path.write_bytes(b"PK\x03\x04 cut"), "is the beginning of a zip archive"),
    ("onnx", lambda path: path.write_bytes(pickle.dumps([1], protocol=2)), "is a pickled PyTorch file"),
    ("onnx", lambda path: path.write_bytes(gzip.compress(b"x")), "is compressed with gzip; unpack it"),
    ("onnx", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file, as Keras writes it"),
    ("onnx", lambda path: path.write_bytes(bytes(5000)), "begins with nothing but zeros"),
    ("onnx", lambda path: path.write_bytes(b"\x1c\0\0\0TFL3xyz"), "is a TensorFlow Lite model; give it the suffix"),
    ("onnx", lambda path: path.write_bytes(b"\x1c\0\0\0ORTMxyz"), "is a model in onnxruntime's own format"),
    ("tflite", lambda path: path.write_bytes(b"\x08\x08\x12\x07pytorch"), "is no TensorFlow Lite model"),
]


@pytest.mark.parametrize(("suffix", "write", "said"), CASES, ids=[said for _, _, said in CASES])
def test_what_is_no_model_is_called_by_its_name(
    suffix: str, write: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model.{suffix}"
    write(path)
    assert mistaken(path, suffix).startswith(said)
    assert "{" not in mistaken(path, suffix)


def test_weights_that_lie_in_another_file_are_named(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones(64, np.float32), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [64]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [weights]))
    entry = model.metadata_props.add()
    entry.key, entry.value = "location", "Berlin"
    onnx.save(model, tmp_path / "one.onnx")
    assert mistaken(tmp_path / "one.onnx", "onnx") == "", "a key of the model's own metadata is no place of weights"
    onnx.save(model, tmp_path / "two.onnx", save_as_external_data=True, location="two.onnx.data", size_threshold=0)
    said = mistaken(tmp_path / "two.onnx", "onnx")
    assert said.startswith("keeps weights in another file, two.onnx.data, which is brought to no device")
    command = said.partition("python -c ")[2].strip("'").replace("'", "")
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True)
    assert mistaken(tmp_path / "whole.onnx", "onnx") == "", "what is said to be done helps"


@pytest.mark.parametrize("path", sorted(labs.MODELS.glob("*.[ot]*")), ids=lambda path: path.name)
def test_a_model_is_let_through(path: Path) -> None:
    assert mistaken(path, path.suffix.removeprefix(".")) == ""


def test_what_a_runtime_of_another_distribution_reads_may_be_anything(tmp_path: Path) -> None:
    zipped("weights.npy")(tmp_path / "net.tiny")
    assert mistaken(tmp_path / "net.tiny", "tiny") == ""


def test_the_case_of_such_a_file_has_the_reason(tmp_path: Path) -> None:
    folder = labs.make(tmp_path, more=labs.variant("fetched"))
    (folder / "suites" / "fetched.onnx").write_text(POINTER)
    variants = {one.id: one for one in lab.read_suite(folder / "suites" / "small.toml").variants}
    assert variants["fetched"].problem.endswith("is a git-LFS pointer, not the model itself; run `git lfs pull`")
    assert not variants["base"].problem
