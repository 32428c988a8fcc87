"""What a job's arrays say, scenario by scenario (reports/METHOD.md): the latency, and the figures that are its own.

`latency_s` always is what the ratio with the baseline is made of: `single_stream` and `sustained`, one inference;
`stream`, from the arrival of a frame to its answer; `offline`, one image of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from harness import stats
from harness.agent.contract import Round, Sustained, Timed
from harness.model import FloatArray, IntArray, Load, Measurement, Reason, Validity
from harness.stats import throttling
from harness.units import NS_PER_S
from harness.vocabulary import MEAN_IMAGE, WORST_IMAGE

CLOCK: Final = "CLOCK_MONOTONIC on the device"
#: Which arrays a scenario leaves beside outputs, latencies and rounds.
_ARRAYS: Final[Mapping[str, tuple[str, ...]]] = {"stream": ("frames", "jitter")}


def arrays(load: Load, *, parts: bool, control: bool = False) -> tuple[str, ...]:
    """Return which arrays a model that went through the whole job has left.

    Args:
        load: how inferences were asked for.
        parts: whether its parts were timed.
        control: whether it is the control, which takes part in the timed pass alone.
    """
    own = ("latency", "rounds", *_ARRAYS.get(load.scenario, ()))
    return own if control else ("outputs", *own, *(("parts",) if parts else ()))


def measurements(
    load: Load, found: Mapping[str, Any], table: IntArray, blocks: Sequence[Round], sustained: Sustained | None
) -> list[Measurement]:
    """Return the latency and what else its scenario measures.

    Args:
        load: how inferences were asked for.
        found: the model's arrays by name: latency (N,) ns, and the scenario's own.
        table: (R, 4) launch, start and stop index into the latencies of each round, drift of the sentinel.
        blocks: the model's rounds in the order of `table`; a stream's say how many frames arrived.
        sustained: its event of that name, in that scenario.
    """
    samples = found["latency"].astype(np.float64) / NS_PER_S
    rounds = table[:, :3]
    if load.scenario == "stream":
        return _stream(load, found, samples, rounds, blocks)
    if load.scenario == "offline":
        how = f"time per image: batches of {load.batch}, divided" if load.batch > 1 else "single images, back to back"
        samples, method = samples / load.batch, f"{CLOCK}, {how}"
        return [Measurement("latency_s", "s", samples, rounds, method), _throughput(samples, rounds, "images")]
    latency = Measurement("latency_s", "s", samples, rounds, CLOCK)
    own = _sustained(samples, rounds, sustained) if sustained is not None else []
    return [latency, _throughput(samples, rounds, "inferences"), *own]


def parts(rows: IntArray | None, runner: str) -> list[Measurement]:
    """Return preprocessing, postprocessing and end to end, each apart.

    Args:
        rows: (P, 3) ns: preparing, inferring, finishing; None if the runner does not time them.
        runner: its name, for the reason.
    """
    names = ("preprocess_s", "postprocess_s", "end_to_end_s")
    if rows is None:
        why = f'the {runner} runner times inference alone; runner = "python" or "native" times the parts around it'
        return [Measurement(name, "s", absent_reason=why) for name in names]
    seconds = rows.astype(np.float64) / NS_PER_S
    method = f"{CLOCK}, {len(rows)} images in a pass of their own"
    columns = (seconds[:, 0], seconds[:, 2], seconds.sum(axis=1))
    return [Measurement(name, "s", column, None, method) for name, column in zip(names, columns, strict=True)]


def mode(load: Load, timed: Timed, sustained: Sequence[Sustained]) -> str:
    """Return how the models shared the device, in words.

    Args:
        load: how inferences were asked for.
        timed: the event that began the pass.
        sustained: the model's event of that name, if there is one.
    """
    if sustained:
        one = sustained[0]
        order = f"number {one.place + 1} of {one.of} in random order, after {one.waited_s:.1f} s of cooling"
        return f"continuous load, one model after the other: {order}"
    turns = "models held in memory, taking turns" if timed.hold else "models reloaded for every round"
    if load.scenario == "stream":
        return f"frames at {load.frame_rate_hz:g} Hz, {turns}"
    if load.scenario == "offline":
        return f"batches of {load.batch} images, {turns}" if load.batch > 1 else f"single images, {turns}"
    return turns


def validity(one: Sustained) -> tuple[Validity, tuple[Reason, ...]]:
    """Return whether a sustained run may be used: slowing down under load is its question, beginning hot a flaw."""
    if one.cooled:
        return Validity.VALID, ()
    text = f"the device had not cooled down after {one.waited_s:.0f} s when this model's load began"
    return Validity.DEGRADED, (Reason(f"{text} (the sentinel was {one.start_drift:.0%} slower than before the job)"),)


def by_path(latency: Measurement, timed: Sequence[int], shares: Mapping[int, float]) -> list[Measurement]:
    """Return what a mean image takes, and one that goes the slowest way, of a model whose time depends on the image.

    Args:
        latency: of the model.
        timed: which way each image goes that was timed, in their order; () where they came in another one.
        shares: of the split that go each way.
    """
    why = latency.absent_reason or ("" if timed else "only single images back to back show it")
    if not why:
        medians = stats.path_medians(latency.values, timed)
        untimed = sum(share for path, share in shares.items() if path not in medians)
        why = f"the ways that {untimed:.0%} of the images take were not timed" if untimed else ""
    if why:
        return [Measurement(name, "s", absent_reason=why) for name in (MEAN_IMAGE, WORST_IMAGE)]
    mean = sum(share * medians[path] for path, share in shares.items())
    how = ", ".join(f"{share:.1%} of the split" for share in shares.values())
    return [
        Measurement(MEAN_IMAGE, "s", np.array([mean]), None, f"{CLOCK}, medians of each way through the file: {how}"),
        Measurement(WORST_IMAGE, "s", np.array([max(medians.values())]), None, f"{CLOCK}, median of the slowest way"),
    ]


def _throughput(samples: FloatArray, rounds: IntArray, what: str) -> Measurement:
    rates = []
    for launch in np.unique(rounds[:, 0]):
        rows = rounds[rounds[:, 0] == launch]
        spent = sum(samples[start:stop].sum() for _, start, stop in rows)
        rates.append((rows[:, 2] - rows[:, 1]).sum() / spent)
    return Measurement("throughput_hz", "Hz", np.array(rates), None, f"{what} over their time, a value a launch")


def _stream(
    load: Load, found: Mapping[str, Any], latency: FloatArray, rounds: IntArray, blocks: Sequence[Round]
) -> list[Measurement]:
    rate = float(load.frame_rate_hz or 0)
    frames = found["frames"]
    arrived = np.array([block.arrived for block in blocks], np.int64)
    ends = np.cumsum(arrived)
    dropped = np.ones(int(ends[-1]))
    for (_, start, stop), end, count in zip(rounds, ends, arrived, strict=True):
        dropped[end - count + frames[start:stop, 0]] = 0
    of_frames = np.column_stack([rounds[:, 0], ends - arrived, ends])
    missed = (latency > 1 / rate).astype(np.float64)
    at = f"frames at {rate:g} Hz"
    per_launch = [_rate(rounds, arrived, launch) * rate for launch in np.unique(rounds[:, 0])]
    return [
        Measurement("latency_s", "s", latency, rounds, f"{CLOCK}, from the arrival of a frame to its answer, {at}"),
        Measurement("throughput_hz", "Hz", np.array(per_launch), None, f"frames answered a second, {at}"),
        Measurement("inference_s", "s", frames[:, 2] / NS_PER_S, rounds, f"{CLOCK}, the inference alone, {at}"),
        _share("dropped_ratio", dropped, of_frames, f"1 a frame that a newer one replaced, {at}"),
        _share("deadline_miss_ratio", missed, rounds, f"1 an answered frame later than a frame period, {at}"),
        _jitter(found["jitter"] / NS_PER_S),
    ]


def _share(name: str, values: FloatArray, rounds: IntArray, method: str) -> Measurement:
    estimate = stats.wilson(int(values.sum()), len(values))
    return Measurement(name, "%", values, rounds, method, estimate=estimate)


def _rate(rounds: IntArray, arrived: IntArray, launch: int) -> float:
    own = rounds[:, 0] == launch
    return float((rounds[own, 2] - rounds[own, 1]).sum() / arrived[own].sum())


def _jitter(late: FloatArray) -> Measurement:
    how = f"{CLOCK}, how late the timer woke the model for a frame; part of the latency"
    if len(late):
        return Measurement("arrival_jitter_s", "s", late, None, how)
    return Measurement("arrival_jitter_s", "s", method=how, absent_reason="the model never waited for a frame")


def _sustained(samples: FloatArray, rounds: IntArray, event: Sustained) -> list[Measurement]:
    windows = event.windows
    starts = np.array([window.at_ns for window in windows]) / NS_PER_S
    seconds = np.array([np.median(samples[start:stop]) for _, start, stop in rounds])
    readings = [window.temperature_c for window in windows if window.temperature_c is not None]
    warm = "the device has no temperature that can be read" if len(readings) < len(windows) else ""
    return [
        Measurement("window_start_s", "s", starts, None, f"{CLOCK}, since the load began"),
        Measurement("temperature_c", "°C", np.array([] if warm else readings), None, "hottest zone", warm),
        *_throttling(starts, seconds, float(starts[-1])),
    ]


def _throttling(starts: FloatArray, seconds: FloatArray, until_s: float) -> list[Measurement]:
    few = f"{len(seconds)} windows, {throttling.LEAST} are needed: set a longer max_duration_s"
    if len(seconds) < throttling.LEAST:
        return [Measurement(*name, absent_reason=few) for name in (("throttle_s", "s"), ("sustained_speed", "%"))]
    found = throttling.throttled_at(starts, seconds)
    how = "the running median of windows passes 1.05 of the best and stays there"
    never = "" if found is not None else f"not within {until_s:.0f} s"
    kept = np.array([throttling.sustained_speed(seconds)])
    return [
        Measurement("throttle_s", "s", np.array([] if found is None else [found]), None, how, never),
        Measurement("sustained_speed", "%", kept, None, "median speed of the last fifth of windows over the fastest"),
    ]
