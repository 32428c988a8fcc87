"""The native runner's meters beside the agent's: the same keys and numbers, on real files and real programs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from devices.virtual.requirements import require
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.measure import preflight
from tests.devices.job_bench import Bench
from tests.native.moving_meters import PROGRAM, WATTS, Moving, tables


def tried(bench: Bench, table: Mapping[str, Any], *prefix: str) -> dict[str, Any]:
    """Return what a trial of a meter answers."""
    command = [*prefix, *bench.handle.workspace.command, "meter"]
    done = subprocess.run(command, input=json.dumps(table), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def refused(bench: Bench, table: Mapping[str, Any], *prefix: str) -> str:
    said: str = tried(bench, table, *prefix)["refused"]
    return said


#: A meter that cannot be read, and what the reason names: the thing that is wrong, and what is wanted.
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no program": ({"kind": "command"}, ("argv", "name the program")),
    "not there": ({"kind": "command", "argv": ["/nowhere/watts"]}, ("/nowhere/watts", "No such file")),
    "not there, once": ({"kind": "command", "argv": ["/nowhere/watts"], "mode": "once"}, ("/nowhere/watts",)),
    "fails": (
        {"kind": "command", "argv": ["sh", "-c", "echo wait; echo no sensor >&2; exit 3"], "mode": "once"},
        ("sh", "code 3", "no sensor"),
    ),
    "does not go on": (
        {"kind": "command", "argv": ["sh", "-c", "echo first >&2; echo no sensor >&2; exit 3"]},
        ("sh", "code 3", "no sensor"),
    ),
    "killed": ({"kind": "command", "argv": ["sh", "-c", "kill -9 $$"]}, ("sh", "code -9")),
    "unit": ({"kind": "command", "argv": ["echo", "4.2 W"]}, ("echo", "4.2 W", "one a line")),
    "comma": ({"kind": "command", "argv": ["echo", "4,2"], "mode": "once"}, ("echo", "4,2", "one a line")),
    "quote": ({"kind": "command", "argv": ["printf", "it's \\t 4 \\\\\\n"], "mode": "once"}, ("printf", "it's")),
    "nan": ({"kind": "command", "argv": ["echo", "nan"]}, ("echo", "nan")),
    "hexadecimal": ({"kind": "command", "argv": ["echo", "0x10"]}, ("echo", "0x10")),
    "negative": ({"kind": "command", "argv": ["echo", "-3"]}, ("echo", "-3")),
    "nothing": ({"kind": "command", "argv": ["echo"], "mode": "once"}, ("echo", "no number")),
    "silent": ({"kind": "command", "argv": ["sleep", "60"], "deadline_s": 0.3}, ("sleep", "0.3 s", "flush")),
    "closes its output": (
        {"kind": "command", "argv": ["sh", "-c", "exec >&-; exec sleep 60"], "deadline_s": 0.3}, ("sh", "0.3 s"),
    ),
    "endless": ({"kind": "command", "argv": ["sleep", "60"], "deadline_s": 0.3, "mode": "once"}, ("sleep", "0.3 s")),
    "mode": ({"kind": "command", "argv": ["echo", "1"], "mode": "often"}, ("mode", "stream", "once", "often")),
    "deadline": ({"kind": "command", "argv": ["echo", "1"], "deadline_s": 61}, ("deadline_s", "61", "60 s")),
    "no chip": (
        {"kind": "hwmon", "chip": "/nowhere/hwmon7", "channel": "in1_input * curr1_input"},
        ("/nowhere/hwmon7", "in1_input", "curr1_input", "set chip and channel"),
    ),
    "no power": ({"kind": "hwmon", "channel": "temp1_input"}, ("temp1_input", "power1_input")),
    "two currents": ({"kind": "hwmon", "channel": "curr1_input * curr2_input"}, ("curr1_input * curr2_input",)),
    "no counter": ({"kind": "powercap", "path": "/nowhere"}, ("/nowhere/energy_uj", "No such file")),
    "no battery": ({"kind": "power_supply", "path": "/nowhere"}, ("/nowhere", "No such file")),
    "no number": ({"kind": "power_supply", "path": "{made}/words"}, ("n/a",)),
    "milli-units": ({"kind": "power_supply", "path": "{made}/milli"}, ("{made}/milli", "voltage_now", "3800")),
    "empty battery": ({"kind": "power_supply", "path": "{made}/rest"}, ("{made}/rest", "0 W")),
    "empty file": ({"kind": "powercap", "path": "{made}/words"}, ()),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give folders of files that no meter may believe."""
    folder = tmp_path_factory.mktemp("wrong")
    files = {
        "words": {"power_now": "n/a\n", "energy_uj": "", "status": "Discharging"},
        "milli": {"voltage_now": "3800\n", "current_now": "-2600\n", "status": "Discharging"},
        "rest": {"voltage_now": "3800000\n", "current_now": "0\n", "status": "Discharging"},
    }
    for name, values in files.items():
        (folder / name).mkdir()
        for file, text in values.items():
            (folder / name / file).write_text(text)
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_a_meter_that_cannot_be_read_is_refused_by_both_with_what_is_wrong(
    bench: Bench, agent: Bench, made: Path, name: str
) -> None:
    table, named = WRONG[name]
    table = json.loads(json.dumps(table).replace("{made}", str(made)))
    for one in (bench, agent):
        reason = refused(one, table)
        missing = [word for word in named if word.replace("{made}", str(made)) not in reason]
        assert not missing, reason
        assert "look at" not in reason, "the host names the file that is to be corrected"


