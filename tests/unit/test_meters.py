"""Meters on real files that a thread moves and on real programs: known watts are found, and all else is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from devices.virtual.waiting import soon
from harness import agent, registry
from harness.agent import contract, energy
from harness.agent.meters import command, hwmon, power_supply
from harness.deploy import DeviceHandle
from harness.errors import LabError
from harness.measure import preflight
from harness.model import Address, Device
from harness.ports.runners import Target, Workspace

MAIN = Path(agent.__path__[0], "__main__.py")
REST_W = 1.25


def jitter(turn: int) -> int:
    """Return -1000..1000, another each turn: two in turn would stand still for a reader of every other one."""
    return turn * 7919 % 2001 - 1000


class Sensor:
    """A folder like a chip of /sys/class/hwmon, whose power jitters around `watts` until it is closed."""

    def __init__(self, folder: Path, *, name: str = "ina226", sign: int = 1, period_s: float = 0.01) -> None:
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        self.folder, self.watts = folder, REST_W
        self._sign, self._period_s, self._done, self._turn = sign, period_s, threading.Event(), 0
        self._show()
        self._thread = threading.Thread(target=self._move, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stand still."""
        self._done.set()
        self._thread.join()

    def _move(self) -> None:
        while not self._done.wait(self._period_s):
            self._turn += 1
            self._show()

    def _show(self) -> None:
        microwatts = int(self._sign * (self.watts * 1e6 + jitter(self._turn)))
        values = {"power1_input": microwatts, "in1_input": 5000, "curr1_input": microwatts // 5000}
        for channel, value in values.items():
            # One write of fixed width, as the kernel's are: no reader sees a file empty.
            part = self.folder / f".{channel}"
            part.write_text(f"{value:020d}\n")
            part.replace(self.folder / channel)


#: Prints what a file holds, fifty times a second, and flushes: the rate of a meter, which is what is read here.
TELL = "import sys,time\nwhile True: print(open(sys.argv[1]).read().strip(), flush=True); time.sleep(0.02)"


def printing(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


@contextmanager
def moving(folder: Path, **options: Any) -> Iterator[Sensor]:
    sensor = Sensor(folder, **options)
    try:
        yield sensor
    finally:
        sensor.close()


def options(kind: str, **table: Any) -> Any:
    module = registry.load("agent.meters", kind, file="pi5.toml", key="meter.kind")
    return registry.options(module, table, file="pi5.toml", key="meter", beside=("kind",))


# hwmon ----------------------------------------------------------------------------------------------------------------


def test_a_chip_is_found_by_its_name_or_by_its_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hwmon, "ROOT", tmp_path)
    (tmp_path / "hwmon0").mkdir()
    (tmp_path / "hwmon0" / "name").write_text("coretemp\n")
    (tmp_path / "hwmon1" / "device").mkdir(parents=True)  # where old drivers keep their channels
    (tmp_path / "hwmon1" / "name").write_text("ina226\n")
    (tmp_path / "hwmon1" / "device" / "power1_input").write_text("1250000\n")
    for table in ({"chip": "ina226"}, {}, {"chip": str(tmp_path / "hwmon1")}):
        assert hwmon.Meter(options("hwmon", **table)).read() == pytest.approx(1.25)


def test_a_chip_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hwmon, "ROOT", tmp_path)
    with moving(tmp_path / "hwmon0"):
        with pytest.raises(OSError, match=r"is called 'ina219'; there is: ina226"):
            hwmon.Meter(options("hwmon", chip="ina219"))
        with pytest.raises(OSError, match=r"ina226 has no power2_input; set chip and channel under \[meter\]"):
            hwmon.Meter(options("hwmon", chip="ina226", channel="power2_input"))


def test_two_chips_of_one_name_are_not_chosen_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hwmon, "ROOT", tmp_path)
    with (
        moving(tmp_path / "hwmon0"),
        moving(tmp_path / "hwmon1"),
        pytest.raises(OSError, match=r"several chips have power1_input: .*hwmon0, .*hwmon1; set chip to one"),
    ):
        hwmon.Meter(options("hwmon", chip="ina226"))


