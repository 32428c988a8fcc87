"""The aarch64 machine in qemu: another processor, kernel, memory and disk, with a sensor and a battery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.virtual import vm
from devices.virtual.requirements import require
from devices.virtual.vm import Vm
from devices.virtual.waiting import soon, ssh_answers
from harness import deploy
from harness.deploy import DeviceHandle
from harness.errors import HarnessError, Refused, TimedOut, Transient
from harness.lab.devices import read_device
from harness.measure import preflight
from harness.model import Limits
from harness.ports.transports import Connection
from harness.transports import ssh

pytestmark = pytest.mark.slow_device


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    require(*vm.NEEDS)
    with vm.vm(tmp_path_factory.mktemp("machine") / "vm") as running:
        yield running


@pytest.fixture(scope="module")
def connection(machine: Vm) -> Iterator[Connection]:
    opened = ssh.connect(machine.device())
    yield opened
    opened.close()


def test_it_is_another_processor_with_a_kernel_and_memory_of_its_own(connection: Connection) -> None:
    assert connection.run(["uname", "-m"]).text == "aarch64"
    assert "Debian" in connection.run(["uname", "-v"]).text
    total = connection.run(["sh", "-c", "read -r name kib rest < /proc/meminfo; echo $kib"]).text
    assert 900_000 < int(total) < 1_048_576


def test_the_device_file_it_writes_is_read_by_the_lab(machine: Vm, tmp_path: Path) -> None:
    device = read_device(machine.write_device(tmp_path, id="board", tags=["virtual"], meter=True))
    assert (device.kind, device.tags) == ("sbc", ("virtual",))
    assert device.meter is not None
    assert device.meter["channel"] == "power1_input"


def test_the_python_runner_finds_out_what_wheels_fit_it(machine: Vm) -> None:
    with DeviceHandle(machine.device()) as handle:
        deploy.prepare(handle)
        assert str(handle.workspace.target) == "cp311 on aarch64 with glibc 2.36"


def test_the_sensor_shows_what_is_played_to_the_microwatt(machine: Vm) -> None:
    played = machine.play([(0.3, 1.25), (0.3, 7.5), (0.1, 0.0), (0.1, 300.0)])
    assert [power for _, power in played] == [1.25, 7.5, 0.0, 300.0]
    moments = [moment for moment, _ in played]
    # Steps keep to their times of the clock, so one that began late seems short.
    assert 0.2 <= moments[1] - moments[0] < 1.5
    assert machine.run("cat /sys/class/hwmon/*/power1_input").split() == ["300000000"]
    machine.play([(0.0, 1.25)])
    assert machine.run("cat /sys/class/hwmon/*/power1_input").split() == ["1250000"]


def test_the_battery_says_what_it_is_told(machine: Vm) -> None:
    machine.battery(ratio=0.42, charging=False)
    battery = "/sys/class/power_supply/test_battery"
    assert machine.run(f"cat {battery}/capacity {battery}/status").split() == ["42", "Discharging"]
    machine.battery(ratio=0.9, charging=True)
    assert machine.run(f"cat {battery}/capacity {battery}/status").split() == ["90", "Charging"]


def test_a_low_battery_is_waited_for_until_the_time_is_up(machine: Vm) -> None:
    def charge(text: str) -> None:
        said.append(text)
        machine.battery(ratio=0.8, charging=False)

    machine.battery(ratio=0.1, charging=False)
    said: list[str] = []
    device = machine.device()
    hasty, patient = (replace(device, limits=Limits(min_battery_ratio=0.3, cooldown_s=s)) for s in (0.0, 600.0))
    refused = pytest.raises(
        Refused, match=r"not fit to be measured: after 0.*its battery is at 10.*; cool or charge it"
    )
    with DeviceHandle(hasty, said.append) as handle:
        deploy.prepare(handle)
        with refused:
            preflight.wait_until_fit(handle)
    assert said == [], "who may not wait does not say that he waits"
    with DeviceHandle(patient, charge) as handle:
        deploy.prepare(handle)
        seen = preflight.wait_until_fit(handle)
    assert seen["conditions"]["battery_ratio"] == 0.8
    assert len(said) == 1
    assert said[0].startswith("waiting at most ")
    assert "its battery is at 10" in said[0]


def test_a_pulled_network_cable_is_silent_and_can_be_plugged_in_again(machine: Vm) -> None:
    connection = ssh.connect(machine.device(stall_s=2))
    assert connection.run(["true"]).code == 0
    machine.cut()
    try:
        with pytest.raises(TimedOut, match="did not end within 2 s"):
            connection.run(["true"], timeout_s=2)
    finally:
        machine.mend()
    connection.close()
    again = ssh.connect(machine.device())
    assert again.run(["true"]).code == 0
    again.close()


def test_a_reset_ends_what_runs_and_keeps_what_was_synced(machine: Vm) -> None:
    connection = ssh.connect(machine.device(keepalive_s=1))
    connection.run(["sh", "-c", "echo kept > ~/kept; sync"])
    first = connection.run(["cat", "/proc/sys/kernel/random/boot_id"]).text
    machine.reset()
    with pytest.raises(HarnessError):
        connection.run(["sleep", "30"], timeout_s=3)
    connection.close()

    def another_boot() -> bool:
        try:
            opened = ssh.connect(machine.device(), timeout_s=20)
        except Transient:
            return False
        try:
            return opened.run(["cat", "/proc/sys/kernel/random/boot_id"]).text != first
        finally:
            opened.close()

    assert soon(lambda: ssh_answers(machine.host, machine.port) and another_boot(), within_s=180)
    assert machine.run("cat ~/kept") == "kept\n"


def test_a_board_starts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    require(*vm.NEEDS)
    with vm.vm(tmp_path / "vm", memory_mib=512, processors=1) as running:
        pid = running.pid
    assert not Path(f"/proc/{pid}").exists()
