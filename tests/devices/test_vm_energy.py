"""A known course of power is played into the board's INA226, and the agent's energy pass finds its joules."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from devices.virtual import vm
from devices.virtual.requirements import require
from devices.virtual.vm import Vm
from harness import deploy
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.results import energy, events

pytestmark = pytest.mark.slow_device

WINDOW_S = 10.2
#: How well the player knows what it played: it says a moment after it set a power when that was.
PLAYED_WITHIN = 0.001
#: On the board: one energy pass by the agent's own code; says when its busy window began and ended.
PASS = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from harness.agent import contract, energy
now = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
span = []
def infer(seconds):
    span.append(now())
    time.sleep(seconds)  # the work: the board's power is played, not made by it
    span.append(now())
    return {"count": 100, "ns": int(seconds * 1e9)}
found = energy.measure({"kind": "hwmon", "chip": "ina226"}, float(sys.argv[2]), infer)
event = contract.EnergyPass("energy", time.monotonic_ns(), model=0, turn=0, of=1, **found)
print(json.dumps(contract.plain(event)))
print(json.dumps(span))
"""
#: Of the sensor, W, and how long it shows a power before it moves by that: one that stands still is refused.
STEP_W, MOVES_S = 0.00625, 0.05


def restless(*steps: tuple[float, float]) -> list[tuple[float, float]]:
    """Return a trace of (s, W) steps whose last digit moves."""
    moves = [(round(seconds / MOVES_S), watts) for seconds, watts in steps]
    return [(MOVES_S, watts + turn % 2 * STEP_W) for count, watts in moves for turn in range(count)]


TRACES = {
    "constant": restless((1.0, 2.5)) * 42,
    "stepped": restless((0.4, 2.5), (0.3, 5.0), (0.2, 3.75)) * 47,
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    require(*vm.NEEDS)
    with vm.vm(tmp_path_factory.mktemp("powered") / "vm") as running:
        yield running


@pytest.mark.parametrize("name", TRACES)
def test_the_joules_of_a_known_trace_are_recovered_within_two_percent(machine: Vm, name: str) -> None:
    played: list[tuple[float, float]] = []
    player = threading.Thread(target=lambda: played.extend(machine.play(TRACES[name])))
    with DeviceHandle(machine.device()) as handle:
        deploy.prepare(handle)
        player.start()
        argv = ["python3", "-I", "-S", "-c", PASS, handle.workspace.folder, str(WINDOW_S)]
        done = handle.run(argv, timeout_s=120)
    player.join()
    assert done.code == 0, done.err
    line, span = done.out.splitlines()
    found = events.parse(line, device="vm")
    assert isinstance(found, contract.EnergyPass)
    begin, end = json.loads(span)
    truth = joules(played, begin, end)
    inferences = found.inferences or 0
    gross = energy.per_inference(found).gross
    off, within = gross.point * inferences / truth - 1, (gross.high - gross.low) / 2 / gross.point
    print(f"\n{name}: {truth:.3f} J played, found {off:+.2%}, interval ±{within:.2%}")
    assert abs(off) < 0.02
    low, high = (end * inferences / truth for end in (gross.low, gross.high))
    assert low - PLAYED_WITHIN <= 1 <= high + PLAYED_WITHIN


def joules(played: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Return the energy of a course of power between two moments; each power holds until the next one is set."""
    total = 0.0
    for (since, power), (until, _) in pairwise(played):
        total += power * max(0.0, min(until, end) - max(since, begin))
    assert played[0][0] < begin
    assert played[-1][0] > end, "the trace was too short for the windows"
    return total
