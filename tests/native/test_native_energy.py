"""The native runner's energy pass: known joules are found, doubtful meters are refused, in the agent's own event."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.agent import contract, energy
from harness.results import energy as joules
from harness.results.events import parse
from tests import small_models as small
from tests.devices.job_bench import Bench, of
from tests.native.moving_meters import WATTS, Moving, tables
from tests.native.native_bench import change_job, checked_bench, shape_of


@pytest.fixture(scope="module")
def brief(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Give the runner with checks, which takes short windows."""
    return checked_bench(bench, tmp_path_factory)


#: Long enough for the updates that are asked for where other tests take most of the processor.
WINDOW_S = 2.5
OF_A_PHASE = ("t_ns", "model", "turn", "of")


def pass_of(event: Mapping[str, Any]) -> contract.EnergyPass:
    """Return an event as the host reads it."""
    read = parse(json.dumps(event).encode(), device="local")
    assert isinstance(read, contract.EnergyPass)
    return read


def energy_of(bench: Bench, meter: Mapping[str, Any], **plan: Any) -> Mapping[str, Any]:
    """Run a job for its energy alone and return the event."""
    quick: dict[str, Any] = {"cold_starts": 0, "memory_starts": 0, "accuracy": False, "max_launches": 0}
    job = change_job(bench.job("good", **quick, **plan), meter=dict(meter))
    (event,) = of(bench.run(job), "energy")
    return event


#: What must not be believed, what moves its files, and what the reason names; every file is in a folder of its own.
DOUBTFUL: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "still": ({"kind": "hwmon", "chip": "{}"}, "", ("never changed", "not connected")),
    "backwards": (
        {"kind": "hwmon", "chip": "{}"},
        "i=0; while :; do i=$((i + 1)); printf -- '-25%05d\\n' $i > part; mv part power1_input; sleep 0.02; done",
        ("backwards", "shunt"),
    ),
    "charging": (
        {"kind": "power_supply", "path": "{}"}, "",
        ("charging", "unplug"),
    ),
    "turned": (
        {"kind": "powercap", "path": "{}"},
        "i=9000; while :; do i=$((i - 1)); echo $i > part; mv part energy_uj; sleep 0.02; done",
        ("{}/energy_uj", "backwards", "look at [meter]"),
    ),
    "silent": (
        {"kind": "command", "argv": ["sh", "-c", "echo 1.5; exec sleep 60"], "deadline_s": 0.2}, "",
        ("sh printed no line", "0.2 s", "look at [meter]"),
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
        return energy_of(brief, json.loads(json.dumps(table).replace("{}", str(folder))), energy_s=WINDOW_S)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def doubts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doubts")


#: The meters that say WATTS throughout, and one of them under a load of LiteRT's.
METERS = [name for name in tables(Path()) if name != "command, once"]
OF_LITERT = "hwmon, LiteRT"


@pytest.fixture(scope="module")
def measured(brief: Bench, moving: Moving, doubts: Path) -> Mapping[str, Mapping[str, Any]]:
    """Measure energy with every meter, good and doubtful, several at the same time."""
    known, lite = tables(moving.folder), brief.with_runtime(small.LITERT)
    with ThreadPoolExecutor(4) as pool:
        made = {name: pool.submit(energy_of, brief, known[name], energy_s=WINDOW_S) for name in METERS}
        made[OF_LITERT] = pool.submit(energy_of, lite, known["hwmon"], energy_s=WINDOW_S)
        made |= {name: pool.submit(doubted, brief, doubts / name, name) for name in DOUBTFUL}
        return {name: event.result() for name, event in made.items()}


@pytest.mark.parametrize("name", [*METERS, OF_LITERT])
def test_the_energy_pass_finds_the_joules_of_a_known_power(
    measured: Mapping[str, Mapping[str, Any]], moving: Moving, name: str
) -> None:
    event = measured[name]
    assert "absent" not in event, event["absent"]
    for window in event["windows"].values():
        at_ns, readings = window["at_ns"], window["readings"]
        assert at_ns[0] <= window["begin_ns"] < window["end_ns"] <= at_ns[-1]
        # Some 25 where nothing else runs; a busy machine gives the reader fewer turns.
        assert len(at_ns) == len(readings) > 6
        sums = energy.sums(at_ns, readings, event["quantity"])
        assert {name: window[name] for name in sums} == pytest.approx(sums, rel=1e-9)
        allowed = moving.allowed(WATTS, window["seconds"]) if event["quantity"] == "joules" else 0.02 * WATTS
        assert window["joules"] / window["seconds"] == pytest.approx(WATTS, abs=allowed)
    gaps_s = [(b - a) * 1e-9 for window in event["windows"].values() for a, b in pairwise(window["at_ns"])]
    assert max(gaps_s) - min(gaps_s) > 0.02, "gaps are drawn at random"
    assert event["inferences"] > 100
    found = joules.per_inference(pass_of(event))
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
            time.sleep(seconds)  # the work: what the meter shows does not depend on it
            return {"count": 10, "ns": int(seconds * 1e9)}

        # As long as the runner's own: on a busy machine the meter may not move for a third of a second.
        theirs = contract.plain(energy.measure(tables(moving.folder)[name], 1.0, infer))
        ours = {key: measured[name][key] for key in measured[name].keys() - {"event", *OF_A_PHASE}}
        assert shape_of(ours) == shape_of(theirs)
        assert {key: ours[key] for key in ("meter", "quantity")} == {key: theirs[key] for key in ("meter", "quantity")}
        assert ours["resolution"] == pytest.approx(theirs["resolution"], rel=0.05)


def test_a_host_that_reads_the_meter_hears_when_the_windows_come(bench: Bench) -> None:
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
    event = measured[name]
    assert shape_of(event) == {**dict.fromkeys(("event", "absent"), "str"), **dict.fromkeys(OF_A_PHASE, "number")}
    assert all(word.format(doubts / name) in event["absent"] for word in DOUBTFUL[name][2]), event["absent"]


def test_a_window_too_short_for_the_runner_as_it_ships_is_refused(bench: Bench, moving: Moving) -> None:
    says = energy_of(bench, tables(moving.folder)["hwmon"], energy_s=0.4)["absent"]
    assert all(word in says for word in ("too short", "10 s", "50 updates")), says
