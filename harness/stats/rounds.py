"""The ratio of two latencies measured in rounds that took turns, with an interval that may be looked at any time.

What was chosen, and what it gave on recorded noise (tests/unit/data; launches cut from the records at random; a false
alarm is any look at which the interval excludes a true ratio of 1, power is finding a true change of 3 % by then;
tests/unit/test_noise.py prints the figures anew):

* A low quantile of a round, 5 % where it has 13 inferences or more, not its median: other work only ever adds time, and
  what it leaves alone repeats. It is the highest of the lowest: the same quantile of both models, chosen by the round
  that has fewer inferences, and median-unbiased (Hyndman and Fan 1996, type 8), for the minimum of many is lower than
  that of few. It must not hide that most inferences are slow: where the interval of round medians lies wholly
  elsewhere, that one is given. A slow tail shows in p90 and p99 of the raw samples.
* Two ways to locate a launch, for there are two kinds of noise. The median of its paired rounds cancels what comes
  slowly (drift, throttling); the lowest round of each model against the other's passes by what comes in bursts. Both
  are symmetric about the truth when the models take turns in random order. Either alone is blind to one kind: the
  evidence of both is averaged, which costs a factor of two at most.
* Launches as the unit, so that the interval carries the variance between launches (Kalibera and Jones 2013).
* For each way the average of two e-processes over launches, one efficient (t), one robust (sign).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.agent.contract import ROUND_QUANTILE
from harness.errors import MeasurementError
from harness.model import Estimate, FloatArray, IntArray, Omission
from harness.stats.evidence import confidence_sequence, median_sequence
from harness.units import counted

BoolArray = npt.NDArray[np.bool_]

#: How it is taken from few samples, in NumPy's words.
QUANTILE_METHOD: Final = "median_unbiased"
#: Marked rounds are left out if at least this share of their launch is not marked, so that pairs remain.
_QUIET_SHARE = 2 / 3
#: Launches before anybody looks: fewer cannot show the variance between launches.
MIN_LAUNCHES = 4
#: What `Estimate.method` says where rounds had to stand in for launches.
ONE_LAUNCH = "variance between launches not included"


def round_quantile(inferences: int) -> float:
    """Return the quantile that stands for a round: `ROUND_QUANTILE`, or the lowest that so few inferences have.

    Below it, Hyndman and Fan's type 8 would give the minimum, whose bias depends on the number of inferences.
    """
    return max(ROUND_QUANTILE, (2 / 3) / (inferences + 1 / 3))


def quiet_rounds(marked: BoolArray, launches: IntArray) -> BoolArray:
    """Return which rounds of a model are to be compared: (R,), those that the sentinel did not mark.

    Where much of a launch is marked there is no quiet stretch to choose: all of it counts, and turns cancel what they
    can. Each launch is judged by itself, so that what comes later changes nothing of what was decided.

    Args:
        marked: (R,) whether the processor ran slower around a round.
        launches: (R,) launch numbers.
    """
    keep = ~marked
    for launch in np.unique(launches):
        own = launches == launch
        if keep[own].mean() < _QUIET_SHARE:
            keep[own] = True
    return keep


def round_log_levels(
    base_values: FloatArray,
    base_rounds: IntArray,
    values: FloatArray,
    rounds: IntArray,
    *,
    base_keep: BoolArray | None = None,
    keep: BoolArray | None = None,
    quantile: float | None = None,
) -> tuple[IntArray, FloatArray]:
    """Return the launch and the logs of the two levels of every pair of rounds.

    The k-th round of launch l of the one pairs with the k-th round of launch l of the other: the conductor lets every
    model take it before the next begins. A round that only one of them took is left out.

    Args:
        base_values: (N,) latencies of the baseline, in seconds, all above zero.
        base_rounds: (R, 3) launch, start and stop index into `base_values`.
        values: (M,) latencies of the variant, in seconds, all above zero.
        rounds: (S, 3) the same for `values`.
        base_keep: (R,) False for rounds of the baseline to leave out, e.g. marked by the sentinel.
        keep: (S,) the same for the variant's rounds.
        quantile: what of a round stands for it; None for `round_quantile` of the round that has fewer inferences.

    Returns:
        (P,) launch numbers and (P, 2) natural logarithms of the level of baseline and variant, in log seconds.

    Raises:
        MeasurementError: if a round is empty, lies outside the values, or a latency is not a positive number.
    """
    base = _chunks(base_values, base_rounds, base_keep)
    own = _chunks(values, rounds, keep)
    shared = [key for key in own if key in base]
    levels = [_levels(base[key], own[key], quantile) for key in shared]
    return np.array([launch for launch, _ in shared], np.int64), np.log(np.array(levels, np.float64).reshape(-1, 2))


def _levels(base: FloatArray, own: FloatArray, quantile: float | None) -> tuple[float, float]:
    q = round_quantile(min(len(base), len(own))) if quantile is None else quantile
    return float(np.quantile(base, q, method=QUANTILE_METHOD)), float(np.quantile(own, q, method=QUANTILE_METHOD))


def _chunks(values: FloatArray, rounds: IntArray, keep: BoolArray | None) -> dict[tuple[int, int], FloatArray]:
    """Return the latencies of each round to keep by its launch and its place there."""
    chunks: dict[tuple[int, int], FloatArray] = {}
    position: dict[int, int] = {}
    for index, (launch, start, stop) in enumerate(rounds.tolist()):
        place = position.get(launch, 0)
        position[launch] = place + 1
        if keep is not None and not keep[index]:
            continue
        if not 0 <= start < stop <= len(values):
            raise MeasurementError(
                f"round {index} spans {start}..{stop} of {len(values)} latencies", remedy="measure the case again"
            )
        chunk = values[start:stop]
        if not (np.isfinite(chunk).all() and chunk.min() > 0):
            raise MeasurementError(
                f"round {index} holds a latency that is not a positive number", remedy="measure the case again"
            )
        chunks[launch, place] = chunk
    return chunks


def launch_locations(launches: IntArray, levels: FloatArray) -> FloatArray:
    """Return two log ratios of each launch, (L, 2) in the order of launch numbers.

    The first is the median of its rounds' log ratios, the second that of its lowest levels.

    Args:
        launches: (P,) launch numbers.
        levels: (P, 2) as of `round_log_levels`.
    """
    parts = [levels[launches == launch] for launch in np.unique(launches)]
    both = [(np.median(part[:, 1] - part[:, 0]), part[:, 1].min() - part[:, 0].min()) for part in parts]
    return np.array(both, np.float64).reshape(-1, 2)


def ratio_estimate(
    base_values: FloatArray,
    base_rounds: IntArray,
    values: FloatArray,
    rounds: IntArray,
    *,
    base_keep: BoolArray | None = None,
    keep: BoolArray | None = None,
    confidence: float = 0.95,
) -> Estimate | None:
    """Return the latency ratio variant / baseline with an interval that is valid at every look.

    What any look since `MIN_LAUNCHES` has ruled out stays ruled out, so a verdict that ended the measuring stands after
    the launch that was under way. With too few launches for an interval (fewer than four at 95 %) the rounds stand in
    for them, by signs alone; `method` then says that the variance between launches is not included. Where round medians
    contradict the low quantiles, they are what is given.

    Args:
        base_values: see `round_log_levels`, as all arrays here.
        base_rounds: (R, 3).
        values: (M,).
        rounds: (S, 3).
        base_keep: (R,) or None.
        keep: (S,) or None.
        confidence: of the interval, at all looks at once.

    Returns:
        The estimate, or None while neither launches nor rounds suffice for an interval.

    Raises:
        MeasurementError: as `round_log_levels`.
    """
    masks = {"base_keep": base_keep, "keep": keep}
    quiet, typical = (
        _estimate(*round_log_levels(base_values, base_rounds, values, rounds, **masks, quantile=q), confidence)
        for q in (None, 0.5)
    )
    if quiet is not None and typical is not None and (typical.low > quiet.high or typical.high < quiet.low):
        method = f"{typical.method}, by medians since low quantiles say {quiet.point:.2f}"
        return replace(typical, method=method)
    return quiet


def _estimate(launches: IntArray, levels: FloatArray, confidence: float) -> Estimate | None:
    if len(levels) == 0:
        return None
    locations = launch_locations(launches, levels)
    low, high = confidence_sequence(locations, confidence, first_look=MIN_LAUNCHES)
    of_launches = counted(len(locations), "launch", "launches")
    paired = counted(len(levels), "paired round")
    method, omits = f"confidence sequence over {of_launches}, {paired}", Omission.NOTHING
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = median_sequence(levels[:, 1] - levels[:, 0], confidence)
        method = f"{ONE_LAUNCH}: confidence sequence over {paired} of {of_launches}"
        omits = Omission.LAUNCHES
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    # The middle of the locations always lies inside; that of launches may not when rounds stand in.
    point = min(max(float(np.median(locations.mean(axis=1))), low), high)
    return Estimate(math.exp(point), math.exp(low), math.exp(high), confidence, method, omits)
