"""Where the time of an inference goes, on the page: shares by operator, what tracing costs, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from harness.model import Run
from harness.page import Report, charts
from harness.page.render import environment
from harness.page.sections import limit
from harness.page.sections import profile as section_of
from harness.results import profile
from harness.results.profile import Node, Operator, Profile
from tests.pages import stored_runs
from tests.pages.test_page_charts import words

TYPES = {"Conv": 6.0, "DequantizeLinear": 1.2, "QuantizeLinear": 0.6, "Add": 0.4, "Relu": 0.2, "Gemm": 0.1}


def seen(inference_s: float, **shares: float) -> Profile:
    """Return a profile of operators that take these times in all but a tenth of an inference."""
    whole = sum(shares.values())
    made = [Operator(name, "CPUExecutionProvider", 2, 0.9 * inference_s * one / whole) for name, one in shares.items()]
    slowest = (Node("/layer1/conv", made[0].type, "CPUExecutionProvider", made[0].time_s / 2),)
    return Profile(200, inference_s, 2 * len(made), 0.9 * inference_s, tuple(made), slowest)


def noted(run: Run, kept: Mapping[str, Any]) -> Run:
    return replace(run, notes={**run.notes, profile.KEY: kept})


def traced() -> Report:
    """Return a report in which two variants have a profile, one says why not, and of the others nobody asked."""
    full = stored_runs.report(runtime="onnxruntime")
    head, int8, int4, *others = full.runs
    runs = (
        noted(head, asdict(seen(8e-3, Conv=8.2, Relu=1.0, Gemm=0.8, MaxPool=0.3))),
        noted(int8, asdict(seen(4e-3, **TYPES, Flatten=0.05, Reshape=0.04))),
        noted(int4, {"absent": "the traced inferences failed: no answer within 300 s; the process was ended"}),
        *others,
    )
    return replace(full, runs=runs)


def rendered(report: Report) -> str:
    """Return the HTML of the section alone: drawing all others takes seconds."""
    template = environment([("profile", section_of)], None).get_template("profile.html")
    return template.render(several=False, folded=False, **(section_of.context(report) or {}))


def test_the_page_says_which_operators_take_the_time_and_how_much_tracing_slowed_it_down() -> None:
    html = rendered(traced())
    said = words(html)
    assert html.count("<svg") == 2, "one drawing, for both widths"
    assert "resnet18-int8: all others" in html
    assert html.index("resnet18-fp32") < html.index("resnet18-int8")
    assert "resnet18-fp32 Conv 80 % 8 200 8.00 ms 10 %" in said.replace("\u202f", " ")
    assert "Conv CPUExecutionProvider 2 79.6 % 5.73 ms" in said
    assert "/layer1/conv Conv CPUExecutionProvider" in said
    assert "No profile, resnet18-int4: the traced inferences failed: no answer within 300 s" in said
    assert "pruned" not in said, "nobody asked for a profile of that one"


def test_a_traced_time_is_held_against_the_median_of_the_same_thing_alone() -> None:
    head = traced().runs[0]
    found = profile.of(head)
    assert isinstance(found, Profile)
    assert section_of._slower(head, found).startswith("1.29×")
    batch = replace(head, case=replace(head.case, scenario="offline", batch=2))
    assert section_of._slower(batch, found).startswith("0.65×"), "the latency of a batch is that of an image"
    stream = replace(head, case=replace(head.case, scenario="stream"))
    assert section_of._slower(stream, found) == "–", "that of a stream begins before the inference"


def test_shares_are_left_out_where_details_are_and_drawn_nowhere_where_charts_are_not() -> None:
    report = traced()
    assert section_of.context(replace(report, detailed=False)) is None
    assert section_of.context(stored_runs.report()) is None, "nobody asked for it"
    with charts.kept() as drawings:
        found = section_of.context(report)
    assert found is not None
    assert len(drawings) == 1
    assert "resnet18-int8: all others 1." in drawings[0][1], "six types have a colour of their own"


def test_the_words_on_what_limits_a_case_name_the_kind_of_operator_that_takes_the_time() -> None:
    head, int8, int4, *_ = traced().runs
    assert limit.limits(head)[0] == "operators: of the time in them, convolutions take 80 %"
    assert limit.limits(int8)[0] == (
        "operators: of the time in them, convolutions take 70 % and "
        "changing the type of numbers (DequantizeLinear, QuantizeLinear) takes 21 %"
    )
    assert not [line for line in limit.limits(int4) if line.startswith("operators")]
    even = noted(head, asdict(seen(1e-3, Resize=1.0, Add=1.0, Mul=1.0)))
    assert not [line for line in limit.limits(even) if line.startswith("operators")], "none takes half of it"
