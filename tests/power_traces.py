"""Courses of power that are known exactly, and meters that see them as meters do, in time that passes at once.

The real energy pass of the agent runs on them: only its clock and its meter are replaced.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.agent import contract, energy
from harness.model import FloatArray
from tests.events import event

#: Of a course of power, s.
STEP_S = 1e-3
WINDOW_S = 12.0
#: Before the first window, between two, and after the last.
MARGIN_S = 1.0
INFERENCES = 1000


class VirtualClock(energy.Clock):
    """Time that passes at once, and by the way what is to be done meanwhile."""

    def __init__(self, seed: int = 1) -> None:
        self.now_s = MARGIN_S
        self._sample: Callable[[], None] | None = None
        self._chance = random.Random(seed)

    def now_ns(self) -> int:
        """Return the time that has passed."""
        return round(self.now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        """Let time pass, sampling when it is due."""
        end = self.now_s + seconds
        while self._sample is not None and (due := self.now_s + self._gap_s()) < end:
            self.now_s = due
            self._sample()
        self.now_s = end

    def beside(self, during: Callable[[], Any], sample: Callable[[], None], gap: Callable[[], float]) -> None:
        """Sample while `during` sleeps, at gaps as the real ones but the same in every run."""
        del gap
        self._sample = sample
        during()
        self._sample = None

    def _gap_s(self) -> float:
        return contract.PERIOD_S * self._chance.uniform(*contract.GAPS)


@dataclass(frozen=True)
class Course:
    """A course of power over a whole energy pass.

    Attributes:
        power: (S,) W, one for each STEP_S.
        mean_w: what the busy window would draw on average, were it endless; W.
        load_w: how much of that is the load's, W.
    """

    power: FloatArray
    mean_w: float
    load_w: float

    @property
    def joules(self) -> FloatArray:
        """(S + 1,) joules spent up to each step."""
        return np.concatenate([[0.0], np.cumsum(self.power) * STEP_S])

    def spent(self, begin_ns: int, end_ns: int) -> float:
        """Return the joules of a stretch."""
        at = np.arange(len(self.power) + 1) * STEP_S
        first, last = np.interp([begin_ns * 1e-9, end_ns * 1e-9], at, self.joules)
        return float(last - first)


class Meter:
    """A counter of joules, a power meter that averages between its updates, or one that looks once at each.

    Args:
        course: what flows through it.
        clock: the time.
        kind: "counter", "averaging" or "momentary".
        update_s: between two updates.
        resolution: its step, J or W.
    """

    def __init__(self, course: Course, clock: VirtualClock, kind: str, update_s: float, resolution: float) -> None:
        self.resolution = resolution
        self._course, self._clock, self._kind, self._update_s = course, clock, kind, update_s
        self._joules = course.joules

    @property
    def quantity(self) -> str:
        """What it reads."""
        return "joules" if self._kind == "counter" else "watts"

    def read(self) -> float:
        """Return what it showed at its last update."""
        at = np.floor(self._clock.now_s / self._update_s) * self._update_s
        index = int(at / STEP_S)
        if self._kind == "counter":
            return float(np.floor(self._joules[index] / self.resolution) * self.resolution)
        if self._kind == "momentary":
            watts = self._course.power[index]
        else:
            steps = max(1, round(self._update_s / STEP_S))
            watts = (self._joules[index] - self._joules[index - steps]) / (steps * STEP_S)
        return float(np.round(watts / self.resolution) * self.resolution)

    def charging(self) -> bool:
        """Return False."""
        return False


def wander(chance: np.random.Generator, size: int, deviation: float, memory_s: float) -> FloatArray:
    """Return noise that forgets itself after `memory_s` (an autoregression of the first order)."""
    from scipy.signal import lfilter

    keep = np.exp(-STEP_S / memory_s)
    start = chance.normal(0, 1)
    found, _ = lfilter([np.sqrt(1 - keep**2)], [1, -keep], chance.normal(0, 1, size), zi=[keep * start])
    return deviation * np.asarray(found)


def load(chance: np.random.Generator, kind: str, size: int) -> tuple[FloatArray, float]:
    """Return the power that inferences add, (S,) W, and what it would be on average."""
    watts = chance.uniform(0.5, 5.0)
    if kind == "constant":
        return np.full(size, watts), watts
    if kind == "stepped":
        levels = watts * chance.uniform(0.3, 2.0, chance.integers(2, 5))
        each = chance.uniform(0.03, 0.4, len(levels))
        cycle = np.repeat(levels, np.maximum(1, (each / STEP_S).astype(int)))
        return np.resize(np.roll(cycle, chance.integers(len(cycle))), size), float(cycle.mean())
    rate, width_s, height = chance.uniform(1, 20), chance.uniform(0.005, 0.1), watts * chance.uniform(1, 5)
    starts = chance.random(size) < rate * STEP_S
    width = max(1, round(width_s / STEP_S))
    pulses = np.convolve(starts, np.ones(width))[:size]
    return watts + height * pulses, watts + height * rate * width * STEP_S


def course(chance: np.random.Generator, kind: str) -> Course:
    """Return a course at random: idle power that is noisy and drifts, and a load in the busy window."""
    size = int((2 * MARGIN_S + 3 * WINDOW_S) / STEP_S) + 1000
    at = np.arange(size) * STEP_S
    idle = chance.uniform(0.5, 3.0)
    drift = idle * chance.uniform(-0.05, 0.05) * (at / at[-1] - 0.5)
    noise = wander(chance, size, idle * chance.uniform(0, 0.08), chance.uniform(0.02, 1.5))
    power = idle + drift + noise
    begin, end = (int((MARGIN_S + turn * WINDOW_S) / STEP_S) for turn in (1, 2))
    added, mean = load(chance, kind, end - begin)
    power[begin:end] += added
    middle = idle + float(drift[(begin + end) // 2])
    return Course(np.maximum(power, 0.01), middle + mean, mean)


@dataclass(frozen=True)
class Played:
    """One simulated pass: the event that the agent made, and what was true of it, J of one inference."""

    event: contract.EnergyPass
    spent: float
    expected: float
    expected_net: float


def played(chance: np.random.Generator, kind: str) -> Played:
    """Run the agent's energy pass on a course and a meter at random."""
    clock, made = VirtualClock(int(chance.integers(2**31))), course(chance, kind)
    sort = str(chance.choice(["counter", "averaging", "momentary"]))
    update_s = float(np.exp(chance.uniform(np.log(0.002), np.log(0.05 if sort == "momentary" else 0.2))))
    resolution = made.mean_w * float(np.exp(chance.uniform(np.log(1e-5), np.log(0.02))))
    meter = Meter(made, clock, sort, update_s, resolution * (0.05 if sort == "counter" else 1))

    def infer(seconds: float) -> dict[str, Any]:
        clock.sleep(seconds)
        return {"count": INFERENCES}

    found = energy.watched(meter, meter.quantity, WINDOW_S, infer, clock)
    busy = found["windows"]["busy"]
    each_s = (busy.end_ns - busy.begin_ns) * 1e-9 / INFERENCES
    spent = made.spent(busy.begin_ns, busy.end_ns) / INFERENCES
    return Played(event(contract.EnergyPass, meter=sort, **found), spent, made.mean_w * each_s, made.load_w * each_s)
