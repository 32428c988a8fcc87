"""What becomes of frames, when a processor has throttled, and what a suite may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import lab, stats
from harness.agent import arrivals, contract, parts
from harness.errors import LabError
from harness.measure import jobs
from harness.model import Load
from harness.results import scenarios
from harness.stats import throttling
from tests import small_models as small

PERIOD_NS = 1_000_000


class Clock:
    """A clock that only moves when somebody sleeps or works: a stream on it has no noise."""

    def __init__(self) -> None:
        self.now_ns = 12_345

    def monotonic_ns(self) -> int:
        """Return the time, which stands still."""
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock() -> Iterator[Clock]:
    own = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "time", SimpleNamespace(monotonic_ns=own.monotonic_ns, sleep=own.sleep))
        yield own


def streamed(clock: Clock, services_ns: list[int], frames: int) -> tuple[list[tuple[int, int, int]], list[int]]:
    turns = iter(range(10**6))

    def call(_: Any) -> None:
        clock.now_ns += services_ns[next(turns) % len(services_ns)]

    found, _ = arrivals.stream(call, [None], 0, PERIOD_NS, frames)
    rows = np.array(found.taken).reshape(-1, 3).tolist()
    return [(a, b, c) for a, b, c in rows], list(found.jitter)


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0, 2.5, 3.7, 12.0])
def test_of_a_model_slower_than_the_frames_exactly_the_fraction_is_answered_that_time_allows(
    clock: Clock, ratio: float
) -> None:
    frames = 1200
    rows, _ = streamed(clock, [int(ratio * PERIOD_NS)], frames)
    assert len(rows) / frames == pytest.approx(1 / ratio, abs=2 / frames)


@given(st.lists(st.integers(1, 4 * PERIOD_NS), min_size=1, max_size=9), st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_the_newest_frame_is_taken_and_none_twice_and_latency_counts_from_its_arrival(
    services_ns: list[int], frames: int
) -> None:
    own = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "time", SimpleNamespace(monotonic_ns=own.monotonic_ns, sleep=own.sleep))
        rows, jitter = streamed(own, services_ns, frames)
    assert rows[0][0] == 0
    assert all(0 <= number < frames for number, _, _ in rows)
    assert [service for _, _, service in rows] == [services_ns[i % len(services_ns)] for i in range(len(rows))]
    for (number, waited, service), (later, later_waited, _) in pairwise(rows):
        assert later > number
        free_at = number * PERIOD_NS + waited + service
        assert 0 <= later_waited < PERIOD_NS, "a newer frame had come"
        assert later * PERIOD_NS + later_waited == max(free_at, later * PERIOD_NS), "it was not taken at once"
    assert jitter == [0] * len(jitter), "this clock's timer is never late"


def test_a_late_timer_shows_in_the_latency_and_apart_from_it(clock: Clock) -> None:
    late_ns = 70_000
    with pytest.MonkeyPatch.context() as patch:
        sleep = clock.sleep

        def slept(seconds: float) -> None:
            sleep(seconds + late_ns / 1e9)

        patch.setattr("harness.agent.arrivals.time.sleep", slept)
        rows, jitter = streamed(clock, [PERIOD_NS // 10], 40)
    assert [waited for _, waited, _ in rows] == [late_ns] * 40
    assert jitter == [late_ns] * 40


def test_a_stream_on_the_real_clock_takes_each_frame_when_it_is_due_and_none_twice() -> None:
    found, turn = arrivals.stream(lambda _: None, [None, None], 7, 5_000_000, 40)
    rows = np.array(found.taken).reshape(-1, 3)
    # How many are lost is the machine's doing: what other work lets pass is replaced by a newer frame.
    assert turn == 7 + len(rows) > 7
    assert (np.diff(rows[:, 0]) > 0).all()
    assert min(found.jitter) >= 0, "a frame was taken before it was due"


BLOCKS = [contract.Round(0, turn, 0.0, count, 1.0, count, arrived=4) for turn, count in enumerate((3, 2, 4))]
TABLE = np.array([[0, 0, 3, 0], [0, 3, 5, 0], [1, 5, 9, 0]])


def test_dropped_frames_and_missed_deadlines_are_counted_frame_by_frame() -> None:
    ms = 1_000_000
    rows = [(0, 0, 5), (1, 0, 5), (3, 0, 5), (0, 0, 25), (3, 3, 8), (0, 0, 5), (1, 0, 5), (2, 0, 5), (3, 0, 5)]
    frames = np.array([(number, waited * ms, service * ms) for number, waited, service in rows])
    found = {"latency": frames[:, 1] + frames[:, 2], "frames": frames, "jitter": np.array([1000, 3000])}
    load = Load("stream", frame_rate_hz=100.0)
    measured = {m.metric: m for m in scenarios.measurements(load, found, TABLE, BLOCKS, None)}
    assert measured["dropped_ratio"].values.tolist() == [0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert measured["deadline_miss_ratio"].values.tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert measured["latency_s"].values[3:5].tolist() == [0.025, 0.011]
    assert measured["inference_s"].values[3:5].tolist() == [0.025, 0.008]
    assert measured["throughput_hz"].values.tolist() == [62.5, 100.0]
    assert np.median(measured["arrival_jitter_s"].values) == 2e-6
    rounds = measured["dropped_ratio"].rounds
    assert rounds is not None
    assert rounds.tolist() == [[0, 0, 4], [0, 4, 8], [1, 8, 12]]


def test_a_batch_is_told_as_time_per_image() -> None:
    found = {"latency": np.full(9, 80_000_000)}
    latency, throughput = scenarios.measurements(Load("offline", batch=8), found, TABLE, [], None)
    assert latency.values.tolist() == [0.01] * 9
    assert throughput.values == pytest.approx([100.0, 100.0])
    assert "batches of 8" in latency.method


@given(
    before=st.integers(10, 60),
    slow=st.floats(1.12, 4),
    after=st.integers(10, 60),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_throttling_is_found_in_the_window_where_it_began(before: int, slow: float, after: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = np.concatenate([np.ones(before), np.full(after, slow)])
    seconds = 0.01 * level * (1 + 0.01 * rng.standard_normal(before + after))
    # Single interrupted windows are no throttling.
    seconds[rng.choice(before - 6, 2, replace=False)] *= 3
    found = throttling.throttled_at(0.5 * np.arange(before + after, dtype=np.float64), seconds)
    assert found is not None
    assert abs(found / 0.5 - before) <= 2


@given(st.integers(10, 200), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_a_steady_processor_and_one_that_recovers_are_not_throttled(windows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = 0.01 * (1 + 0.005 * rng.standard_normal(windows))
    assert throttling.throttled_at(np.arange(windows, dtype=np.float64), seconds) is None
    assert throttling.sustained_speed(seconds) == pytest.approx(1, abs=0.03)
    if windows >= 40:
        seconds[5:20] *= 1.5
        assert throttling.throttled_at(np.arange(windows, dtype=np.float64), seconds) is None


@pytest.mark.parametrize("noise", [0.02, 0.07, 0.12])
def test_noise_alone_is_hardly_ever_taken_for_throttling_and_hides_no_halved_speed(noise: float) -> None:
    # Rates of many trials: of a few, found by a search for the worst, chance would decide.
    rng = np.random.default_rng(12)
    alarms = found = 0
    for _ in range(400):
        seconds = 0.01 * np.exp(noise * rng.standard_normal(60))
        # Of the last few windows nobody can say whether it stays so.
        at = throttling.throttled_at(np.arange(60, dtype=np.float64), seconds)
        alarms += at is not None and at < 50
        seconds[30:] *= 2
        at = throttling.throttled_at(np.arange(60, dtype=np.float64), seconds)
        found += at is not None and abs(at - 30) <= 3
    assert alarms / 400 <= 0.02
    assert found / 400 >= 0.95


def test_sustained_over_peak_speed_is_what_is_left_of_it() -> None:
    seconds = np.concatenate([np.full(30, 0.01), np.full(30, 0.0125)])
    assert throttling.sustained_speed(seconds) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="9 windows are too few, 10 are needed"):
        throttling.sustained_speed(seconds[:9])


def test_the_difference_of_two_proportions_is_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10: rows (a), (b), (g) and (h).
    for (a, m, b, n), low, high in (
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ):
        found = stats.unpaired_difference(a, m, b, n)
        assert found is not None
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert stats.unpaired_difference(0, 0, 1, 2) is None


def test_an_answer_is_a_label_with_probabilities_or_a_mask() -> None:
    label, shares = parts.finishing("classification", "logits", lambda outputs: outputs[0])(np.array([[1.0, 3.0, 2.0]]))
    assert label == 1
    assert shares.sum() == pytest.approx(1)
    maps = np.zeros((1, 3, 8, 9), np.float32)
    maps[0, 2, :, 4:] = 1
    finish = parts.finishing("segmentation", "sigmoid", lambda outputs: outputs[0])
    wanted = (maps[0].argmax(0)).tolist()
    assert finish(maps).tolist() == wanted
    assert finish(maps.transpose(0, 2, 3, 1)).tolist() == wanted
    assert finish(maps[:, 2]).tolist() == (maps[0, 2] > 0.5).tolist()
    assert finish(maps[:, 2:]).tolist() == (maps[0, 2] > 0.5).tolist()
    answer = parts.finishing("segmentation", "logits", lambda outputs: outputs[0])
    assert answer(maps[:, 2] - 0.25).tolist() == (maps[0, 2] > 0.25).tolist()


def read(folder: Path, load: str) -> Load:
    suite = small.write_suite(folder, "loads", ("good", small.good))
    suite.write_text(suite.read_text().replace("max_duration_s = 20", load))
    return lab.read_suite(suite).load


def test_a_stream_without_a_rate_has_that_of_an_ultrasound_probe(tmp_path: Path) -> None:
    assert read(tmp_path, 'scenario = "stream"').frame_rate_hz == 30.0
    assert read(tmp_path, 'scenario = "stream"\nframe_rate_hz = 12.5').frame_rate_hz == 12.5
    assert read(tmp_path, "threads = 1").frame_rate_hz is None
    assert read(tmp_path, 'scenario = "offline"\nbatch = 8').batch == 8


@pytest.mark.parametrize(
    ("load", "complaint"),
    [
        ('scenario = "burst"', r"load\.scenario: input should be 'single_stream'"),
        ("frame_rate_hz = 30.0", r"load\.frame_rate_hz: belongs to the scenario stream; remove it, or write scenario"),
        ('scenario = "offline"\nframe_rate_hz = 30.0', r"load\.frame_rate_hz: belongs to the scenario stream"),
        ('scenario = "stream"\nframe_rate_hz = 0.0', r"load\.frame_rate_hz: .*greater than 0"),
        ('scenario = "stream"\nframe_rate_hz = 1e9', r"load\.frame_rate_hz: .*less than or equal to 10000"),
        ('scenario = "offline"\nbatch = 0', r"load\.batch: .*greater than or equal to 1"),
        ('scenario = "stream"\nbatch = 2', r"load\.batch: belongs to the scenario offline; remove it, or write scenar"),
        ("batch = 8", r"load\.batch: belongs to the scenario offline"),
    ],
)
def test_what_a_scenario_has_no_part_in_is_refused(tmp_path: Path, load: str, complaint: str) -> None:
    with pytest.raises(LabError, match=complaint):
        read(tmp_path, load)


@pytest.mark.parametrize(("models", "rounds"), [(1, 1), (2, 1), (3, 3), (4, 5), (5, 8), (20, 8)])
def test_a_control_takes_at_most_a_fifth_of_the_time_of_all_models(models: int, rounds: int) -> None:
    plan = jobs.plan(Load(), models, quick=False)
    assert (plan.rounds, plan.control_rounds) == (8, rounds)
    own = plan.warmup_s + plan.control_rounds * plan.round_s
    assert plan.control_rounds == 1 or own <= 0.2 * models * (plan.warmup_s + plan.rounds * plan.round_s) + 1e-9


@pytest.mark.parametrize("rate", [0.5, 5.0, 30.0, 1000.0])
def test_the_blocks_of_a_stream_fit_into_the_longest_pass_where_they_can(rate: float) -> None:
    load = Load("stream", frame_rate_hz=rate, max_duration_s=60)
    for quick in (False, True):
        plan = jobs.plan(load, 2, quick=quick)
        seconds = plan.frames * plan.period_ns / 1e9 * plan.rounds * plan.min_launches
        assert plan.frames >= jobs.MIN_FRAMES
        assert seconds <= (6 if quick else 60) or plan.rounds == 1
    sustained = [jobs.plan(Load("sustained", max_duration_s=300), 2, quick=quick) for quick in (False, True)]
    assert [plan.sustained_s for plan in sustained] == [300, 30]
    assert all(plan.sustained_s / plan.window_s >= 60 for plan in sustained)
