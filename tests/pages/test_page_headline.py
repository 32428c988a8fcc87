"""The one sentence: never more than was measured."""

from __future__ import annotations

from dataclasses import replace

from harness.model import Campaign, Estimate, Judgement, Outcome, Reason, Validity, Verdict
from harness.page import Report
from harness.page.headline import Headline, overall
from tests.pages import stored_runs


def sentence(report: Report) -> Headline:
    """Return what the report says first."""
    return overall(report)[0]


def broken(outcome: Outcome, metric: str) -> tuple[Judgement, ...]:
    """Return the judgements of an outcome with one metric's line not held."""
    return tuple(replace(one, passed=one.passed and one.criterion.metric != metric) for one in outcome.judgements)


def test_the_fastest_safe_variant_is_named_with_its_interval_and_its_margins() -> None:
    head = sentence(stored_runs.report(runtime="onnxruntime"))
    assert head.tone == "good"
    assert head.sentence.startswith("resnet18-int8 is the fastest variant that is safe: 0.4")
    assert "the latency of resnet18-fp32 (95 % interval 0.4" in head.sentence
    assert "sensitivity 83.3 %, +0.3 pp (not inferior by 5 pp)" in head.sentence


def test_a_variant_that_loses_sensitivity_is_never_called_safe() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    judged = tuple(replace(one, status="failed", judgements=broken(one, "sensitivity")) for one in report.outcomes)
    head = sentence(replace(report, outcomes=judged))
    assert head.tone == "bad"
    assert head.sentence.startswith("No variant is both faster and safe: the fastest, resnet18-int8")
    assert "not shown to be non-inferior by 5 pp" in head.sentence


def test_without_a_margin_nothing_is_called_safe() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    outcomes = tuple(replace(outcome, judgements=()) for outcome in report.outcomes)
    head = sentence(replace(report, outcomes=outcomes))
    assert head.tone == "unsure"
    assert "the suite bounds no accuracy" in head.sentence
    assert "safe" not in head.sentence


def test_without_a_faster_variant_the_baseline_is_kept() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    changes = tuple(replace(change, verdict=Verdict.INCONCLUSIVE) for change in report.comparisons)
    head = sentence(replace(report, comparisons=changes))
    assert head.tone == "unsure"
    assert head.sentence.startswith("Keep resnet18-fp32: none of 5 measured variants was shown to be faster")


def test_an_invalid_baseline_leaves_nothing_to_say() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    runs = tuple(replace(run, validity=Validity.INVALID, reasons=(Reason("too hot"),)) for run in report.runs)
    head = sentence(replace(report, runs=runs, comparisons=()))
    assert head.tone == "bad"
    assert "no valid run" in head.sentence


def test_a_baseline_alone_is_said_to_be_alone() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    head = sentence(replace(report, runs=report.runs[:1], outcomes=report.outcomes[:1], comparisons=()))
    assert head.sentence.startswith("resnet18-fp32 was measured alone: ")


def test_a_quick_campaign_is_marked() -> None:
    assert any("Quick campaign" in line for line in sentence(stored_runs.report(quick=True)).caveats)
    assert not any("Quick campaign" in line for line in sentence(stored_runs.report()).caveats)


def test_rivals_whose_interval_overlaps_are_named() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    changes = tuple(
        replace(change, change=Estimate(0.5, 0.4, 0.6)) if change.metric == "latency_ratio" else change
        for change in report.comparisons
    )
    assert any(
        "which is faster was not decided" in line for line in sentence(replace(report, comparisons=changes)).caveats
    )


def test_each_runtime_has_a_sentence_of_its_own() -> None:
    head, details = overall(stored_runs.report())
    assert [title for title, _ in details] == ["pi5 · onnxruntime 1.31.1", "pi5 · ai-edge-litert 2.3.0"]
    assert "(with onnxruntime 1.31.1)" in head.sentence


def test_degraded_and_invalid_runs_are_named() -> None:
    report = stored_runs.report()
    runs = (replace(report.runs[0], validity=Validity.DEGRADED, reasons=(Reason("throttled"),)), *report.runs[1:])
    caveats = sentence(replace(report, runs=runs)).caveats
    assert any(
        line.startswith("Absolute figures degraded: resnet18-fp32 (pi5 · onnxruntime 1.31.1)") for line in caveats
    )
    assert any(line.startswith("Invalid: resnet18-int4 (pi5 · ai-edge-litert 2.3.0)") for line in caveats)


def test_places_and_reports_that_are_degraded_as_a_whole_are_not_told_run_by_run() -> None:
    report = stored_runs.report()
    runs = tuple(replace(run, validity=Validity.DEGRADED, reasons=(Reason("throttled"),)) for run in report.runs)
    assert (
        f"Absolute figures degraded: all {len(runs)} runs – read with its reasons below."
        in sentence(replace(report, runs=runs)).caveats
    )
    one = next(group.title for group in report.groups())
    there = {entry.run.id for entry in next(iter(report.groups())).entries if entry.run}
    runs = tuple(replace(run, validity=Validity.DEGRADED if run.id in there else Validity.VALID) for run in report.runs)
    caveats = sentence(replace(report, runs=runs)).caveats
    assert f"Absolute figures degraded: all on {one} – read with its reasons below." in caveats


def test_an_empty_campaign_says_so() -> None:
    empty = Campaign("none", stored_runs.STARTED, "pytest suites --device pi5", {})
    assert sentence(Report(empty, (), (), ())).sentence == "Nothing was measured: no case was asked for."
