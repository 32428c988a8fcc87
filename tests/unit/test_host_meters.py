"""Meters that the host reads, with their own libraries: PyVISA on a simulated instrument, and no hardware at all."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.virtual.waiting import soon
from harness import registry
from harness.agent import contract, energy
from harness.deploy import DeviceHandle
from harness.errors import LabError, MeasurementError
from harness.lab import read_device
from harness.measure import host_meter
from harness.measure.host_meter import Offset, Readings
from harness.meters import joulescope, ppk2, scpi
from harness.model import Address, Device
from harness.ports.runners import Target, Workspace
from tests.events import event

SIMULATED = f"{Path(__file__).with_name('instrument.yaml')}@sim"
SUPPLY = "TCPIP0::supply.lab::5025::SOCKET"


def options(kind: str, **table: Any) -> Any:
    module = registry.load("meters", kind, file="pi5.toml", key="meter.kind")
    return registry.options(module, table, file="pi5.toml", key="meter", beside=("kind", "side"))


def supply(**table: Any) -> scpi.Meter:
    return scpi.Meter(options("scpi", **{"resource": SUPPLY, "backend": SIMULATED, **table}))


# scpi -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "watts", "resolution"),
    [
        ({"power": "MEAS:POW? (@{channel})"}, 1.25, 1e-4),
        ({"voltage": "MEAS:VOLT? (@{channel})", "current": "MEAS:CURR? (@{channel})"}, 1.25, 1e-5 * 0.25 + 1e-4 * 5),
        ({}, 4.98 * 0.51, 0.01 * (4.98 + 0.51)),
        ({"resource": "ASRL1::INSTR"}, 4.98 * 0.51, 0.01 * (4.98 + 0.51)),
    ],
    ids=["power", "volts and amperes", "as SCPI names them", "serial"],
)
def test_an_instrument_is_asked_for_watts_and_its_digits_say_how_fine_they_are(
    table: Mapping[str, Any], watts: float, resolution: float
) -> None:
    meter = supply(**table)
    assert meter.read() == pytest.approx(watts)
    assert meter.resolution == pytest.approx(resolution)
    assert not meter.charging()
    meter.close()


def test_an_instrument_is_told_its_setup_before_it_is_asked() -> None:
    meter = supply(setup=["SENS:RANG 3"], power="SENS:RANG?")
    assert meter.read() == 3
    meter.close()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"power": "MEAS:POW? (@2)"}, "'MEAS:POW? (@2)' was answered by '9.91E+37', which is no measured number"),
        ({"power": "FETC:POW?"}, "'FETC:POW?' was answered by '-113,\"Undefined header\"'"),
        ({"resource": "TCPIP0::other.lab::5025::SOCKET"}, "'MEAS:VOLT?' was answered by ''"),
        ({"resource": "supply"}, "no instrument at 'supply'"),
        ({"resource": ""}, "resource is empty: name the instrument"),
        ({"backend": "/nowhere.yaml@sim"}, "/nowhere.yaml"),
        ({"backend": "@none"}, "backend '@none' does not start"),
    ],
    ids=["out of range", "unknown question", "not there", "no name", "empty", "no file", "no backend"],
)
def test_an_instrument_that_gives_no_watts_makes_energy_absent_with_the_reason(
    table: Mapping[str, Any], says: str
) -> None:
    settings = {"resource": SUPPLY, "backend": SIMULATED, **table}
    with pytest.raises(energy.Refused) as caught, energy.reading(scpi, settings):
        pass
    assert str(caught.value).startswith("the meter cannot be read: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_instrument_that_nobody_answers_for_is_refused_within_its_time() -> None:
    settings = {"resource": "TCPIP::127.0.0.1::1::SOCKET", "timeout_s": 0.5}
    with pytest.raises(energy.Refused, match=r"cannot be read: .*TCPIP::127"), energy.reading(scpi, settings):
        pass


def test_an_instrument_that_takes_the_call_and_says_nothing_is_refused_within_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = {"resource": f"TCPIP::127.0.0.1::{mute.getsockname()[1]}::SOCKET", "timeout_s": 0.5}
        with pytest.raises(energy.Refused, match=r"cannot be read: .*[Tt]imeout"), energy.reading(scpi, settings):
            pass


@pytest.mark.parametrize(
    ("kind", "table", "says"),
    [
        ("scpi", {"power": "MEAS:POW?", "voltage": "MEAS:VOLT?"}, "not both; leave one out"),
        ("scpi", {"timeout_s": 0}, "timeout_s must lie between 0 and 60 s"),
        ("scpi", {"chanel": 2}, "did you mean 'channel'"),
        ("joulescope", {"update_hz": 2}, "update_hz must lie between 5 and 1000"),
        ("ppk2", {"mode": "volt"}, 'mode is "ampere" or "source"'),
        ("ppk2", {"voltage_v": 12.0}, "voltage_v must lie between 0.8 and 5 V"),
    ],
)
def test_a_wrong_setting_is_refused_in_the_file(kind: str, table: Mapping[str, Any], says: str) -> None:
    with pytest.raises(LabError) as caught:
        options(kind, **table)
    assert str(caught.value).startswith("pi5.toml: meter")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "table", "package"),
    [
        ("scpi", {"resource": SUPPLY}, "pyvisa"),
        ("joulescope", {}, "pyjoulescope_driver"),
        ("ppk2", {"voltage_v": 3.7}, "ppk2_api"),
    ],
)
def test_a_library_that_is_missing_is_answered_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, kind: str, table: dict[str, Any], package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    module = registry.load("meters", kind, file="pi5.toml", key="meter.kind")
    with (
        pytest.raises(energy.Refused, match=r"is not installed on this host; pip install 'edgeward\[meters\]'"),
        energy.reading(module, table),
    ):
        pass


# without hardware -----------------------------------------------------------------------------------------------------


def test_without_a_joulescope_its_own_driver_finds_none() -> None:
    with (
        pytest.raises(energy.Refused, match="no Joulescope 2557 on this host; seen: none"),
        energy.reading(joulescope, {"serial": "2557"}),
    ):
        pass


def test_one_of_several_joulescopes_is_named() -> None:
    paths = ["u/js220/002557", "u/js110/001234"]
    assert joulescope.chosen(paths, "001234") == "u/js110/001234"
    with pytest.raises(OSError, match=r"several Joulescopes: .*; set serial under"):
        joulescope.chosen(paths, "")
    with pytest.raises(OSError, match="no Joulescope 9 on this host; seen: u/js220/002557, u/js110/001234"):
        joulescope.chosen(paths, "9")


def test_without_a_power_profiler_kit_its_own_library_finds_none() -> None:
    with (
        pytest.raises(energy.Refused, match="no Power Profiler Kit II on this host; plug it in"),
        energy.reading(ppk2, {"voltage_v": 3.7}),
    ):
        pass
    with (
        pytest.raises(energy.Refused, match="could not open port /dev/nowhere"),
        energy.reading(ppk2, {"voltage_v": 3.7, "port": "/dev/nowhere"}),
    ):
        pass
    with (
        pytest.raises(energy.Refused, match="voltage_v is not set: the kit measures current alone"),
        energy.reading(ppk2, {"port": "/dev/nowhere"}),
    ):
        pass


#: What a kit tells of itself when asked (command 0x19); an uncalibrated one with plain gains.
FACTS = "Calibrated: 0\nR3: 0.94\nGS3: 0\nHW: 9173\nmode: 1\nEND\n"


@contextmanager
def kit(adc: int, mute: threading.Event | None = None) -> Iterator[str]:
    """Give the port of something that speaks as the kit does: samples of one ADC value in the fourth range.

    Args:
        adc: the value.
        mute: from when it says nothing any more.
    """
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    done = threading.Event()
    word = struct.pack("<I", adc | 3 << 14)

    def speak() -> None:
        measuring, heard = False, b""
        os.set_blocking(ours, False)
        while not done.wait(0.01):
            try:
                heard = os.read(ours, 100)
            except BlockingIOError:
                heard = b""
            if b"\x19" in heard:
                os.write(ours, FACTS.encode())
            measuring = (measuring or b"\x06" in heard) and b"\x07" not in heard
            if measuring and not (mute and mute.is_set()):
                os.write(ours, word * 200)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        done.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


def test_the_joules_of_a_kit_are_its_amperes_times_the_voltage_times_their_time() -> None:
    with kit(1000) as port, energy.reading(ppk2, {"port": port, "voltage_v": 4.0}) as (meter, quantity):
        first = meter.read()
        assert soon(lambda: meter.read() >= first + 1e-4)
        spent = meter.read() - first
    assert quantity == "joules"
    # 1000 ADC steps of 4 in 0.94 Ohm, as the library turns them into amperes; 4 V; 10 µs each.
    each = 1000 * 4 * (1.8 / 163840) / 0.94 * 4.0 * 1e-5
    assert spent > 0
    assert spent / each == pytest.approx(round(spent / each), abs=0.01)


def test_a_kit_that_falls_silent_is_not_taken_for_one_that_measures_nothing() -> None:
    mute = threading.Event()
    with kit(1000, mute) as port, energy.reading(ppk2, {"port": port, "voltage_v": 4.0}) as (meter, _):
        meter.read()
        mute.set()
        with pytest.raises(OSError, match="the Power Profiler Kit is lost: nothing was heard for 1 s"):
            soon(lambda: meter.read() < 0)  # asked until it says so


# the device's file ----------------------------------------------------------------------------------------------------


def device_file(folder: Path, meter: str) -> Path:
    path = folder / "devices" / "pi5.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'kind = "sbc"\naddress = "local:"\nruntimes = ["onnxruntime==1.31.1"]\n\n[meter]\n{meter}\n')
    return path


def test_the_file_says_who_reads_a_meter_and_the_job_is_told_only_what_concerns_it(tmp_path: Path) -> None:
    found = read_device(device_file(tmp_path, f'kind = "scpi"\nresource = "{SUPPLY}"'))
    assert host_meter.is_read_here(found)
    assert host_meter.for_job(found) == {"kind": "host", "lead_s": host_meter.LEAD_S}
    found = read_device(device_file(tmp_path, 'kind = "command"\nargv = ["watts"]\nside = "host"'))
    assert host_meter.is_read_here(found)
    found = read_device(device_file(tmp_path, 'kind = "command"\nargv = ["watts"]\nside = "device"'))
    assert not host_meter.is_read_here(found)
    assert host_meter.for_job(found) == {"kind": "command", "argv": ["watts"]}


def test_the_trial_of_a_meter_on_this_host_tells_what_it_does(tmp_path: Path) -> None:
    (tmp_path / "watts").write_text("2.5")
    table = {"kind": "command", "side": "host", "argv": ["cat", str(tmp_path / "watts")], "mode": "once"}
    answer = host_meter.tried(Device("pi5", "sbc", Address("local"), meter=table))
    assert (answer["rest_w"], answer["load_w"], answer["changes"]) == (2.5, 2.5, 0)
    refused = host_meter.tried(Device("pi5", "sbc", Address("local"), meter={**table, "argv": ["/nowhere/watts"]}))
    assert refused["refused"].startswith("the meter cannot be read: ")


# clocks ---------------------------------------------------------------------------------------------------------------

S = 1_000_000_000
WINDOWS = {
    name: contract.EnergyWindow((10 + 12 * turn) * S, (22 + 12 * turn) * S)
    for turn, name in enumerate(contract.WINDOWS)
}


def test_a_clock_that_drifts_evenly_is_followed() -> None:
    at = np.arange(100, 150) * S
    # Host minus device: 95 s at 100 s, 95.05 s at 150 s.
    offsets = [
        Offset(at_ns, int(95e9 + (at_ns - 100 * S) * 1e-3 - 2e6), int(95e9 + (at_ns - 100 * S) * 1e-3 + 4e6))
        for at_ns in (100 * S, 150 * S)
    ]
    moments, uncertain_s = host_meter.on_device(at, WINDOWS, offsets)
    assert moments == pytest.approx(at - 95e9 - (at - 100 * S) * 1e-3 - 1e6, abs=2)
    assert uncertain_s == pytest.approx(3e-3)


@pytest.mark.parametrize("at_s", [100, 150])
def test_clocks_compared_on_one_side_alone_give_no_number(at_s: int) -> None:
    offset = Offset(at_s * S, 95 * S, 95 * S)
    with pytest.raises(MeasurementError, match="not compared on both sides of the pass"):
        host_meter.on_device(np.arange(100, 150) * S, WINDOWS, [offset])


def read_over(samples: range, **facts: Any) -> Readings:
    """Return what was read of a meter once in 50 ms over some seconds of this host's clock, 95 s ahead."""
    at_ns = [at_s * S + part * 50_000_000 for at_s in samples for part in range(20)]
    values = [2.0 + 0.001 * (place % 7) for place in range(len(at_ns))]
    offsets = [Offset(at_s * S, 95 * S - 1_000_000, 95 * S + 1_000_000) for at_s in (101, 145)]
    return Readings(at_ns, values, offsets, {"meter": "command", "quantity": "watts", "resolution": 1e-6, **facts})


