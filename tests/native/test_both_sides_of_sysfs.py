"""What the agent and the native runner make of the same /sys: real files, put in the place of /sys/class by a mount."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devices.virtual.requirements import require
from harness.agent import contract
from harness.measure.reference import ONLY_OUTPUTS
from harness.runners.benchmark_model import _script, _ToolFacts
from tests.devices.job_bench import Bench

Tree = Mapping[str, Mapping[str, object]]

BAT: dict[str, object] = {"type": "Battery", "status": "Discharging", "scope": "System", "present": 1}
SIX_WATTS: dict[str, object] = {**BAT, "power_now": 6_000_000, "energy_full": 50_000_000, "capacity": 80}
MILLI: dict[str, object] = {**BAT, "voltage_now": 11_100_000, "current_now": 1500, "charge_full": 4_000_000}
MILLIVOLTS: dict[str, object] = {**MILLI, "voltage_now": 11_100}
FEW: dict[str, object] = {"voltage_now": 3_800_000, "current_now": 40_000}
SMALL: dict[str, object] = {**BAT, "energy_full": 10_000_000}
UNKNOWN: dict[str, object] = {**SIX_WATTS, "status": "Unknown"}
MOUSE: dict[str, object] = {"type": "Battery", "scope": "Device", "status": "Discharging", "capacity": 5}
AC: dict[str, object] = {"type": "Mains", "online": 1}

#: Supplies, more keys of [meter], and the watts, or what the refusal must name.
METERS: dict[str, tuple[Tree, dict[str, Any], float | tuple[str, ...]]] = {
    "one battery": ({"BAT0": SIX_WATTS}, {}, 6.0),
    "negative power": ({"BAT0": {**SIX_WATTS, "power_now": -6_000_000}}, {}, 6.0),
    "two are added": ({"BAT0": SIX_WATTS, "BAT1": SIX_WATTS}, {}, 12.0),
    "one by its name": ({"BAT0": SIX_WATTS, "BAT1": {**SIX_WATTS, "power_now": 2_000_000}}, {"supply": "BAT1"}, 2.0),
    "no such name": ({"BAT0": SIX_WATTS, "BAT1": SIX_WATTS}, {"supply": "BAT2"}, ("'BAT2'", "there is: BAT0, BAT1")),
    "one rests": ({"BAT0": {**SIX_WATTS, "status": "Not charging", "power_now": 0}, "BAT1": SIX_WATTS}, {}, 6.0),
    "one seems to rest": ({"BAT0": UNKNOWN, "BAT1": SIX_WATTS}, {}, ('BAT0 is "Unknown"',)),
    "an empty bay": ({"BAT0": SIX_WATTS, "BAT1": {**BAT, "present": 0}}, {}, 6.0),
    "a mouse beside it": ({"BAT0": SIX_WATTS, "hidpp_battery_0": {**MOUSE, "voltage_now": 3_900_000}}, {}, 6.0),
    "a mouse alone": ({"hidpp_battery_0": MOUSE}, {}, ("no battery of its own",)),
    "on mains": ({"AC": AC, "BAT0": SIX_WATTS}, {}, ("AC is online", "unplug it")),
    "mains not plugged in": ({"AC": {**AC, "online": 0}, "BAT0": SIX_WATTS}, {}, 6.0),
    "on USB": ({"usb": {"type": "USB_PD", "online": 1}, "BAT0": SIX_WATTS}, {}, ("usb is online", "Wi-Fi")),
    "a pen's charger": ({"pen": {"type": "USB", "online": 1, "scope": "Device"}, "BAT0": SIX_WATTS}, {}, 6.0),
    "unknown status": ({"BAT0": UNKNOWN}, {}, ('BAT0 is "Unknown"', "unplug it")),
    "no status": ({"BAT0": {**SIX_WATTS, "status": ""}}, {}, ('BAT0 is ""',)),
    "mA": ({"BAT0": MILLI}, {}, ("current_now", "1500", 'current_unit = "mA"')),
    "mA, declared": ({"BAT0": MILLI}, {"current_unit": "mA"}, 16.65),
    "A": ({"BAT0": {**MILLI, "current_now": 2}}, {}, ('current_unit = "A"',)),
    "mV": ({"BAT0": MILLIVOLTS}, {}, ("voltage_now", 'voltage_unit = "mV"')),
    "mV and mA, declared": ({"BAT0": MILLIVOLTS}, {"voltage_unit": "mV", "current_unit": "mA"}, 16.65),
    "mW": ({"BAT0": {**SIX_WATTS, "power_now": 6000}}, {}, ("power_now", 'power_unit = "mW"')),
    "uA or mA": ({"BAT0": {**MILLI, **FEW, "charge_full": ""}}, {}, ('current_unit = "uA" or current_unit = "mA"',)),
    "uA by the capacity": ({"BAT0": {**MILLI, **FEW}}, {}, 0.152),
    "a capacity in words": ({"BAT0": {**MILLI, "charge_full": "N/A", "current_now": 1_500_000}}, {}, 16.65),
    "the largest integer": ({"BAT0": {**MILLI, "current_now": 2**31 - 1}}, {}, ("2147483647", "no number of a sensor")),
    "a blank power": ({"BAT0": {**MILLI, "current_now": 1_500_000, "power_now": ""}}, {}, 16.65),
    "too little": ({"BAT0": {**MILLI, "current_now": 4}}, {"current_unit": "mA"}, ("0.0444 W", "no machine in use")),
    "an unknown unit": ({"BAT0": MILLI}, {"current_unit": "ma"}, ("current_unit", '"mA"', "'ma'")),
}


def zones(**heats: object) -> Tree:
    """Return thermal zones by their types."""
    numbered = enumerate(heats.items())
    return {f"thermal/thermal_zone{n}": {"type": kind.replace("_", "-"), "temp": heat} for n, (kind, heat) in numbered}


def supplies(**found: Mapping[str, object]) -> Tree:
    """Return supplies by their names."""
    return {f"power_supply/{name}": files for name, files in found.items()}


#: What there is under /sys/class, the zone that is meant, and what the conditions say.
CONDITIONS: dict[str, tuple[Tree, str, dict[str, Any]]] = {
    "a zone without a reading": (zones(cpu_thermal=45_000, modem="N/A"), "", {"temperature_c": 45.0}),
    "blank": (zones(x=""), "", {}),
    "the largest integer": (zones(x=2**31 - 1, y=45_000), "", {"temperature_c": 45.0}),
    "absurd": (zones(x=-274_000, y=45), "", {}),
    "below freezing": (zones(x=-5_000), "", {"temperature_c": -5.0}),
    "the zone that is meant": (zones(pmic=125_000, cpu_thermal=45_000), "cpu-thermal", {"temperature_c": 45.0}),
    "a mouse": (supplies(hidpp_battery_0=MOUSE), "", {}),
    "a mouse beside it": (supplies(a=MOUSE, z=SIX_WATTS), "", {"battery_ratio": 0.8, "charging": False}),
    "a charge in words": (supplies(BAT0={**SIX_WATTS, "capacity": "Unknown"}), "", {"charging": False}),
    "two by their capacity": (
        supplies(BAT0={**SMALL, "capacity": 5}, BAT1={**SMALL, "energy_full": 30_000_000, "capacity": 85}),
        "",
        {"battery_ratio": 0.65, "charging": False},
    ),
    "two without a capacity": (
        supplies(BAT0={**BAT, "capacity": 90}, BAT1={**BAT, "capacity": 20}),
        "",
        {"battery_ratio": 0.2, "charging": False},
    ),
    "on mains": (supplies(AC=AC, BAT0=UNKNOWN), "", {"battery_ratio": 0.8, "charging": True}),
}


def made(folder: Path, tree: Tree) -> tuple[str, ...]:
    """Write a tree and return the command that puts it in the place of /sys/class for what follows."""
    require("root")
    for place, files in tree.items():
        (folder / place).mkdir(parents=True)
        for name, value in files.items():
            (folder / place / name).write_text(f"{value}\n")
    return "unshare", "--mount", "sh", "-c", 'mount --bind "$0" /sys/class && exec "$@"', str(folder)


def said(bench: Bench, enter: tuple[str, ...], *words: str, table: Mapping[str, Any] | None = None) -> dict[str, Any]:
    command = [*enter, *bench.handle.workspace.command, *words]
    done = subprocess.run(command, input=json.dumps(table), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", METERS)
def test_a_battery_is_right_or_refused_by_both(bench: Bench, agent: Bench, tmp_path: Path, name: str) -> None:
    found, keys, wanted = METERS[name]
    enter, table = made(tmp_path, supplies(**found)), {"kind": "power_supply", **keys}
    with ThreadPoolExecutor() as pool:
        ours, theirs = pool.map(lambda one: said(one, enter, "meter", table=table), (bench, agent))
    if isinstance(wanted, float):
        assert [ours.get("rest_w"), theirs.get("rest_w")] == [pytest.approx(wanted)] * 2, (ours, theirs)
        return
    for answer in (ours, theirs):
        reason = f"{answer['refused']}; {answer.get('remedy', '')}"
        assert all(word in reason for word in wanted), reason
    assert ours["refused"].split(": ")[-1] == theirs["refused"].split(": ")[-1]
    assert ours.get("remedy") == theirs.get("remedy")


@pytest.mark.parametrize("name", CONDITIONS)
def test_one_odd_value_is_its_own_absence_to_both(bench: Bench, agent: Bench, tmp_path: Path, name: str) -> None:
    tree, zone, wanted = CONDITIONS[name]
    enter = made(tmp_path, tree)
    for one in (bench, agent):
        report = said(one, enter, "survey", "/", *([zone] if zone else []))
        found = {key: report["conditions"].get(key) for key in ("temperature_c", "battery_ratio", "charging")}
        assert {key: value for key, value in found.items() if value is not None} == pytest.approx(wanted)
        assert report["thermal_zones"] == sorted(
            str(files["type"]) for place, files in tree.items() if place.startswith("thermal")
        )


def test_a_counter_for_root_alone_is_refused_with_what_lets_it_be_read(
    bench: Bench, agent: Bench, tmp_path: Path
) -> None:
    zone = "powercap/intel-rapl:0"
    enter = made(tmp_path / "class", {zone: {"name": "package-0", "energy_uj": 5, "max_energy_range_uj": 8_000_000}})
    (tmp_path / "class" / zone / "energy_uj").chmod(0o400)
    # Root of this machine, but with no right to read what is not its own: as any other user.
    (tmp_path / "class").chmod(0o755)
    os.chown(tmp_path / "class" / zone / "energy_uj", 1, 1)
    plain = (*enter, "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    for one in (bench, agent):
        answer = said(one, plain, "meter", table={"kind": "powercap"})
        assert answer["refused"] == f"/sys/class/{zone}/energy_uj is readable by root only"
        assert answer["remedy"].startswith(f"sudo chmod o+r /sys/class/{zone}/energy_uj until the next start; ")
        assert 'RUN+="/bin/chmod o+r /sys%p/energy_uj"' in answer["remedy"]


#: Two INA3221 of a Jetson, as its kernel shows them: volts in mV, amperes in mA, a label for each channel.
JETSON: Tree = {
    "hwmon/hwmon3": {
        "name": "ina3221", "in1_label": "VDD_IN", "in1_input": 5000, "curr1_input": 1200,
        "in2_label": "VDD_CPU_GPU_CV", "in2_input": 5000, "curr2_input": 400,
        "in3_label": "VDD_SOC", "in3_input": 5000, "curr3_input": 200,
    },
    "hwmon/hwmon4": {"name": "ina3221", "in1_label": "CVB", "in1_input": 4000, "curr1_input": 100},
    "hwmon/hwmon5": {
        "name": "ina226", "label": "board", "power1_input": 1_250_000, "power1_label": "core", "power2_input": 250_000,
    },
    "hwmon/hwmon6": {"name": "old", "power1_input": 2**31 - 1, "power2_input": "N/A"},
}  # fmt: skip
RAILS: dict[str, tuple[dict[str, Any], float | tuple[str, ...]]] = {
    "by label": ({"labels": ["VDD_IN"]}, 6.0),
    "by labels, added up": ({"labels": ["VDD_CPU_GPU_CV", "VDD_SOC"]}, 3.0),
    "by address": ({"chip": "1-0041", "channel": "in1_input * curr1_input"}, 0.4),
    "by address and label": ({"chip": "1-0040", "labels": ["VDD_SOC"]}, 1.0),
    "by the chip's label": ({"chip": "board", "channel": "power1_input"}, 1.25),
    "labels of two chips": ({"labels": ["VDD_IN", "CVB"]}, 6.4),
    "one of several channels": (
        {"chip": "board"},
        ("several channels of power: power1_input (core), power2_input", "power1_input + power2_input"),
    ),
    "the largest integer": ({"chip": "old", "channel": "power1_input"}, ("2147483647", "no number of a sensor")),
    "no number": ({"chip": "old", "channel": "power2_input"}, ('"N/A"', "no number of a sensor")),
    "two channels": ({"chip": "ina226", "channel": "power1_input + power2_input"}, 1.5),
    "no such label": ({"labels": ["VDD_GPU"]}, ('no channel with the label "VDD_GPU"', "set chip")),
    "of two the address": (
        {"channel": "in1_input * curr1_input"}, ("in1_input and curr1_input: 1-0040, 1-0041", "set chip"),
    ),
    "a number that changes": (
        {"chip": "/sys/class/hwmon/hwmon3", "labels": ["VDD_IN"]}, ("another chip's after", 'write chip = "1-0040"'),
    ),
    "a number without an address": ({"chip": "/sys/class/hwmon/hwmon5/"}, ("another chip's", 'write chip = "ina226"')),
    "a number further in": ({"chip": "/sys/class/hwmon/hwmon4/device"}, ("another chip's", 'write chip = "1-0041"')),
    "both": ({"labels": ["VDD_IN"], "channel": "power1_input"}, ("channel and labels", "leave one")),
    "one of two is none": ({"channel": "power1_input + temp1_input"}, ("temp1_input", "no channel of power")),
}  # fmt: skip


@pytest.mark.parametrize("name", RAILS)
def test_rails_are_found_by_what_stays_and_added_up_by_both(
    bench: Bench, agent: Bench, tmp_path: Path, name: str
) -> None:
    keys, wanted = RAILS[name]
    enter, table = made(tmp_path, JETSON), {"kind": "hwmon", **keys}
    for place, address in (("hwmon3", "1-0040"), ("hwmon4", "1-0041")):
        (tmp_path / "devices" / address).mkdir(parents=True)
        (tmp_path / "hwmon" / place / "device").symlink_to(f"../../devices/{address}")
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda one: said(one, enter, "meter", table=table), (bench, agent)))
    for answer in answers:
        if isinstance(wanted, float):
            assert answer.get("rest_w") == pytest.approx(wanted), answer
        else:
            assert all(word in f"{answer['refused']}; {answer.get('remedy', '')}" for word in wanted), answer


ZONES: Tree = {
    "powercap/intel-rapl:0": {"name": "package-0", "energy_uj": 5_000_000},
    "powercap/intel-rapl:0:0": {"name": "core", "energy_uj": 3_000_000},
    "powercap/intel-rapl:1": {"name": "package-1", "energy_uj": 2_000_000},
    "powercap/intel-rapl:2": {"name": "psys", "energy_uj": 50_000_000},
    "powercap/intel-rapl-mmio:0": {"name": "package-0", "energy_uj": 5_000_000},
}
COUNTERS: dict[str, tuple[Tree, dict[str, str], float | str]] = {
    "all packages": (ZONES, {}, 7.0),
    "the one that is named": (ZONES, {"path": "/sys/class/powercap/intel-rapl:2"}, 50.0),
    "one without a number": (
        {**ZONES, "powercap/intel-rapl:1": {"name": "package-1", "energy_uj": "N/A"}},
        {},
        'intel-rapl:1/energy_uj holds "N/A", which is no whole number',
    ),
    "none": ({"powercap/intel-rapl:0": {"name": "psys", "energy_uj": 5}}, {}, "no processor package"),
}
#: Prints what the agent's meter has counted.
COUNT = """
import sys
from harness.agent.meters import powercap
print(powercap.Meter(powercap.Options(*sys.argv[1:])).read())
"""


@pytest.mark.parametrize("name", COUNTERS)
def test_every_processor_package_is_counted(bench: Bench, tmp_path: Path, name: str) -> None:
    tree, keys, wanted = COUNTERS[name]
    enter = made(tmp_path, tree)
    ours = said(bench, enter, "meter", table={"kind": "powercap", **keys})
    done = subprocess.run([*enter, sys.executable, "-c", COUNT, *keys.values()], capture_output=True, text=True)
    if isinstance(wanted, float):
        assert float(done.stdout) == pytest.approx(wanted)
        assert "refused" not in ours
    else:
        assert wanted in done.stderr
        assert wanted in ours["refused"]


#: Prints how warm `edgeward devices` finds this machine, with the thermal zone that argument 1 names.
PROBE = """
import sys
from harness.cli import fleet
from harness.model import Address, Device, Limits
zone, workdir = sys.argv[1:]
probe = fleet.probe(Device("here", "sbc", Address("local"), workdir=workdir, limits=Limits(thermal_zone=zone)))
print(f'{{"reachable": {str(probe.reachable).lower()}, "temperature_c": {probe.temperature_c or "null"}}}')
"""


@pytest.mark.parametrize("name", [name for name, (tree, *_) in CONDITIONS.items() if "thermal" in str(tree)])
def test_the_list_of_devices_reads_the_temperature_that_a_campaign_reads(tmp_path: Path, name: str) -> None:
    tree, zone, wanted = CONDITIONS[name]
    enter = made(tmp_path / "class", tree)
    command = [*enter, sys.executable, "-c", PROBE, zone, str(tmp_path / "work")]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert answer == {"reachable": True, "temperature_c": wanted.get("temperature_c")}


#: Waits until this machine is fit for a campaign by the runner and the workdir that are named; prints the refusal.
FIT = """
import sys
from harness import deploy
from harness.deploy import DeviceHandle
from harness.errors import Refused
from harness.measure import preflight
from harness.model import Address, Device, Limits
from pathlib import Path
runner, workdir = sys.argv[1:]
device = Device(
    "dut", "sbc", Address("local"), runner=runner, workdir=workdir, limits=Limits(thermal_zone="nope"),
    file=Path("devices/dut.toml"),
)
with DeviceHandle(device) as handle:
    deploy.prepare(handle)
    try:
        preflight.wait_until_fit(handle)
    except Refused as refused:
        print(refused)
    print([finding.needed for finding in preflight.survey(handle) if finding.topic == "limits" and not finding.ok])