def test_a_meter_that_the_runner_has_not_is_named_with_those_that_it_has(bench: Bench) -> None:
    says = refused(bench, {"kind": "joulescope"})
    assert all(kind in says for kind in ("joulescope", "command", "hwmon", "power_supply", "powercap"))


def test_chips_are_found_and_told_apart_by_name_as_the_agent_does(bench: Bench, agent: Bench, tmp_path: Path) -> None:
    require("root")
    chips = {"hwmon0": "coretemp", "hwmon1": "ina226", "hwmon2": "ina226", "hwmon10": "old", "hwmon3": "ina226"}
    for place, name in chips.items():
        (tmp_path / "hwmon" / place / "device").mkdir(parents=True)
        (tmp_path / "hwmon" / place / "name").write_text(f"{name}\n")
    for place in ("hwmon1", "hwmon3", "hwmon10/device"):
        (tmp_path / "hwmon" / place / "power1_input").write_text("1250000\n")
    enter = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /sys/class && exec "$@"', str(tmp_path))
    for table, named in (
        ({"chip": "ina219"}, ("ina219", "coretemp, ina226, old")),
        ({"chip": "ina226"}, ("power1_input", "/sys/class/hwmon/hwmon1, /sys/class/hwmon/hwmon3", "set chip")),
        ({}, ("power1_input", "/sys/class/hwmon/hwmon1, /sys/class/hwmon/hwmon10/device, /sys", "set chip")),
        ({"chip": "coretemp"}, ("coretemp", "power1_input", "set chip and channel")),
        ({"channel": "power2_input"}, ("/sys/class/hwmon", "power2_input", "set chip")),
    ):
        for one in (bench, agent):
            reason = refused(one, {"kind": "hwmon", **table}, *enter)
            assert all(word in reason for word in named), reason
    found = tried(bench, {"kind": "hwmon", "chip": "old"}, *enter)
    assert (found["rest_w"], found["load_w"], found["changes"]) == (1.25, 1.25, 0)


@pytest.fixture(scope="module")
def trials(bench: Bench, moving: Moving, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """Try every meter, all at the same time."""
    file = tmp_path_factory.mktemp("watts") / "watts"
    file.write_text(f"{WATTS}\n")
    text = json.dumps(tables(moving.folder)).replace("{}", str(file))
    with ThreadPoolExecutor(8) as pool:
        made = {name: pool.submit(tried, bench, table) for name, table in json.loads(text).items()}
        return {name: answer.result() for name, answer in made.items()}


@pytest.mark.parametrize("name", tables(Path()))
def test_every_meter_finds_the_watts_that_are_there(
    trials: Mapping[str, dict[str, Any]], moving: Moving, name: str
) -> None:
    found = trials[name]
    allowed = moving.allowed(WATTS, 1.0) if name == "powercap" else 0.02 * WATTS
    assert found["rest_w"] == pytest.approx(WATTS, abs=allowed), found
    assert found["load_w"] == pytest.approx(WATTS, abs=allowed), found
    # More than one half was played; a last reading is begun in time, and lasts as long as the machine lets it.
    assert found["seconds"] > contract.TRIAL_S / 2
    assert found["charging"] is False
    assert found["changes"] > 5 or name == "command, once"


def test_a_charging_battery_is_reported_before_anything_is_tried(bench: Bench, agent: Bench, tmp_path: Path) -> None:
    for name, value in {"status": "Full", "power_now": "2000000"}.items():
        (tmp_path / name).write_text(value + "\n")
    table = {"kind": "power_supply", "path": str(tmp_path)}
    assert tried(bench, table) == tried(agent, table) == {"charging": True}


def test_no_program_outlives_its_meter(trials: Mapping[str, dict[str, Any]], moving: Moving) -> None:
    assert trials["command"]["changes"] > 5
    # By its folder too: another file of tests may try the same program at this moment.
    own = {PROGRAM, str(moving.folder)}
    assert not [one for one in psutil.process_iter(["cmdline"]) if own <= set(one.info["cmdline"] or [])]


# edgeward check -------------------------------------------------------------------------------------------------------


def test_the_check_of_a_native_device_is_the_table_of_one_with_python(
    bench: Bench, agent: Bench, moving: Moving
) -> None:
    def findings(one: Bench) -> dict[str, preflight.Finding]:
        device = dataclasses.replace(
            one.handle.device,
            meter=tables(moving.folder)["hwmon"],
            runtimes=("onnxruntime==1.31.1",),
            file=Path("here.toml"),
        )
        return {found.topic: found for found in preflight.survey(DeviceHandle(device))}

    ours, theirs = findings(bench), findings(agent)
    assert list(ours) == list(theirs)
    assert [found.ok for found in ours.values()] == [found.ok for found in theirs.values()]
    assert ours["onnxruntime==1.31.1"].says == "starts; accelerators: AzureExecutionProvider, CPUExecutionProvider"
    assert "changes a second, 2.50 W at rest, 2.50 W under load" in ours["energy"].says
    assert ours["python"].says == "not needed by the native runner"


def test_the_check_promises_no_energy_with_a_tool_that_has_no_pass_for_it(bench: Bench) -> None:
    device = dataclasses.replace(bench.handle.device, runner="benchmark_model", meter={"kind": "powercap"})
    found = preflight.meter(DeviceHandle(device))
    assert (found.ok, found.says) == (False, "the benchmark_model runner has no energy pass")
    assert 'runner = "native"' in found.remedy
