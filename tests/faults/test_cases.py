"""What can be wrong with models, data, devices and stores: each fault is real, fails its own cases and no others."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, make_key, small_disk
from harness.store import Store
from tests import small_models as small

VARIANTS: Mapping[str, small.Maker] = {
    "slower": small.slower,
    "missing": small.missing,
    "truncated": small.truncated,
    "colour": small.of_three_channels,
    "nan": small.not_a_number,
    "pair": small.two_inputs,
    "huge": small.huge,
}


@dataclass(frozen=True)
class Night:
    """One campaign of pytest: what it said of each case, and what it stored."""

    code: int
    output: str
    said: Mapping[str, tuple[str, str]]
    store: Store


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def night(openssh_server: Server, device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Measure one suite full of faults on a good device and on six bad ones, all at once."""
    folder = tmp_path_factory.mktemp("night")
    small.write_suite(folder, "faults", ("good", small.good), VARIANTS)
    small.write_suite(folder, "noise", ("noise", small.random_bytes), ending="tflite")
    small.write_device(folder, "here", workdir=device_workdir, runtimes=[small.ONNXRUNTIME, small.LITERT])
    small.write_device(folder, "future", workdir=device_workdir.parent / "future", runtimes=["onnxruntime==99.1"])
    address = f'kind = "sbc"\naddress = "ssh://{openssh_server.user}@127.0.0.1:'
    runtimes = f'runtimes = ["{small.ONNXRUNTIME}"]\n'
    make_key(folder / "other")
    other = " ".join((folder / "other.pub").read_text().split()[:2])
    identity = f'identity = "{openssh_server.identity}"\n'
    for name, port, ssh in (
        ("gone", free_port(), f'host_key = "{openssh_server.host_key}"\n'),
        ("stranger", openssh_server.port, f'known_hosts = "{folder}/nobody"\n'),
        ("impostor", openssh_server.port, f'host_key = "{other}"\n'),
    ):
        (folder / "devices" / f"{name}.toml").write_text(f'{address}{port}"\n{runtimes}[ssh]\n{ssh}{identity}')
    (folder / "nobody").touch()
    with small_disk(folder / "disk", size_bytes=30_000_000) as disk:
        small.write_device(folder, "full", workdir=disk / "work")
        url = f"sqlite:///{folder}/night.sqlite"
        report = ["--store", url, "--report", str(folder / "html"), "--junitxml", str(folder / "night.xml")]
        done = run_pytest(folder, "suites", "--device", "all", "--quick", *report)
    said = {}
    for case in ElementTree.parse(folder / "night.xml").iter("testcase"):
        problem = case.find("error") if case.find("error") is not None else case.find("failure")
        said[case.attrib["name"]] = ("passed", "") if problem is None else (problem.tag, problem.text or "")
    return Night(done.returncode, done.stdout + done.stderr, said, Store(url))


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("missing@here", "error", ["faults.toml: ", "missing.onnx"]),
        (
            "truncated@here",
            "error",
            ["truncated.onnx is no ONNX model, or a damaged one", "export it again"],
        ),
        ("noise@here", "error", ["noise.tflite: noise.tflite is a damaged TensorFlow", "convert it again"]),
        (
            "colour@here",
            "error",
            ["colour.onnx takes x (float32 [1, 3, 16, 16])", "images of 16 x 16 with 1 channels", 'color = "RGB"'],
        ),
        ("nan@here", "failure", ["nan.onnx: ", "60 of 60", "check the model's conversion"]),
        ("pair@here", "error", ["pair.onnx has 2 inputs: x (float32 [1, 1, 16, 16]), y", "export it with the image"]),
        (
            "huge@here",
            "error",
            ["here: huge.onnx", "memory", "give the device more memory or the case a smaller"],
        ),
        ("good@future", "error", ["future: ", "there is no wheel of onnxruntime==99.1", "name another version"]),
        ("good@gone", "error", ["gone: ", "nothing listens on 127.0.0.1:", "start its SSH server"]),
        ("good@stranger", "error", ["stranger: ", "nobody", "devices/stranger.toml:", 'host_key = "ssh-']),
        ("good@impostor", "error", ["impostor: ", "IS NOT THE PINNED ONE"]),
        ("good@full", "error", ["full: ", "the disk is full", "free some there"]),
    ],
)
def test_a_fault_is_told_in_two_lines_that_name_the_thing_and_the_remedy(
    night: Night, case: str, status: str, words: list[str]
) -> None:
    found, text = night.said[case]
    assert found == status
    for word in words:
        assert word in text
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) <= 2, text
    assert "Traceback" not in text
    assert all(letter.isprintable() for line in lines for letter in line)


