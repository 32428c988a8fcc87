"""The native runner's phases and scenarios beside the agent's: the same job, events and arrays, with either runtime."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.agent import contract
from harness.errors import DeviceError
from harness.model import Address, Case, Device, InputSpec, Load, Suite, Task, Variant
from harness.results import accelerators
from harness.results import events as reading
from tests import small_models as small
from tests import small_tflite
from tests.devices.job_bench import Bench, of
from tests.native.native_bench import change_job, checked_bench, shape_of, small_folder

QUICK: dict[str, Any] = {"cold_starts": 1, "memory_starts": 1, "max_launches": 1, "min_launches": 1, "rounds": 2}
PARTS = {"parts_s": 0.01, "parts_min": 20}
STREAM = {"period_ns": 4_000_000, "frames": 25}
SUSTAINED = {"sustained_s": 0.5, "window_s": 0.1, "cooldown_s": 0.3}
#: Events and fields that one side has for a reason: facts of its own language.
OWN = {"python", "numpy", "libc"}


def free_batch(path: Path) -> Path:
    """Write a classifier that takes any number of images at once."""
    weights = np.random.default_rng(4).normal(0, 0.1, (small.SIZE * small.SIZE, 3)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, small.SIZE, small.SIZE])
    seen = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "free", [given], [seen], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = small_folder(tmp_path_factory.mktemp("models"))
    free_batch(made / "free.onnx")
    small.truncated(made / "truncated.onnx")
    small_tflite.segmenter(made / "segmenter.tflite")
    return made


@pytest.fixture(params=[small.ONNXRUNTIME, small.LITERT], scope="module")
def both(request: pytest.FixtureRequest, bench: Bench, agent: Bench) -> tuple[Bench, Bench]:
    """Give runner and agent with one runtime after the other."""
    return bench.with_runtime(request.param), agent.with_runtime(request.param)


def run(bench: Bench, *models: str, plan: Mapping[str, Any] = QUICK, **changes: Any) -> tuple[Path, list[Any]]:
    """Run a job; return its folder and its events."""
    job = change_job(bench.job(*models, **plan), **changes)
    return job, list(bench.run(job))


def without_own(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: without_own(item) for key, item in value.items() if key not in OWN}
    return value


def shapes(events: list[Any]) -> dict[str, Any]:
    """Return the shape of every kind of event; of errors, phase and kind."""
    return {
        event["event"]: (event["phase"], event["kind"]) if event["event"] == "error" else without_own(shape_of(event))
        for event in events
    }


def placement_of(event: Mapping[str, Any]) -> contract.Placement:
    """Return an event as the host reads it."""
    read = reading.parse(json.dumps(event).encode(), device="local")
    assert isinstance(read, contract.Placement)
    return read


JOBS: dict[str, tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    "single_stream": (("good", "truncated"), {**QUICK, **PARTS}, {}),
    "reloaded": (("good",), {**QUICK, "hold": False, "evicted_starts": 1},
                 {"meter": {"kind": "powercap", "path": "/nowhere"}}),
    "stream": (("good",), {**QUICK, **STREAM}, {}),
    "offline": (("free",), {**QUICK, **PARTS}, {"batch": 4, "task": "segmentation"}),
    "sustained": (("good", "truncated"), {**QUICK, **SUSTAINED, "cold_starts": 0, "memory_starts": 0,
                                          "accuracy": False}, {}),
    "fixed batch": (("good",), QUICK, {"batch": 4}),
    "host's meter": (("good",), {**QUICK, "max_launches": 0}, {"meter": {"kind": "host", "lead_s": 0.01}}),
}  # fmt: skip
#: What is otherwise with a runtime: LiteRT runs one image at a time.
OTHERWISE: dict[tuple[str, str], tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    ("onnxruntime", "single_stream"): (*JOBS["single_stream"][:2], {"accelerator": "CPUExecutionProvider"}),
    ("litert", "single_stream"): (
        ("good", "truncated"),
        {**QUICK, **PARTS, "profile_s": 0.1},
        {"accelerator": "xnnpack"},
    ),
    ("litert", "offline"): (("segmenter",), JOBS["offline"][1], {"task": "segmentation"}),
}


def job_of(bench: Bench, name: str) -> tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]:
    return OTHERWISE.get((bench.kind, name), JOBS[name])


@pytest.mark.parametrize("name", JOBS)
def test_a_job_leaves_the_events_and_the_arrays_that_the_agent_leaves(both: tuple[Bench, Bench], name: str) -> None:
    models, plan, changes = job_of(both[0], name)
    (own_job, ours), (other_job, theirs) = (run(one, *models, plan=plan, **changes) for one in both)
    assert shapes(ours) == shapes(theirs)
    assert [event["event"] for event in ours if event["event"] != "error"] == [
        event["event"] for event in theirs if event["event"] != "error"
    ]
    assert ours[-1]["alive"] == theirs[-1]["alive"]
    own, other = ({path.name: np.load(path) for path in job.glob("*.npy")} for job in (own_job, other_job))
    assert {file: (found.dtype, found.ndim, *found.shape[1:]) for file, found in own.items()} == {
        file: (found.dtype, found.ndim, *found.shape[1:]) for file, found in other.items()
    }
    for file in own.keys() & {"m0.outputs.npy"}:
        assert own[file].tobytes() == other[file].tobytes()
    assert not list(own_job.glob("*.raw"))
    for job in (own_job, other_job):
        parsed = [reading.parse(line, device="local") for line in (job / "events.jsonl").read_bytes().splitlines()]
        assert [event.event for event in parsed] == [type(event).KIND for event in parsed]


def test_the_whole_of_every_scenario_runs_clean_under_checks(
    both: tuple[Bench, Bench], tmp_path_factory: pytest.TempPathFactory
) -> None:
    checked = checked_bench(both[0], tmp_path_factory)
    with ThreadPoolExecutor(4) as pool:
        made = {
            name: pool.submit(run, checked, *models, plan=plan, **changes)
            for name in JOBS
            for models, plan, changes in [job_of(checked, name)]
        }
    for name, done in made.items():
        job, events = done.result()
        logs = "".join(log.read_text() for log in job.glob("*.log"))
        assert "Sanitizer" not in logs, name
        assert "runtime error" not in logs, name
        expected = [] if name == "fixed batch" else [0]
        assert events[-1]["alive"] == expected, name
        assert bool(of(events, "sustaining")) == (name == "sustained")


# Frames ---------------------------------------------------------------------------------------------------------------


def test_of_the_frames_of_a_stream_each_is_taken_once_and_its_latency_counts_from_its_arrival(bench: Bench) -> None:
    job, events = run(bench, "good", plan={**QUICK, **STREAM, "rounds": 3})
    rounds = [one for event in of(events, "launch") for one in event["rounds"]]
    rows, latency = np.load(job / "m0.frames.npy"), np.load(job / "m0.latency.npy")
    table, jitter = np.load(job / "m0.rounds.npy"), np.load(job / "m0.jitter.npy")
    assert [one["arrived"] for one in rounds] == [25, 25, 25]
    np.testing.assert_array_equal(rows[:, 1] + rows[:, 2], latency)
    assert sum(one["waits"] for one in rounds) == len(jitter)
    assert (jitter >= 0).all()
    for (_, start, stop, _), one in zip(table, rounds, strict=True):
        block = rows[start:stop]
        assert len(block) == one["count"]
        assert (np.diff(block[:, 0]) > 0).all()
        assert block[0, 0] >= 0
        assert block[-1, 0] < 25
        assert (block[:, 1] >= 0).all()
        assert (block[:, 1] < STREAM["period_ns"]).all(), "a newer frame had come"
        free_at = block[:-1, 0] * STREAM["period_ns"] + block[:-1, 1] + block[:-1, 2]
        assert (block[1:, 0] * STREAM["period_ns"] + block[1:, 1] >= free_at).all(), "two inferences overlap"
        assert one["ns"] == block[:, 2].sum()


def test_a_model_slower_than_the_frames_drops_what_time_does_not_allow(bench: Bench) -> None:
    job, events = run(bench, "slower", plan={**QUICK, "period_ns": 20_000, "frames": 2000})
    table = np.load(job / "m0.rounds.npy")
    service_ns = float(np.median(np.load(job / "m0.frames.npy")[:, 2]))
    taken = np.diff(table[:, 1:3], axis=1).sum()
    assert service_ns > 2 * 20_000
    arrived = sum(one["arrived"] for event in of(events, "launch") for one in event["rounds"])
    assert arrived == 2 * 2000
    assert taken < arrived * 20_000 / service_ns * 1.2


# Accelerators ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "accelerator", "says"),
    [
        (small.ONNXRUNTIME, "CPUExecutionProvider", ""),
        (small.LITERT, "xnnpack", ""),
        (
            small.LITERT,
            "nnapi",
            r"nnapi was asked for and ai-edge-litert==2\.3\.0 on this device offers xnnpack: the model ran on xnnpack",
        ),
        (
            small.ONNXRUNTIME,
            "AzureExecutionProvider",
            r"AzureExecutionProvider was asked for and took none of \d nodes: they ran on CPUExecutionProvider",
        ),
        (
            small.ONNXRUNTIME,
            "CUDAExecutionProvider",
            r"CUDAExecutionProvider was asked for and onnxruntime==1\.31\.1 on this device offers "
            r"AzureExecutionProvider, CPUExecutionProvider: the model ran on CPUExecutionProvider",
        ),
    ],
)
def test_what_ran_the_nodes_is_known_before_anything_is_timed_and_judged_as_the_agents_is(
    bench: Bench, agent: Bench, requirement: str, accelerator: str, says: str
) -> None:
    quick = {**QUICK, "memory_starts": 0, "max_launches": 0, "accuracy": False}
    (job, ours), (_, theirs) = (
        run(one.with_runtime(requirement), "good", plan=quick, accelerator=accelerator) for one in (bench, agent)
    )
    kinds = [event["event"] for event in ours]
    assert kinds.index("placement") < kinds.index("cold")
    (own,), (other,) = of(ours, "placement"), of(theirs, "placement")
    assert {key: own[key] for key in ("wanted", "offered", "nodes")} == {
        key: other[key] for key in ("wanted", "offered", "nodes")
    }
    suite = Suite("s", "", {}, InputSpec(), Task("classification"), Load(accelerator=accelerator), "b", (), ())
    device = Device("unit", "ultrasound", Address("local"), runner="native")
    case = Case(suite, Variant("b", "onnx", Path("b.onnx"), "", 0), device, requirement, "id")
    seen, others = (placement_of(event) for event in (own, other))
    shortfall = accelerators.shortfall(case, seen)
    assert shortfall == accelerators.shortfall(case, others)
    assert re.fullmatch(says, shortfall.text if shortfall else "")
    assert not list(job.glob("*.trace*")), "the trace is removed"


def test_a_model_that_does_not_load_with_an_accelerator_is_an_error_of_the_agents_kind(
    both: tuple[Bench, Bench],
) -> None:
    errors = []
    for one in both:
        accelerator = "AzureExecutionProvider" if one.kind == "onnxruntime" else "xnnpack"
        _, events = run(one, "truncated", "good", accelerator=accelerator)
        (error,) = of(events, "error")
        errors.append((error["model"], error["phase"], error["kind"]))
        assert events[-1]["alive"] == [1]
    assert errors == [(0, "placement", "accelerator")] * 2


# What it does not know ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "plan."])
def test_a_job_that_asks_for_what_the_runner_does_not_know_is_refused_before_anything_is_measured(
    bench: Bench, place: str
) -> None:
    job = bench.job("good")
    what = json.loads((job / "job.json").read_text())
    (what["plan"] if place else what)["colour"] = "blue"
    (job / "job.json").write_text(json.dumps(what))
    with pytest.raises(DeviceError, match=rf"{place}colour.*another version of edgeward"):
        bench.start(job)
    assert not (job / "events.jsonl").exists()