"""


@pytest.mark.parametrize("runner", ["python", "native"])
def test_a_thermal_zone_that_is_not_there_is_refused_with_those_that_are(
    bench: Bench, tmp_path: Path, runner: str
) -> None:
    enter = made(tmp_path / "class", zones(pmic=125_000, cpu_thermal=45_000))
    command = [*enter, sys.executable, "-c", FIT, runner, bench.handle.root]
    refused, needed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert refused == (
        "dut: the device has no thermal zone of the type 'nope'; there is: cpu-thermal, pmic; "
        "correct thermal_zone under [limits] in dut.toml"
    )
    assert needed == "[True]", "`edgeward check` says so, and exits with 1"


def test_a_vendors_tool_is_driven_with_the_temperature_of_the_zone_that_is_meant(bench: Bench, tmp_path: Path) -> None:
    enter, job = made(tmp_path / "class", zones(pmic=125_000, cpu_thermal=45_000)), tmp_path / "job"
    job.mkdir()
    (job / contract.JOB_FILE).write_text("{}")
    wanted = contract.Job(
        seed=1, models=[], threads=1, input=contract.Input("", "NCHW", 1.0, [0.0], [1.0]), plan=ONLY_OUTPUTS,
        thermal_zone="cpu-thermal",
    )  # fmt: skip
    script = _script(wanted, bench.handle, str(job), _ToolFacts("/bin/true", True, ""))
    command = [*enter, "sh", "-c", script]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    events = [json.loads(line) for line in (job / contract.EVENTS_FILE).read_text().splitlines()]
    read = [event["temperature_c"] for event in events if event["event"] == "conditions"]
    assert read == [45.0, 45.0]
