"""Ratios of times, bytes and joules, run over baseline."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.compare.launches import levels
from harness.model import Estimate, FloatArray, IntArray, Measurement, Omission, Reason, Run
from harness.stats import absence
from harness.units import times
from harness.vocabulary import PATHS, MetricInfo

#: What `Estimate.method` says where the two were not measured in turns.
UNPAIRED = "unpaired"

_FEW_WINDOWS: Final = Reason("too few windows for an interval: set a longer max_duration_s")
_FEW_ROUNDS: Final = Reason("too few rounds in turns with the baseline for an interval: measure for longer")
_FEW_SAMPLES: Final = Reason("too few samples for an interval: measure for longer")
_NOT_BY_PATH: Final = Reason(
    "the time depends on the image, which is compared of variants alone, with single images back to back",
    'write scenario = "single_stream" under [load]',
)
#: From which difference (of logarithms) on two methods to compare latencies give different answers.
_DIFFERENT = 0.05

Change = tuple[Estimate | None, list[Reason]]
#: What the two runs of a comparison are called in its reasons.
ROLES = ("baseline", "run")


def cost_change(info: MetricInfo, baseline: Run, run: Run, roles: tuple[str, str] = ROLES) -> Change:
    """Return the ratio of one cost with its interval, and what must be said about it.

    Args:
        info: a metric of kind "ratio".
        baseline: the run of the baseline.
        run: the run of the variant.
        roles: what the two are called in reasons.

    Returns:
        The estimate, or None with the reason why there is none.
    """
    if info.name == "size_ratio":
        return _sizes(baseline, run)
    found: list[Measurement] = []
    for role, one in zip(roles, (baseline, run), strict=True):
        measurement = measured(info, one, role)
        if isinstance(measurement, Reason):
            return None, [measurement]
        if not measurement.values.min() > 0:
            return None, [
                Reason(f"{role}: {info.measurement} holds values that are not above zero, a ratio has no meaning")
            ]
        found.append(measurement)
    remarks = [Reason("estimated by a model, not measured")] if any(m.estimated for m in found) else []
    base, own = (one.estimate for one in found)
    if info.name in ("energy_ratio", "use_ratio") and base is not None and own is not None:
        # Hours follow mean power, which is at least idle power.
        drift = _idle_drift(baseline, run, "busy_w" if info.name == "energy_ratio" else "idle_w")
        return _energies(base, own, drift)
    if info.name == "latency_ratio":
        change, more = _latency(baseline, run, *found)
    else:
        change, more = _repeated(info, *found)
    return change, [*remarks, *more]


def measured(info: MetricInfo, run: Run, role: str) -> Measurement | Reason:
    """Return what a run holds of what a metric is computed from, or why it holds nothing.

    Args:
        info: the metric.
        run: the run.
        role: what it is called in the reason.
    """
    measurement = run.measurements.get(info.measurement)
    reason = absence(measurement)
    return Reason(f"{role}: {reason}") if measurement is None or reason else measurement


def _sizes(baseline: Run, run: Run) -> Change:
    sizes = [one.variant.size_bytes for one in (baseline, run)]
    if not (sizes[0] and sizes[1]):
        return None, [Reason("the size of a model file is not recorded")]
    ratio = sizes[1] / sizes[0]
    return Estimate(ratio, ratio, ratio, 1.0, "exact: bytes of the model files"), []


def _repeated(info: MetricInfo, base: Measurement, own: Measurement) -> Change:
    # Cold starts have heavy tails, so ranks where there are enough; memory and energy repeat closely.
    change = None
    if info.name in ("load_ratio", "first_inference_ratio"):
        change = stats.rank_ratio(base.values, own.values)
    change = change or stats.mean_ratio(base.values, own.values)
    if change is None:
        ratio = float(np.median(own.values) / np.median(base.values))
        return None, [Reason(f"{times(ratio)} by a single reading: an interval needs at least two of each")]
    return change, []


def _energies(base: Estimate, own: Estimate, idle_drift: float) -> Change:
    """Return the ratio of two energies, or of hours, whose errors are apart: each has windows of its own.

    The interval is the logarithmic one recovered from both (MOVER: Donner and Zou, "Closed-form confidence intervals
    for functions of the normal mean and standard deviation", Statistical Methods in Medical Research 21, 2012). What a
    meter gets wrong by the same factor both times cancels in the ratio, so to take it as apart errs to the wide side.

    Idle power belongs to the device, not to the model: by how much it differed between the two passes something else
    drew more in one of them, and perhaps in its busy window alone. That much may be missing on either side (JCGM
    100:2008, 4.3.7), in the busy power of the one that drew less.

    Args:
        base: of the baseline.
        own: of the run.
        idle_drift: by how much idle power differed, as a share of the power concerned.
    """
    if base.low <= 0 or own.low <= 0:
        return None, [
            Reason("the energy of one inference cannot be distinguished from nothing", "measure with a finer meter")
        ]
    drift = 1.96 / math.sqrt(3) * idle_drift
    below = math.hypot(math.log(own.point / own.low), math.log(base.high / base.point), drift)
    above = math.hypot(math.log(own.high / own.point), math.log(base.point / base.low), drift)
    ratio = own.point / base.point
    method = f"{stats.ONE_LAUNCH}: both intervals and the drift of idle power between them (MOVER)"
    low, high = ratio * math.exp(-below), ratio * math.exp(above)
    return Estimate(ratio, low, high, own.confidence, method, Omission.LAUNCHES), []


def _idle_drift(baseline: Run, run: Run, against: str) -> float:
    """Return by how much idle power differed between two passes, as a share of the smaller power.

    Args:
        baseline: the run of the baseline.
        run: the run that is compared with it.
        against: of which power, a key of the notes on energy.
    """
    notes = [one.notes["energy"] for one in (baseline, run) if "energy" in one.notes]
    if len(notes) < 2:
        return 0.0
    idle = [float(np.mean(one["idle_w"])) for one in notes]
    return abs(idle[0] - idle[1]) / min(float(np.mean(one[against])) for one in notes)


def _latency(baseline: Run, run: Run, base: Measurement, own: Measurement) -> Change:
    if any(PATHS in one.notes for one in (baseline, run)):
        return _by_path(baseline, run, base, own)
    if run.case.scenario == "sustained":
        change = _over_time(base, own)
        return change, [] if change is not None else [_FEW_WINDOWS]
    together = baseline.campaign == run.campaign and base.rounds is not None and own.rounds is not None
    if together and base.rounds is not None and own.rounds is not None:
        change = stats.ratio_estimate(
            base.values,
            base.rounds,
            own.values,
            own.rounds,
            base_keep=_unmarked(baseline, base.rounds),
            keep=_unmarked(run, own.rounds),
        )
        if change is None:
            return None, [_FEW_ROUNDS]
    else:
        change = _apart(base, own)
        if change is None:
            return None, [_FEW_SAMPLES]
    return _widened(change, float(np.median(own.values) / np.median(base.values)))


def _by_path(baseline: Run, run: Run, base: Measurement, own: Measurement) -> Change:
    """Return the ratio of the mean image's latency, of a model whose time depends on the image.

    A quantile would be that of the way that most images take. So each way through the file is compared as any model
    is, and the ratios are weighted by the shares of the split that take them. Each of P intervals misses the truth in
    1/P of the cases that the whole may (Bonferroni), so that the weighted ends hold together.
    """
    ways = run.notes.get(PATHS)
    if PATHS in baseline.notes or ways is None or not ways["timed"] or base.rounds is None or own.rounds is None:
        return None, [_NOT_BY_PATH]
    if baseline.campaign != run.campaign:
        return None, [Reason("its time depends on the image, which is compared in turns with the baseline alone")]
    wanted = [(int(path), share) for path, share in ways["shares"].items()]
    changes: list[Estimate] = []
    remarks: list[Reason] = []
    for path, share in wanted:
        of_path, rounds, have = stats.of_path(own.rounds, ways["timed"], path, len(own.values))
        if not of_path.any():
            return None, [Reason(f"the way that {share:.1%} of the images take was not timed")]
        change = stats.ratio_estimate(
            base.values,
            base.rounds,
            own.values[of_path],
            rounds,
            base_keep=_unmarked(baseline, base.rounds),
            keep=_unmarked(run, own.rounds) & have,
            confidence=1 - 0.05 / len(wanted),
        )
        if change is None:
            return None, [_FEW_ROUNDS]
        widened, said = _widened(change, float(np.median(own.values[of_path]) / np.median(base.values)))
        changes.append(widened or change)
        remarks += [*said, Reason(f"{share:.1%} of the images take {times(changes[-1].point)}")]
    point, low, high = (
        sum(share * getattr(change, end) for (_, share), change in zip(wanted, changes, strict=True))
        for end in ("point", "low", "high")
    )
    omits = next((one.omits for one in changes if one.omits is not Omission.NOTHING), Omission.NOTHING)
    method = f"weighted by the shares of the images that take each of {len(wanted)} ways: {changes[-1].method}"
    return Estimate(point, low, high, 0.95, method, omits), remarks


def _widened(change: Estimate, medians: float) -> Change:
    # The level of a round is a low quantile. The answer must hold for the typical inference too, so the interval is
    # stretched to the ratio of all samples' medians. These scatter as the machine is disturbed: they take a change back
    # only where they give another answer, which the reader is shown; that nothing changed they must confirm.
    if change.low <= medians <= change.high:
        return change, []
    differs = abs(math.log(medians / change.point)) >= _DIFFERENT
    low, high = min(change.low, medians), max(change.high, medians)
    if not differs and low <= 1 < change.low:
        low = change.low
    if not differs and change.high < 1 <= high:
        high = change.high
    remarks = [Reason(f"the ratio of all samples' medians is {times(medians)}")] if differs else []
    method = f"{change.method}, widened to the medians of all samples"
    return replace(change, low=low, high=high, method=method), remarks


def _unmarked(run: Run, rounds: IntArray) -> npt.NDArray[np.bool_]:
    """Return (R,) False for the rounds that `notes["marked_rounds"]` lists (row numbers) and that may be left out."""
    marked = np.zeros(len(rounds), bool)
    marked[np.asarray(run.notes.get("marked_rounds", ()), np.int64)] = True
    return stats.quiet_rounds(marked, rounds[:, 0])


def _apart(base: Measurement, own: Measurement) -> Estimate | None:
    change = stats.mean_ratio(levels(base, 0.5), levels(own, 0.5))
    if change is None:
        change = _quotient_of_medians(base.values, own.values)
    if change is None:
        return None
    return replace(change, method=f"{UNPAIRED}: {change.method}", omits=Omission.DRIFT)


#: Windows that an interval over time needs: of fewer, the outermost twentieth is no window.
_WINDOWS = 20


def _over_time(base: Measurement, own: Measurement) -> Estimate | None:
    """Return the ratio of two loads that followed one another, window by window since each began.

    What differs between one's minutes and the other's can be seen in neither, so this is no interval of the mean, which
    would be far too narrow: it holds the ratios of 95 % of the windows.
    """
    medians = [
        np.array([np.median(one.values[a:b]) for _, a, b in one.rounds])
        for one in (base, own)
        if one.rounds is not None
    ]
    count = min(map(len, medians), default=0)
    if len(medians) < 2 or count < _WINDOWS:
        return None
    low, point, high = np.quantile(medians[1][:count] / medians[0][:count], (0.025, 0.5, 0.975))
    method = f"{UNPAIRED}: 95 % of {count} windows, each at the same time since its load began"
    return Estimate(float(point), float(low), float(high), 0.95, method, Omission.DRIFT)


def _quotient_of_medians(base: FloatArray, own: FloatArray) -> Estimate | None:
    # Two intervals of 97.5 % hold together at 95 % at least (Bonferroni).
    parts = [stats.quantile_interval(values, 0.5, 0.975) for values in (base, own)]
    if parts[0] is None or parts[1] is None:
        return None
    point, low, high = parts[1].point / parts[0].point, parts[1].low / parts[0].high, parts[1].high / parts[0].low
    return (
        Estimate(point, low, high, 0.95, f"medians of {len(base)} and {len(own)} samples")
        if math.isfinite(high)
        else None
    )
