"""The one sentence: never more than was measured."""

from __future__ import annotations

from dataclasses import replace

from harness.model import Campaign, Estimate, Judgement, Outcome, Reason, Validity, Verdict
from harness.page import Report, render
from harness.page.headline import Headline, overall
from tests.pages import stored_runs


def sentence(report: Report) -> Headline:
    """Return what the report says first."""
    return overall(report)[0]


def broken(outcome: Outcome, metric: str) -> tuple[Judgement, ...]:
    """Return the judgements of an outcome with one metric's line not held."""
    return tuple(replace(one, passed=one.passed and one.criterion.metric != metric) for one in outcome.judgements)


def test_the_fastest_accepted_variant_is_named_with_its_device_its_interval_and_its_margins() -> None:
    head = sentence(stored_runs.report(runtime="onnxruntime"))
    assert head.tone == "good"
    assert head.sentence.startswith("On pi5, resnet18-int8 answers 2.12 times as fast as resnet18-fp32 (2.")
    said = "sensitivity (solid) 83.3 % against 83.0 % (−0.9 to +1.9 pp; a loss of up to 5 pp was allowed)"
    assert f"and meets the suite's limits: {said}" in head.sentence
    assert head.caveats[0] == (
        "Why to believe it: its run is valid; 900 images; 6 launches in turns with the baseline. "
        "Brackets hold intervals of 95 %."
    )
    assert head.caveats[1].startswith("The suite sets no limit for AUROC: AUROC 0.939 against 0.939 (")


def test_a_variant_that_loses_sensitivity_does_not_meet_the_limits() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    judged = tuple(replace(one, status="failed", judgements=broken(one, "sensitivity")) for one in report.outcomes)
    head = sentence(replace(report, outcomes=judged))
    assert head.tone == "bad"
    fastest = (
        "On pi5, no variant is both faster and within the suite's limits: the fastest, resnet18-int8, answers 2.12"
    )
    assert head.sentence.startswith(fastest)
    assert "not shown to lose no more than the 5 pp that were allowed" in head.sentence


def test_without_a_margin_nothing_is_called_good_enough() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    outcomes = tuple(replace(outcome, judgements=()) for outcome in report.outcomes)
    head = sentence(replace(report, outcomes=outcomes))
    assert head.tone == "unsure"
    assert "the suite limits no accuracy" in head.sentence
    assert "meets" not in head.sentence


def test_without_a_faster_variant_the_baseline_is_kept() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    changes = tuple(replace(change, verdict=Verdict.INCONCLUSIVE) for change in report.comparisons)
    head = sentence(replace(report, comparisons=changes))
    assert head.tone == "unsure"
    assert head.sentence.startswith("Keep resnet18-fp32: none of 5 compared variants was shown to be faster")


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
    assert head.sentence.startswith("On pi5 with onnxruntime 1.31.1, ")


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


def changed(report: Report, metric: str, change: Estimate, verdict: Verdict, variant: str = "resnet18-int8") -> Report:
    """Return a report with another change of one metric of a variant."""
    ids = {run.id for run in report.runs if run.case.variant == variant}
    changes = tuple(
        replace(one, change=change, verdict=verdict) if one.metric == metric and one.run in ids else one
        for one in report.comparisons
    )
    return replace(report, comparisons=changes)


def only(report: Report, *variants: str) -> Report:
    """Return a report of some variants alone."""
    runs = tuple(run for run in report.runs if run.case.variant in variants)
    ids = {run.id for run in runs}
    return replace(report, runs=runs, outcomes=tuple(one for one in report.outcomes if one.run in ids))


def test_an_accuracy_that_fell_without_a_limit_is_no_good_news() -> None:
    report = only(stored_runs.report(runtime="onnxruntime"), "resnet18-fp32", "resnet18-int8")
    bounded = tuple(
        replace(one, judgements=tuple(each for each in one.judgements if each.criterion.metric != "specificity"))
        for one in report.outcomes
    )
    fell = changed(report, "specificity", Estimate(-0.46, -0.5, -0.41), Verdict.REGRESSED)
    head = sentence(replace(fell, outcomes=bounded))
    assert head.tone == "bad"
    assert "but loses accuracy: specificity (solid)" in head.sentence
    assert "(worse; −50.0 to −41.0 pp)" in head.sentence
    assert head.caveats[1].startswith("The suite sets no limit for specificity and AUROC: specificity (solid)")


def test_what_kept_its_accuracies_wins_over_a_faster_one_that_lost_some() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    fell = changed(report, "auroc", Estimate(-0.2, -0.25, -0.15), Verdict.REGRESSED)
    assert sentence(report).sentence.startswith("On pi5, resnet18-int8")
    head = sentence(fell)
    assert "resnet18-int8 answers" not in head.sentence


def test_a_loss_within_the_margin_is_called_worse() -> None:
    report = only(stored_runs.report(runtime="onnxruntime"), "resnet18-fp32", "resnet18-int8")
    head = sentence(changed(report, "sensitivity", Estimate(-0.04, -0.049, -0.031), Verdict.WORSE))
    assert head.tone == "good"
    assert "(worse; −4.9 to −3.1 pp; a loss of up to 5 pp was allowed)" in head.sentence


