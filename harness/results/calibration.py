"""What a meter made of a known load step: does it follow the load, how late, and how large is what it shows?

The load is idle and busy in turn, in parts of uneven length, so that no delay makes the schedule look like another one.
The power that the meter shows is fitted by least squares to that schedule, passed through a dead time and a first-order
lag (the two that a first-order-plus-dead-time model has: Ziegler and Nichols, "Optimum settings for automatic
controllers", Transactions of the ASME 64, 1942); of a grid of both the pair that leaves least is taken:

    shown(t) = idle + step * lagged(t - dead time)        delay = dead time + time constant

The delay is the time by which the area under a step comes late, so a window of W s with it at one edge takes delay/W of
the step for the wrong state. `explained` is the coefficient of determination of that fit.

Watts of each state are means of its parts, without what comes within dead time and three time constants of an edge.
The parts are the repetitions: the interval takes Student's t of their number, and half a step of the meter (JCGM
100:2008, 4.3.7). The step is each busy part less the mean of both idle parts beside it, which cancels a steady drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import MeasurementError
from harness.model import Estimate, FloatArray
from harness.results import energy
from harness.stats.distributions import t_quantile
from harness.units import NS_PER_S

#: Bins of the power that is fitted; the grids of dead times and of time constants; s.
_BIN_S = 0.1
_DEAD_S = np.arange(0.0, 3.001, 0.05)
_LAGS_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2)
#: Steps in which the schedule itself is passed through a lag, s.
_FINE_S = 0.01
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Answer:
    """What a meter made of a load step.

    Attributes:
        updates_hz: how often the reading changed.
        resolution: the smallest step of the reading, J or W as `quantity` says.
        quantity: "joules" or "watts".
        idle_w, busy_w, step_w: mean power of each state, and what the load adds; W.
        delay_s: how late the reading follows the load.
        explained: share of the variation of the power that the load explains, 0..1; with `inverted` of a reading that
            falls where the load rises.
        inverted: whether it falls.
        drift_w: the last idle part that was seen less the first one.
    """

    updates_hz: float
    resolution: float
    quantity: str
    idle_w: Estimate
    busy_w: Estimate
    step_w: Estimate
    delay_s: float
    explained: float
    inverted: bool
    drift_w: float


def of(
    edges_ns: Sequence[int], at_ns: Sequence[int], readings: Sequence[float], *, quantity: str, resolution: float
) -> Answer:
    """Return what a meter made of a load.

    Args:
        edges_ns: (P + 1,) where the parts of the load begin and end; the first is idle, the next one busy.
        at_ns: (N,) moments of the readings by the same clock.
        readings: (N,) J or W.
        quantity: "joules" or "watts".
        resolution: the step that the meter claims.

    Raises:
        MeasurementError: the meter never changed, or was not read over the whole schedule.
    """
    edges = (np.array(edges_ns, np.int64) - edges_ns[0]) / NS_PER_S
    at = (np.array(at_ns, np.int64) - edges_ns[0]) / NS_PER_S
    shown = np.array(readings, np.float64)
    changes = int(np.count_nonzero(np.diff(shown)))
    if not changes:
        raise MeasurementError("the meter never changed", remedy="connect it, or correct [meter] in the device's file")
    span = float(at[-1] - at[0])
    update_s = span / changes
    if at[0] > edges[:2].mean() or at[-1] < edges[-2:].mean():
        raise MeasurementError("the meter was not read over the whole load", remedy="check again")
    dead, lag, correlation = _fit(edges, at, shown, quantity, max(_BIN_S, update_s))
    means = _means(edges + dead, 3 * lag + update_s, at, shown, quantity)
    step = energy.step_of(shown, resolution)
    unknown = step / math.sqrt(12) / (1.0 if quantity == "watts" else float(np.diff(edges).min()))
    idle, busy = means[0::2], means[1::2]
    rises = busy - np.nanmean([idle[:-1], idle[1:]], axis=0)
    idle = idle[~np.isnan(idle)]
    return Answer(
        changes / span,
        step,
        quantity,
        _estimate(idle, unknown),
        _estimate(busy, unknown),
        _estimate(rises, math.sqrt(1.5) * unknown),
        dead + lag,
        correlation**2,
        correlation < 0,
        float(idle[-1] - idle[0]),
    )


def _fit(
    edges: FloatArray, at: FloatArray, shown: FloatArray, quantity: str, width: float
) -> tuple[float, float, float]:
    """Return dead time and time constant, s, and the correlation with the load that they leave.

    Args:
        edges: (P + 1,) of the parts, s.
        at: (N,) moments of the readings, s.
        shown: (N,) J or W.
        quantity: "joules" or "watts".
        width: of a bin, s.
    """
    begin, end = max(edges[0], at[0]), min(edges[-1], at[-1])
    cuts = np.linspace(begin, end, max(2, round((end - begin) / width)) + 1)
    power = np.diff(energy.joules_at(cuts, at, shown, quantity)) / np.diff(cuts)
    # Later than the last part is long, nothing would be left of it.
    dead = _DEAD_S[edges[-1] - edges[-2] >= _DEAD_S]
    found = np.array([_correlations(_response(edges, lag), cuts, dead, power) for lag in _LAGS_S])
    lag, place = np.unravel_index(int(found.argmax()), found.shape)
    best, plain = float(found[lag, place]), float(found[0, 0])
    # A reading that falls under load must be called that, not a late one.
    return (float(dead[place]), _LAGS_S[lag], best) if best > -plain else (0.0, 0.0, plain)


def _response(edges: FloatArray, lag: float) -> FloatArray:
    """Return (T,) the integral of the lagged schedule at multiples of `_FINE_S`, s."""
    at = np.arange(0.0, edges[-1] + _FINE_S, _FINE_S)
    load = ((np.searchsorted(edges, at, side="right") - 1) % 2).astype(np.float64)
    if lag:
        from scipy.signal import lfilter

        keep = math.exp(-_FINE_S / lag)
        load = lfilter([1 - keep], [1, -keep], load)
    total: FloatArray = np.concatenate([[0.0], np.cumsum(load)]) * _FINE_S
    return total


def _correlations(response: FloatArray, cuts: FloatArray, dead: FloatArray, power: FloatArray) -> FloatArray:
    """Return (D,) the correlation of the power with the schedule after each dead time.

    Args:
        response: (T,) integral of the lagged schedule.
        cuts: (B + 1,) of the bins, s.
        dead: (D,) dead times, s.
        power: (B,) W.
    """
    late = cuts - dead[:, None]
    bins = np.diff(np.interp(late, np.arange(len(response)) * _FINE_S, response))
    bins, power = bins - bins.mean(axis=1, keepdims=True), power - power.mean()
    size = np.sqrt((bins**2).sum(axis=1) * (power @ power))
    found: FloatArray = np.divide(bins @ power, size, out=np.zeros(len(dead)), where=size > 0)
    return found


def _means(edges: FloatArray, settle: float, at: FloatArray, shown: FloatArray, quantity: str) -> FloatArray:
    """Return (P,) the mean power of each part, W, without its beginning, in which the reading settles, half at most.

    The last one is NaN where it comes too late to be seen.

    Args:
        edges: (P + 1,) of the parts as the reading has them, s.
        settle: how long that takes, s.
        at: (N,) moments of the readings, s.
        shown: (N,) J or W.
        quantity: "joules" or "watts".
    """
    lengths = np.diff(edges)
    begins = np.maximum(edges[:-1] + np.minimum(settle, lengths / 2), at[0])
    # The readings end with the schedule, whose last part may come later than that.
    ends = np.minimum(edges[1:], at[-1])
    seen = ends - begins >= lengths / 4
    joules = energy.joules_at(np.concatenate([begins, np.maximum(ends, begins)]), at, shown, quantity)
    means = np.full(len(lengths), np.nan)
    means[seen] = (joules[len(begins) :] - joules[: len(begins)])[seen] / (ends - begins)[seen]
    return means


def _estimate(values: FloatArray, unknown: float) -> Estimate:
    """Return a mean of repetitions; `unknown` is the standard uncertainty of each by the meter's step, W."""
    count = len(values)
    size = math.hypot(float(values.std(ddof=1)) / math.sqrt(count), unknown)
    wide = t_quantile((1 + _CONFIDENCE) / 2, count - 1) * size
    point = float(values.mean())
    return Estimate(point, point - wide, point + wide, _CONFIDENCE, f"Student's t of {count} parts")
