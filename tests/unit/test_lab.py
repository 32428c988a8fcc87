"""devices/ and suites/ are read strictly: what is wrong is named with its file, its key and the remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from harness import lab, ledger
from harness.errors import LabError
from harness.lab.models import _sha256
from harness.model import Address, Case, Criterion, Device, Suite

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

SUITE = """
title = "Lesions"
[data]
source = "npz"
path = "data/test.npz"
[data.input]
layout = "NCHW"
scale = 0.00392156862745098
mean = [0.5]
std = [0.25]
[task]
kind = "classification"
positive = "solid"
[load]
threads = 2
[baseline]
id = "net-fp32"
model = ["models/net.onnx", "models/net.tflite"]
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


def test_a_device_file_becomes_a_device(folder: Path) -> None:
    read = device(folder)
    assert (read.id, read.kind, read.runner) == ("pi5", "sbc", "python")
    assert read.address == Address("ssh", host="pi5.lab", user="bench", port=22)
    assert read.runtimes == ("onnxruntime==1.31.1", "ai-edge-litert==2.3.0")
    assert read.options == {"identity": "~/.ssh/lab"}
    assert read.meter == {"kind": "power_supply"}
    assert (read.limits.max_start_temperature_c, read.limits.min_battery_ratio, read.limits.cooldown_s) == (
        55,
        0.3,
        300,
    )


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('kind = "sbc"', 'kind = "toaster"', "kind: input should be 'phone', 'sbc', 'ultrasound' or 'workstation'"),
        ('kind = "sbc"\n', "", "kind: this key is required"),
        ("tags =", "tag =", r"tag: unknown key; did you mean 'tags'\?"),
        ("identity", "identiti", r"ssh\.identiti: unknown key; did you mean 'identity'"),
        ("min_battery_ratio = 0.3", "min_battery_ratio = 30", r"limits\.min_battery_ratio: .*less than or equal to 1"),
        (
            "min_battery_ratio",
            "min_batery_ratio",
            r"limits\.min_batery_ratio: unknown key; did you mean 'min_battery_r",
        ),
        ("= 55", '= "55"', r"limits\.max_start_temperature_c: input should be a valid number, not '55'"),
        ('"power_supply"', '"powersuply"', r"meter\.kind: unknown meter 'powersuply'; did you mean 'power_supply'"),
        ('kind = "power_supply"', 'kind = "power_supply"\npth = "x"', r"meter\.pth: unknown key; did you mean 'path'"),
        ("onnxruntime==", "onxruntime==", r"runtimes: unknown runtime 'onxruntime'; did you mean 'onnxruntime'"),
        ("onnxruntime==1.31.1", "onnxruntime=1.31.1", r"runtimes: .* is not a requirement; write NAME==VERSION"),
        ("ai-edge-litert==2.3.0", "onnxruntime==1.31.1", r"runtimes: .* stands here twice"),
        ('"arm64"', '"arm 64"', r"tags\[1\]: 'arm 64' cannot be an id"),
        ("ssh://bench@pi5.lab:22", "shs://pi5", r"address: unknown scheme 'shs'; did you mean 'ssh'"),
        (
            "ssh://bench@pi5.lab:22",
            "pi5.lab",
            r"address: unknown scheme 'pi5\.lab' \(an address begins with its scheme",
        ),
        ("ssh://bench@pi5.lab:22", "ssh://pi5:99999", r"address: .* is not an address; write ssh://bench@pi5\.lab:22"),
        ("ssh://bench@pi5.lab:22", "ssh://-oProxyCommand=x", "address: .* is not an address"),
        ("ssh://bench@pi5.lab:22", "ssh://bench@pi5/home", "address: .* is not an address"),
        ("ssh://bench@pi5.lab:22", "ssh:pi5", "address: .* is not an address"),
        ("ssh://bench@pi5.lab:22", "ssh://", "address: .* is not an address"),
        ('"ssh://bench@pi5.lab:22"', "22", "address: input should be a valid string, not 22"),
        ("ssh://bench@pi5.lab:22", "local:", "ssh: this table belongs to ssh addresses and this one is local"),
        ("runtimes = [", 'runner = "pyton"\nruntimes = [', "runner: unknown runner 'pyton'; did you mean 'python'"),
    ],
)
def test_a_wrong_device_names_file_key_and_remedy(folder: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(LabError, match=rf"^devices/pi5\.toml: {complaint}") as caught:
        device(folder, old, new)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "place", ["ssh://bench:s3cret@pi5", "ssh:bench:s3cret@pi5", "sh://bench:s3cret@pi5", "ssh://:s3cret@x"]
)
def test_a_password_in_an_address_is_refused_and_not_repeated(folder: Path, place: str) -> None:
    with pytest.raises(LabError, match="a password must not stand in a file") as caught:
        device(folder, "ssh://bench@pi5.lab:22", place)
    assert "s3cret" not in str(caught.value)


