"""The native runner's meters beside the agent's: the same keys, numbers and words, on real files and real programs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from devices.virtual.requirements import require
from harness import energy as joules
from harness import preflight
from harness.agent import energy
from tests.devices.job_bench import Bench, of
from tests.devices.native_bench import bench_of, change_job, checked_bench, shape_of, small_folder

WATTS = 2.5
#: Prints a number that jitters around WATTS, fifty times a second.
PROGRAM = "i=0; while :; do i=$(( (i * 7 + 3) % 1000 )); printf '2.50%03d\\n' $i; sleep 0.02; done"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def bench(device_workdir: Path, folder: Path) -> Bench:
    return bench_of("native", device_workdir, folder)


@pytest.fixture(scope="module")
def agent(device_workdir: Path, folder: Path) -> Bench:
    return bench_of("python", device_workdir, folder)


@dataclasses.dataclass
class Moving:
    """A folder of moving files; `late_s` is the longest that they stood still, however busy this machine was."""

    folder: Path
    late_s: float = 0.01

    def allowed(self, watts: float, seconds: float) -> float:
        """Return by how many watts a counter may be wrong that is late at either end of so many seconds."""
        return watts * (0.02 + 2 * self.late_s / seconds)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moving]:
    """Give a folder whose files a thread moves as the kernel moves its own: WATTS, whichever way they are told."""
    folder, done = tmp_path_factory.mktemp("sys"), threading.Event()
    own = Moving(folder)

    def show(turn: int, spent_j: float) -> None:
        jitter = turn * 7919 % 2001 - 1000
        values = {
            "power1_input": int(WATTS * 1e6) + jitter, "power_now": -int(WATTS * 1e6) - jitter,
            "in1_input": 5000, "curr1_input": int(WATTS * 200) + jitter % 3 - 1,
            "energy_uj": int(7e6 + spent_j * 1e6) % 8_000_000, "max_energy_range_uj": 8_000_000,
        }  # fmt: skip
        for name, value in values.items():
            part = folder / f".{name}"
            part.write_text(f"{value}\n")
            part.replace(folder / name)

    def run() -> None:
        turn, began = 0, time.monotonic()
        shown = began
        while not done.wait(0.01):
            turn += 1
            show(turn, WATTS * (time.monotonic() - began))
            own.late_s, shown = max(own.late_s, time.monotonic() - shown), time.monotonic()

    show(0, 0)
    (folder / "status").write_text("Discharging\n")
    thread = threading.Thread(target=run)
    thread.start()
    yield own
    done.set()
    thread.join()


def tried(bench: Bench, table: Mapping[str, Any], *prefix: str) -> dict[str, Any]:
    """Return what a trial of a meter answers."""
    command = [*prefix, *bench.place.command, "meter"]
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


def tables(moving: Path) -> dict[str, dict[str, Any]]:
    """Return a meter of every kind, each of which says WATTS."""
    return {
        "hwmon": {"kind": "hwmon", "chip": str(moving)},
        "volts times amperes": {"kind": "hwmon", "chip": str(moving), "channel": "curr1_input*in1_input"},
        "power_supply": {"kind": "power_supply", "path": str(moving)},
        "powercap": {"kind": "powercap", "path": str(moving)},
        "command": {"kind": "command", "argv": ["sh", "-c", PROGRAM]},
        "command, once": {"kind": "command", "argv": ["cat", "{}"], "mode": "once"},
    }


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


# The energy pass ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def brief(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Give the runner with checks, which takes short windows."""
    return checked_bench(bench, tmp_path_factory)


def energy_of(bench: Bench, meter: Mapping[str, Any], **plan: Any) -> Mapping[str, Any]:
    """Run a job for its energy alone and return the event."""
    quick: dict[str, Any] = {"cold_starts": 0, "memory_starts": 0, "accuracy": False, "max_launches": 0}
    job = change_job(bench.job("good", **quick, **plan), meter=dict(meter))
    (event,) = of(bench.run(job), "energy")
    return event


