"""Real jobs of the agent in real job directories: what it writes, who may leave, die or stop it, what is then read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from devices.virtual.openssh import Server, alive
from devices.virtual.waiting import soon
from harness import lab
from harness.agent import contract
from harness.errors import MeasurementError
from harness.measure.campaign import CampaignRunner, Settings
from harness.store import Store
from tests import small_models as small
from tests.devices.job_bench import Bench, conductor, of, prepared, processes_of, wait_for


@pytest.fixture(scope="module")
def bench(device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return prepared(device_workdir, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def finished(bench: Bench) -> tuple[Path, list[Mapping[str, Any]]]:
    """Give one job of two models that has ended."""
    job = bench.job("good", "slower", profile_s=0.05)
    return job, bench.run(job)


def test_events_are_whole_ordered_and_end_with_done(finished: tuple[Path, list[Mapping[str, Any]]]) -> None:
    job, events = finished
    lines = (job / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == events
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["start", "conditions"]
    assert kinds[-5:] == ["timed_end", "conditions", "profile", "profile", "done"], "nothing is measured behind a trace"
    assert Counter(kinds) == {
        "start": 1, "conditions": 2, "cold": 2, "memory": 2, "accuracy": 2, "timed": 1, "launch": 2, "timed_end": 1,
        "profile": 2, "done": 1,
    }  # fmt: skip
    times = [event["t_ns"] for event in events]
    assert times == sorted(times)
    assert times[-1] <= time.monotonic_ns()
    assert events[-1]["alive"] == [0, 1]


def test_a_profile_names_the_operators_that_take_the_time_and_leaves_no_trace(
    finished: tuple[Path, list[Mapping[str, Any]]],
) -> None:
    job, events = finished
    slower = next(event for event in of(events, "profile") if event["model"] == 1)
    assert slower["inferences"] >= contract.TRACED_MIN
    first = slower["operators"][0]
    assert (first["type"], first["provider"]) in [(name, "CPUExecutionProvider") for name in ("Conv", "FusedConv")]
    assert first["nodes"] >= 12
    assert first["ns"] > slower["nodes_ns"] / 2
    assert slower["nodes_ns"] <= slower["inference_ns"]
    assert not list(job.glob("*.trace*"))


def test_a_profile_that_fails_says_why_and_leaves_its_model_in_the_job(bench: Bench) -> None:
    small.truncated(bench.folder / "truncated.onnx")
    nothing: dict[str, Any] = {"cold_starts": 0, "memory_starts": 0, "accuracy": False, "max_launches": 0}
    events = bench.run(bench.job("truncated", **nothing, profile_s=0.05))
    (said,) = of(events, "profile")
    assert said["absent"].startswith("the traced inferences failed: ")
    assert "operators" not in said
    assert not of(events, "error")
    assert events[-1]["alive"] == [0]


def test_arrays_have_the_promised_shapes_and_types(finished: tuple[Path, list[Mapping[str, Any]]]) -> None:
    job, _ = finished
    for index in (0, 1):
        latency, rounds, outputs = (np.load(job / f"m{index}.{name}.npy") for name in ("latency", "rounds", "outputs"))
        assert (latency.dtype, latency.ndim) == (np.int64, 1)
        assert (rounds.dtype, rounds.shape) == (np.int64, (6, 4))
        assert (outputs.dtype, outputs.shape) == (np.float32, (60, 3))
        np.testing.assert_array_equal(outputs.argmax(axis=1), small.samples()[1])
    assert not list(job.glob("*.raw")), "raw samples become arrays"


def test_rounds_index_the_samples_without_a_gap(finished: tuple[Path, list[Mapping[str, Any]]]) -> None:
    job, events = finished
    for index in (0, 1):
        latency, rounds = np.load(job / f"m{index}.latency.npy"), np.load(job / f"m{index}.rounds.npy")
        assert rounds[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
        assert rounds[0, 1] == 0
        assert rounds[-1, 2] == len(latency)
        np.testing.assert_array_equal(rounds[1:, 1], rounds[:-1, 2])
        said = [r for event in of(events, "launch") for r in event["rounds"] if r["model"] == index]
        assert [r["count"] for r in said] == (rounds[:, 2] - rounds[:, 1]).tolist()
        assert [r["ns"] for r in said] == [int(latency[a:b].sum()) for _, a, b, _ in rounds]
        assert (latency > 0).all()


def test_a_model_with_more_to_do_takes_longer_and_its_cold_start_is_told_apart(
    finished: tuple[Path, list[Mapping[str, Any]]],
) -> None:
    job, events = finished
    quick, slow = (float(np.median(np.load(job / f"m{index}.latency.npy"))) for index in (0, 1))
    assert slow > 4 * quick
    for cold in of(events, "cold"):
        assert cold["process_start_ns"] > cold["load_ns"] > 0
        assert cold["first_inference_ns"] > 0
        assert cold["facts"]["runtime_version"] == small.ONNXRUNTIME.partition("==")[2]


def test_memory_grows_from_start_to_load_and_its_peak_holds_both(
    finished: tuple[Path, list[Mapping[str, Any]]],
) -> None:
    for memory in of(finished[1], "memory"):
        assert memory["before"]["rss_bytes"] < memory["loaded"]["rss_bytes"] <= memory["after"]["peak_rss_bytes"] + 4e6
        assert 0 < memory["after"]["pss_bytes"] <= memory["after"]["rss_bytes"] + 4e6


def test_a_follower_that_comes_late_sees_the_rest_from_where_it_wants(
    bench: Bench, finished: tuple[Path, list[Mapping[str, Any]]]
) -> None:
    job, events = finished
    behind = [offset for offset, _ in bench.follow(job)]
    assert behind[-1] == (job / "events.jsonl").stat().st_size
    for number in (0, 3, len(events) - 2):
        assert [event for _, event in bench.follow(job, behind[number])] == events[number + 1 :]


def test_two_followers_of_a_running_job_both_see_everything_at_once(bench: Bench) -> None:
    job = bench.job("good", rounds=2, round_s=0.5, max_launches=3, min_launches=3)
    bench.start(job)
    seen: list[tuple[int, str]] = []

    def read(number: int) -> None:
        for _, event in bench.follow(job):
            seen.append((number, event["event"]))

    threads = [threading.Thread(target=read, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    first, second = ([name for number, name in seen if number == own] for own in (0, 1))
    assert first == second
    assert first[-1] == "done"
    # A launch takes a second: a reader that was not woken by one would hear of it with the next.
    launches = [number for number, name in seen if name == "launch"]
    pairs = [set(launches[place : place + 2]) for place in range(0, len(launches), 2)]
    assert pairs == [{0, 1}] * 3, "one follower took what should have woken the other"


def used(process: psutil.Process) -> float:
    """Return how much processor time a process has used, 0 if it has just ended, in s."""
    try:
        return float(process.cpu_times().user)
    except psutil.NoSuchProcess:
        return 0.0


def test_a_follower_costs_no_processor_time_while_it_waits(bench: Bench) -> None:
    job = bench.job("good", round_s=3.0, rounds=40, max_launches=1, min_launches=1)
    bench.start(job)
    wait_for(job, b'"event": "accuracy"')
    command = [*bench.handle.workspace.command, "follow", str(job), "0"]
    lines: list[bytes] = []
    following = threading.Thread(target=lambda: lines.extend(bench.handle.stream(command, silence_s=60)))
    following.start()
    wait_for(job, b'"event": "timed"')
    # A worker of an earlier pass may not quite have ended, and never worked for so long.
    assert soon(lambda: any(used(one) > 1.5 for one in processes_of(job, "work")), within_s=60)
    (worker,), (process,) = processes_of(job, "work"), processes_of(job, "follow")

    def worked(seconds: float) -> bool:
        """Wait until the worker, busy with its long round, has used so much more of a processor."""
        until = worker.cpu_times().user + seconds
        return soon(lambda: worker.cpu_times().user >= until, within_s=60)

    assert worked(0.5)
    before = process.cpu_times()
    assert worked(1.5)
    after = process.cpu_times()
    bench.stop(job)
    following.join(60)
    assert (after.user + after.system) - (before.user + before.system) == 0


def test_a_killed_conductor_is_noticed_at_once_and_its_workers_go_too(bench: Bench) -> None:
    job = bench.job("good", "slower", round_s=0.5, max_launches=40, max_timed_s=100)
    bench.start(job)
    lines: list[bytes] = []
    command = [*bench.handle.workspace.command, "follow", str(job), "0"]
    following = threading.Thread(target=lambda: lines.extend(bench.handle.stream(command, silence_s=3600)))
    following.start()
    wait_for(job, b'"event": "launch"')
    workers = conductor(job).children()
    conductor(job).kill()
    following.join()
    assert json.loads(lines[-1])["event"] == "gone"
    assert all(json.loads(line) for line in lines)
    with pytest.raises(MeasurementError, match=r"local: the agent ended before it was done .*nothing of this case was taken; measure again"):  # fmt: skip  # noqa: E501
        list(bench.follow(job))
    assert soon(lambda: not any(alive(worker.pid) for worker in workers)), "a worker outlived its conductor"


def test_half_a_line_of_a_dead_conductor_is_never_read(
    bench: Bench, finished: tuple[Path, list[Mapping[str, Any]]]
) -> None:
    job = bench.job("good")
    lines = (finished[0] / "events.jsonl").read_bytes().splitlines(keepends=True)
    (job / "events.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:20])
    (job / "pid").write_text("999999999")
    os.mkfifo(job / "alive")
    seen: list[Mapping[str, Any]] = []
    with pytest.raises(MeasurementError, match="the agent ended before it was done"):
        seen.extend(event for _, event in bench.follow(job))
    assert seen == [json.loads(line) for line in lines[:3]]


def test_a_killed_worker_takes_only_its_own_model_out(bench: Bench) -> None:
    job = bench.job("good", "slower", round_s=0.3, rounds=4)
    bench.start(job)
    wait_for(job, b'"event": "timed"')
    assert soon(lambda: len(processes_of(job, "work")) == 2, within_s=30)
    (victim,) = [process for process in processes_of(job, "work") if process.cmdline()[-1] == "1"]
    victim.send_signal(signal.SIGKILL)
    events = [event for _, event in bench.follow(job)]
    (error,) = of(events, "error")
    assert (error["model"], error["phase"], error["kind"]) == (1, "timed", "killed")
    assert error["message"] == "the process was killed by SIGKILL, and not by the kernel for want of memory"
    assert events[-1]["alive"] == [0]
    rounds = np.load(job / "m0.rounds.npy")
    assert rounds[-1, 0] == 1, "the other model had all its launches"
    assert len(rounds) == 8


def test_the_stop_file_ends_the_timed_pass_early_and_the_job_well(bench: Bench) -> None:
    job = bench.job("good", "slower", max_launches=40, max_timed_s=100)
    bench.start(job)
    wait_for(job, b'"event": "launch"')
    (job / "stop").touch()
    events = [event for _, event in bench.follow(job)]
    assert events[-1]["event"] == "done"
    assert 1 <= len(of(events, "launch")) <= 4
    assert np.load(job / "m1.rounds.npy").shape == (3 * len(of(events, "launch")), 4)


def test_a_decided_model_rests_while_the_others_go_on(bench: Bench) -> None:
    job = bench.job("good", "slower", max_launches=3, min_launches=3)
    (job / "stop-1").touch()
    events = bench.run(job)
    assert events[-1]["alive"] == [0, 1]
    assert {r["model"] for event in of(events, "launch") for r in event["rounds"]} == {0}
    assert np.load(job / "m0.rounds.npy").shape == (9, 4)


def test_a_copy_of_a_model_takes_part_in_the_timed_pass_and_in_no_other_phase(bench: Bench) -> None:
    job = bench.job("good", "slower", max_launches=2, min_launches=2, rounds=3, control_rounds=2)
    wanted = json.loads((job / "job.json").read_text())
    wanted["models"].append({**wanted["models"][0], "copy_of": 0})
    (job / "job.json").write_text(json.dumps(wanted))
    events = bench.run(job)
    assert {event["model"] for event in events if "model" in event} == {0, 1}
    assert of(events, "timed")[0]["models"] == events[-1]["alive"] == [0, 1, 2]
    turns = Counter((one["model"], one["turn"]) for launch in of(events, "launch") for one in launch["rounds"])
    # The first ones: the k-th round of a model is compared with the k-th of another.
    expected = {(model, turn) for model in range(3) for turn in range(3)} - {(2, 2)}
    assert turns == dict.fromkeys(expected, 2)
    assert [len(np.load(job / f"m{model}.rounds.npy")) for model in range(3)] == [6, 6, 4]
    assert not (job / "m2.outputs.npy").exists()


def test_models_that_do_not_fit_together_are_reloaded_for_every_round_and_the_job_says_so(
    bench: Bench, finished: tuple[Path, list[Mapping[str, Any]]]
) -> None:
    job = bench.job("good", "slower", hold=False, rounds=2, max_launches=1, min_launches=1)
    bench.start(job)
    most = 0
    while alive(conductor(job).pid) if (job / "pid").exists() else True:
        most = max(most, len(processes_of(job, "work")))
        if (job / "events.jsonl").exists() and b'"event": "done"' in (job / "events.jsonl").read_bytes():
            break
    events = [event for _, event in bench.follow(job)]
    assert of(events, "timed")[0]["hold"] is False
    assert of(finished[1], "timed")[0]["hold"] is True
    assert most == 1, "two models were in memory at once"
    for index in (0, 1):
        latency, rounds = np.load(job / f"m{index}.latency.npy"), np.load(job / f"m{index}.rounds.npy")
        assert rounds.shape == (2, 4)
        assert rounds[-1, 2] == len(latency) >= 10
        assert np.load(job / f"m{index}.outputs.npy").shape == (60, 3)


def test_a_job_keeps_its_lease_while_it_is_followed_and_ends_and_removes_itself_when_its_host_is_gone(
    bench: Bench, tmp_path: Path
) -> None:
    job = bench.job("good", sustained_s=300.0, window_s=0.2)
    beat, secret = tmp_path / "beat", tmp_path / "image"
    what = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**what, "beat": str(beat), "host_gone_s": 0.5}))
    beat.write_text("")
    secret.write_text("a patient's")
    (job / "secret").write_text(f"{secret}\n")
    bench.start(job)
    events = bench.follow(job)
    next(events)
    # Looked at every ten seconds: it is still there although nothing was sent for longer than `host_gone_s`.
    assert soon(lambda: beat.read_text().endswith("\n"), within_s=60)
    first = beat.read_text()
    assert soon(lambda: beat.read_text() != first, within_s=60)
    boot_id, uptime = beat.read_text().split()
    assert boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert int(uptime) <= float(Path("/proc/uptime").read_text().split()[0])
    assert processes_of(job, "work") != []
    events.close()
    assert soon(lambda: processes_of(job, "run") + processes_of(job, "work") == [], within_s=60)
    assert not job.exists()
    assert not secret.exists()
    assert job.name in (job.parents[1] / "wiped").read_text().split(), "the next host is left word of that"


def test_a_follower_that_nobody_reads_any_more_ends_at_once(bench: Bench) -> None:
    job = bench.job("good", sustained_s=300.0, window_s=0.2)
    bench.start(job)
    command = [*bench.handle.workspace.command, "follow", str(job), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        following.stdout.readline()
        following.stdout.close()
        assert following.wait(60) is not None
    assert processes_of(job, "run") != []
    bench.stop(job)


def test_stopping_a_job_leaves_no_process_and_a_stale_number_harms_nobody(bench: Bench) -> None:
    job = bench.job("good", "slower", max_launches=40, max_timed_s=100)
    bench.start(job)
    wait_for(job, b'"event": "launch"')
    bench.stop(job)
    assert processes_of(job, "work") == processes_of(job, "run") == []
    other = bench.job("good")
    (other / "pid").write_text(str(os.getpgid(0)))
    bench.stop(other)  # we are still here to say so
    assert processes_of(other, "run") == []


def test_a_link_cut_in_the_middle_is_made_again_and_nothing_is_lost(
    own_server: Server, device_workdir: Path, bench: Bench, tmp_path: Path
) -> None:
    del bench  # it has brought the runtime to the workdir that both share
    suite = small.write_suite(tmp_path, "cut", ("good", small.good), {"slower": small.slower})
    own_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    said: list[str] = []

    def say(device: str, text: str) -> None:
        del device
        said.append(text)
        if text.startswith(("cold pass 1", "timed pass: launch 2")):
            own_server.signal_sessions(signal.SIGKILL)

    cases = lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["far"]))
    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    campaign = CampaignRunner(cases, store, Settings(command="pytest", say=say, quick=True))
    results = [campaign.future(case).result(120) for case in cases]
    campaign.stop()
    assert [result.outcome.message for result in results] == ["", ""]
    assert [result.outcome.status for result in results] == ["passed", "passed"]
    assert sum(text.startswith("connection lost") for text in said) >= 2
    for result in results:
        assert result.run is not None
        assert result.run.notes["launches"] == 4
        rounds, values = (getattr(result.run.measurements["latency_s"], name) for name in ("rounds", "values"))
        assert rounds[-1, 2] == len(values)
    assert len(store.runs()) == 2
    # Neither its own nor those that other tests drove by hand and left there.
    assert list((device_workdir / "jobs").iterdir()) == []


def test_a_large_split_is_given_the_time_that_its_first_image_says_it_needs(bench: Bench, tmp_path: Path) -> None:
    pixels = np.repeat(small.samples()[0], 400, axis=0)
    np.save(tmp_path / "images.npy", pixels)
    job = bench.job("slower", deadline_s=4.0, cold_starts=0, memory_starts=0, min_launches=0, max_launches=0)
    what = json.loads((job / "job.json").read_text())
    what["input"]["path"] = str(tmp_path / "images.npy")
    (job / "job.json").write_text(json.dumps(what))
    (found,) = [event for event in bench.run(job) if event["event"] == "accuracy"]
    assert found["samples"] == len(pixels) == 24_000
    assert found["ns"] > 4e9, "the whole takes longer than one answer may"
