"""What Android's services say of screen, charger, battery and heat, as its versions print it, in a device's conditions.

Android itself runs on no such machine: a program of the same name prints what phones printed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devices.virtual.openssh import Server, login_environment, openssh
from harness import deploy, lab
from harness.deploy import DeviceHandle, android
from harness.errors import Refused
from harness.measure import preflight
from harness.model import Limits
from tests import small_models as small
from tests.benchmarks import copies

Say = Callable[..., None]

#: service -> what it prints: a phone on its desk, plugged in, its screen on (Android 14).
AWAKE = {
    "power": "POWER MANAGER (dumpsys power)\n\n  mWakefulness=Awake\n  mWakefulnessChanging=false\n",
    "battery": "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  Wireless powered: false\n"
    "  Dock powered: false\n  Max charging current: 500000\n  status: 2\n  health: 2\n  level: 41\n  scale: 100\n",
    "thermalservice": "IsStatusOverride: false\nThermalEventListeners:\n\tcallbacks: 3\nThermal Status: 2\n",
    "deviceidle": "ACTIVE\n",
}
#: The same phone unplugged, its screen off for an hour; Android 7 has no thermalservice.
ASLEEP = {
    "power": "  mWakefulness=Dozing\n",
    "battery": "  AC powered: false\n  USB powered: false\n  Wireless powered: false\n"
    "  status: 3\n  level: 40\n  scale: 100\n",
    "thermalservice": "Can't find service: thermalservice\n",
    "deviceidle": "IDLE\n",
}
#: A service that does not know what is asked, a battery that is not there, words of a maker.
ODD = {
    "power": "\n",
    "battery": "  status: 1\n  level: 255\n  scale: 100\n",
    "thermalservice": "Thermal Status: 9\n",
    "deviceidle": "Unknown command: get\nDevice idle (deviceidle) commands:\n",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    variables = login_environment()
    variables["PATH"] = f"{tmp_path / 'services'}:{variables['PATH']}"
    with openssh(tmp_path / "sshd", environment=variables) as running:
        yield running


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """Give the means to let `dumpsys` say something else."""

    def change(said: Mapping[str, str]) -> None:
        folder = tmp_path / "services"
        folder.mkdir(exist_ok=True)
        for service, text in said.items():
            (folder / f"{service}.txt").write_text(text)
        (folder / "dumpsys").write_text(f'#!/bin/sh\ncat "{folder}/$1.txt"\n')
        (folder / "dumpsys").chmod(0o755)

    return change


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            AWAKE,
            {"wakefulness": "Awake", "doze": "ACTIVE", "powered_by": "USB", "thermal_status": "moderate",
             "battery_ratio": 0.41, "charging": True},
        ),
        (
            ASLEEP,
            {"wakefulness": "Dozing", "doze": "IDLE", "powered_by": "nothing", "battery_ratio": 0.4, "charging": False},
        ),
        (ODD, {}),
    ],
    ids=["awake", "asleep", "odd"],
)  # fmt: skip
def test_what_its_services_say_is_read_and_the_rest_left_out(
    server: Server, say: Say, said: Mapping[str, str], expected: Mapping[str, Any]
) -> None:
    with DeviceHandle(server.device()) as handle:
        assert android.conditions(handle) == {}, "no other device has a dumpsys"
        say(said)
        assert android.conditions(handle) == expected


def test_a_charge_that_only_the_services_say_holds_a_limit(server: Server, say: Say) -> None:
    say(ASLEEP)
    device = dataclasses.replace(server.device(), limits=Limits(min_battery_ratio=0.5, cooldown_s=0))
    with DeviceHandle(device) as handle:
        deploy.prepare(handle)
        with pytest.raises(Refused, match=r"its battery is at 40\.0 %, its limit is 50.0 %"):
            preflight.wait_until_fit(handle)


def test_a_run_records_them_before_and_after(server: Server, say: Say, tmp_path: Path) -> None:
    say(AWAKE)
    suite = small.write_suite(tmp_path, "phone", ("base", small.good), {})
    server.write_device(tmp_path, id="phone", runtimes=["onnxruntime==1.31.1"])
    (case,) = lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["phone"]))
    (result,) = copies.campaign(tmp_path, [case], quick=True)
    assert result.run is not None
    for state in (result.run.conditions.before, result.run.conditions.after):
        assert (state["wakefulness"], state["powered_by"], state["thermal_status"]) == ("Awake", "USB", "moderate")
        assert "load_average" in state