#: What must not be believed, and what moves its files; every file is in a folder of its own.
DOUBTFUL: dict[str, tuple[dict[str, Any], str, str]] = {
    "still": ({"kind": "hwmon", "chip": "{}"}, "", "the meter never changed: it is broken or not connected"),
    "backwards": (
        {"kind": "hwmon", "chip": "{}"},
        "i=0; while :; do i=$((i + 1)); printf -- '-25%05d\\n' $i > part; mv part power1_input; sleep 0.02; done",
        "the meter counts backwards: its shunt is wired the other way round",
    ),
    "charging": (
        {"kind": "power_supply", "path": "{}"}, "",
        "the battery is charging, which hides what the device draws; unplug it",
    ),
    "turned": (
        {"kind": "powercap", "path": "{}"},
        "i=9000; while :; do i=$((i - 1)); echo $i > part; mv part energy_uj; sleep 0.02; done",
        "the meter cannot be read: {}/energy_uj went backwards and max_energy_range_uj does not say where it turns; "
        "look at [meter] in the device's file",
    ),
    "silent": (
        {"kind": "command", "argv": ["sh", "-c", "echo 1.5; exec sleep 60"], "deadline_s": 0.2}, "",
        "the meter cannot be read: sh printed no line for 0.2 s; it must flush every line; look at [meter] in the "
        "device's file",
    ),
}  # fmt: skip


def doubted(brief: Bench, folder: Path, name: str) -> Mapping[str, Any]:
    """Measure energy with a meter of DOUBTFUL."""
    files = {"power1_input": "-2500000", "power_now": "2500000", "status": "Charging", "energy_uj": "9000"}
    folder.mkdir()
    for file, value in files.items():
        (folder / file).write_text(value + "\n")
    table, mover, _ = DOUBTFUL[name]
    process = subprocess.Popen(["sh", "-c", mover], cwd=folder)
    try:
        return energy_of(brief, json.loads(json.dumps(table).replace("{}", str(folder))), energy_s=1.1)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def doubts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doubts")


@pytest.fixture(scope="module")
def measured(brief: Bench, moving: Moving, doubts: Path) -> Mapping[str, Mapping[str, Any]]:
    """Measure energy with every meter, good and doubtful, all at the same time."""
    wanted = {name: table for name, table in tables(moving.folder).items() if name != "command, once"}
    with ThreadPoolExecutor(16) as pool:
        made = {name: pool.submit(energy_of, brief, table, energy_s=1.3) for name, table in wanted.items()}
        made |= {name: pool.submit(doubted, brief, doubts / name, name) for name in DOUBTFUL}
        return {name: event.result() for name, event in made.items()}


@pytest.mark.parametrize("name", [name for name in tables(Path()) if name != "command, once"])
def test_the_energy_pass_finds_the_joules_of_a_known_power(
    measured: Mapping[str, Mapping[str, Any]], moving: Moving, name: str
) -> None:
    event = measured[name]
    assert "absent" not in event, event["absent"]
    for window in event["windows"].values():
        at_ns, readings = window["at_ns"], window["readings"]
        assert at_ns[0] <= window["begin_ns"] < window["end_ns"] <= at_ns[-1]
        assert len(at_ns) == len(readings) > 15
        sums = energy.sums(at_ns, readings, event["quantity"])
        assert {name: window[name] for name in sums} == pytest.approx(sums, rel=1e-9)
        allowed = moving.allowed(WATTS, window["seconds"]) if event["quantity"] == "joules" else 0.02 * WATTS
        assert window["joules"] / window["seconds"] == pytest.approx(WATTS, abs=allowed)
    gaps_s = [(b - a) * 1e-9 for window in event["windows"].values() for a, b in pairwise(window["at_ns"])]
    assert max(gaps_s) - min(gaps_s) > 0.02, "gaps are drawn at random"
    assert event["inferences"] > 100
    found = joules.per_inference(event)
    busy = event["windows"]["busy"]
    rate_hz = event["inferences"] / ((busy["end_ns"] - busy["begin_ns"]) * 1e-9)
    allowed = moving.allowed(WATTS, busy["seconds"]) if event["quantity"] == "joules" else 0.02 * WATTS
    assert found.gross.point == pytest.approx(WATTS / rate_hz, abs=allowed / rate_hz)


