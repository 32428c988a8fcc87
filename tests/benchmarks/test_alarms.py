"""How often `edgeward watch` wakes somebody for nothing, and what it misses: changes injected into histories.

Nights are drawn from recorded rounds of a quiet and of a busy machine and from a simulation with heavy tails and, once
in thirty nights, an accident of up to 30 %. `make figures` sets EDGEWARD_TRIALS. Where Apache Otava (`apache-otava`,
whose pins do not go with this project's) can be imported, it is given the same nights with its own settings.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable

import numpy as np
import pytest

from harness.compare.watching import Series, news
from tests.benchmarks.disturbance import trials
from tests.unit.test_history import ratios, recorded, simulated

#: Nights before a change, and after it; a change that is not found in those is missed.
BEFORE, AFTER = 40, 10
MARGIN = 0.02
#: How many nights of each kind are measured; histories draw from them.
MEASURED = 40
ACCIDENTS, WORST = 1 / 30, 0.30

Night = tuple[float, float]
Watcher = Callable[[list[Night], Callable[[], Night]], bool]


def drawn(noise: str, rng: np.random.Generator) -> Callable[[float], Night]:
    """Return what draws a night of a case that takes `factor` as long as it used to: logarithm and standard error."""
    draw = simulated if noise == "simulated" else recorded(noise)
    nights = [ratios(draw, rng, 1.0) for _ in range(MEASURED)]

    def one(factor: float) -> Night:
        night = nights[int(rng.integers(0, MEASURED))]
        accident = rng.uniform(0, WORST) if noise == "simulated" and rng.random() < ACCIDENTS else 0.0
        return math.log(night.point * factor) + accident, math.log(night.high / night.low) / 2 / 1.96

    return one


def ours(nights: list[Night], again: Callable[[], Night]) -> bool:
    """Return whether the newest night ends in an alarm, after a suspicion was measured again."""
    found = [standing for shift, standing, _ in news(series(nights), MARGIN) if shift.after > shift.before]
    if "unknown" in found:
        nights.append(again())
        found = [standing for shift, standing, _ in news(series(nights), MARGIN) if shift.after > shift.before]
    return "real" in found


def series(nights: list[Night]) -> Series:
    values = np.array(nights, np.float64)
    return Series(values[:, 0], values[:, 1])


def otava() -> Watcher | None:
    """Return Otava as a watcher: a new change point for the worse is an alarm; None where it is not installed."""
    if importlib.util.find_spec("otava") is None:
        return None
    from otava.analysis import compute_change_points  # type: ignore[import-not-found]

    def watcher(nights: list[Night], _: Callable[[], Night]) -> bool:
        values = [math.exp(value) for value, _ in nights]  # a list: of an array it counts every window's start twice
        now, before = (compute_change_points(part, min_magnitude=MARGIN)[0] for part in (values, values[:-1]))
        known = [one.index for one in before]
        return any(
            one.stats.mean_2 > one.stats.mean_1 and not any(abs(one.index - at) <= 10 for at in known) for one in now
        )

    return watcher


def watched(watcher: Watcher, night: Callable[[float], Night], size: float) -> tuple[int, int]:
    """Return how many alarms came before the change, and after how many nights it was found, 0 for never."""
    nights: list[Night] = []
    false = 0
    for number in range(BEFORE + AFTER):
        factor = 1.0 if number < BEFORE else 1 + size
        nights.append(night(factor))
        if watcher(nights, lambda factor=factor: night(factor)):  # type: ignore[misc]
            if number >= BEFORE:
                return false, number - BEFORE + 1
            false += 1
    return false, 0


@pytest.mark.parametrize("noise", ["quiet", "busy", "simulated"])
def test_nobody_is_woken_for_noise_and_a_change_of_a_tenth_is_found(
    noise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    count = trials(3)
    watchers = {"edgeward watch": ours, "Otava": otava()}
    alarms = {}
    for name, watcher in watchers.items():
        if watcher is None:
            continue
        night = drawn(noise, np.random.default_rng(5))
        for size in (0.03, 0.05, 0.10):
            done = [watched(watcher, night, size) for _ in range(count)]
            false, late = sum(one for one, _ in done), [nights for _, nights in done]
            found = [one for one in late if one]
            alarms[name, size] = false, len(found)
            median = f"after {np.median(found):.0f} nights" if found else "never"
            with capsys.disabled():
                print(
                    f"\n{noise}: {name}: {size:.0%} slower found in {len(found)} of {count}, {median}; "
                    f"false alarms in {count * BEFORE} nights without a change: {false}",
                    end="",
                )
    false = sum(alarms["edgeward watch", size][0] for size in (0.03, 0.05, 0.10))
    assert false <= 0.01 * 3 * count * BEFORE
    assert alarms["edgeward watch", 0.10][1] >= 0.8 * count