def test_a_degraded_or_unexpected_winner_is_second_and_says_so() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    fastest = next(run for run in report.runs if run.case.variant == "resnet18-int8")
    runs = tuple(replace(run, validity=Validity.DEGRADED) if run.id == fastest.id else run for run in report.runs)
    second = sentence(replace(report, runs=runs))
    assert "resnet18-int8 answers" not in second.sentence
    assert "resnet18-int8 is faster, but its absolute figures are degraded." in second.caveats

    alone = only(replace(report, runs=runs), "resnet18-fp32", "resnet18-int8")
    assert sentence(alone).sentence.endswith("Read it with care: its absolute figures are degraded.")
    ends = tuple(replace(one, status="xpassed") if one.run == fastest.id else one for one in alone.outcomes)
    head = sentence(replace(alone, outcomes=ends))
    assert (head.tone, "it was expected to fail" in head.sentence) == ("unsure", True)


def test_a_quick_headline_says_that_it_is_provisional() -> None:
    report = stored_runs.report(quick=True)
    report = replace(report, runs=tuple(replace(run, quick=True) for run in report.runs))
    assert "Read it with care: a quick measurement, so provisional" in sentence(report).sentence


def test_nothing_is_kept_where_nothing_could_be_compared() -> None:
    report = only(stored_runs.report(runtime="onnxruntime"), "resnet18-fp32", "resnet18-int8")
    report = replace(report, comparisons=tuple(one for one in report.comparisons if one.metric != "latency_ratio"))
    head = sentence(report)
    assert head.tone == "bad"
    assert head.sentence == (
        "Nothing could be compared with resnet18-fp32: resnet18-int8: no latency to compare (none was measured)."
    )


def test_a_variant_as_fast_and_much_smaller_is_worth_a_sentence() -> None:
    report = only(stored_runs.report(runtime="onnxruntime"), "resnet18-fp32", "resnet18-int8")
    same = changed(report, "latency_ratio", Estimate(1.0, 0.99, 1.01), Verdict.EQUIVALENT)
    small = changed(same, "size_ratio", Estimate(0.1, 0.1, 0.1, 1.0, "exact"), Verdict.IMPROVED)
    head = sentence(small)
    assert head.sentence.startswith("Keep resnet18-fp32: resnet18-int8, the only variant compared, was not shown")
    assert any(
        line.startswith("resnet18-int8 is as fast, within the suite's limits and 10.0 times smaller on disk")
        for line in head.caveats
    )


def test_a_baseline_that_breaks_the_suites_limits_is_named() -> None:
    report = only(stored_runs.report(runtime="onnxruntime"), "resnet18-fp32", "resnet18-int8")
    base = next(run for run in report.runs if run.is_baseline)
    judged = tuple(
        replace(one, status="failed", judgements=broken(one, "latency_p90_s")) if one.run == base.id else one
        for one in report.outcomes
    )
    said = "The baseline resnet18-fp32 itself does not meet the suite's limits: "
    for verdict in (Verdict.IMPROVED, Verdict.INCONCLUSIVE):
        head = sentence(replace(changed(report, "latency_ratio", Estimate(0.47, 0.46, 0.48), verdict), outcomes=judged))
        assert any(line.startswith(said) for line in head.caveats), verdict


def test_rivals_of_another_runtime_are_named_too() -> None:
    report = stored_runs.report()
    ids = {run.id for run in report.runs}
    changes = tuple(
        replace(one, change=Estimate(0.5, 0.2, 0.9), verdict=Verdict.IMPROVED)
        if one.metric == "latency_ratio" and one.run in ids
        else one
        for one in report.comparisons
    )
    caveats = sentence(replace(report, comparisons=changes)).caveats
    assert any("with ai-edge-litert 2.3.0" in line and "was not decided" in line for line in caveats)


def test_places_where_nothing_answered_are_not_zero_of_their_number() -> None:
    report = stored_runs.on_devices(stored_runs.report(runtime="onnxruntime"), "far")
    ends = tuple(
        Outcome(f"{run.case.variant}@{run.case.device}", "error", reasons=(Reason("does not answer"),), about=run.case)
        for run in report.runs
    )
    head = sentence(replace(report, runs=(), comparisons=(), outcomes=ends))
    assert head.sentence.startswith("Nothing was measured in 2 places (device and suite): ")
    assert "0 of" not in head.sentence


def test_two_suites_are_told_apart_in_every_title_and_only_the_synthetic_one_is_called_so() -> None:
    report = only(stored_runs.report(runtime="onnxruntime"), "resnet18-fp32", "resnet18-int8")
    real = {**stored_runs.SUITE, "data": {**stored_runs.SUITE["data"], "synthetic": False}}
    suites = {"ultrasound": stored_runs.SUITE, "breast": real}
    others = tuple(
        replace(run, id=f"b-{run.id}", case=replace(run.case, suite="breast", id=f"b-{run.case.id}"))
        for run in report.runs
    )
    both = replace(report, campaign=replace(report.campaign, suites=suites), runs=(*report.runs, *others))
    titles = [group.title for group in both.groups()]
    assert titles == ["ultrasound · pi5 · onnxruntime 1.31.1", "breast · pi5 · onnxruntime 1.31.1"]
    assert both.synthetic == "Synthetic data in ultrasound"
    assert report.synthetic == "Synthetic data"
    page = render(both).decode()
    assert "Synthetic data in ultrasound." in page
    assert page.count("breast · pi5 · onnxruntime 1.31.1") > 3


def test_an_empty_campaign_says_so() -> None:
    empty = Campaign("none", stored_runs.STARTED, "pytest suites --device pi5", {})
    assert sentence(Report(empty, (), (), ())).sentence == "Nothing was measured: no case was asked for."
