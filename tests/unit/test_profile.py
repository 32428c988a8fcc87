"""What each operator takes: read from a real trace, summed on the device, believed only if it agrees with itself."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from harness.agent import contract, operators
from harness.agent.runtimes import onnxruntime
from harness.measure import jobs
from harness.model import Address, Case, Device, InputSpec, Load, Suite, Task, Variant
from harness.results import profile
from tests import small_models as small
from tests.events import event
from tests.made_runs import BASELINE


def branching(path: Path) -> Path:
    """Write a classifier whose bright images take a branch with one heavy convolution."""
    nodes, weights = small.classifier("x", out="plain")
    rng = np.random.default_rng(1)
    weights |= {
        "bright": np.array(0.1, np.float32), "nothing": np.zeros((), np.float32),
        "wide": rng.normal(0, 0.1, (64, 1, 9, 9)).astype(np.float32),
        "heavy": rng.normal(0, 0.1, (64, 64, 9, 9)).astype(np.float32),
    }  # fmt: skip
    number = helper.make_tensor_value_info("taken", TensorProto.FLOAT, [])
    other = helper.make_tensor_value_info("passed", TensorProto.FLOAT, [])
    long = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "wide"], ["h"], pads=[4, 4, 4, 4]),
            helper.make_node("Conv", ["h", "heavy"], ["c"], pads=[4, 4, 4, 4]),
            helper.make_node("ReduceMax", ["c"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "nothing"], ["taken"]),
        ],
        "long", [], [number],
    )  # fmt: skip
    short = helper.make_graph([helper.make_node("Identity", ["nothing"], ["passed"])], "short", [], [other])
    nodes += [
        helper.make_node("ReduceMax", ["x"], ["brightest"], keepdims=0),
        helper.make_node("Greater", ["brightest", "bright"], ["way"]),
        helper.make_node("If", ["way"], ["more"], then_branch=long, else_branch=short),
        helper.make_node("Add", ["plain", "more"], ["logits"]),
    ]
    return small.save(path, nodes, [small.entrance_of()], weights)


def test_a_real_trace_gives_each_node_its_own_time_and_a_branch_none_of_what_runs_inside_it(tmp_path: Path) -> None:
    session = onnxruntime.Session(str(branching(tmp_path / "m.onnx")), 1, trace=str(tmp_path / "m.trace"))
    x = session.bind(np.ones((1, 1, small.SIZE, small.SIZE), np.float32))
    samples = []
    for _ in range(8):
        began = time.monotonic_ns()
        session.call(x)
        samples.append(time.monotonic_ns() - began)
    found = session.operators([True, False, True, True, True])
    assert not list(tmp_path.glob("*.trace*")), "the trace is removed"
    taken: dict[str, int] = {}
    for _, kind, provider, ns in found:
        assert provider == "CPUExecutionProvider"
        assert ns >= 0
        taken[kind] = taken.get(kind, 0) + ns
    assert taken["If"] < taken["Conv"] / 10, "the heavy convolution runs inside the branch"
    assert taken["Conv"] > sum(taken.values()) / 2
    counted = [samples[3], *samples[5:]]
    assert sum(taken.values()) <= sum(counted)
    summed = operators.summed(found, counted)
    assert profile.notes([event(contract.Profile, **summed)])[profile.KEY]["operators"][0]["type"] == "Conv"


def test_a_trace_that_holds_fewer_inferences_than_counted_is_refused(tmp_path: Path) -> None:
    session = onnxruntime.Session(str(small.good(tmp_path / "m.onnx")), 1, trace=str(tmp_path / "m.trace"))
    session.call(session.bind(np.ones((1, 1, small.SIZE, small.SIZE), np.float32)))
    with pytest.raises(ValueError, match="its trace holds 1 of 2 inferences"):
        session.operators([True, True])


def test_types_beyond_the_bound_are_one_row_and_no_time_is_lost() -> None:
    nodes = [(f"node{i}", f"Type{i % 70}" + "x" * 100, "CPU", 1000 * (i + 1)) for i in range(140)]
    found = operators.summed(nodes, [10_000_000] * 4)
    rows = found["operators"]
    assert len(rows) == contract.PROFILE_TYPES + 1
    assert (rows[-1].type, rows[-1].provider, rows[-1].nodes) == ("", "", 12)
    assert found["nodes"] == sum(row.nodes for row in rows) == 140
    assert sum(row.ns for row in rows) == pytest.approx(found["nodes_ns"]) == 1000 * sum(range(141)) / 4
    assert [one.name for one in found["slowest"]] == [f"node{i}" for i in range(139, 129, -1)]
    assert max(len(row.type) for row in rows) == contract.PROFILE_NAME


SEEN = event(
    contract.Profile, inferences=10, inference_ns=1e6, nodes=3, nodes_ns=9e5,
    operators=[contract.Operator("Conv", "CPU", 2, 8e5), contract.Operator("Gemm", "CPU", 1, 1e5)],
    slowest=[contract.Node("conv1", "Conv", "CPU", 7e5)],
)  # fmt: skip


def test_a_profile_that_agrees_with_itself_is_kept_in_seconds_and_read_back() -> None:
    run = replace(BASELINE, notes=profile.notes([SEEN]))
    found = profile.of(run)
    assert isinstance(found, profile.Profile)
    assert found.operators[0] == profile.Operator("Conv", "CPU", 2, 8e-4)
    assert found.share(found.operators[0].time_s) == pytest.approx(8 / 9)
    assert profile.of(BASELINE) is None, "nobody asked for it"
    assert profile.of(replace(run, notes=profile.notes([event(contract.Profile, absent="it broke")]))) == "it broke"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"inferences": 0}, "it holds no inference"),
        ({"operators": None}, "its operators take no time"),
        ({"nodes": 4}, "its operators have other nodes than it says"),
        ({"nodes_ns": 8e5}, "its operators take another time than it says"),
        ({"inference_ns": 8e5}, "its operators take longer than the inference"),
        ({"slowest": [contract.Node("n", "Conv", "CPU", -1.0)]}, "a time or a count is below zero"),
        ({"slowest": [contract.Node("n", "Conv", "CPU", 1e6)]}, "a node takes longer than all"),
        ({"slowest": [contract.Node("n", "Conv", "CPU", 1.0)] * 11}, "it lists more than it may"),
    ],
)
def test_a_profile_that_contradicts_itself_is_absent_with_the_reason(changes: dict[str, Any], why: str) -> None:
    kept = profile.notes([replace(SEEN, **changes)])
    assert kept == {profile.KEY: {"absent": f"what the device said of it contradicts itself: {why}"}}


def test_a_case_of_a_vendors_tool_says_why_it_has_no_profile_where_the_suite_asks_for_one() -> None:
    device = Device("phone", "phone", Address("local"), runner="benchmark_model")
    said = []
    for load in (Load(), Load(profile=True)):
        suite = Suite("s", "", {}, InputSpec(), Task("classification"), load, "b", (), ())
        variant = Variant("b", "tflite", Path("b.tflite"), "", 0)
        said.append(profile.of_tool(Case(suite, variant, device, small.LITERT, "id")))
    assert said[0] == {}
    assert "benchmark_model runner asks the tool for no times" in said[1][profile.KEY]["absent"]


def test_a_profile_is_planned_only_where_the_suite_asks_for_it() -> None:
    assert jobs.plan(Load(), 2, quick=False).profile_s == 0
    assert [jobs.plan(Load(profile=True), 2, quick=quick).profile_s for quick in (False, True)] == [2.0, 0.2]
