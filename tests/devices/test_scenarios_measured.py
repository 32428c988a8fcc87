"""Scenarios on a real device with real models: frames that come too fast, batches, a processor that is slowed down."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.virtual import cpu_limit
from devices.virtual.requirements import give_up
from devices.virtual.waiting import soon
from harness import lab
from harness.agent.process import Process
from harness.measure import grouping
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.model import Run
from harness.stats import throttling
from harness.store import Store
from tests import small_models as small
from tests.devices.job_bench import Bench, conductor, of, prepared, processes_of, wait_for

MS = 1_000_000


def heavy(path: Path) -> Path:
    """Write a model that takes some milliseconds."""
    return small.slower(path, layers=16, features=64)


@pytest.fixture(scope="module")
def bench(device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = prepared(device_workdir, tmp_path_factory.mktemp("models"))
    heavy(made.folder / "heavy.onnx")
    return made


@contextmanager
def worker(job: Path) -> Iterator[Process]:
    """Give a process of the agent that holds the job's only model, warm."""
    process = Process(job, 0, 60.0)
    try:
        process.ask("load")
        process.ask("warm", max_s=0.3)
        if os.geteuid() == 0:
            # Other work on this machine is not what is looked for.
            (own,) = processes_of(job, "work")
            os.sched_setscheduler(own.pid, os.SCHED_FIFO, os.sched_param(1))
        yield process
    finally:
        process.quit()


def raw(job: Path, name: str, columns: int) -> Any:
    """Return what the worker has kept so far, (N, columns)."""
    return np.fromfile(job / f"m0.{name}.raw", np.int64).reshape(-1, columns)