EVENT = event(contract.EnergyPass, meter="host", inferences=100, windows=WINDOWS)
BEGINS = event(contract.EnergyStart)


def joined(readings: Readings | host_meter.Recorder) -> contract.EnergyPass:
    found = readings.joined(EVENT)
    assert isinstance(found, contract.EnergyPass)
    return found


def test_the_hosts_readings_are_put_into_the_devices_windows() -> None:
    found = joined(read_over(range(100, 150), untested="never tried"))
    assert found.windows is not None
    busy = found.windows["busy"]
    assert busy.seconds == pytest.approx(12, abs=0.11)
    assert busy.at_ns is not None
    assert busy.at_ns[0] <= 22 * S < busy.at_ns[1]
    assert (found.clock_s, found.untested, found.meter) == (1e-3, "never tried", "command")


def test_a_meter_of_the_host_that_missed_a_part_of_the_pass_is_not_bridged() -> None:
    found = joined(read_over(range(108, 150)))
    assert found.absent == "the host's meter was not read over the whole pass: connection lost meanwhile"
    assert found.model == 0
    found = joined(read_over(range(0)))
    assert (found.absent or "").startswith("the host's meter was not read: connection lost before the pass")


def test_a_meter_of_the_host_that_fails_says_so_in_the_event() -> None:
    table = {"kind": "command", "side": "host", "argv": ["/nowhere"]}
    with (
        DeviceHandle(Device("pi5", "sbc", Address("local"), meter=table)) as handle,
        host_meter.recording(handle) as recorder,
    ):
        recorder.hear(BEGINS)
        found = joined(recorder)
    assert (found.absent or "").startswith("the meter cannot be read: [Errno 2]")


