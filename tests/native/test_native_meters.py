"""The native runner's meters beside the agent's: the same keys, numbers and words, on real files and real programs."""

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


WRONG: dict[str, dict[str, Any]] = {
    "no program": {"kind": "command"},
    "not there": {"kind": "command", "argv": ["/nowhere/watts"]},
    "not there, once": {"kind": "command", "argv": ["/nowhere/watts"], "mode": "once"},
    "fails": {"kind": "command", "argv": ["sh", "-c", "echo wait; echo no sensor >&2; exit 3"], "mode": "once"},
    "does not go on": {"kind": "command", "argv": ["sh", "-c", "echo first >&2; echo no sensor >&2; exit 3"]},
    "killed": {"kind": "command", "argv": ["sh", "-c", "kill -9 $$"]},
    "unit": {"kind": "command", "argv": ["echo", "4.2 W"]},
    "comma": {"kind": "command", "argv": ["echo", "4,2"], "mode": "once"},
    "quote": {"kind": "command", "argv": ["printf", "it's \\t 4 \\\\\\n"], "mode": "once"},
    "nan": {"kind": "command", "argv": ["echo", "nan"]},
    "hexadecimal": {"kind": "command", "argv": ["echo", "0x10"]},
    "negative": {"kind": "command", "argv": ["echo", "-3"]},
    "nothing": {"kind": "command", "argv": ["echo"], "mode": "once"},
    "silent": {"kind": "command", "argv": ["sleep", "60"], "deadline_s": 0.3},
    "closes its mouth": {"kind": "command", "argv": ["sh", "-c", "exec >&-; exec sleep 60"], "deadline_s": 0.3},
    "endless": {"kind": "command", "argv": ["sleep", "60"], "deadline_s": 0.3, "mode": "once"},
    "mode": {"kind": "command", "argv": ["echo", "1"], "mode": "often"},
    "deadline": {"kind": "command", "argv": ["echo", "1"], "deadline_s": 61},
    "no chip": {"kind": "hwmon", "chip": "/nowhere/hwmon7", "channel": "in1_input * curr1_input"},
    "no power": {"kind": "hwmon", "channel": "temp1_input"},
    "two currents": {"kind": "hwmon", "channel": "curr1_input * curr2_input"},
    "no counter": {"kind": "powercap", "path": "/nowhere"},
    "no battery": {"kind": "power_supply", "path": "/nowhere"},
    "no number": {"kind": "power_supply", "path": "{made}/words"},
    "milli-units": {"kind": "power_supply", "path": "{made}/milli"},
    "empty battery": {"kind": "power_supply", "path": "{made}/rest"},
    "empty file": {"kind": "powercap", "path": "{made}/words"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give folders of files that no meter may believe."""
    folder = tmp_path_factory.mktemp("wrong")
    files = {
        "words": {"power_now": "n/a\n", "energy_uj": ""},
        "milli": {"voltage_now": "3800\n", "current_now": "-2600\n"},
        "rest": {"voltage_now": "3800000\n", "current_now": "0\n"},
    }
    for name, values in files.items():
        (folder / name).mkdir()
        for file, text in values.items():
            (folder / name / file).write_text(text)
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_meter_is_said_in_the_agents_words(
    bench: Bench, agent: Bench, made: Path, name: str
) -> None:
    table = json.loads(json.dumps(WRONG[name]).replace("{made}", str(made)))
    ours = refused(bench, table)
    assert ours == refused(agent, table)
    assert ours.startswith("the meter cannot be read: ")
    assert ours.endswith("; look at [meter] in the device's file")


def test_a_meter_that_the_runner_has_not_is_named_with_those_that_it_has(bench: Bench) -> None:
    says = refused(bench, {"kind": "joulescope"})
    assert says == (
        "the native runner reads no meter of kind joulescope; command, hwmon, power_supply and powercap are known"
    )


def test_chips_are_found_and_told_apart_by_name_as_the_agent_does(bench: Bench, agent: Bench, tmp_path: Path) -> None:
    require("root")
    chips = {"hwmon0": "coretemp", "hwmon1": "ina226", "hwmon2": "ina226", "hwmon10": "old", "hwmon3": "ina226"}
    for place, name in chips.items():
        (tmp_path / "hwmon" / place / "device").mkdir(parents=True)
        (tmp_path / "hwmon" / place / "name").write_text(f"{name}\n")
    for place in ("hwmon1", "hwmon3", "hwmon10/device"):
        (tmp_path / "hwmon" / place / "power1_input").write_text("1250000\n")
    enter = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /sys/class && exec "$@"', str(tmp_path))
    for table, says in (
        ({"chip": "ina219"}, "no chip under /sys/class/hwmon is called 'ina219'; there is: coretemp, ina226, old"),
        ({"chip": "ina226"}, "several chips have power1_input: /sys/class/hwmon/hwmon1, /sys/class/hwmon/hwmon3; set"),
        ({}, "several chips have power1_input: /sys/class/hwmon/hwmon1, /sys/class/hwmon/hwmon10/device, /sys"),
        ({"chip": "coretemp"}, "coretemp has no power1_input; set chip and channel under [meter]"),
        ({"channel": "power2_input"}, "any chip under /sys/class/hwmon has no power2_input; set chip"),
    ):
        ours = refused(bench, {"kind": "hwmon", **table}, *enter)
        assert ours == refused(agent, {"kind": "hwmon", **table}, *enter)
        assert says in ours
    found = tried(bench, {"kind": "hwmon", "chip": "old"}, *enter)
    assert (found["rest_w"], found["load_w"], found["changes"]) == (1.25, 1.25, 0)


@pytest.fixture(scope="module")
def trials(bench: Bench, moving: Moving, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """Try every meter, all at the same time."""
    file = tmp_path_factory.mktemp("told") / "watts"
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
    assert 2 <= found["seconds"] < 10
    assert found["charging"] is False
    assert found["changes"] > 5 or name == "command, once"


def test_a_charging_battery_is_told_before_anything_is_tried(bench: Bench, agent: Bench, tmp_path: Path) -> None:
    for name, value in {"status": "Full", "power_now": "2000000"}.items():
        (tmp_path / name).write_text(value + "\n")
    table = {"kind": "power_supply", "path": str(tmp_path)}
    assert tried(bench, table) == tried(agent, table) == {"charging": True}


def test_no_program_outlives_its_meter(trials: Mapping[str, dict[str, Any]]) -> None:
    assert trials["command"]["changes"] > 5
    assert not [one for one in psutil.process_iter(["cmdline"]) if PROGRAM in (one.info["cmdline"] or [])]


# edgeward check -------------------------------------------------------------------------------------------------------


def test_the_check_of_a_native_device_is_the_table_of_one_with_python(
    bench: Bench, agent: Bench, moving: Moving
) -> None:
    def findings(one: Bench) -> dict[str, preflight.Finding]:
        device = dataclasses.replace(
            one.device, meter=tables(moving.folder)["hwmon"], runtimes=("onnxruntime==1.31.1",), file=Path("here.toml")
        )
        return {found.topic: found for found in preflight.survey(one.connection)}

    ours, theirs = findings(bench), findings(agent)
    assert list(ours) == list(theirs)
    assert [found.ok for found in ours.values()] == [found.ok for found in theirs.values()]
    assert ours["onnxruntime==1.31.1"].says == "starts; accelerators: AzureExecutionProvider, CPUExecutionProvider"
    assert "changes a second, 2.50 W at rest, 2.50 W under load" in ours["energy"].says
    assert ours["python"].says == "not needed by the native runner"


def test_the_check_promises_no_energy_with_a_tool_that_has_no_pass_for_it(bench: Bench) -> None:
    device = dataclasses.replace(bench.device, runner="benchmark_model", meter={"kind": "powercap"})
    found = preflight._meter(bench.connection, device, bench.place)
    assert (found.ok, found.says) == (False, "the benchmark_model runner has no energy pass")
    assert 'runner = "native"' in found.remedy
