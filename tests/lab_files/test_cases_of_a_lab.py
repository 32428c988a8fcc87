"""What a lab becomes: its cases with their ids, the schema of its files, and at what cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from harness import lab
from harness.errors import LabError
from harness.lab.models import _sha256
from harness.measure import jobs
from tests import labs
from tests.lab_files.written import DEVICE, SUITE, build, device, ids, suite


def test_ids_name_the_runtime_only_where_more_than_one_applies(folder: Path) -> None:
    build(folder)
    assert ids(lab.cases(suite(folder), [device(folder)])) == [
        "suites/lesions.toml::net-fp32[onnxruntime]@pi5",
        "suites/lesions.toml::net-fp32[litert]@pi5",
        "suites/lesions.toml::net-int8[onnxruntime]@pi5",
        "suites/lesions.toml::net-int8[litert]@pi5",
        "suites/lesions.toml::small@pi5",
    ]
    alone = lab.cases(suite(folder), [device(folder, ', "ai-edge-litert==2.3.0"', "")])
    assert ids(alone)[:2] == ["suites/lesions.toml::net-fp32@pi5", "suites/lesions.toml::net-int8@pi5"]
    assert {case.runtime for case in alone} == {"onnxruntime==1.31.1"}


def test_two_versions_of_one_runtime_are_told_apart(folder: Path) -> None:
    found = lab.cases(suite(folder), [device(folder, "ai-edge-litert==2.3.0", "onnxruntime==1.23.2")])
    assert ids(found)[:2] == [
        "suites/lesions.toml::net-fp32[onnxruntime==1.31.1]@pi5",
        "suites/lesions.toml::net-fp32[onnxruntime==1.23.2]@pi5",
    ]
    assert [case.runtime for case in found[:2]] == ["onnxruntime==1.31.1", "onnxruntime==1.23.2"]
    mixed = lab.cases(suite(folder), [device(folder, "ai-edge-litert==2.3.0", "tflite-runtime==2.14.0")])
    assert ids(mixed)[1] == "suites/lesions.toml::net-fp32[tflite_runtime]@pi5"
    assert mixed[1].variant.format == "tflite"


def test_a_variant_no_runtime_takes_is_one_case_that_says_what_to_add(folder: Path) -> None:
    found = lab.cases(suite(folder), [device(folder, '"onnxruntime==1.31.1", ', "")])
    last = found[-1]
    assert (last.id, last.runtime) == ("suites/lesions.toml::small@pi5", "")
    assert lab.missing_runtime(last) == (
        "no runtime of pi5 takes .onnx; add onnxruntime or onnxruntime-openvino to `runtimes` in pi5.toml"
    )
    assert len(ids(found)) == len(set(ids(found)))


def test_every_id_is_one_of_a_kind_on_many_devices(folder: Path) -> None:
    fleet = [device(folder, name=f"pi{number}") for number in range(5)]
    found = lab.cases(suite(folder), fleet)
    assert len(found) == 25
    assert len(set(ids(found))) == 25


@pytest.mark.parametrize("kind", ["device", "suite"])
def test_the_schema_takes_what_the_reader_takes(kind: str) -> None:
    import tomllib

    schema = lab.schema("device" if kind == "device" else "suite")
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    right = tomllib.loads(DEVICE if kind == "device" else SUITE)
    assert list(checker.iter_errors(right)) == []
    changes: list[Callable[[dict[str, object]], object]] = [
        lambda table: table.update(zz=1),
        lambda table: table.pop("kind", None) or table.pop("title", None),
        lambda table: table.update(address=5, title=5),
        lambda table: table.update(ssh={"zz": 1}, accept={"zz": {"max": 1}}),
        lambda table: table.update(meter={"kind": "zz"}, accept={"latency_p50_s": {"min": 1}}),
        lambda table: table.update(
            runner="zz", data={"source": "npz", "zz": 1, "input": {"layout": "NCHW", "scale": 1}}
        ),
    ]
    for change in changes:
        wrong = json.loads(json.dumps(right))
        change(wrong)
        assert list(checker.iter_errors(wrong)), change
    texts = json.dumps(schema)
    assert texts.count('"description"') > 15


def test_a_thousand_cases_hash_each_model_file_once(folder: Path) -> None:
    extra = "".join(f'[[variant]]\nid = "v{number}"\nmodel = "models/small.onnx"\n' for number in range(97))
    text = SUITE.replace("[accept]", extra + "[accept]")
    (folder / "suites/lesions.toml").write_text(text)
    fleet = [device(folder, name=f"pi{number}") for number in range(10)]
    before = _sha256.cache_info().misses
    found = lab.cases(lab.read_suite(folder / "suites/lesions.toml"), fleet)
    assert len(found) > 1000
    assert _sha256.cache_info().misses - before == 3


def test_reading_the_lab_imports_nothing_heavy() -> None:
    code = "import sys, harness.lab; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"paramiko", "torch", "onnx", "altair", "sklearn", "scipy", "sqlalchemy", "PIL", "pytest", "onnxruntime"}
    assert not heavy & set(loaded)


def test_which_of_two_classes_is_the_positive_one_is_said_by_the_suite(tmp_path: Path) -> None:
    images = np.zeros((4, 8, 8), np.uint8)
    (tmp_path / "base.onnx").write_bytes(b"a model")
    np.savez(tmp_path / "data.npz", images=images, labels=np.array(["benign", "malignant"] * 2))
    path = tmp_path / "two.toml"
    path.write_text(labs.suite_toml(data=labs.npz(), positive=""))
    with pytest.raises(LabError) as caught:
        jobs.load_samples(lab.read_suite(path))
    assert str(caught.value).endswith(
        "two.toml: task.positive: is not set, and sensitivity may speak of 'benign' or of 'malignant'; "
        'write positive = "malignant" or positive = "benign" under [task]'
    )
    path.write_text(labs.suite_toml(data=labs.npz(), positive="malignant"))
    assert jobs.load_samples(lab.read_suite(path)).classes == ("benign", "malignant")
