"""`edgeward check --energy` by the agent and the native runner: real meters that follow the load, or do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devices.virtual.requirements import require
from harness import deploy
from harness.deploy import DeviceHandle
from harness.measure import calibration
from harness.measure.preflight import Finding
from harness.model import Address, Device
from tests.following_meters import Follower, following

#: Half of the real schedule.
STEPS_S = tuple(seconds / 2 for seconds in calibration.STEPS_S)
#: A battery as the kernel shows it, beside what follows the load.
BATTERY = {"type": "Battery", "scope": "System", "present": "1", "status": "Discharging", "energy_full": "50000000"}
CHARGING = {**BATTERY, "status": "Charging"}
CHARGES = ("charging", "unplug it")


@dataclass(frozen=True)
class Case:
    """What a meter does, by which runner and as which kind it is read, what of the answer is bad, and what it says."""

    mode: str
    runner: str
    kind: str
    bad: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    battery: Mapping[str, str] = field(default_factory=dict)


CASES = {
    "hwmon, agent": Case("follows", "python", "hwmon"),
    "hwmon, native": Case("follows", "native", "hwmon"),
    "a counter": Case("follows", "python", "powercap"),
    "a battery": Case("follows", "native", "power_supply", battery=BATTERY),
    "late": Case("late", "python", "hwmon", ("delay",), ("follows the load after 2.", "at most")),
    "averaged over a minute": Case("averaged", "native", "hwmon", ("delay",), ("use another",)),
    "inverted": Case("inverted", "native", "hwmon", ("step",), ("falls by ", "where the load rises", "its sign")),
    "another supply": Case("constant", "python", "hwmon", ("step",), ("not seen", "name the supply or channel")),
    "a wrong unit": Case("tiny", "native", "hwmon", ("busy",), ("mW", "at least 100 mW")),
    "charging, agent": Case("follows", "python", "power_supply", ("energy",), CHARGES, battery=CHARGING),
    "charging, native": Case("follows", "native", "power_supply", ("energy",), CHARGES, battery=CHARGING),
}


def meter_of(case: Case, folder: Path) -> Mapping[str, Any]:
    """Make the files of a case's meter and return its `[meter]` table."""
    folder.mkdir(parents=True)
    for name, text in (case.battery or {"max_energy_range_uj": "8000000"}).items():
        (folder / name).write_text(f"{text}\n")
    return {"kind": case.kind, "chip" if case.kind == "hwmon" else "path": str(folder)}


def judged(device: Device) -> dict[str, Finding]:
    """Return what is found; tried again where other work on this machine took the cores, which is a finding, too."""
    with DeviceHandle(device) as handle:
        for _ in range(3):
            lines = {one.topic: one for one in calibration.findings(handle, STEPS_S)}
            if "load" not in lines or lines["load"].ok:
                break
        return lines


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """Give this machine with both runners brought there."""
    require("package:gcc")
    device = Device("here", "sbc", Address("local"), workdir=str(tmp_path_factory.mktemp("here") / "work"))
    for runner in ("native", "python"):
        with DeviceHandle(dataclasses.replace(device, runner=runner)) as handle:
            deploy.prepare(handle)
    return device


@pytest.fixture(scope="module")
def found(here: Device, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Finding]]:
    """Play the load for all cases at once: it is seen in what wants to run, not in what it gets of the processor."""
    folder = tmp_path_factory.mktemp("cases")
    devices, meters = {}, []
    for number, (name, case) in enumerate(CASES.items()):
        # The same place under a name of each case's own, by which its processes are known.
        own = folder / f"case-{number}-"
        own.symlink_to(here.workdir)
        moving = folder / f"moving-{number}" / "BAT0"
        meters.append(Follower(case.mode, str(own), str(moving)))
        devices[name] = dataclasses.replace(here, workdir=str(own), runner=case.runner, meter=meter_of(case, moving))
    with following(meters), ThreadPoolExecutor(len(CASES)) as pool:
        return dict(zip(CASES, pool.map(judged, devices.values()), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_meter_is_believed_where_it_follows_the_load_and_refused_by_name_where_not(
    found: dict[str, dict[str, Finding]], name: str
) -> None:
    case, lines = CASES[name], found[name]
    bad = tuple(topic for topic, one in lines.items() if one.needed and not one.ok)
    assert bad == case.bad, lines
    said = " ".join(f"{one.says}; {one.remedy}" for one in lines.values() if not one.ok)
    assert all(word in said for word in case.says), said
    if not bad:
        # A meter and a load that wait for the processor here are 6 W within a few tenths; the figures are unit tests'.
        assert lines["busy"].says.startswith(("5.", "6.")), lines["busy"]
        assert {"load", "energy", "idle", "busy", "step", "delay", "resolution", "drift"} == set(lines)