def test_every_other_case_is_unharmed_and_only_whole_results_are_kept(night: Night) -> None:
    good = {"good@here", "slower@here"}
    assert {name for name, (status, _) in night.said.items() if status == "passed"} == good, night.output
    assert len(night.said) == 9 * 6
    assert night.code == 1
    runs = night.store.runs()
    # What was timed of a model whose answers are no numbers is kept; its accuracy is not, and it does not pass.
    assert {run.case.id.partition("::")[2] for run in runs} == {*good, "nan@here"}
    for run in runs:
        assert run.notes["launches"] == 4
        assert run.measurements["latency_s"].values.size > 0
        if run.case.variant == "nan":
            assert run.accuracy == {}
        else:
            assert run.accuracy["accuracy"].point == 1.0
    outcomes = {outcome.case.partition("::")[2]: outcome for outcome in night.store.outcomes(runs[0].campaign)}
    assert set(outcomes) == set(night.said)
    assert {name for name, outcome in outcomes.items() if outcome.run} == {*good, "nan@here"}
    slower = next(run.id for run in runs if run.case.variant == "slower")
    (comparison,) = [
        c for c in night.store.comparisons(runs[0].campaign) if c.metric == "latency_ratio" and c.run == slower
    ]
    assert comparison.change is not None
    assert comparison.change.point > 3


def test_no_traceback_reaches_the_terminal_and_the_report_is_written(night: Night) -> None:
    assert "Traceback" not in night.output
    assert "INTERNALERROR" not in night.output
    report = Path(night.output.strip().splitlines()[-1].removeprefix("report: "))
    assert report.is_file()


def test_an_unknown_runtime_in_a_device_file_is_named_and_other_devices_still_run(tmp_path: Path) -> None:
    small.write_suite(tmp_path, "plain", ("good", small.good))
    small.write_device(tmp_path, "here", workdir=tmp_path / "work")
    small.write_device(tmp_path, "odd", workdir=tmp_path / "work", runtimes=["onnx-runtime==1.31.1"])
    done = run_pytest(tmp_path, "suites", "--device", "all", "--collect-only", "-q")
    assert done.returncode == 4
    last = done.stderr.strip().splitlines()[-1]
    assert "devices/odd.toml: runtimes: unknown runtime 'onnx-runtime'; did you mean 'onnxruntime'?" in last
    other = run_pytest(tmp_path, "suites", "--device", "here", "--collect-only", "-q")
    assert other.returncode == 0
    assert "suites/plain.toml::good@here" in other.stdout


@pytest.mark.parametrize("kind", ["a folder", "another version"])
def test_a_store_that_cannot_be_used_stops_the_campaign_before_anything_is_measured(tmp_path: Path, kind: str) -> None:
    small.write_suite(tmp_path, "plain", ("good", small.good))
    small.write_device(tmp_path, "here", workdir=tmp_path / "work")
    path = tmp_path / "night.sqlite"
    if kind == "a folder":
        path.mkdir()
    else:
        with sqlite3.connect(path) as raw:
            raw.execute("CREATE TABLE stamp (version INTEGER PRIMARY KEY)")
            raw.execute("INSERT INTO stamp VALUES (99)")
    done = run_pytest(tmp_path, "suites", "--device", "here", "--quick", "--store", f"sqlite:///{path}")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in said
    assert "StoreError" not in said
    assert str(path) in said
    assert "check --store" in said or "choose another file with --store" in said
    assert not (tmp_path / "work").exists()