def test_an_ipv6_host_keeps_its_colons_apart_from_the_port(folder: Path) -> None:
    read = device(folder, "bench@pi5.lab:22", "bench@[fd00::5]:2222")
    assert read.address == Address("ssh", host="fd00::5", user="bench", port=2222)


@pytest.mark.parametrize("name", ["two words", "a@b", "a[b]", "-x", "all", "a::b"])
def test_a_file_name_that_would_break_an_id_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(LabError, match="id"):
        device(folder, name=name)


def test_broken_toml_names_the_line(folder: Path) -> None:
    (folder / "devices/pi5.toml").write_text('kind = "sbc"\naddress = \n')
    with pytest.raises(LabError, match=r"^devices/pi5\.toml:2: not valid TOML: Invalid value"):
        lab.read_device(folder / "devices/pi5.toml")
    (folder / "devices/pi5.toml").write_bytes(b"kind = '\xff'")
    with pytest.raises(LabError, match="not UTF-8"):
        lab.read_device(folder / "devices/pi5.toml")
    with pytest.raises(LabError, match="there is no such file"):
        lab.read_device(folder / "devices/other.toml")


def test_a_broken_device_file_fails_only_when_it_is_chosen(folder: Path) -> None:
    (folder / "devices/bad.toml").write_text('kind = \ntags = ["nightly"]')
    (folder / "devices/phone.toml").write_text('kind = "phone"\naddress = "local:"\ntags = ["bench"]\n')
    assert isinstance(lab.read_devices(folder)["bad"], LabError)
    assert [one.id for one in lab.select(folder, ["phone", "pi5", "phone"])] == ["phone", "pi5"]
    assert [one.id for one in lab.select(folder, ["tag:bench"])] == ["phone"]
    for selector in ("bad", "all", "tag:nightly"):
        with pytest.raises(LabError, match=r"devices/bad\.toml:1: not valid TOML"):
            lab.select(folder, [selector])


def test_an_unknown_device_or_tag_names_the_nearest(folder: Path) -> None:
    with pytest.raises(LabError, match=r"^devices: no device 'pi4'; did you mean 'pi5'\?"):
        lab.select(folder, ["pi4"])
    with pytest.raises(LabError, match=r"no device has the tag 'nightli'; did you mean 'nightly'\?"):
        lab.select(folder, ["tag:nightli"])
    (folder / "devices/pi5.toml").unlink()
    with pytest.raises(LabError, match="there is no device here"):
        lab.select(folder, ["all"])


def test_the_lab_is_the_nearest_folder_with_devices_and_suites(folder: Path) -> None:
    assert lab.find(folder / "suites/models") == folder
    (folder / "else/devices").mkdir(parents=True)
    assert lab.find(folder / "else/devices") == folder
    with pytest.raises(LabError, match="`edgeward init DIR` makes one"):
        lab.find(Path("/"))


