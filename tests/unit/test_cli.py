"""`edgeward`: instant help, tables, and errors in one or two lines with exit code 2."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from devices.virtual.openssh import make_key
from harness import lab
from harness.cli import cli
from harness.cli.fleet import probe, probe_all
from harness.cli.settings import Settings
from harness.errors import LabError
from harness.model import (
    Address,
    Campaign,
    Conditions,
    Device,
    Estimate,
    MeasuredCase,
    Measurement,
    Outcome,
    Run,
    Validity,
    Variant,
)
from harness.store import Store

Command = Callable[..., Result]
COMMANDS = ["init", "nightly", "devices", "check", "clean", "build", "build-runner", "layers"]
COMMANDS += ["report", "compare", "history", "watch", "table", "export", "evidence", "verify", "schema", "store"]


@pytest.fixture
def edgeward() -> Command:
    """Run the command line in this process."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(one) for one in arguments], obj=Settings(), prog_name="edgeward")

    return run


@pytest.fixture
def folder(tmp_path: Path, edgeward: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh lab, which is the current folder."""
    place = tmp_path / "mylab"
    assert edgeward("init", place).exit_code == 0
    monkeypatch.chdir(place)
    return place


def message_of(result: Result) -> str:
    """Return the error of a command that must have failed as promised."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert 1 <= len(result.stderr.splitlines()) <= 2
    assert result.stderr.startswith("edgeward: ")
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_takes_the_shared_options(name: str, edgeward: Command) -> None:
    shown = edgeward(name, "--help")
    assert shown.exit_code == 0
    assert {"--lab", "--store", "--debug"} <= set(shown.output.replace(" ", "\n").split())
    assert name in edgeward("--help").output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom harness.cli import cli\n"
        "try:\n cli(['--help'], prog_name='edgeward')\nexcept SystemExit:\n print('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "pydantic", "rich", "sqlalchemy", "paramiko", "altair", "scipy", "jinja2", "harness.lab"}
    assert not heavy & set(done.stdout.splitlines()[-1].split())
    assert "Commands:" in done.stdout


def test_the_version_is_the_distributions(edgeward: Command) -> None:
    from importlib.metadata import version

    assert edgeward("--version").output == f"edgeward, version {version('edgeward')}\n"


def test_init_makes_a_lab_that_is_valid_as_it_stands(folder: Path) -> None:
    (device,) = lab.select(folder, ["local"])
    suite = lab.read_suite(folder / "suites/mymodel.toml")
    assert device.address.scheme == "local"
    assert [case.id for case in lab.cases(suite, [device])] == ["suites/mymodel.toml::baseline@local"]
    assert "baseline.onnx does not exist; put the model there" in suite.variants[0].problem
    text = (folder / "suites/mymodel.toml").read_text()
    assert [line.partition("# ")[2][:6] for line in text.splitlines() if "EDIT " in line] == [
        "EDIT 1",
        "EDIT 2",
        "EDIT 3",
    ]
    assert "reports/*.sqlite*" in (folder / ".gitignore").read_text()
    assert (folder / "suites/models").is_dir()
    assert (folder / "reports").is_dir()


def test_the_lab_that_init_makes_needs_a_model_and_data_and_no_other_edit(folder: Path) -> None:
    (folder / "suites/models/baseline.onnx").write_bytes(b"a model")
    np.savez(folder / "suites/data/test.npz", images=np.zeros((4, 8, 8), np.uint8), labels=[0, 1, 0, 1])
    suite = lab.read_suite(folder / "suites/mymodel.toml")
    assert suite.variants[0].problem == ""
    from harness import registry

    source = registry.load("data", suite.data["source"], file="", key="")
    own = {key: value for key, value in suite.data.items() if key != "source"}
    options = registry.options(source, own, file="", key="")
    samples = source.load(options, split=suite.split, base=suite.file.parent, cache=folder)
    assert suite.task.positive in samples.classes


def test_the_commented_lines_of_the_template_are_right_too(folder: Path) -> None:
    path = folder / "suites/mymodel.toml"
    text = path.read_text()
    for line in text.splitlines():
        if line.startswith(
            ('# source = "folder"', "# path = ", "# classes", "# [[", "# id", "# model", "# recipe", "# sens", "# lat")
        ):
            text = text.replace(line, line.removeprefix("# "))
    text = text.replace('source = "npz"  ', '#source = "npz"').replace('path = "data/test.npz"', '#path = "x"')
    path.write_text(text)
    suite = lab.read_suite(path)
    assert suite.data["source"] == "folder"
    assert [variant.id for variant in suite.variants] == ["baseline", "small", "int8"]
    assert len(suite.accept) == 2


def test_init_never_touches_what_is_there(tmp_path: Path, edgeward: Command, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "is a lab already, with mymodel.toml; name another folder" in message_of(edgeward("init", folder))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("my own")
    done = edgeward("init", mine)
    assert done.exit_code == 0
    assert f"kept    {mine / 'README.md'}" in done.output
    assert (mine / "README.md").read_text() == "my own"
    (tmp_path / "file").write_text("")
    assert "cannot be written" in message_of(edgeward("init", tmp_path / "file"))


def test_schemas_are_printed_as_json(edgeward: Command) -> None:
    for kind in ("device", "suite"):
        assert json.loads(edgeward("schema", kind).output)["title"] == f"edgeward {kind}"
    assert edgeward("schema", "report").exit_code == 2


def test_devices_lists_the_reachable_the_unreachable_and_the_broken(folder: Path, edgeward: Command) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    (folder / "devices/away.toml").write_text(
        f'kind = "sbc"\naddress = "ssh://bench@127.0.0.1:{port}"\ntags = ["far"]\n[ssh]\nhost_key = "ssh-ed25519 AA"\n'
    )
    (folder / "devices/broken.toml").write_text("kind = 'sbc'\naddres = 'local:'\n")
    done = edgeward("devices")
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.output.splitlines() if line.strip()}
    assert "local:" in rows["local"]
    assert " yes " in rows["local"]
    assert " no: " in rows["away"]
    assert "far" in rows["away"]
    assert "did you mean 'address'" in rows["broken"]


def test_a_device_that_never_answers_holds_up_neither_the_others_nor_the_command(folder: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    (local,) = lab.select(folder, ["local"])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mute = Device("mute", "sbc", Address("ssh", host="127.0.0.1", user="x", port=port), options={"host_key": key})
        found = probe_all([mute, local], deadline_s=2.0)
    assert found["local"].reachable
    assert not found["mute"].reachable
    assert found["mute"].reason == "no answer within 2 s", "it was waited for longer than the deadline"


def test_a_device_may_take_as_long_to_let_us_in_as_its_file_allows(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Address("ssh", host="127.0.0.1", user="x", port=silent.getsockname()[1])
        mute = Device("mute", "sbc", place, options={"host_key": key, "connect_timeout_s": 0.5})
        found = probe_all([mute])["mute"]
    assert "did not answer within 0.5 s" in found.reason


def test_a_fault_that_nobody_foresaw_is_the_line_of_its_own_device() -> None:
    broken = Device("broken", "sbc", Address("local"), lease_options={"place": "/tmp/\0"})
    found = probe(broken)
    assert not found.reachable
    assert "ValueError" in found.reason
    assert found.reason.endswith("this is a fault of edgeward")


@pytest.mark.usefixtures("folder")
def test_errors_are_shown_in_a_line_and_debug_shows_where(edgeward: Command, tmp_path: Path) -> None:
    assert "no device 'locl'; did you mean 'local'?" in message_of(edgeward("check", "locl"))
    assert "suites: no suite 'mymodl'; did you mean 'mymodel'?" in message_of(edgeward("build", "mymodl"))
    assert "holds no devices/ and suites/; correct --lab" in message_of(edgeward("devices", "--lab", tmp_path))
    assert "holds no devices/ and suites/" in message_of(edgeward("--lab", tmp_path, "devices"))
    assert "no command 'device'; did you mean 'devices'?" in message_of(edgeward("device"))
    assert "nothing has been measured in this lab; run `pytest" in message_of(edgeward("report"))
    assert "Parquet is binary" in message_of(edgeward("export", "--format", "parquet"))
    assert "cannot open the store" in message_of(edgeward("history", "mymodel", "--store", "nonsense"))
    assert isinstance(edgeward("check", "locl", "--debug").exception, LabError)
    assert isinstance(edgeward("--debug", "check", "locl").exception, LabError)


def test_the_installed_command_ends_with_2_and_no_traceback(folder: Path) -> None:
    command = [sys.executable, "-c", "from harness.cli import main; main()", "check", "nobody"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "edgeward: devices: no device 'nobody'; known: local\n"
    done = subprocess.run([*command, "--debug"], capture_output=True, text=True, check=False, cwd=folder)
    assert "Traceback" in done.stderr


def run_of(variant: str, *, middle_s: float, campaign: str = "c-first") -> Run:
    rng = np.random.default_rng(len(variant))
    latency = middle_s * rng.lognormal(0, 0.02, 300)
    return Run(
        id=f"{variant}-{campaign}",
        campaign=campaign,
        started_at=datetime(2026, 11, 21, 20, 0, tzinfo=UTC),
        case=MeasuredCase(f"suites/mymodel.toml::{variant}@local", "mymodel", variant, "local", "onnxruntime==1.31.1"),
        variant=Variant(variant, "onnx", Path(), "0" * 64, 1000),
        measurements={"latency_s": Measurement("latency_s", "s", latency, method="CLOCK_MONOTONIC")},
        accuracy={"accuracy": Estimate(0.9, 0.85, 0.93)},
        conditions=Conditions(),
        fingerprint={"soc": "x"},
        validity=Validity.VALID,
        is_baseline=variant == "baseline",
    )


@pytest.fixture
def measured(folder: Path) -> Iterator[Store]:
    """A lab in which two variants were measured."""
    store = Store(f"sqlite:///{folder}/reports/results.sqlite")
    suite = {
        "title": "My model",
        "task": {"kind": "classification", "positive": "1"},
        "load": {"margin": 0.02, "scenario": "single_stream", "threads": 1, "precision": 0.02, "max_duration_s": 60},
        "accept": [],
        "baseline": "baseline",
        "data": {"source": "npz", "split": "test"},
        "confidential": False,
    }
    started = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
    store.add_campaign(
        Campaign(
            "c-first",
            started,
            "pytest suites --device local",
            {"mymodel": suite},
            {"edgeward": "0.1.0", "python": "3.11"},
        )
    )
    store.add_case("c-first", run_of("baseline", middle_s=0.010), ())
    store.add_case("c-first", run_of("int8", middle_s=0.005), ())
    yield store
    store.close()


def test_history_shows_no_number_of_an_invalid_run_and_refuses_a_suite_that_is_not_there(
    measured: Store, edgeward: Command
) -> None:
    measured.add_case("c-first", replace(run_of("bad", middle_s=0.001), validity=Validity.INVALID), ())
    shown = edgeward("history", "mymodel")
    assert shown.exit_code == 0
    assert len([line for line in shown.output.splitlines() if line.startswith("  2026-11-21 20:00")]) == 3
    (bad,) = [line for line in shown.output.splitlines() if "(invalid)" in line]
    assert "%" not in bad, "the numbers of an invalid run are not numbers"
    assert "no run of a suite 'mymodl'; did you mean 'mymodel'?" in message_of(edgeward("history", "mymodl"))


def test_compare_puts_two_runs_side_by_side(measured: Store, edgeward: Command) -> None:
    shown = edgeward("compare", "baseline", "int8")
    assert shown.exit_code == 0
    (latency,) = [line for line in shown.output.splitlines() if line.startswith("Latency")]
    assert "0.50×" in latency
    assert "improved" in latency
    quick = replace(run_of("tiny", middle_s=0.002), quick=True)
    measured.add_case("c-first", quick, ())
    again = edgeward("compare", "baseline", "tiny").output
    assert again.count("quick") == 1, "what is said of every change stands once"
    assert "every change: quick" in again
    assert "no run has an id that begins with 'zz'" in message_of(edgeward("compare", "baseline", "zz"))


@pytest.mark.usefixtures("measured")
def test_export_writes_a_file_or_standard_output(edgeward: Command, folder: Path) -> None:
    printed = json.loads(edgeward("export", "--format", "json").output)
    assert [run["case"]["variant"] for run in printed["runs"]] == ["baseline", "int8"]
    assert edgeward("export", "--format", "csv", "--out", folder / "out/runs.csv").exit_code == 0
    assert len((folder / "out/runs.csv").read_text().splitlines()) == 3
    one = json.loads(edgeward("export", "--format", "json", "--campaign", "c-fi").output)
    assert one == printed
    assert "no campaign has an id" in message_of(edgeward("export", "--format", "json", "--campaign", "x"))
    assert "cannot be written" in message_of(edgeward("export", "--format", "csv", "--out", folder / "README.md/x.csv"))


@pytest.mark.usefixtures("measured")
def test_report_renders_again_without_a_device(edgeward: Command, folder: Path, tmp_path: Path) -> None:
    done = edgeward("report")
    assert done.exit_code == 0, done.output
    file = Path(done.output.splitlines()[-1].removeprefix("report: "))
    assert file.parent == folder / "reports/html"
    assert "My model" in file.read_text()
    elsewhere = edgeward("report", "--out", tmp_path / "html", "--store", f"sqlite:///{folder}/reports/results.sqlite")
    assert (tmp_path / "html" / file.name).exists(), elsewhere.output


@pytest.mark.usefixtures("measured")
def test_report_writes_a_summary_in_markdown_where_it_is_asked_for(
    edgeward: Command, folder: Path, tmp_path: Path
) -> None:
    done = edgeward("report", "--markdown", tmp_path / "new/summary.md")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-2] == f"summary: {tmp_path / 'new/summary.md'}"
    text = (tmp_path / "new/summary.md").read_text()
    assert text.startswith("## My model\n")
    assert len([line for line in text.splitlines() if line.startswith("| local")]) == 2
    assert "cannot be written" in (bad := edgeward("report", "--markdown", folder / "README.md/x.md")).stderr
    assert bad.exit_code == 2


@pytest.mark.usefixtures("measured")
def test_report_writes_its_charts_as_pictures_where_it_is_asked_for(
    edgeward: Command, folder: Path, tmp_path: Path
) -> None:
    done = edgeward("report", "--charts", tmp_path / "new/charts")
    assert done.exit_code == 0, done.output
    vectors, images = (
        sorted(path.stem for path in (tmp_path / "new/charts").glob(f"*.{end}")) for end in ("svg", "png")
    )
    assert vectors == images
    assert f"charts: {len(vectors)}, each as SVG and PNG, in {tmp_path / 'new/charts'}" in done.output
    assert any(name.startswith("latency-local-onnxruntime-") for name in vectors)
    bad = edgeward("report", "--charts", folder / "README.md/x")
    assert "choose another folder with --charts" in bad.stderr
    assert bad.exit_code == 2


def test_table_shows_models_and_techniques_of_the_suites_that_are_named(
    edgeward: Command, folder: Path, measured: Store
) -> None:
    for run in measured.runs():
        measured.add_outcome(run.campaign, Outcome(run.case.variant, "passed", run.id))
    shown = edgeward("table", "mymodel")
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("## My model\n")
    assert [line.split(" | ")[2] for line in shown.output.splitlines() if line.startswith("| baseline")] == [
        "baseline",
        "int8",
    ]
    assert edgeward("table", "--format", "html", "--out", folder / "out/table.html").exit_code == 0
    assert "My model" in (folder / "out/table.html").read_text()
    assert "no run of a suite 'mymodle'; did you mean 'mymodel'?" in message_of(edgeward("table", "mymodle"))


@pytest.mark.parametrize("url", ["sqlite:///{}/new/results.sqlite", "sqlite:///file:{}/results.sqlite?uri=true"])
@pytest.mark.parametrize(
    "words",
    [
        "report",
        "compare a b",
        "history s",
        "table",
        "export --format json",
        "devices",
        "certify pi5",
        "folds s",
        "evidence c --out x.zip --unsigned",
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_command_that_only_reads_refuses_a_store_that_is_not_there_and_makes_no_file(
    words: str, url: str, edgeward: Command, tmp_path: Path
) -> None:
    empty = tmp_path / "empty place"
    empty.mkdir()
    said = message_of(edgeward(*words.split(), "--store", url.format(empty)))
    assert len(said.splitlines()) == 1
    assert f"there is no store {empty}/" in said
    assert "; check --store, or measure first" in said
    assert list(empty.iterdir()) == []


def test_a_database_of_another_program_gets_no_tables_from_a_command_that_reads(
    edgeward: Command, folder: Path
) -> None:
    other = folder / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as raw:
        raw.execute("CREATE TABLE theirs (id)")
    before = other.read_bytes()
    said = message_of(edgeward("export", "--format", "json", "--store", f"sqlite:///{other}"))
    assert "other.sqlite holds no results of edgeward; check --store" in said
    assert other.read_bytes() == before
    assert "a file is named by sqlite:///FILE" in message_of(edgeward("report", "--store", other))


@pytest.mark.usefixtures("measured")
def test_devices_says_when_each_was_measured_last(edgeward: Command) -> None:
    (row,) = [line for line in edgeward("devices").output.splitlines() if line.startswith("local")]
    assert "2026-11-21 20:00 UTC" in row


def test_check_says_what_cannot_be_measured_and_what_to_do(folder: Path, edgeward: Command) -> None:
    path = folder / "devices/local.toml"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("runtimes")]
    path.write_text("\n".join([*kept, f'workdir = "{folder}/work"\n']))
    done = edgeward("check", "local")
    assert done.exit_code == 1, "no runtime is named, so nothing can be measured"
    (runtimes,) = [line for line in done.output.splitlines() if line.startswith("runtimes")]
    assert "none named" in runtimes
    (energy,) = [line for line in done.output.splitlines() if line.startswith("energy")]
    assert "no meter configured" in energy
    assert "add [meter] to local.toml" in energy
