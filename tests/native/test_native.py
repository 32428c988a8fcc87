"""The native runner beside the agent: the same jobs, the same outputs bit for bit, the same errors, without Python."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from devices.virtual.openssh import small_disk
from harness import deploy, lab
from harness.errors import DeviceError, MeasurementError
from harness.measure import jobs
from harness.model import Samples
from tests import small_models as small
from tests.devices.job_bench import Bench, of, processes_of, wait_for
from tests.devices.test_agent_jobs import (  # noqa: F401 -- collected again here: one body for both device sides
    finished,
    test_a_copy_of_a_model_takes_part_in_the_timed_pass_and_in_no_other_phase,
    test_a_decided_model_rests_while_the_others_go_on,
    test_a_follower_costs_no_processor_time_while_it_waits,
    test_a_follower_that_comes_late_sees_the_rest_from_where_it_wants,
    test_a_follower_that_nobody_reads_any_more_ends_at_once,
    test_a_job_keeps_its_lease_while_it_is_followed_and_ends_and_removes_itself_when_its_host_is_gone,
    test_a_killed_conductor_is_noticed_at_once_and_its_workers_go_too,
    test_a_killed_worker_takes_only_its_own_model_out,
    test_a_model_with_more_to_do_takes_longer_and_its_cold_start_is_told_apart,
    test_arrays_have_the_promised_shapes_and_types,
    test_events_are_whole_ordered_and_end_with_done,
    test_half_a_line_of_a_dead_conductor_is_never_read,
    test_memory_grows_from_start_to_load_and_its_peak_holds_both,
    test_models_that_do_not_fit_together_are_reloaded_for_every_round_and_the_job_says_so,
    test_rounds_index_the_samples_without_a_gap,
    test_stopping_a_job_leaves_no_process_and_a_stale_number_harms_nobody,
    test_the_stop_file_ends_the_timed_pass_early_and_the_job_well,
    test_two_followers_of_a_running_job_both_see_everything_at_once,
)
from tests.native.native_bench import assert_same_bits, change_job, checked_bench, outputs_of, shape_of

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "suites" / "models"


def test_every_output_on_the_test_split_is_the_agents_bit_for_bit(bench: Bench, agent: Bench, tmp_path: Path) -> None:
    suite = lab.read_suite(ROOT / "suites" / "ultrasound.toml")
    samples: Samples = jobs.load_samples(suite)
    np.save(tmp_path / "images.npy", samples.images)
    spec = suite.input
    changes = {
        "input": {
            "path": str(tmp_path / "images.npy"),
            "layout": spec.layout,
            "scale": spec.scale,
            "mean": list(spec.mean),
            "std": list(spec.std),
        }
    }
    models = {name: MODELS / f"{name}.onnx" for name in ("resnet18", "resnet18-int8")}
    ours, _ = outputs_of(bench, models, **changes)
    theirs, _ = outputs_of(agent, models, **changes)
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == (900, 3)
        assert_same_bits(own, other)
    assert not np.array_equal(ours[0], ours[1]), "two models that say the same prove nothing"


def passes_through(path: Path, kind: int, shape: tuple[int, ...]) -> Path:
    """Write a model whose output is its input: what the device made of the image."""
    given = helper.make_tensor_value_info("x", kind, ["batch", *shape])
    seen = helper.make_tensor_value_info("y", kind, ["batch", *shape])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "through", [given], [seen])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def pixels_of(dtype: str, channels: int) -> Any:
    """Return (N, 7, 5, C) images with every hard case that a type has."""
    random = np.random.default_rng(3)
    if dtype == "uint8":
        return random.integers(0, 256, (20, 7, 5, channels), dtype=np.uint8)
    images = random.normal(0, 1, (20, 7, 5, channels)) * 10.0 ** random.integers(-42, 38, (20, 7, 5, channels))
    images[0, 0, 0, 0], images[1, 0, 0, 0], images[2, 0, 0, 0] = np.inf, -np.inf, -0.0
    images[3:6] = random.integers(0, 2**14, (3, 7, 5, channels)) / 2.0**11  # many ties between two halves
    return images.astype(np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8], ids=["f4", "f2", "u1"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("means", [1, 3])
def test_an_image_becomes_the_same_input_as_the_agents_bit_for_bit(
    bench: Bench, agent: Bench, tmp_path: Path, dtype: str, kind: int, layout: str, means: int
) -> None:
    shape = (3, 7, 5) if layout == "NCHW" else (7, 5, 3)
    models = {"through": passes_through(tmp_path / "through.onnx", kind, shape)}
    np.save(tmp_path / "images.npy", pixels_of(dtype, 3))
    spec = {
        "path": str(tmp_path / "images.npy"),
        "layout": layout,
        "scale": 0.00392156862745098 if dtype == "uint8" else 1.0,
        "mean": [0.485, 0.456, 0.406][:means] if dtype == "uint8" else [0.0] * means,
        "std": [0.229, 0.224, 0.225][:means] if dtype == "uint8" else [1.0] * means,
    }
    (ours,), events = outputs_of(bench, models, input=spec)
    (theirs,), others = outputs_of(agent, models, input=spec)
    if kind == TensorProto.UINT8 and dtype == "float32":
        assert ours is theirs is None
        assert {e["kind"] for e in [*of(events, "error"), *of(others, "error")]} == {"input"}
        return
    assert ours.shape == (20, *shape)
    assert_same_bits(ours, theirs)


FAILURES: dict[str, Callable[[Path], Path]] = {
    "good": small.good,
    "truncated": small.truncated,
    "random": small.random_bytes,
    "missing": small.missing,
    "two_inputs": small.two_inputs,
    "three_channels": small.of_three_channels,
    "int8": lambda path: small.of_integers(path, TensorProto.INT8),
    "uint8": small.of_integers,
    "huge": small.huge,
    "nan": small.not_a_number,
}


def test_what_is_wrong_with_a_model_is_of_the_kind_that_the_agent_gives_and_disturbs_no_other(
    bench: Bench, agent: Bench, tmp_path: Path
) -> None:
    models = {name: make(tmp_path / f"{name}.onnx") for name, make in FAILURES.items()}
    ours, events = outputs_of(bench, models)
    theirs, others = outputs_of(agent, models)
    names = list(models)

    def blamed(said: list[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
        return {names[event["model"]]: (event["phase"], event["kind"]) for event in of(said, "error")}

    assert blamed(events) == blamed(others)
    assert blamed(events) == {
        "truncated": ("cold", "model"), "random": ("cold", "model"), "missing": ("cold", "model"),
        "two_inputs": ("cold", "input"), "three_channels": ("cold", "input"), "int8": ("cold", "input"),
        "huge": ("cold", "memory"),
    }  # fmt: skip
    assert events[-1]["alive"] == others[-1]["alive"] == [names.index(name) for name in ("good", "uint8", "nan")]
    for name in ("good", "uint8", "nan"):
        assert_same_bits(ours[names.index(name)], theirs[names.index(name)])
    (misfit,) = [e for e in of(events, "error") if names[e["model"]] == "three_channels"]
    assert all(word in misfit["message"] for word in ("(1, 3, 16, 16)", "(1, 1, 16, 16)", "set layout"))
    assert all(event["message"].isprintable() for event in of(events, "error"))


def test_means_that_do_not_fit_the_channels_are_refused(bench: Bench, folder: Path) -> None:
    _, events = outputs_of(bench, {"good": folder / "good.onnx"}, input={"mean": [0.1, 0.2]})
    (error,) = of(events, "error")
    assert error["kind"] == "input"
    assert all(word in error["message"] for word in ("2 means", "1 channels", "give one"))


def test_a_runtime_that_does_not_start_is_an_error_of_its_own_kind(bench: Bench, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime.so").write_bytes(b"no library")
    broken = dataclasses.replace(bench, runtime=str(tmp_path))
    _, events = outputs_of(broken, {"good": folder / "good.onnx"})
    (error,) = of(events, "error")
    assert error["kind"] == "runtime"
    assert "libonnxruntime.so" in error["message"]


def test_the_events_hold_what_the_agents_hold(bench: Bench, agent: Bench) -> None:
    def shapes(one: Bench) -> dict[str, Any]:
        return {event["event"]: shape_of(event) for event in one.run(one.job("good", "slower"))}

    ours, theirs = shapes(bench), shapes(agent)
    assert ours["cold"]["facts"].pop("libc") == theirs["cold"]["facts"].pop("numpy") == "str"
    assert theirs["start"]["fingerprint"].pop("python") == "str"
    assert ours == theirs


def test_the_survey_says_what_the_agents_says(bench: Bench, agent: Bench) -> None:
    ours, theirs = (deploy.survey(one.handle) for one in (bench, agent))
    theirs["fingerprint"].pop("python")
    assert ours["fingerprint"] == theirs["fingerprint"]
    assert ours["can"] == theirs["can"]
    assert ours["conditions"].keys() == theirs["conditions"].keys()
    assert ours["clock"]["resolution_s"] == theirs["clock"]["resolution_s"]
    assert ours["conditions"]["available_bytes"] == pytest.approx(theirs["conditions"]["available_bytes"], rel=0.2)


def test_who_starts_a_job_that_is_no_json_gets_the_place_of_the_error(bench: Bench) -> None:
    job = bench.job("good")
    (job / "job.json").write_text('{"schema": 1,')
    with pytest.raises(DeviceError, match=r"job\.json.* byte 13"):
        bench.start(job)
    change_job(bench.job("good"))
    other = change_job(bench.job("good"), threads="many")
    with pytest.raises(DeviceError, match=r"job\.json.*threads"):
        bench.start(other)


def test_a_disk_that_runs_full_ends_the_job_with_the_reason(bench: Bench, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=512 * 1024) as disk:
        job = disk / "job"
        shutil.copytree(bench.job("good", rounds=50, round_s=0.2, max_launches=40, max_timed_s=100), job)
        bench.start(job)
        with pytest.raises(MeasurementError, match=rf"the disk under {job} is full; free some space"):
            list(bench.follow(job))


def test_the_whole_job_runs_clean_under_address_and_undefined_behaviour_checks(
    bench: Bench, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checked = checked_bench(bench, tmp_path_factory)
    job = change_job(
        checked.job("good", "slower", "missing"), meter={"kind": "power_supply", "path": str(tmp_path / "none")}
    )
    events = checked.run(job)
    assert events[-1]["alive"] == [0, 1]
    assert [error["model"] for error in of(events, "error")] == [2]
    logs = "".join(log.read_text() for log in [*job.glob("*.log")])
    assert "Sanitizer" not in logs
    assert "runtime error" not in logs
    assert np.load(job / "m0.rounds.npy").shape == (6, 4)


def test_a_conductor_without_followers_wakes_nobody_and_a_dead_follower_is_cleared_away(bench: Bench) -> None:
    job = bench.job("good")
    os.mkfifo(job / "wake.999999")
    bench.start(job)
    wait_for(job, b'"event": "done"')
    assert not (job / "wake.999999").exists()
    assert processes_of(job, "work") == []
