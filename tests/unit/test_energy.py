"""Energy from real files read by the real meters, in time that passes at once: numbers, and every reason for none."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import pytest

from harness import compare
from harness.agent import contract, energy
from harness.agent.meters import hwmon, power_supply, powercap
from harness.errors import MeasurementError
from harness.model import Conditions, Estimate, MeasuredCase, Measurement, Run, Validity, Variant
from harness.results import energy as host
from tests.events import event
from tests.power_traces import VirtualClock, played

IDLE_W, BUSY_W = 2.0, 5.0
WINDOW_S = 10.3
RANGE_UJ = 20_000_000


class Supply(VirtualClock):
    """A folder like one of sysfs, whose files say what a meter says at the moment when it is read."""

    def __init__(self, folder: Path, **facts: Any) -> None:
        super().__init__()
        folder.mkdir(parents=True)
        self.folder, self.watts, self.facts = folder, IDLE_W, facts
        self._spent_j, self._last_s = 0.0, self.now_s
        self._files: dict[str, IO[bytes]] = {}

    def write(self, name: str, value: int | str) -> None:
        """Change a file in place; fixed in width, because to truncate it costs a flush."""
        if name not in self._files:
            self._files[name] = (self.folder / name).open("wb", buffering=0)
        text = f"{value:020d}\n" if isinstance(value, int) else f"{value:12s}\n"
        os.pwrite(self._files[name].fileno(), text.encode(), 0)

    def spent_j(self) -> float:
        """Return the joules so far."""
        self._spent_j += self.watts * (self.now_s - self._last_s)
        self._last_s = self.now_s
        return self._spent_j

    def show(self) -> None:
        """Write what the meter shows now."""

    def now_ns(self) -> int:
        """Return the time, which is asked for before every reading."""
        self.show()
        return super().now_ns()

    def infer(self, seconds: float) -> dict[str, Any]:
        """Run inferences of 1 ms each, which draw more power."""
        self.spent_j()
        self.watts = BUSY_W
        self.sleep(seconds)
        self.spent_j()
        self.watts = IDLE_W
        return {"count": round(seconds * 1e3)}


class Counter(Supply):
    """Microjoules that begin near the end of their range, so that they turn over."""

    def show(self) -> None:
        """Write energy_uj and its range."""
        self.write("max_energy_range_uj", RANGE_UJ)
        self.write("energy_uj", int(RANGE_UJ - 5_000_000 + self.spent_j() * 1e6) % RANGE_UJ)


class Battery(Supply):
    """Volts and amperes that sag and swing, the current negative as some drivers have it."""

    def show(self) -> None:
        """Write voltage, current and status."""
        volts = 3.8 + 0.1 * np.sin(self.now_s * 7)
        self.write("voltage_now", int(volts * 1e6))
        self.write("current_now", -int(self.watts / volts * 1e6))
        charging = self.facts.get("charging_from") == self.watts
        self.write("status", "Charging" if charging else self.facts.get("status", "Discharging"))


class Sensor(Supply):
    """A chip of hwmon whose last digits move."""

    def show(self) -> None:
        """Write its power."""
        moved = self.watts * 1e6 + round(self.now_s * 7919e3) % 2001 - 1000
        self.write("power1_input", int(self.facts.get("sign", 1) * moved))
        self.write("in1_input", 5000)
        self.write("curr1_input", int(moved / 5000))


class Still(Counter):
    """A meter that is not connected."""

    def show(self) -> None:
        """Write the same for ever."""
        self.write("energy_uj", 1234)


class Vanishing(Counter):
    """A meter whose driver is unloaded while the model runs."""

    def show(self) -> None:
        """Go away in the busy window."""
        super().show()
        if self.watts == BUSY_W:
            (self.folder / "energy_uj").unlink()


class Slow(Counter):
    """A meter that moves three times a second: too coarse for the window."""

    last = -1

    def show(self) -> None:
        """Write only now and then."""
        if int(self.now_s * 3) != self.last:
            self.last = int(self.now_s * 3)
            super().show()


def measured(module: ModuleType, supply: Supply, *, window_s: float = WINDOW_S, **settings: Any) -> contract.EnergyPass:
    """Return the event of one pass."""
    supply.show()
    place = {"chip": str(supply.folder)} if module is hwmon else {"path": str(supply.folder)}
    with energy.reading(module, {**place, **settings}) as (reader, quantity):
        found = energy.watched(reader, quantity, window_s, supply.infer, supply)
    return event(contract.EnergyPass, meter="known", **found)


METERS: dict[str, Callable[[Path], contract.EnergyPass]] = {
    "counter": lambda folder: measured(powercap, Counter(folder)),
    "battery": lambda folder: measured(power_supply, Battery(folder)),
    "sensor": lambda folder: measured(hwmon, Sensor(folder)),
    "volts times amperes": lambda folder: measured(hwmon, Sensor(folder), channel="in1_input * curr1_input"),
}


@pytest.mark.parametrize("name", METERS)
def test_a_known_power_is_found_in_every_window_also_over_a_turn_of_the_counter(tmp_path: Path, name: str) -> None:
    windows = METERS[name](tmp_path / "meter").windows
    assert windows is not None
    for window, watts in (("idle_before", IDLE_W), ("busy", BUSY_W), ("idle_after", IDLE_W)):
        found = windows[window]
        assert found.seconds is not None
        assert found.joules is not None
        assert found.seconds >= WINDOW_S
        assert found.joules / found.seconds == pytest.approx(watts, rel=0.02), window
    assert (windows["busy"].updates or 0) > 80


@pytest.mark.parametrize("name", METERS)
def test_joules_per_inference_are_the_power_over_the_rate_gross_and_net(tmp_path: Path, name: str) -> None:
    gross, net = host.measurements([METERS[name](tmp_path / "meter")])
    assert gross.estimate is not None
    assert net.estimate is not None
    assert gross.estimate.low <= BUSY_W / 1000 <= gross.estimate.high
    assert net.estimate.low <= (BUSY_W - IDLE_W) / 1000 <= net.estimate.high
    assert gross.estimate.high - gross.estimate.low < 0.03 * gross.estimate.point
    assert gross.values.mean() == pytest.approx(BUSY_W / 1000, rel=0.01)
    assert net.values.mean() == pytest.approx((BUSY_W - IDLE_W) / 1000, rel=0.02)
    assert (gross.unit, net.unit) == ("J", "J")
    assert "idle subtracted" in net.method


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(energy.Refused) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda at: measured(powercap, Still(at)), "the meter never changed: it is broken or not connected"),
        (
            lambda at: measured(power_supply, Battery(at, charging_from=BUSY_W)),
            "the battery began to charge during the window; unplug it",
        ),
        (
            lambda at: measured(power_supply, Battery(at, status="Full")),
            "the battery is charging, which hides what the device draws; unplug it",
        ),
        (
            lambda at: measured(hwmon, Sensor(at, sign=-1)),
            "the meter counts backwards: its shunt is wired the other way round",
        ),
    ],
    ids=["still", "charges in the middle", "full", "reversed"],
)
def test_a_meter_that_cannot_be_right_is_refused(tmp_path: Path, call: Callable[[Path], object], says: str) -> None:
    assert refusal(lambda: call(tmp_path / "meter")) == says


def test_a_meter_that_vanishes_in_the_middle_is_refused_not_bridged(tmp_path: Path) -> None:
    says = refusal(lambda: measured(powercap, Vanishing(tmp_path / "meter")))
    assert says.startswith("the meter cannot be read: [Errno 2] No such file")
    assert says.endswith("look at [meter] in the device's file")


def test_a_meter_too_coarse_for_the_window_is_refused(tmp_path: Path) -> None:
    says = refusal(lambda: measured(powercap, Slow(tmp_path / "meter")))
    assert says.startswith("the window was too short: 10.")
    assert says.endswith("meter updates; 10 s and 50 updates are needed")


def test_a_window_too_short_is_refused(tmp_path: Path) -> None:
    says = refusal(lambda: measured(powercap, Counter(tmp_path / "meter"), window_s=0.3))
    assert says.startswith("the window was too short: 0.3 s with ")


def test_a_battery_on_its_charger_is_refused_before_anything_runs(tmp_path: Path) -> None:
    battery = Battery(tmp_path / "battery", status="Charging")
    began_s = battery.now_s
    says = refusal(lambda: measured(power_supply, battery))
    assert says == "the battery is charging, which hides what the device draws; unplug it"
    assert battery.now_s == began_s, "the first window was waited for"


@pytest.mark.parametrize("kind", ["powercap", "power_supply"])
def test_a_meter_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    says = refusal(lambda: energy.measure({"kind": kind, "path": str(tmp_path / "none")}, 10, lambda _: {}))
    assert says.startswith("the meter cannot be read: ")
    assert str(tmp_path / "none") in says


def test_a_counter_that_turns_without_saying_where_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "energy_uj").write_text("1000")
    meter = powercap.Meter(powercap.Options(path=str(tmp_path)))
    (tmp_path / "energy_uj").write_text("10")
    with pytest.raises(ValueError, match="went backwards and max_energy_range_uj does not say where it turns"):
        meter.read()


def test_power_now_is_taken_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "power_now").write_text("-2500000\n")
    (tmp_path / "status").write_text("Discharging\n")
    assert power_supply.Meter(power_supply.Options(path=str(tmp_path))).read() == pytest.approx(2.5)


def test_an_absent_energy_keeps_its_reason() -> None:
    old = event(contract.EnergyPass, windows={"busy": contract.EnergyWindow(0, 1, joules=1.0)})
    refused = event(contract.EnergyPass, absent="charging")
    cases: tuple[tuple[list[contract.EnergyPass], str], ...] = (
        ([], "no meter configured"),
        ([refused], "charging"),
        ([old], "the runner sent no readings of the meter; bring the runner of this version"),
    )
    for events, reason in cases:
        found: list[Measurement] = host.measurements(events)
        assert [m.metric for m in found] == ["energy_j", "energy_net_j"]
        assert all(m.absent_reason == reason and len(m.values) == 0 for m in found)
        assert host.notes(events) == {}


# the interval ---------------------------------------------------------------------------------------------------------


def a_pass(seed: int = 3) -> contract.EnergyPass:
    return played(np.random.default_rng(seed), "constant").event


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_a_coarser_meter_has_a_wider_interval() -> None:
    energy_pass = a_pass()
    plain = host.per_inference(energy_pass).gross
    coarse = host.per_inference(replace(energy_pass, resolution=(energy_pass.resolution or 0) + 2.0)).gross
    assert coarse.point == plain.point
    assert width(coarse) > 1.5 * width(plain)


def test_an_uncertain_clock_widens_the_interval_by_the_step_in_power() -> None:
    energy_pass = a_pass()
    sharp, blurred = (host.per_inference(replace(energy_pass, clock_s=clock_s)) for clock_s in (0.0, 0.5))
    step_w = sharp.notes["busy_w"] - np.mean(sharp.notes["idle_w"])
    each_s = sharp.notes["window_s"] / sharp.notes["inferences"]
    expected = np.sqrt(2 / 3) * 0.5 * step_w / (sharp.notes["window_s"] - 1.0) * each_s
    assert blurred.notes["budget"]["edges"] == pytest.approx(expected, rel=0.1)
    assert width(blurred.gross) > width(sharp.gross)


def test_clocks_too_uncertain_for_the_window_give_no_number() -> None:
    with pytest.raises(MeasurementError, match="of a window of 12 s are uncertain; take a faster meter or a nearer"):
        host.per_inference(replace(a_pass(), clock_s=3.0))


def test_an_idle_power_that_drifts_widens_the_net_interval_alone() -> None:
    energy_pass = a_pass()
    windows = dict(energy_pass.windows or {})
    before = host.per_inference(energy_pass)
    after = windows["idle_after"]
    assert after.at_ns is not None
    assert after.readings is not None
    if energy_pass.quantity == "watts":
        readings = [reading + 0.5 for reading in after.readings]
    else:
        first_ns = after.at_ns[0]
        readings = [
            reading + 0.5 * (at - first_ns) * 1e-9 for at, reading in zip(after.at_ns, after.readings, strict=True)
        ]
    windows["idle_after"] = replace(after, readings=readings)
    drifted = host.per_inference(replace(energy_pass, windows=windows))
    assert width(drifted.net) > width(before.net)
    assert width(drifted.gross) == pytest.approx(width(before.gross), rel=0.2)


def test_the_budget_of_the_interval_adds_up_to_it() -> None:
    found = host.per_inference(a_pass())
    total = np.sqrt(sum(size**2 for size in found.notes["budget"].values()))
    assert 1.9 * total < width(found.gross) / 2 < 4.4 * total  # Student's t of 2 degrees of freedom at the most


# the ratio ------------------------------------------------------------------------------------------------------------


def compared(base: Estimate, own: Estimate, idle_w: float = 2.0) -> tuple[Estimate | None, str, str]:
    """Return change, verdict and reason of a variant whose pass began at another idle power."""
    suite = {"task": {"kind": "classification", "positive": ""}, "load": {"margin": 0.02}, "accept": []}

    def run(name: str, estimate: Estimate, idle: float) -> Run:
        measurement = Measurement("energy_j", "J", np.full(10, estimate.point), estimate=estimate)
        return Run(
            name, "c", datetime(2026, 11, 22, tzinfo=UTC), MeasuredCase(name, "us", name, "pi5"),
            Variant(name, "onnx", Path(f"{name}.onnx"), "", 1),
            {"energy_j": measurement}, {}, Conditions(), {}, Validity.VALID,
            notes={"energy": {"idle_w": [idle, idle], "busy_w": 5.0}},
        )  # fmt: skip

    found = compare.compare(run("a", base, 2.0), run("b", own, idle_w), suite)
    (one,) = [one for one in found if one.metric == "energy_ratio"]
    return one.change, str(one.verdict), one.reason


def test_the_ratio_of_energies_carries_both_intervals() -> None:
    change, verdict, _ = compared(Estimate(0.010, 0.0098, 0.0102), Estimate(0.005, 0.0049, 0.0051))
    assert change is not None
    half = np.sqrt(2) * np.log(1.02)
    assert change.point == pytest.approx(0.5)
    assert np.log(change.high / 0.5) == pytest.approx(half, rel=0.02)
    assert np.log(0.5 / change.low) == pytest.approx(half, rel=0.02)
    assert verdict == "improved"


def test_a_drift_of_idle_power_between_two_passes_widens_their_ratio() -> None:
    base, own = Estimate(0.010, 0.00999, 0.01001), Estimate(0.0094, 0.00939, 0.00941)
    calm, drifted = compared(base, own), compared(base, own, idle_w=2.5)
    assert calm[1] == "improved"
    assert drifted[1] == "inconclusive"
    assert drifted[0] is not None
    assert drifted[0].high == pytest.approx(0.94 * np.exp(1.96 / np.sqrt(3) * 0.1), rel=0.01)


def test_one_pass_of_each_never_shows_that_two_energies_are_the_same() -> None:
    one = Estimate(0.010, 0.00999, 0.01001)
    _, verdict, reason = compared(one, one)
    assert verdict == "inconclusive"
    assert "the variance between launches is not in the interval" in reason


def test_an_energy_that_may_be_nothing_has_no_ratio() -> None:
    change, verdict, reason = compared(Estimate(0.010, -0.001, 0.021), Estimate(0.010, 0.009, 0.011))
    assert (change, verdict) == (None, "inconclusive")
    assert reason == "the energy of one inference cannot be distinguished from nothing; measure with a finer meter"
