"""`edgeward nightly`: what services are given is right by their own rules, and what they start is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from devices.virtual.requirements import program, require
from harness.cli import cli
from harness.cli.settings import Settings
from harness.store import Store
from tests.labs import make

BIN = Path(sys.executable).parent
#: What is written -> the schema of the service that reads it, as it publishes it.
SCHEMAS = {
    "github": (".github/workflows/nightly.yml", "vendor.github-workflows"),
    "gitlab": (".gitlab-ci.yml", "vendor.gitlab-ci"),
}


def written(lab: Path, kind: str) -> str:
    done = CliRunner().invoke(cli, ["nightly", kind, "--lab", str(lab)], obj=Settings())
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("kind", SCHEMAS)
def test_what_a_service_reads_is_right_by_its_own_schema_and_runs_the_script(tmp_path: Path, kind: str) -> None:
    written(make(tmp_path), kind)
    name, schema = SCHEMAS[kind]
    check = [str(BIN / "check-jsonschema"), "--builtin-schema", schema, name]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert commands(tmp_path / name) == ["sh nightly.sh"]


def commands(file: Path) -> list[str]:
    """Return what a job of a service has its shell do."""
    job = yaml.safe_load(file.read_text())
    if "jobs" in job:
        return [step["run"] for step in job["jobs"]["measure"]["steps"] if "run" in step]
    return list(job["measure"]["script"])


def test_the_units_are_right_by_systemds_own_verdict_and_name_the_lab(tmp_path: Path) -> None:
    require("package:systemd=systemd-analyze")
    said = written(make(tmp_path / "a lab"), "systemd")
    units = sorted((tmp_path / "a lab" / "systemd").iterdir())
    verify = [str(program("systemd-analyze")), "verify", "--man=no", *map(str, units)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"WorkingDirectory={tmp_path}/a lab\n" in units[0].read_text()
    assert f"systemctl --user link '{tmp_path}/a lab/systemd/edgeward-nightly.service'" in said


def test_a_folder_that_no_unit_can_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    lab = make(tmp_path / "100%")
    done = CliRunner().invoke(cli, ["nightly", "systemd", "--lab", str(lab)], obj=Settings())
    assert done.exit_code == 2
    assert "move the lab" in done.output
    assert not (lab / "nightly.sh").exists()


def test_the_script_is_right_by_shellcheck(tmp_path: Path) -> None:
    require("package:shellcheck")
    written(make(tmp_path), "gitlab")
    done = subprocess.run(["shellcheck", "nightly.sh"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_files_that_are_there_stay_and_a_lab_without_a_nightly_device_learns_which_line_to_write(
    tmp_path: Path,
) -> None:
    lab = make(tmp_path)
    (lab / "nightly.sh").write_text("mine")
    said = written(lab, "gitlab")
    assert (lab / "nightly.sh").read_text() == "mine"
    assert f"kept    {lab / 'nightly.sh'}" in said
    assert 'tags = ["nightly"]' in said


def test_a_night_as_github_starts_it_measures_what_has_the_tag_and_keeps_it_where_the_environment_says(
    tmp_path: Path, device_workdir: Path
) -> None:
    lab = make(tmp_path / "lab", workdir=device_workdir)
    device = lab / "devices" / "here.toml"
    device.write_text(f'{device.read_text()}tags = ["nightly"]\n')
    assert "tags" not in written(lab, "github")
    store = f"sqlite:///{tmp_path / 'kept' / 'results.sqlite'}"
    own = {"EDGEWARD_BIN": str(BIN), "EDGEWARD_STORE": store, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    (command,) = commands(lab / ".github/workflows/nightly.yml")
    # GitHub gives `run` to bash, which ends at the first command that fails.
    done = subprocess.run(
        ["bash", "-e", "-c", f"{command} --quick"],
        cwd=lab,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [list(campaign.suites) for campaign in Store(store, existing=True).campaigns()] == [["small"]]
    assert not (lab / "reports" / "results.sqlite").exists()
    assert json.loads((lab / "reports" / "watch.json").read_text())["alarms"] == 0
    assert (lab / "reports" / "nightly.xml").stat().st_size > 0
    assert (lab / "reports" / "nightly.md").read_text() in (tmp_path / "summary.md").read_text()