@pytest.mark.parametrize("ratio", [1.6, 2.5])
def test_of_frames_faster_than_the_model_the_fraction_period_over_service_time_is_answered(
    bench: Bench, ratio: float, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        job = bench.job("heavy")
        with worker(job) as process:
            service = process.ask("round", duration_s=0.2, minimum=9, keep=False)["level_ns"]
            frames, period_ns = 160, int(service / ratio)
            answer = process.ask("stream", frames=frames, period_ns=period_ns)
        rows = raw(job, "frames", 3)
        assert answer["count"] == len(rows)
        assert answer["arrived"] == frames
        np.testing.assert_array_equal(raw(job, "latency", 1)[:, 0], rows[:, 1] + rows[:, 2])
        free_at = rows[:-1, 0] * period_ns + rows[:-1, 1] + rows[:-1, 2]
        assert (rows[1:, 0] >= free_at // period_ns).all(), "a frame was answered that a newer one had replaced"
        # The service time of this very stream: what else runs on the machine lengthens both, but for what falls
        # between two inferences, so it is tried again where something did.
        answered, expected = len(rows) / frames, period_ns / rows[:, 2].mean()
        with capsys.disabled():
            print(f"\nanswered {answered:.3f} of the frames, period over service time is {expected:.3f}")
        if abs(answered / expected - 1) < 0.04:
            break
    assert answered == pytest.approx(expected, rel=0.04)


def test_at_a_low_rate_the_latency_is_that_of_one_inference_and_nothing_queues(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    job = bench.job("heavy")
    alone: list[int] = []
    with worker(job) as process:
        for turn in range(30):
            begin = len(raw(job, "latency", 1)) if turn else 0
            service = process.ask("round", duration_s=0.05, minimum=6, keep=True)["level_ns"]
            alone += raw(job, "latency", 1)[begin:, 0].tolist()
            process.ask("stream", frames=6, period_ns=int(6 * service))
            jitter, rows = raw(job, "jitter", 1), raw(job, "frames", 3)
            queued = (np.median(rows[:, 1]) - np.median(jitter)) / np.median(alone)
            ratio = np.median(rows[:, 2]) / np.median(alone)
            if turn >= 5 and abs(queued) < 0.03 and 0.85 < ratio < 1.2:
                break
    with capsys.disabled():
        print(f"\nstream's inference {ratio:.3f} of single_stream's, {queued:.2%} of it queueing, {turn + 1} turns")
    assert abs(queued) < 0.03, "frames waited for more than the timer"
    assert 0.85 < ratio < 1.2, "an inference after a pause finds colder caches, and no more than that"


def throttled(bench: Bench) -> tuple[int, int]:
    """Slow a job's processor down halfway; return the windows of that and of where it was found, -1 if nowhere."""
    seconds = 5.0
    plan: dict[str, Any] = {"sustained_s": seconds, "window_s": 0.1, "cooldown_s": 0.2, "warmup_s": 0.05}
    job = bench.job("heavy", memory_starts=0, accuracy=False, **plan)
    with cpu_limit.throttle(job.name, period_us=2000, first=True) as limit:
        bench.start(job)
        wait_for(job, b'"event": "start"')
        conductor(job).nice(-20)
        wait_for(job, b'"event": "timed"')
        assert soon(lambda: processes_of(job, "work") and (job / "m0.latency.raw").exists(), within_s=60)
        limit.hold(processes_of(job, "work")[0].pid)
        # Halfway by the worker's own count of the time that it spent.
        assert soon(lambda: raw(job, "latency", 1).sum() > seconds / 2 * 1e9, within_s=60)
        limit.slow(0.5)
        slowed_ns = time.monotonic_ns()
        events = [event for _, event in bench.follow(job)]
    (event,) = of(events, "sustained")
    assert (event["place"], event["of"], len(event["windows"]) >= throttling.LEAST) == (0, 1, True)
    samples, rounds = np.load(job / "m0.latency.npy"), np.load(job / "m0.rounds.npy")
    medians = np.array([np.median(samples[a:b]) for _, a, b, _ in rounds])
    starts = np.array([window["at_ns"] for window in event["windows"]]) / 1e9
    found = throttling.throttled_at(starts, medians)
    at = int(np.searchsorted(starts, (slowed_ns - event["began_ns"]) / 1e9)) - 1
    return at, -1 if found is None else int(np.searchsorted(starts, found))


def test_a_processor_that_is_slowed_down_halfway_is_found_in_its_window(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    if missing := cpu_limit.lacking_throttle():
        give_up(f"this machine lacks {missing}")
    for _ in range(6):
        slowed, found = throttled(bench)
        with capsys.disabled():
            print(f"\nslowed down in window {slowed} of 0.1 s, found to throttle in window {found}")
        # Other work may slow the machine a moment earlier, which is throttling, too: then it is tried again.
        if abs(found - slowed) <= 2:
            break
    assert abs(found - slowed) <= 2, "a processor at half its speed was not noticed when it slowed down"


def measured(
    folder: Path, workdir: Path, load: str, variants: Mapping[str, small.Maker], *, accept: str = "", base: small.Maker
) -> list[Result]:
    """Return what a quick campaign on this machine gave."""
    suite = small.write_suite(folder, "scenes", ("base", base), variants)
    text = suite.read_text().replace("max_duration_s = 20", load)
    suite.write_text(text.replace("accuracy = { min = 0.9 }", f"accuracy = {{ min = 0.9 }}\n{accept}"))
    device = small.write_device(folder, "here", workdir=workdir, more="[limits]\ncooldown_s = 5\n")
    cases = lab.cases(lab.read_suite(suite), lab.select(folder, [device.stem]))
    store = Store(f"sqlite:///{folder}/results.sqlite")
    campaign = CampaignRunner(cases, store, Settings(command="pytest", say=lambda *_: None, quick=True))
    try:
        return [campaign.future(case).result(240) for case in cases]
    finally:
        campaign.stop()


def run_of(result: Result) -> Run:
    assert result.run is not None, result.outcome.message
    return result.run


def test_a_stream_tells_dropped_and_late_frames_and_compares_them_in_points(
    tmp_path: Path, device_workdir: Path, bench: Bench
) -> None:
    assert bench  # the runtime is there
    load = 'scenario = "stream"\nframe_rate_hz = 200.0\nmax_duration_s = 20'
    accept = "dropped_ratio = { max = 0.2 }\npreprocess_s = { max = 1.0 }\nend_to_end_s = { max = 0.000001 }"
    base, slow = measured(tmp_path, device_workdir, load, {"slow": heavy}, accept=accept, base=small.good)
    quick, tired = run_of(base).measurements, run_of(slow).measurements
    for one in (quick, tired):
        answered = 1 - one["dropped_ratio"].values.mean()
        assert answered * len(one["dropped_ratio"].values) == pytest.approx(len(one["latency_s"].values))
        # The longest may lie at the end of their blocks, where no frame arrives any more that they could drop.
        took = np.sort(one["inference_s"].values)
        assert answered <= 1 / 200 / took[: int(0.95 * len(took))].mean() * 1.1 or answered == 1
        assert np.median(one["throughput_hz"].values) == pytest.approx(200 * answered, rel=0.5)
    assert len(quick["deadline_miss_ratio"].values) == len(quick["latency_s"].values)
    changes = {change.metric: change for change in slow.comparisons}
    dropped = changes["dropped_ratio"].change
    assert dropped is not None
    difference = tired["dropped_ratio"].values.mean() - quick["dropped_ratio"].values.mean()
    assert dropped.point == pytest.approx(difference)
    assert dropped.low < dropped.point < dropped.high
    assert run_of(base).case.frame_rate_hz == 200.0
    assert "End to end: " in base.outcome.message
    assert "Preprocessing" not in base.outcome.message
    whole, before, behind = (quick[f"{name}_s"].values for name in ("end_to_end", "preprocess", "postprocess"))
    assert (whole > before + behind).all()


def test_batches_are_told_per_image_and_a_model_that_takes_none_is_refused_with_the_remedy(
    tmp_path: Path, device_workdir: Path, bench: Bench
) -> None:
    assert bench
    load = 'scenario = "offline"\nbatch = 8\nmax_duration_s = 5'
    base, fixed = measured(tmp_path, device_workdir, load, {"fixed": small.good}, base=small.of_any_batch)
    run = run_of(base)
    assert run.case.batch == 8
    assert run.notes["mode"].startswith("batches of 8 images, ")
    latency, throughput = (run.measurements[name] for name in ("latency_s", "throughput_hz"))
    assert latency.rounds is not None
    assert float(np.median(throughput.values)) == pytest.approx(1 / latency.values.mean(), rel=0.5)
    assert run.accuracy["accuracy"].point == 1
    assert fixed.run is None
    assert fixed.outcome.message.endswith(
        "batch = 8 is asked for and the model takes exactly 1; "
        "export it with a free batch dimension, or take batch out of [load]"
    )


def test_a_sustained_load_keeps_its_windows_and_says_in_which_order_models_took_it(
    tmp_path: Path, device_workdir: Path, bench: Bench
) -> None:
    assert bench
    load = 'scenario = "sustained"\nmax_duration_s = 45'
    results = measured(tmp_path, device_workdir, load, {"same": small.slower}, base=small.slower)
    orders = []
    for result in results:
        run = run_of(result)
        starts, latency = (run.measurements[name] for name in ("window_start_s", "latency_s"))
        assert latency.rounds is not None
        assert len(starts.values) == len(latency.rounds) >= throttling.LEAST
        assert starts.values[-1] < 4.5
        assert (np.diff(starts.values) > 0.19).all()
        assert 0 < run.measurements["sustained_speed"].values[0] <= 1.1
        throttle = run.measurements["throttle_s"]
        assert len(throttle.values) == 1 or throttle.absent_reason.startswith("not within 4 s")
        orders.append(run.notes["mode"])
    assert {order.partition("number ")[2][:6] for order in orders} == {"1 of 2", "2 of 2"}
    ratio = next(change for change in results[1].comparisons if change.metric == "latency_ratio")
    assert ratio.change is None or ratio.change.method.startswith("unpaired: ")
    assert ratio.verdict != "equivalent", "two loads that did not take turns are never known to be the same"


@pytest.mark.parametrize("scenario", ["stream", "offline", "sustained"])
def test_a_scenario_that_a_runner_cannot_do_is_refused_before_anything_is_measured(
    tmp_path: Path, scenario: str
) -> None:
    suite = small.write_suite(tmp_path, "scenes", ("base", small.good))
    suite.write_text(suite.read_text().replace("[load]", f'[load]\nscenario = "{scenario}"'))
    small.write_device(tmp_path, "here", workdir=tmp_path / "work")
    file = tmp_path / "devices" / "here.toml"
    file.write_text(f'runner = "benchmark_model"\n{file.read_text()}')
    cases = lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["here"]))
    ((error, case),) = grouping.unfit(cases)
    assert case is cases[0]
    assert str(error) == (
        f"here: the benchmark_model runner measures single_stream and not the scenario {scenario}; "
        'set runner = "python" if the device has Python, or scenario = "single_stream"'
    )
    assert not (tmp_path / "work").exists()