@pytest.mark.parametrize("channel", ["temp1_input", "in1_input", "../power1_input", "curr1_input * curr2_input"])
def test_a_channel_that_gives_no_watts_is_refused_in_the_file(channel: str) -> None:
    with pytest.raises(LabError, match=r"^pi5\.toml: meter.*is no channel of power; write \"power1_input\""):
        options("hwmon", channel=channel)


# command --------------------------------------------------------------------------------------------------------------


def reading(argv: list[str], **table: Any) -> float:
    meter = command.Meter(options("command", argv=argv, **table))
    try:
        return meter.read()
    finally:
        meter.close()


def refused(argv: list[str], **table: Any) -> str:
    """Return why the energy pass takes nothing from a program."""
    with pytest.raises(energy.Refused) as caught:
        energy.measure({"kind": "command", "argv": argv, **table}, 2, lambda _: {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_program_run_anew_for_each_reading_gives_what_it_says_now(tmp_path: Path) -> None:
    file = tmp_path / "watts"
    file.write_text("4.25\n")
    meter = command.Meter(options("command", argv=["cat", str(file)], mode="once"))
    assert meter.read() == 4.25
    file.write_text("2.5\n")
    assert meter.read() == 2.5


def test_a_running_program_is_read_at_its_newest_line(tmp_path: Path) -> None:
    file = tmp_path / "watts"
    file.write_text("4.25")
    meter = command.Meter(options("command", argv=printing(TELL, str(file))))
    assert meter.read() == 4.25
    file.write_text("2.5")
    assert soon(lambda: meter.read() == 2.5)
    meter.close()


def test_of_a_programs_many_lines_all_but_the_newest_are_history() -> None:
    meter = command.Meter(options("command", argv=["sh", "-c", "seq 1 100000; exec sleep 60"]))
    # A reader of one line a time would be minutes behind.
    assert soon(lambda: meter.read() == 100_000)
    meter.close()


@pytest.mark.parametrize("mode", ["stream", "once"])
@pytest.mark.parametrize("line", ["4,2", "4.2 W", "", "nan", "inf", "-3"])
def test_a_line_that_is_no_number_of_watts_is_refused_by_name(line: str, mode: str) -> None:
    says = refused(["sh", "-c", 'echo "$1"; sleep 5' if mode == "stream" else 'echo "$1"', "sh", line], mode=mode)
    assert says.startswith("the meter cannot be read: sh printed ")
    assert f"{line!r}, which is no number of watts" in says


def test_a_bad_line_in_the_middle_of_a_window_is_not_bridged() -> None:
    # A meter's rate again: the bad line comes after half a second.
    script = "import time\nfor i in range(60): print('1.5' if i < 30 else 'ERR 7', flush=True); time.sleep(0.02)"
    assert "printed 'ERR 7', which is no number of watts" in refused(printing(script))


def test_a_program_that_falls_silent_is_refused_at_its_deadline() -> None:
    says = refused(["sh", "-c", "echo 1.5; exec sleep 60"], deadline_s=0.5)
    assert "sh printed no line for 0.5 s; it must flush every line" in says


def test_a_program_that_never_speaks_is_refused_before_anything_runs() -> None:
    assert "printed no line for 0.3 s" in refused(["sleep", "60"], deadline_s=0.3)
    assert "did not end within 0.3 s" in refused(["sleep", "60"], mode="once", deadline_s=0.3)


@pytest.mark.parametrize("mode", ["stream", "once"])
def test_a_program_that_fails_is_refused_with_its_last_words(mode: str) -> None:
    says = refused(["sh", "-c", "echo no sensor >&2; exit 3"], mode=mode)
    assert "sh ended with code 3 (no sensor)" in says


@pytest.mark.parametrize("mode", ["stream", "once"])
def test_a_program_that_is_not_there_is_refused(mode: str) -> None:
    assert "No such file or directory: '/nowhere/watts'" in refused(["/nowhere/watts"], mode=mode)


def test_no_program_outlives_its_meter(tmp_path: Path) -> None:
    (tmp_path / "watts").write_text("1")
    meter = command.Meter(options("command", argv=printing(TELL, str(tmp_path / "watts"))))
    (child,) = [one for one in psutil.Process().children() if str(tmp_path) in " ".join(one.cmdline())]
    meter.close()
    assert not child.is_running()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"mode": "often"}, 'mode is "stream" or "once", not \'often\''),
        ({"deadline_s": 0}, "deadline_s must lie between 0 and 60 s"),
        ({"argv": "watts"}, "argv"),
    ],
)
def test_a_wrong_setting_is_refused_in_the_file(table: dict[str, Any], says: str) -> None:
    with pytest.raises(LabError) as caught:
        options("command", **table)
    assert str(caught.value).startswith("pi5.toml: meter")
    assert says in str(caught.value)