def test_the_agents_clock_is_the_one_that_its_events_are_stamped_with() -> None:
    main = Path(energy.__file__).with_name("__main__.py")
    before = time.monotonic_ns()
    said = subprocess.run([sys.executable, "-I", "-S", main, "clock", "3"], capture_output=True, check=True).stdout
    times = [int(line) for line in said.split()]
    assert before < times[0] < times[1] < times[2] < time.monotonic_ns()


def test_a_meter_of_another_machine_is_open_before_its_job_begins_and_read_from_its_turn_on(tmp_path: Path) -> None:
    (tmp_path / "asked").touch()
    argv = ["sh", "-c", 'echo >> "$1"; echo 2.5', "sh", str(tmp_path / "asked")]
    table = {"kind": "command", "side": "host", "mode": "once", "argv": argv}
    device = Device("pi5", "sbc", Address("ssh", host="pi5.lab"), meter=table)
    clock = (sys.executable, "-I", "-S", str(Path(energy.__file__).with_name("__main__.py")))

    def asked() -> int:
        return (tmp_path / "asked").stat().st_size

    with DeviceHandle(Device("here", "workstation", Address("local"))) as handle:
        # Another machine's device file over a connection to this one: only whose meter it is matters here.
        handle.device = device
        handle.workspace = Workspace("/", clock, Target((3, 11), "x86_64", (2, 36)), lambda *_: ())
        with host_meter.recording(handle) as recorder:
            opened = asked()
            assert opened > 0, "it was not tried before the job begins"
            assert (joined(recorder).absent or "").startswith("the host's meter was not read: ")
            recorder.hear(BEGINS)
            assert soon(lambda: asked() > opened + 2)
            assert "was not read: " not in (joined(recorder).absent or "")
    assert not any(thread.name.startswith("Thread") and "_record" in thread.name for thread in threading.enumerate())