def test_a_suite_file_becomes_a_suite(folder: Path) -> None:
    read = suite(folder)
    assert (read.id, read.title, read.baseline, read.split) == ("lesions", "Lesions", "net-fp32", "test")
    assert read.data == {"source": "npz", "path": "data/test.npz"}
    assert (read.input.layout, read.input.mean, read.input.std) == ("NCHW", (0.5,), (0.25,))
    assert (read.load.threads, read.load.precision) == (2, 0.02)
    assert read.accept == (Criterion("sensitivity", "non_inferior_by", 0.03), Criterion("latency_p90_s", "max", 0.033))
    shape = [(one.id, one.format, one.parent, one.recipe) for one in read.variants]
    assert shape == [
        ("net-fp32", "onnx", "", None),
        ("net-fp32", "tflite", "", None),
        ("net-int8", "onnx", "net-fp32", "quantize_int8"),
        ("net-int8", "tflite", "net-fp32", "quantize_int8"),
        ("small", "onnx", "net-fp32", None),
    ]
    assert read.variants[0].sha256 == ledger.sha256(folder / "suites/models/net.onnx")
    assert read.variants[0].size_bytes == len(b"a model: net.onnx")
    assert read.variants[-1].xfail == "slow here"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("title", "titel", r"titel: unknown key; did you mean 'title'\?"),
        ('source = "npz"', 'source = "npy"', r"data\.source: unknown name 'npy'; did you mean 'npz'"),
        ("path =", "pth =", r"data\.pth: unknown key; did you mean 'path'"),
        ('path = "data/test.npz"', 'splt = "val"', r"data\.splt: unknown key; did you mean 'split'"),
        ('"NCHW"', '"NCWH"', r"data\.input\.layout: input should be 'NCHW' or 'NHWC'"),
        ("scale = 0.00392156862745098\n", "", r"data\.input\.scale: this key is required"),
        ("std = [0.25]", "std = [0]", r"data\.input\.std\[1\]: .*greater than 0"),
        ("std = [0.25]", "std = [1, 1, 1]\nmeen = [1]", r"data\.input\.meen: unknown key; did you mean 'mean'"),
        ("mean = [0.5]\nstd = [0.25]", "mean = [1, 2]\nstd = [1, 1, 1]", r"data\.input: mean and std must have"),
        ('"classification"', '"clasification"', r"task\.kind: 'clasification' is not supported; did you mean 'classif"),
        ("threads = 2", "threads = 0", r"load\.threads: .*greater than or equal to 1"),
        ("threads = 2", "treads = 2", r"load\.treads: unknown key; did you mean 'threads'"),
        ("threads = 2", "precision = nan", r"load\.precision: .*finite"),
        ("threads = 2", 'scenario = "burst"', r"load\.scenario: input should be 'single_stream'"),
        ("threads = 2", "batch = 8", r"load\.batch: belongs to the scenario offline"),
        ("threads = 2", 'accelerator = "npu"', r"load\.accelerator: no accelerator"),
        ('"models/net.tflite"', '"models/b.onnx"', r"baseline\.model: holds two files of one format"),
        ('"models/net.tflite"', '"models/net.pt"', r"baseline\.model: 'net\.pt' has no format .* use \.onnx, \.tflite"),
        ('["models/net.onnx", "models/net.tflite"]', "5", r"baseline\.model: input should be a valid string, not 5"),
        ('["models/net.onnx", "models/net.tflite"]', "[]", r"baseline\.model: names no file"),
        ('id = "net-fp32"', 'id = "net-fp32"\nsource = "models/net.py"', r"baseline\.source: there is no such file"),
        ('"net-int8"', '"small"', r"variant\[small\]\.id: this id stands twice"),
        ('"net-int8"', '"Small"', r"variant\[Small\]\.id: differs from 'small' only in case"),
        ('"net-int8"', '"net int8"', r"variant\[net int8\]\.id: 'net int8' cannot be an id"),
        ('"net-int8"', '"a::b"', r"variant\[a::b\]\.id: .* cannot be an id"),
        ('"net-int8"', '"../escape"', r"variant\[\.\./escape\]\.id: .* cannot be an id"),
        (
            'recipe = "quantize_int8"',
            'recipe = "quantise_int8"',
            r"variant\[net-int8\]\.recipe: unknown name .*'quantize_",
        ),
        ('recipe = "quantize_int8"', "", r"variant\[net-int8\]: needs either `recipe` or `model`"),
        ('recipe = "quantize_int8"', 'recipe = "quantize_int8"\nmodel = "models/net.onnx"', r".*and not both"),
        (
            'recipe = "quantize_int8"',
            'recipe = "quantize_int8"\nparameters = { zz = 1 }',
            r".*parameters\.zz: unknown key",
        ),
        ('xfail = "slow here"', "parameters = { a = 1 }", r"variant\[small\]\.parameters: only a recipe takes"),
        ('xfail = "slow here"', 'fail = "x"', r"variant\[small\]\.fail: unknown key; did you mean 'xfail'"),
        (
            'model = ["models/net.onnx", "models/net.tflite"]',
            'model = "models/net.tflite"',
            r".*no baseline has its form",
        ),
        ("sensitivity =", "sensitvity =", r"accept\.sensitvity: unknown metric; did you mean 'sensitivity'"),
        ("latency_p90_s = { max", "latency_p90_s = { min", r"accept\.latency_p90_s\.min: latency_p90_s takes max"),
        ("{ max = 0.033 }", "{}", r"accept\.latency_p90_s: has no bound; write \{ max = NUMBER \}"),
        ("{ max = 0.033 }", "{ maximum = 1 }", r"accept\.latency_p90_s\.maximum: unknown key; did you mean 'max'"),
        (
            "{ max = 0.033 }",
            "{ max = '33 ms' }",
            r"accept\.latency_p90_s\.max: input should be a valid number, not '33 ms'",
        ),
    ],
)
def test_a_wrong_suite_names_file_key_and_remedy(folder: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(LabError, match=rf"^suites/lesions\.toml: {complaint}") as caught:
        suite(folder, old, new)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_model_is_a_problem_of_its_variant_alone(folder: Path) -> None:
    (folder / "suites/models/small.onnx").unlink()
    problems = {(one.id, one.format): one.problem for one in suite(folder).variants}
    assert problems["small", "onnx"].startswith("suites/models/small.onnx does not exist; put the model there")
    assert problems["net-fp32", "onnx"] == ""
    (folder / "suites/models/small.onnx").write_bytes(b"")
    assert "is empty" in suite(folder).variants[-1].problem


def build(folder: Path) -> None:
    """Write what a build of net-int8 from net.onnx leaves behind."""
    models = folder / "suites/models"
    built = models / "net-int8.onnx"
    built.write_bytes(b"built")
    parent = ledger.sha256(models / "net.onnx")
    key = ledger.key("quantize_int8", {}, parent)
    entry = ledger.Entry("quantize_int8", {}, "net.onnx", parent, key, ledger.sha256(built), 5)
    ledger.write(models, {"net-int8.onnx": entry})


def test_a_built_variant_is_used_as_long_as_nothing_it_was_built_from_changes(folder: Path) -> None:
    models = folder / "suites/models"
    todo = "suites/models/net-int8.onnx is not built for this baseline; run `edgeward build suites/lesions.toml`"
    assert suite(folder).variants[2].problem == todo
    build(folder)
    assert suite(folder).variants[2].problem == ""
    assert suite(folder).variants[2].sha256 == ledger.sha256(models / "net-int8.onnx")

    (models / "net-int8.onnx").write_bytes(b"edited")
    assert suite(folder).variants[2].problem == todo
    build(folder)
    (models / "net.onnx").write_bytes(b"trained again")
    assert suite(folder).variants[2].problem == todo
    build(folder)
    (models / "net-int8.onnx").unlink()
    assert suite(folder).variants[2].problem == todo
    (models / "net.onnx").unlink()
    assert "its baseline cannot be used: suites/models/net.onnx does not exist" in suite(folder).variants[2].problem
    (models / "net.onnx").write_bytes(b"back")
    (models / "ledger.json").write_text("[]")
    assert "not a ledger" in suite(folder).variants[2].problem


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
