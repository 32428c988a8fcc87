"""Joules per inference of an energy pass, gross and net, with an interval that carries what the meter cannot know.

The uncertainties are combined as the Guide to the Expression of Uncertainty in Measurement has it (JCGM 100:2008):
standard uncertainties add in squares (5.1.2), half-widths of what is only bounded are divided by the root of three
(4.3.7), and the interval takes Student's t with the effective degrees of freedom of Welch and Satterthwaite (G.4.1).

    variation   of the power from block to block: means of ten blocks of each window (batch means; Schmeiser, "Batch
                size effects in the analysis of simulation output", Operations Research 30, 1982), their variance
                widened by the correlation between neighbouring blocks. Sampling of a spiky load is in it, because the
                meter is read at random moments.
    resolution  half a step of the meter, which noise averages away: for power by exp(-2 pi² s²/q²), s the noise from
                reading to reading, q the step (Widrow and Kollar, "Quantization Noise", 2008, ch. 5); a counter has it
                twice, at both ends of the window.
    edges       one update of the meter, and the uncertainty between the clocks of host and device, at either end of the
                window, times the step in power between idle and busy, over the window.
    idle        net alone: the variation of both idle windows, and half the difference between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.agent.contract import EnergyPass, EnergyWindow
from harness.errors import MeasurementError
from harness.model import Estimate, FloatArray, Measurement
from harness.stats.distributions import t_quantile
from harness.units import NS_PER_S

#: Blocks of a window, and the most that neighbouring blocks may be believed to agree.
_BLOCKS = 10
_MOST_CORRELATED = 0.7
#: Updates of the meter that a window's beginning is left out for: a reading is about the time before it.
_LAGS = 1
#: The share of a window that must be left between its uncertain ends.
_LEAST_LEFT = 0.7
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class _Part:
    """One standard uncertainty, with the degrees of freedom of its estimate."""

    name: str
    size: float
    freedom: float = math.inf


@dataclass(frozen=True, slots=True)
class Power:
    """Busy and idle power of an energy pass, W, each with what it is uncertain by, and the time of one inference."""

    busy_w: float
    idle_w: float
    busy_parts: Sequence[_Part]
    idle_parts: Sequence[_Part]
    each_s: float

    def mean(self, busy: float) -> Estimate:
        """Return the mean power of a device that is busy for a share of the time, 0..1, and idle otherwise."""
        watts = busy * self.busy_w + (1 - busy) * self.idle_w
        parts = [replace(part, size=busy * part.size) for part in self.busy_parts]
        parts += [replace(part, size=(1 - busy) * part.size) for part in self.idle_parts]
        return _estimate(watts, parts, 1.0)


@dataclass(frozen=True, slots=True)
class Energy:
    """What one energy pass gave.

    Attributes:
        gross, net: joules of one inference, with idle power and without.
        blocks: (10,) gross joules of one inference in each tenth of the busy window.
        power: of both states.
        notes: plain values for the report: meter, quantity, resolution, update_s, clock_s, window_s, inferences,
            busy_w, idle_w (before, after), and `budget`, the standard uncertainties of `gross` by their names, J.
    """

    gross: Estimate
    net: Estimate
    blocks: FloatArray
    power: Power
    notes: Mapping[str, Any] = field(default_factory=dict)


def per_inference(event: EnergyPass) -> Energy:
    """Return the energy of one inference.

    Args:
        event: an energy pass that is not absent; `clock_s` in it is the uncertainty between the clocks that the
            windows and the samples were taken by, s.

    Raises:
        MeasurementError: the samples do not reach over the windows, or too little of a window is left.
    """
    windows, clock_s, quantity = _windows(event), event.clock_s or 0.0, event.quantity or ""
    busy_window = windows["busy"]
    update_s = (busy_window.seconds or 0.0) / (busy_window.updates or 1)
    resolution, inferences = _resolution(event), event.inferences or 0
    levels = {
        name: _Level.of(window, quantity, _LAGS * update_s + clock_s, clock_s, resolution)
        for name, window in windows.items()
    }
    busy, before, after = levels["busy"], levels["idle_before"], levels["idle_after"]
    idle_w = (before.watts + after.watts) / 2
    edge_s = math.hypot(update_s, clock_s) if quantity == "watts" else math.hypot(busy.gap_s, clock_s)
    edges = _Part("edges", math.sqrt(2 / 3) * edge_s * abs(busy.watts - idle_w) / busy.seconds)
    gross = [busy.variation, _Part("resolution", busy.resolution), edges]
    idle = [
        *(_Part("idle", level.variation.size / 2, level.variation.freedom) for level in (before, after)),
        _Part("idle", math.hypot(before.resolution, after.resolution) / 2),
        _Part("idle", abs(before.watts - after.watts) / 2 / math.sqrt(3)),
    ]
    window_s = (busy_window.end_ns - busy_window.begin_ns) / NS_PER_S
    each_s = window_s / inferences
    notes = {
        "meter": event.meter, "quantity": quantity, "resolution": resolution, "update_s": update_s,
        "clock_s": clock_s, "window_s": window_s, "inferences": inferences, "busy_w": busy.watts,
        "idle_w": [before.watts, after.watts], "budget": {part.name: part.size * each_s for part in gross},
        **({"untested": event.untested} if event.untested else {}),
    }  # fmt: skip
    return Energy(
        _estimate(busy.watts, gross, each_s), _estimate(busy.watts - idle_w, [*gross, *idle], each_s),
        busy.blocks * each_s, Power(busy.watts, idle_w, gross, idle, each_s), notes,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Level:
    """The mean power inside a window.

    Attributes:
        watts: the mean.
        blocks: (10,) means of equal parts.
        variation: how well the blocks know the mean.
        resolution: standard uncertainty by the meter's step, W.
        seconds: how much of the window it is the mean of.
        gap_s: mean time between two readings.
    """

    watts: float
    blocks: FloatArray
    variation: _Part
    resolution: float
    seconds: float
    gap_s: float

    @classmethod
    def of(cls, window: EnergyWindow, quantity: str, lead_s: float, tail_s: float, step: float) -> _Level:
        """Measure what is left of a window without its first `lead_s` and last `tail_s`; `step` is in J or W.

        Args:
            window: with its readings.
            quantity: "joules" or "watts".
            lead_s: left out at its beginning.
            tail_s: left out at its end.
            step: of the meter, J or W.
        """
        origin = window.begin_ns
        at = (np.array(window.at_ns, np.int64) - origin) / NS_PER_S
        readings = np.array(window.readings, np.float64)
        end = (window.end_ns - origin) / NS_PER_S
        cuts = np.linspace(lead_s, end - tail_s, _BLOCKS + 1)
        seconds = float(cuts[-1] - cuts[0])
        if seconds < _LEAST_LEFT * end:
            raise MeasurementError(
                f"{end - seconds:.1f} s of a window of {end:.0f} s are uncertain",
                remedy="take a faster meter or a nearer host",
            )
        if at[0] > cuts[0] or at[-1] < cuts[-1]:
            raise MeasurementError("the meter was not read over the whole pass", remedy="measure again")
        joules = joules_at(cuts, at, readings, quantity)
        blocks = np.diff(joules) / np.diff(cuts)
        gap_s = float(at[-1] - at[0]) / (len(at) - 1)
        watts = float((joules[-1] - joules[0]) / seconds)
        if quantity == "joules":
            # The moment of an update is known to one gap, at either end.
            unknown = math.hypot(step / math.sqrt(6), watts * gap_s / math.sqrt(6)) / seconds
        else:
            unknown = _averaged_away(readings, step)
        return cls(watts, blocks, _variation(blocks), unknown, seconds, gap_s)


def joules_at(cuts: FloatArray, at: FloatArray, readings: FloatArray, quantity: str) -> FloatArray:
    """Return (C,) joules at the cuts, counted from any fixed moment.

    Args:
        cuts: (C,) moments within those of the readings, s.
        at: (N,) moments of the readings, s.
        readings: (N,) J or W.
        quantity: "joules" or "watts".
    """
    return _counted(at, readings, cuts) if quantity == "joules" else _integrated(at, readings, cuts)


def _counted(at: FloatArray, readings: FloatArray, cuts: FloatArray) -> FloatArray:
    """Return (C,) joules at the cuts: between two updates of the counter the power is taken as constant."""
    fresh = np.flatnonzero(np.diff(readings, prepend=np.nan) != 0)
    ends = np.unique(np.append(fresh, len(at) - 1))
    found: FloatArray = np.interp(cuts, at[ends], readings[ends])
    return found


def _integrated(at: FloatArray, watts: FloatArray, cuts: FloatArray) -> FloatArray:
    """Return (C,) joules at the cuts, from the first reading on: readings are joined by straight lines."""
    steps = np.diff(at)
    total = np.concatenate([[0.0], np.cumsum((watts[1:] + watts[:-1]) / 2 * steps)])
    index = np.clip(np.searchsorted(at, cuts, side="right") - 1, 0, len(steps) - 1)
    into = cuts - at[index]
    slope = (watts[index + 1] - watts[index]) / np.maximum(steps[index], 1e-9)
    found: FloatArray = total[index] + watts[index] * into + slope * into**2 / 2
    return found


def _variation(blocks: FloatArray) -> _Part:
    size = float(blocks.std(ddof=1)) / math.sqrt(len(blocks))
    if size == 0:
        return _Part("variation", 0.0)
    deviations = blocks - blocks.mean()
    alike = float((deviations[1:] * deviations[:-1]).sum() / (deviations**2).sum()) + 1 / len(blocks)
    alike = min(max(alike, 0.0), _MOST_CORRELATED)
    widened = (1 + alike) / (1 - alike)
    return _Part("variation", size * math.sqrt(widened), max((len(blocks) - 1) / widened, 2.0))


def _averaged_away(readings: FloatArray, step: float) -> float:
    """Return the standard uncertainty of a mean of readings in steps: half a step, less what noise averages away."""
    noise = float(np.median(np.abs(np.diff(readings)))) / (0.6745 * math.sqrt(2))
    return step / 2 / math.sqrt(3) * math.exp(-2 * (math.pi * noise / step) ** 2)


def _windows(event: EnergyPass) -> Mapping[str, EnergyWindow]:
    return event.windows or {}


def _resolution(event: EnergyPass) -> float:
    readings = np.concatenate([np.array(window.readings, np.float64) for window in _windows(event).values()])
    return step_of(readings, event.resolution or 0.0)


def step_of(readings: FloatArray, claimed: float) -> float:
    """Return the step of a meter, J or W: what it claims, or the smallest step that it was seen to take.

    Args:
        readings: (N,) J or W.
        claimed: what the meter says of itself.
    """
    steps = np.diff(np.unique(readings))
    return max(claimed, float(steps.min()) if len(steps) else 0.0)


def _estimate(watts: float, parts: list[_Part], each_s: float) -> Estimate:
    variance = sum(part.size**2 for part in parts)
    spent = sum(part.size**4 / part.freedom for part in parts)
    freedom = variance**2 / spent if spent > 0 else math.inf
    wide = t_quantile((1 + _CONFIDENCE) / 2, min(freedom, 1e9)) * math.sqrt(variance)
    named = ", ".join(dict.fromkeys(part.name for part in parts))
    method = f"GUM: {named}; {min(freedom, 999):.0f} degrees of freedom"
    return Estimate(watts * each_s, (watts - wide) * each_s, (watts + wide) * each_s, _CONFIDENCE, method)


def measurements(events: Sequence[EnergyPass]) -> list[Measurement]:
    """Return gross and net joules per inference of a model's `energy` events, or why there are none."""
    try:
        found = of_events(events)
    except MeasurementError as error:
        return [Measurement(name, "J", absent_reason=str(error)) for name in ("energy_j", "energy_net_j")]
    busy, notes = _windows(events[0])["busy"], found.notes
    how = f"{notes['meter']}, {notes['window_s']:.0f} s window, {busy.updates} updates"
    net = found.blocks - (found.gross.point - found.net.point)
    return [
        Measurement("energy_j", "J", found.blocks, None, f"gross, {how}", estimate=found.gross),
        Measurement("energy_net_j", "J", net, None, f"idle subtracted, {how}", estimate=found.net),
    ]


def notes(events: Sequence[EnergyPass]) -> dict[str, Any]:
    """Return {"energy": what the report says of the meter}, {} if there is no energy."""
    try:
        return {"energy": dict(of_events(events).notes)}
    except MeasurementError:
        # The measurements say why.
        return {}


def of_events(events: Sequence[EnergyPass]) -> Energy:
    """Return the energy of a model's `energy` events; raises MeasurementError with the reason where there is none."""
    if not events:
        raise MeasurementError("no meter configured")
    if events[0].absent:
        raise MeasurementError(events[0].absent)
    if _windows(events[0])["busy"].readings is None:
        raise MeasurementError("the runner sent no readings of the meter", remedy="bring the runner of this version")
    return per_inference(events[0])
