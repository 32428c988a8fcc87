"""What is made of a meter's readings under a known load: followed, late, averaged, inverted, or something else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.signal import lfilter

from harness.errors import MeasurementError
from harness.measure import calibration as check
from harness.measure.preflight import Finding
from harness.model import FloatArray
from harness.results import calibration
from harness.results.calibration import Answer

EDGES = np.concatenate([[0.0], np.cumsum(check.STEPS_S)])
Power = Callable[[FloatArray], FloatArray]


def load(at: FloatArray) -> FloatArray:
    """Return 1 where all cores are busy at moments of the schedule, s, else 0."""
    busy = (np.searchsorted(EDGES, at, side="right") - 1) % 2 == 1
    found: FloatArray = (busy & (at >= 0) & (at < EDGES[-1])).astype(np.float64)
    return found


def averaged(time_constant_s: float, at: FloatArray) -> FloatArray:
    """Return the load as a meter with a first-order lag has it."""
    fine = np.arange(-1.0, EDGES[-1] + 1, 0.01)
    keep = np.exp(-0.01 / time_constant_s)
    found: FloatArray = np.interp(at, fine, lfilter([1 - keep], [1, -keep], load(fine)))
    return found


def seen(power: Power, *, noise: float = 0.02, step: float = 1e-3, period_s: float = 0.05, seed: int = 1) -> Answer:
    """Return what is made of a meter that shows a course of power."""
    chance = np.random.default_rng(seed)
    at = np.cumsum(chance.uniform(0.5, 1.5, 4 * round(EDGES[-1] / period_s)) * period_s) - 2 * period_s
    at = at[: np.searchsorted(at, EDGES[-1] + period_s) + 1]
    shown = np.round((power(at) + chance.normal(0, noise, len(at))) / step) * step
    ns = ((at + 1000) * 1e9).astype(np.int64).tolist()
    edges = ((EDGES + 1000) * 1e9).astype(np.int64).tolist()
    return calibration.of(edges, ns, shown.tolist(), quantity="watts", resolution=step)


def lines(answer: Answer, got: float = 1.0) -> dict[str, Finding]:
    return {one.topic: one for one in check.judged(answer, kind="hwmon", got=got, cores=4)}


def bad(answer: Answer) -> list[str]:
    return [topic for topic, one in lines(answer).items() if one.needed and not one.ok]


def test_a_meter_that_follows_is_believed_and_its_watts_are_right() -> None:
    answer = seen(lambda at: 2 + 4 * load(at))
    assert bad(answer) == []
    assert answer.idle_w.low < 2.01 < answer.idle_w.high + 0.02
    assert (answer.idle_w.point, answer.busy_w.point, answer.step_w.point) == pytest.approx((2, 6, 4), abs=0.06)
    assert answer.delay_s <= 0.05
    assert answer.explained > 0.98
    assert answer.updates_hz == pytest.approx(20, rel=0.05)


def test_a_counter_of_joules_is_believed_as_power_is() -> None:
    at = np.arange(-0.2, EDGES[-1] + 0.2, 0.05)
    joules = np.floor(np.cumsum(2 + 4 * load(at)) * 0.05 * 1e6) * 1e-6
    ns, edges = [(moments * 1e9).astype(np.int64).tolist() for moments in (at + 9, EDGES + 9)]
    answer = calibration.of(edges, ns, joules.tolist(), quantity="joules", resolution=1e-6)
    assert bad(answer) == []
    assert (answer.idle_w.point, answer.busy_w.point) == pytest.approx((2, 6), abs=0.06)


def test_a_late_meter_is_seen_and_refused_by_how_late_it_is() -> None:
    answer = seen(lambda at: 2 + 4 * load(at - 2))
    assert answer.delay_s == pytest.approx(2, abs=0.06)
    assert answer.step_w.point == pytest.approx(4, abs=0.1), "the watts do not suffer from the delay"
    assert bad(answer) == ["delay"]
    said = lines(answer)["delay"].says
    assert said.startswith("the reading follows the load after 2.0")
    assert said.endswith("17 % of the step in the wrong window of 12.0 s")


@pytest.mark.parametrize("time_constant_s", [0.8, 6.0, 60.0])
def test_a_meter_that_is_averaged_is_refused_however_well_it_fits(time_constant_s: float) -> None:
    answer = seen(lambda at: 2 + 4 * averaged(time_constant_s, at), noise=0.0005)
    assert answer.explained > 0.98
    assert answer.delay_s == pytest.approx(time_constant_s, rel=0.25)
    assert "delay" in bad(answer)


def test_a_meter_of_a_tenth_of_a_second_is_not_refused_for_that() -> None:
    assert bad(seen(lambda at: 2 + 4 * averaged(0.1, at))) == []


def test_a_meter_that_falls_under_load_is_called_inverted_not_late() -> None:
    answer = seen(lambda at: 6 - 4 * load(at))
    assert (answer.inverted, bad(answer)) == (True, ["step"])
    assert lines(answer)["step"].says == f"it falls by {-answer.step_w.point:.2f} W where the load rises"


def test_a_meter_that_stands_still_gives_no_answer() -> None:
    with pytest.raises(MeasurementError, match="never changed"):
        seen(lambda at: 2 + 0 * at, noise=0)


def test_a_meter_that_was_read_for_a_part_of_the_load_gives_no_answer() -> None:
    at = np.arange(3.0, EDGES[-1] + 0.2, 0.05)
    ns, edges = [(moments * 1e9).astype(np.int64).tolist() for moments in (at, EDGES)]
    with pytest.raises(MeasurementError, match="not read over the whole load"):
        calibration.of(edges, ns, np.sin(at * 99).tolist(), quantity="watts", resolution=1e-6)


def test_slow_tiny_and_backward_meters_are_refused_each_by_its_own_line() -> None:
    assert bad(seen(lambda at: 2 + 4 * load(at), period_s=0.3)) == ["energy"]
    assert bad(seen(lambda at: 0.02 + 0.04 * load(at), noise=1e-4, step=1e-5)) == ["busy"]
    assert "busy" in bad(seen(lambda at: -2 - 4 * load(at)))


def test_drift_coarse_steps_and_a_starved_load_are_said_and_do_not_refuse_a_meter() -> None:
    found = lines(seen(lambda at: 2 + 4 * load(at) + 0.1 * at), got=0.5)
    assert [topic for topic, one in found.items() if not one.ok] == ["load", "drift"]
    assert found["load"].says == "50 % of the time of 4 cores"
    coarse = lines(seen(lambda at: 2 + 4 * load(at), noise=0.3, step=0.5))
    assert [topic for topic, one in coarse.items() if not one.ok] == ["resolution"]


def wandering(chance: np.random.Generator, at: FloatArray) -> FloatArray:
    return np.asarray(5 + np.cumsum(chance.normal(0, 0.1, len(at))), np.float64)


def switching(chance: np.random.Generator, at: FloatArray) -> FloatArray:
    edges = np.cumsum(chance.exponential(3.0, 40)) - 5
    return np.asarray(2 + 4.0 * (np.searchsorted(edges, at) % 2), np.float64)


def square(chance: np.random.Generator, at: FloatArray) -> FloatArray:
    return np.asarray(2 + 4.0 * ((at + chance.uniform(0, 12)) // chance.uniform(1, 6) % 2), np.float64)


@pytest.mark.parametrize("kind", [wandering, switching, square])
def test_a_meter_of_something_else_is_not_believed_by_chance(
    kind: Callable[[np.random.Generator, FloatArray], FloatArray],
) -> None:
    chance, tries = np.random.default_rng(7), 40
    believed = sum(not bad(seen(partial(kind, chance), seed=number)) for number in range(tries))
    print(f"\n{kind.__name__}: {believed} of {tries} meters that know nothing of the load were believed")
    assert believed <= 1
