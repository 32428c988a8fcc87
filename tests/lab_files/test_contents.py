"""A file that is no model is called by what it is before anything is measured, and models are let through."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from harness import lab
from harness.lab.contents import apart, mistaken
from harness.lab.joining import joined
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
    found = mistaken(path, suffix)
    assert found is not None
    assert str(found).startswith(said)
    assert found.remedy
    assert "{" not in str(found)


def adder(path: Path, *, value: float = 1.0, location: str = "") -> Path:
    """Write a model that adds 64 weights; with `location` they lie in another file."""
    weights = numpy_helper.from_array(np.full(64, value, np.float32), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [64]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [weights]))
    entry = model.metadata_props.add()
    entry.key, entry.value = "location", "Berlin"
    path.parent.mkdir(parents=True, exist_ok=True)
    if location:
        onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    else:
        onnx.save(model, path)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_weights_in_another_file_are_seen_and_a_key_of_the_metadata_is_none(tmp_path: Path) -> None:
    assert not apart(adder(tmp_path / "one.onnx"), "onnx")
    assert apart(adder(tmp_path / "two.onnx", location="two.onnx.data"), "onnx")


@pytest.mark.usefixtures("cache")
def test_a_model_and_its_weights_are_one_file_with_the_digest_of_both(tmp_path: Path) -> None:
    one = adder(tmp_path / "a/m.onnx", location="m.onnx.data")
    other = adder(tmp_path / "b/m.onnx", value=2.0, location="m.onnx.data")
    assert one.read_bytes() == other.read_bytes(), "only the weights differ"
    (first, names), (second, _) = joined(one), joined(other)
    assert names == ("m.onnx.data",)
    assert first.name == "m.onnx"
    assert first.read_bytes() != second.read_bytes()
    assert first.stat().st_size > (tmp_path / "a/m.onnx.data").stat().st_size
    weights = [numpy_helper.to_array(tensor) for tensor in onnx.load(first, load_external_data=False).graph.initializer]
    assert weights[0].tolist() == [1.0] * 64
    assert joined(one)[0] == first
    adder(tmp_path / "a/m.onnx", value=3.0, location="m.onnx.data")
    assert joined(one)[0] != first


@pytest.mark.usefixtures("cache")
def test_weights_that_are_not_there_or_lie_outside_are_the_problem_of_their_variant(tmp_path: Path) -> None:
    adder(tmp_path / "suites/gone.onnx", location="gone.onnx.data")
    (tmp_path / "suites/gone.onnx.data").unlink()
    out = adder(tmp_path / "suites/out.onnx", location="out.onnx.data")
    model = onnx.load(out, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = "../out.onnx.data" if entry.key == "location" else entry.value
    out.write_bytes(model.SerializeToString())
    adder(tmp_path / "suites/base.onnx", location="base.onnx.data")
    more = labs.variant("gone") + labs.variant("out")
    (tmp_path / "suites/s.toml").write_text(labs.suite_toml(more=more))
    base, gone, outside = lab.read_suite(tmp_path / "suites/s.toml").variants
    assert base.problem == ""
    assert base.parts == ("base.onnx.data",)
    assert base.size_bytes == base.path.stat().st_size
    assert gone.problem == (
        "gone.onnx keeps weights in gone.onnx.data, which is not there; copy it into suites/ beside the model"
    )
    assert outside.problem.startswith("out.onnx keeps weights in ../out.onnx.data, outside of its folder; put both")


@pytest.mark.parametrize("path", sorted(labs.MODELS.glob("*.[ot]*")), ids=lambda path: path.name)
def test_a_model_is_let_through(path: Path) -> None:
    assert mistaken(path, path.suffix.removeprefix(".")) is None


def test_what_a_runtime_of_another_distribution_reads_may_be_anything(tmp_path: Path) -> None:
    zipped("weights.npy")(tmp_path / "net.tiny")
    assert mistaken(tmp_path / "net.tiny", "tiny") is None


def test_the_case_of_such_a_file_has_the_reason(tmp_path: Path) -> None:
    folder = labs.make(tmp_path, more=labs.variant("fetched"))
    (folder / "suites" / "fetched.onnx").write_text(POINTER)
    variants = {one.id: one for one in lab.read_suite(folder / "suites" / "small.toml").variants}
    assert variants["fetched"].problem.endswith("is a git-LFS pointer, not the model itself; run `git lfs pull`")
    assert not variants["base"].problem
