"""`edgeward check --energy` on devices that are reached by a cable, by a host's own meter, and what stays behind."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from devices.virtual import unit
from devices.virtual.openssh import Server
from devices.virtual.requirements import require
from devices.virtual.waiting import soon
from harness.cli import cli
from harness.cli.settings import Settings
from harness.deploy import DeviceHandle, leased
from harness.leases import file as lease
from harness.measure import calibration
from harness.measure.preflight import Finding
from harness.model import Device
from harness.native import build
from tests.following_meters import Follower, following, plays_load

STEPS_S = tuple(seconds / 2 for seconds in calibration.STEPS_S)
AGENT = Path(calibration.__file__).parents[1] / "agent" / "__main__.py"


def checked(device: Device, mark: str, files: Path) -> dict[str, Finding]:
    """Return what is found of a meter that follows the load; the processes that play it are gone afterwards."""
    files.mkdir(parents=True)
    with following([Follower("follows", mark, str(files))]), DeviceHandle(device) as handle:
        with leased(handle, wait=False):
            found = calibration.findings(handle, STEPS_S)
        assert not players(mark)
        assert handle.run(["ls", f"{handle.root}/jobs"]).text == ""
        assert lease.holder(handle) is None
    return {one.topic: one for one in found}


def players(mark: str) -> list[int]:
    return [pid for pid in psutil.pids() if plays_load(str(pid), mark)]


def assert_believed(found: Mapping[str, Finding]) -> None:
    assert [one.says for one in found.values() if one.needed and not one.ok] == []
    assert found["busy"].says.startswith(("5.", "6."))


def test_a_closed_unit_plays_the_load_and_reads_its_own_sensor(tmp_path: Path) -> None:
    require(*unit.NEEDS, "package:gcc")
    with unit.unit(tmp_path / "unit") as closed:
        mark = f"/data/{tmp_path.name}"
        device = dataclasses.replace(closed.device(), workdir=mark, meter={"kind": "hwmon", "chip": "/data/sensor"})
        assert_believed(checked(device, mark, closed.folder / "root/data/sensor"))


def test_a_meter_that_the_host_reads_is_held_against_the_load_by_the_devices_clock(
    openssh_server: Server, tmp_path: Path
) -> None:
    require("root")
    meter = {"kind": "command", "argv": ["cat", str(tmp_path / "supply/watts")], "mode": "once", "side": "host"}
    device = dataclasses.replace(openssh_server.device(), workdir=str(tmp_path / "work"), meter=meter)
    assert_believed(checked(device, str(tmp_path / "work"), tmp_path / "supply"))


@pytest.mark.parametrize("runner", ["python", "native"])
def test_the_load_ends_with_whoever_plays_it(runner: str, tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", str(AGENT)]
    if runner == "native":
        require("package:gcc")
        command = [str(tmp_path / build.PROGRAM)]
        build.compile_program(["gcc", *build.FLAGS], Path(command[0]))
    mark = str(tmp_path)
    player = subprocess.Popen([*command, "calibrate", mark], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert player.stdin is not None
    player.stdin.write(json.dumps({"meter": {"kind": "host"}, "seconds": [1, 600, 600]}).encode())
    player.stdin.close()
    assert soon(lambda: len(players(mark)) == len(psutil.Process().cpu_affinity() or ()), within_s=60)
    player.send_signal(signal.SIGKILL)
    assert soon(lambda: not [pid for pid in psutil.pids() if mark.encode() in _words(pid)], within_s=60)
    player.wait()


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("meter", "says"),
    [
        ({"kind": "hwmon", "chip": "/nowhere"}, ("meter hwmon: the meter cannot be read", "[meter] in here.toml")),
        (None, ("no meter configured", "add [meter] to here.toml")),
    ],
)
def test_the_command_exits_with_one_where_there_is_no_meter_to_believe(
    meter: dict[str, Any] | None, says: tuple[str, ...], device_workdir: Path, tmp_path: Path
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "suites").mkdir()
    table = "".join(f'{key} = "{value}"\n' for key, value in (meter or {}).items())
    text = f'kind = "sbc"\naddress = "local:"\nworkdir = "{device_workdir}"\n'
    (tmp_path / "devices/here.toml").write_text(f"{text}[meter]\n{table}" if meter else text)
    words = ["--lab", str(tmp_path), "check", "here", "--energy"]
    done = CliRunner().invoke(cli, words, obj=Settings(), prog_name="edgeward")
    assert done.exit_code == 1, done.output
    assert all(word in done.stdout for word in says), done.stdout