def test_a_command_without_a_program_is_refused() -> None:
    assert "argv is empty: name the program that prints watts" in refused([])


# battery --------------------------------------------------------------------------------------------------------------


def battery(folder: Path, **values: int | str) -> None:
    """Write the files of a battery that is drawn from."""
    for name, value in {"type": "Battery", "status": "Discharging", **values}.items():
        (folder / name).write_text(f"{value}\n")


def test_a_declared_unit_is_used_and_an_unknown_one_refused_in_the_file(tmp_path: Path) -> None:
    battery(tmp_path, voltage_now=11_100, current_now=-1500)
    table = {"path": str(tmp_path), "current_unit": "mA", "voltage_unit": "mV"}
    assert power_supply.Meter(options("power_supply", **table)).read() == pytest.approx(16.65)
    with pytest.raises(LabError, match=r"^pi5\.toml: meter.*current_unit is \"uA\", \"mA\" or \"A\", not 'W'"):
        options("power_supply", **table | {"current_unit": "W"})


def test_the_capacity_decides_between_two_units_that_are_plausible_by_themselves(tmp_path: Path) -> None:
    battery(tmp_path, voltage_now=3_800_000, current_now=40_000, charge_full=4_000_000)
    assert power_supply.Meter(power_supply.Options(path=str(tmp_path))).read() == pytest.approx(0.152)


def test_a_current_that_changes_its_sign_flows_into_the_battery_and_is_refused(tmp_path: Path) -> None:
    battery(tmp_path, voltage_now=3_800_000, current_now=-500_000)
    meter = power_supply.Meter(power_supply.Options(path=str(tmp_path)))
    battery(tmp_path, current_now=500_000)
    with pytest.raises(energy.Refused, match=r"a current flows into .*: its current_now changed its sign; unplug it"):
        meter.read()


@pytest.mark.parametrize(
    ("volts", "amperes", "says"),
    [
        (3_800_000, 500, 'write current_unit = "mA" under'),
        (3_800_000, -2600, 'write current_unit = "mA" under'),
        (11_100_000, 1500, 'write current_unit = "mA" under'),
        (3_300, 1_600, 'write voltage_unit = "mV" under'),
        (3_800_000, 0, "gives 0 W, which no machine in use draws"),
        (3_800_000_000, 500_000, "which is no battery's voltage in uV"),
        (3_800_000, 40_000, 'write current_unit = "uA" or current_unit = "mA" under'),
    ],
    ids=["500 mA", "-2600 mA", "1500 mA at 11.1 V", "mV and mA", "nothing", "nV", "0.15 W or 152 W"],
)
def test_a_battery_whose_unit_is_not_known_is_refused_with_the_line_to_write(
    tmp_path: Path, volts: int, amperes: int, says: str
) -> None:
    battery(tmp_path, voltage_now=volts, current_now=amperes)
    with pytest.raises((ValueError, energy.Refused)) as caught:
        power_supply.Meter(power_supply.Options(path=str(tmp_path)))
    assert says in str(caught.value)


