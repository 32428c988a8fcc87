"""Hours of use at a stated duty: by hand, with their interval, against the baseline, and why there are none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import compare
from harness.agent import contract
from harness.agent.energy import sums
from harness.errors import MeasurementError
from harness.model import Duty, Run
from harness.results import energy, use
from harness.vocabulary import METRICS
from tests.made_runs import BASELINE, FASTER, SUITE, measured

THIRTY = Duty(30.0, "30 frames a second")
EXAM = Duty(600 / 600, "an exam of 600 frames every 10 min")
WINDOW_S, STEP_W = 12.0, 1e-3


def an_energy_pass(busy_w: float, idle_w: float, inferences: int, meter: str = "hwmon") -> contract.EnergyPass:
    """Return a pass of which the powers are known, as a meter shows them that jitters by its last digit."""
    windows, begin, chance = {}, 5_000_000_000, np.random.default_rng(3)
    for name, watts in zip(contract.WINDOWS, (idle_w, busy_w, idle_w), strict=True):
        at = (begin + np.arange(-0.05, WINDOW_S + 0.06, 0.05) * 1e9).astype(np.int64).tolist()
        readings = (watts + chance.integers(-2, 3, len(at)) * STEP_W).tolist()
        end = begin + int(WINDOW_S * 1e9)
        windows[name] = contract.EnergyWindow(begin, end, at, readings, **sums(at, readings, "watts"))
        begin = end
    return contract.EnergyPass(
        "energy", 1, 0, 0, 1, meter=meter, quantity="watts", resolution=STEP_W, inferences=inferences, windows=windows
    )


#: 1,200 inferences in 12 s: each takes 10 ms, 50 mJ of which 30 mJ are not idle power's.
PASS = an_energy_pass(5.0, 2.0, 1200)


def hours(event: contract.EnergyPass = PASS, duty: Duty = THIRTY, capacity_wh: float | None = 50.0) -> Any:
    return use.hours(energy.per_inference(event), duty, capacity_wh)


def test_thirty_frames_a_second_by_hand() -> None:
    # Busy for 0.3 of the time: 0.3 x 5 W + 0.7 x 2 W = 2.9 W, of 50 Wh: 17.24 h.
    found = hours()
    assert found.point == pytest.approx(50 / 2.9, rel=2e-3)
    assert found.low < 50 / 2.9 < found.high


def test_an_exam_every_ten_minutes_by_hand() -> None:
    # 600 frames in 10 minutes are one a second: 0.01 x 5 W + 0.99 x 2 W = 2.03 W, of 50 Wh: 24.63 h.
    assert hours(duty=EXAM).point == pytest.approx(50 / 2.03, rel=2e-3)


def test_it_is_idle_power_and_the_net_joules_of_each_inference() -> None:
    found = energy.per_inference(PASS)
    watts = found.power.idle_w + 30 * found.net.point
    assert hours().point == pytest.approx(50 / watts, rel=1e-9)


def test_the_interval_is_that_of_the_power_turned_round() -> None:
    power = energy.per_inference(PASS).power
    always, never, half = power.mean(1.0), power.mean(0.0), power.mean(0.5)
    found = energy.per_inference(PASS)
    assert (always.low, always.high) == pytest.approx(tuple(end / 0.01 for end in (found.gross.low, found.gross.high)))
    assert never.point == pytest.approx(2.0, rel=1e-3)
    assert half.high - half.low < max(always.high - always.low, never.high - never.low)
    mean = power.mean(0.3)
    assert (hours().low, hours().high) == pytest.approx((50 / mean.high, 50 / mean.low))
    assert mean.high - mean.low > 0


def test_twice_the_battery_lasts_twice_as_long() -> None:
    assert hours(capacity_wh=100.0).point == pytest.approx(2 * hours().point)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"capacity_wh": None}, "the battery's capacity is not known; add [battery] to the device's file"),
        ({"event": an_energy_pass(5.0, 2.0, 1200, "powercap")}, "powercap reads the processor's package alone"),
        ({"duty": Duty(120.0, "120 frames a second")}, "does not keep up with 120 frames a second: that takes 120 %"),
        ({"event": an_energy_pass(5.0, 0.0, 1200)}, "idle power was not measured"),
    ],
)
def test_hours_that_nobody_can_know_are_refused_by_their_reason(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(MeasurementError) as refused:
        hours(**changes)
    assert says in str(refused.value)


def test_without_a_duty_nothing_is_said_and_without_energy_its_reason_is() -> None:
    assert use.measurements([PASS], None, 50.0) == []
    refused = contract.EnergyPass("energy", 1, 0, 0, 1, absent="the battery is charging; unplug it")
    (absent,) = use.measurements([refused], THIRTY, 50.0)
    assert absent.absent_reason == "the battery is charging; unplug it"
    (found,) = use.measurements([PASS], THIRTY, 50.0)
    assert found.method == "30 frames a second, idle otherwise, a battery of 50 Wh"


def with_hours(run: Run, event: contract.EnergyPass) -> Run:
    found = measured(run, *energy.measurements([event]), *use.measurements([event], THIRTY, 50.0))
    return replace(found, notes={**run.notes, **energy.notes([event])})


def test_hours_are_compared_with_the_baselines_and_more_is_better() -> None:
    # The variant takes 5 ms: 0.15 x 5 W + 0.85 x 2 W = 2.45 W against 2.9 W.
    baseline, run = with_hours(BASELINE, PASS), with_hours(FASTER, an_energy_pass(5.0, 2.0, 2400))
    changes = {one.metric: one for one in compare.compare(baseline, run, SUITE)}
    found = changes["use_ratio"]
    assert found.change is not None
    assert found.change.point == pytest.approx(2.9 / 2.45, rel=3e-3)
    assert found.change.low < 2.9 / 2.45 < found.change.high
    assert found.verdict == "improved"
    assert "use_ratio" not in {one.metric for one in compare.compare(BASELINE, FASTER, SUITE)}


def test_idle_power_that_moved_between_two_passes_widens_their_ratio() -> None:
    baseline, run = with_hours(BASELINE, PASS), with_hours(FASTER, an_energy_pass(5.5, 2.5, 2400))
    found = {one.metric: one.change for one in compare.compare(baseline, run, SUITE)}["use_ratio"]
    assert found is not None
    assert found.high / found.low > 1.4, "half a watt of two may be the device's doing, not the model's"


def test_hours_may_be_asked_for() -> None:
    assert METRICS["use_h"].rules == ("min",)
    assert METRICS["use_ratio"].rules == ("min",)