def test_the_energy_event_has_the_fields_of_the_agents(
    measured: Mapping[str, Mapping[str, Any]], moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "MIN_WINDOW_S", 0.2)
    monkeypatch.setattr(energy, "MIN_UPDATES", 2)
    for name in ("volts times amperes", "powercap"):

        def infer(seconds: float) -> dict[str, Any]:
            time.sleep(seconds)
            return {"count": 10, "ns": int(seconds * 1e9)}

        theirs = energy.measure(tables(moving.folder)[name], 0.3, infer)
        ours = {key: measured[name][key] for key in measured[name].keys() - {"event", "t_ns", "model", "turn", "of"}}
        assert shape_of(ours) == shape_of(theirs)
        assert {key: ours[key] for key in ("meter", "quantity")} == {key: theirs[key] for key in ("meter", "quantity")}
        assert ours["resolution"] == pytest.approx(theirs["resolution"], rel=0.05)


def test_a_meter_on_the_host_is_told_when_the_windows_come(bench: Bench) -> None:
    quick: dict[str, Any] = {"cold_starts": 0, "memory_starts": 0, "accuracy": False, "max_launches": 0}
    job = change_job(bench.job("good", **quick, energy_s=0.2), meter={"kind": "host", "lead_s": 0.3})
    events = bench.run(job)
    (start,), (event,) = of(events, "energy_start"), of(events, "energy")
    assert start["model"] == 0
    windows = event["windows"]
    assert windows["idle_before"]["begin_ns"] - start["t_ns"] >= 0.3e9
    assert windows["idle_before"]["end_ns"] == windows["busy"]["begin_ns"]
    assert windows["busy"]["end_ns"] == windows["idle_after"]["begin_ns"]
    assert all(window["end_ns"] - window["begin_ns"] >= 0.2e9 for window in windows.values())
    assert (event["meter"], event["inferences"] > 10) == ("host", True)


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_meter_that_must_not_be_believed_gives_no_joules_and_says_why(
    measured: Mapping[str, Mapping[str, Any]], doubts: Path, name: str
) -> None:
    assert measured[name]["absent"] == DOUBTFUL[name][2].format(doubts / name)


def test_a_window_too_short_for_the_runner_as_it_ships_is_refused(bench: Bench, moving: Moving) -> None:
    says = energy_of(bench, tables(moving.folder)["hwmon"], energy_s=0.4)["absent"]
    assert says.startswith("the window was too short: 0.")
    assert says.endswith("meter updates; 10 s and 50 updates are needed")


# edgeward check -------------------------------------------------------------------------------------------------------


def test_the_check_of_a_native_device_is_the_table_of_one_with_python(
    bench: Bench, agent: Bench, moving: Moving
) -> None:
    def findings(one: Bench) -> dict[str, preflight.Finding]:
        device = dataclasses.replace(
            one.device, meter=tables(moving.folder)["hwmon"], runtimes=("onnxruntime==1.31.1",), file=Path("here.toml")
        )
        return {found.topic: found for found in preflight.survey(one.connection, device)}

    ours, theirs = findings(bench), findings(agent)
    assert list(ours) == list(theirs)
    assert [found.ok for found in ours.values()] == [found.ok for found in theirs.values()]
    assert ours["onnxruntime==1.31.1"].says == "starts; accelerators: AzureExecutionProvider, CPUExecutionProvider"
    assert "changes a second, 2.50 W at rest, 2.50 W under load" in ours["energy"].says
    assert ours["python"].says == "not needed by the native runner"
