"""`edgeward lab up|down|status`: virtual devices that outlive the command that started them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devices.virtual import keeper
from devices.virtual.openssh import alive
from devices.virtual.requirements import require
from devices.virtual.waiting import soon
from harness import lab as labs

OURS = Path(__file__).parents[2] / "devices" / "virtual"


def edgeward(lab: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", *words]
    return subprocess.run(command, cwd=lab, capture_output=True, text=True, check=False)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Give a lab with the virtual devices of this checkout."""
    folder = tmp_path / "lab"
    (folder / "suites").mkdir(parents=True)
    shutil.copytree(
        OURS, folder / "devices" / "virtual", ignore=shutil.ignore_patterns(".state", "*.toml", "__pycache__")
    )
    return folder


def test_what_is_brought_up_is_found_by_its_tag_and_goes_with_down(lab: Path) -> None:
    require(*keeper.NEEDS["h1"], *keeper.NEEDS["unit"])
    done = edgeward(lab, "lab", "up", "h1", "unit")
    try:
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"{name}: up, devices/virtual/{name}.toml" for name in ("h1", "unit")]
        assert [device.id for device in labs.select(lab, ["tag:virtual"])] == ["h1", "unit"]
        table = edgeward(lab, "devices").stdout
        assert [line.split()[3] for line in table.splitlines() if line.startswith(("h1", "unit"))] == ["yes", "yes"]
        pids = [json.loads(file.read_text())["pid"] for file in (lab / "devices/virtual/.state").glob("*.pid")]
        assert "h1: was up" in edgeward(lab, "lab", "up", "h1").stdout
        assert edgeward(lab, "lab", "status").stdout.count("yes") == 2
    finally:
        downed = edgeward(lab, "lab", "down")
    assert downed.stdout.splitlines() == ["h1: down", "unit: down"]
    assert len(pids) == 2
    assert soon(lambda: not any(alive(pid) for pid in pids))
    assert labs.read_devices(lab) == {}


def test_a_device_that_does_not_start_says_why(lab: Path) -> None:
    require(*keeper.NEEDS["unit"])
    unit = lab / "devices/virtual/unit.py"
    unit.write_text(
        unit.read_text()
        .replace("dropbear -F", "no-such-server -F")
        .replace("ssh_answers(running.host, _PORT)", "False")
    )
    done = edgeward(lab, "lab", "up", "unit")
    assert done.returncode == 2
    assert "unit did not start (devices.virtual.unit.UnitError: dropbear did not answer on" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((lab / "devices/virtual").glob("*.toml")) == []


def test_a_lab_without_virtual_devices_is_told_where_they_are(tmp_path: Path) -> None:
    for part in ("devices", "suites"):
        (tmp_path / part).mkdir()
    done = edgeward(tmp_path, "lab", "up")
    assert done.returncode == 2
    assert "this lab has no virtual devices; they are in edgeward's own checkout: name it with --lab" in done.stderr


def test_an_unknown_device_is_met_with_the_nearest(lab: Path) -> None:
    done = edgeward(lab, "lab", "up", "uint")
    assert done.returncode == 2
    assert "no virtual device 'uint'" in done.stderr
    assert "unit" in done.stderr


def test_only_a_phone_that_asks_and_runs_can_be_told_to_let_this_computer_in(lab: Path) -> None:
    for name, said in (
        ("unit", "unit asks nobody; only asking waits for consent"),
        ("asking", "asking is not up; run `edgeward lab up asking`"),
    ):
        done = edgeward(lab, "lab", "allow", name)
        assert done.returncode == 2
        assert said in done.stderr