@pytest.mark.parametrize("amperes", [300_000, -500_000, 4_000_000])
def test_a_battery_in_micro_units_is_believed_whatever_the_sign(tmp_path: Path, amperes: int) -> None:
    battery(tmp_path, voltage_now=3_800_000, current_now=amperes)
    meter = power_supply.Meter(power_supply.Options(path=str(tmp_path)))
    assert meter.read() == pytest.approx(3.8 * abs(amperes) * 1e-6)


# edgeward check -------------------------------------------------------------------------------------------------------


def checked(table: dict[str, Any]) -> preflight.Finding:
    """Return what `edgeward check` says of a meter, asked of the agent on this machine."""
    device = Device("here", "workstation", Address("local"), meter=table, file=Path("here.toml"))
    return found_of(device, sys.executable, "-I", "-S", str(MAIN))


def found_of(device: Device, *command: str) -> preflight.Finding:
    """Return what `edgeward check` says of the meter of a device whose device side `command` starts."""
    with DeviceHandle(device) as handle:
        handle.workspace = Workspace("/", command, Target((3, 11), "x86_64", (2, 36)), lambda *_: ())
        return preflight.meter(handle)


def test_the_check_sees_a_meter_move(tmp_path: Path) -> None:
    with moving(tmp_path / "chip"):
        found = checked({"kind": "hwmon", "chip": str(tmp_path / "chip")})
    assert found.ok, found
    assert "1.25 W at rest, 1.25 W under load" in found.says
    assert "changes a second" in found.says


def test_the_check_tells_a_meter_that_never_moves_from_one_that_moves_too_slowly(tmp_path: Path) -> None:
    with moving(tmp_path / "still", period_s=3600):
        still = checked({"kind": "hwmon", "chip": str(tmp_path / "still")})
    with moving(tmp_path / "slow", period_s=0.7):
        slow = checked({"kind": "hwmon", "chip": str(tmp_path / "slow")})
    assert (still.ok, still.says) == (False, "meter hwmon: never changed in 2 s")
    assert still.remedy == "connect it, or correct [meter] in here.toml"
    assert not slow.ok
    assert slow.remedy == "5 changes a second are needed: shorten the meter's update interval"


def test_the_check_says_why_a_meter_cannot_be_read_and_which_file_to_correct(tmp_path: Path) -> None:
    found = checked({"kind": "powercap", "path": str(tmp_path / "none")})
    assert not found.ok
    assert found.says.startswith("meter powercap: the meter cannot be read: [Errno 2]")
    assert "look at" not in found.says, "the remedy is said twice"
    assert found.remedy == "correct [meter] in here.toml"


def test_the_check_says_that_a_battery_is_charging(tmp_path: Path) -> None:
    for name, value in {"voltage_now": "3800000", "current_now": "500000", "status": "Charging"}.items():
        (tmp_path / name).write_text(value)
    found = checked({"kind": "power_supply", "path": str(tmp_path)})
    assert (found.ok, found.remedy) == (False, "unplug it")


def test_a_runner_that_cannot_try_a_meter_says_so() -> None:
    device = Device("unit", "ultrasound", Address("local"), runner="native", meter={"kind": "powercap"})
    found = found_of(device, "sh", "-c", "exit 64")
    assert (found.ok, found.says) == (False, "meter powercap: not checked with the native runner")
    assert 'runner = "python"' in found.remedy


def test_the_agents_trial_of_a_meter_plays_both_halves_and_answers_with_one_object(tmp_path: Path) -> None:
    (tmp_path / "watts").write_text("2.5")
    table = {"kind": "command", "argv": ["cat", str(tmp_path / "watts")], "mode": "once"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", MAIN, "meter"], input=json.dumps(table), capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert (answer["rest_w"], answer["load_w"], answer["changes"]) == (2.5, 2.5, 0)
    # More than one half was played; a last reading is begun in time, and lasts as long as the machine lets it.
    assert answer["seconds"] > contract.TRIAL_S / 2
