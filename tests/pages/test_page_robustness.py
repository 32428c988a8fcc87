"""The report of a campaign whose suite has `[robustness]`: a forest for each variant, a table, what was left out."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from harness import compare, page
from harness.model import Condition, Reason, Run, Samples
from harness.page import technique_table
from harness.page.report import Report
from harness.results.robustness import Given, attached
from tests.pages import stored_runs

CONDITIONS = [
    Condition("corruption", name, severity, "00") for name in ("speckle_noise", "gain") for severity in (1, 5)
]
MARGIN = {"corruptions": ["speckle_noise", "gain"], "severities": [1, 5], "margin": 0.03, "attacks": []}


def tried(run: Run, place: int) -> Run:
    """Return a run as it is, and under conditions that harm it the more, the later its place; int4 gave nothing."""
    assert run.outputs is not None
    assert run.labels is not None
    samples = Samples(np.zeros((900, 1, 1, 1), np.uint8), run.labels, run.classes, "synthetic")
    rng = np.random.default_rng(place)
    given = Given(remarks=("motion_blur at severity 1 leaves images of 28 × 28 pixels as they are, so it is left out",))
    noise = [0.0, 0.01, 0.5, 1.5]
    outputs = np.concatenate([run.outputs + place * much * rng.normal(size=run.outputs.shape) for much in noise])
    given = given.more(CONDITIONS, Reason("it gave no answer") if place == 2 else outputs)
    case = replace(run.case, task="classification")
    return attached(replace(run, case=case), given, samples, stored_runs.TASK)


@pytest.fixture(scope="module")
def report() -> Report:
    full = stored_runs.report(runtime="onnxruntime")
    runs = [tried(run, place) for place, run in enumerate(full.runs)]
    runs = [replace(run, probes=compare.with_changes(runs[0], run, stored_runs.TASK)) for run in runs]
    (suite,) = full.campaign.suites
    described = {**full.campaign.suites[suite], "robustness": MARGIN}
    compared = [one for run in runs[1:] for one in compare.compare(runs[0], run, described)]
    campaign = replace(full.campaign, suites={suite: described})
    return replace(full, campaign=campaign, runs=tuple(runs), comparisons=tuple(compared))


def test_each_variant_has_a_forest_and_every_condition_a_verdict_against_the_margin(report: Report) -> None:
    (found,) = re.findall(r'<section id="robustness".*?</section>', page.render(report).decode(), re.DOTALL)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found))
    assert found.count("<figcaption>") == 4  # six runs without the baseline and the one that gave nothing
    assert "resnet18-int8: change in accuracy" in text
    assert re.search(r"resnet18-int8 against the baseline[^\"]*speckle noise, 1: [^\"]*non-inferior", found)
    assert re.search(r"Non-inferior under [1-4] of 4 conditions, inferior under \d", text)
    assert re.search(r"inferior under [1-4]; it loses most under gain, 5: −\d", text)
    assert "the dashed line is the margin of 3 pp" in text
    assert "Remark: motion_blur at severity 1 leaves images of 28 × 28 pixels as they are" in text
    assert "resnet18-int4: it gave no answer" in text
    assert "transfer" not in text


def test_the_mean_over_conditions_is_an_accuracy_like_others(report: Report) -> None:
    by_metric = {one.metric: one for one in report.comparisons if one.run == report.runs[1].id}
    assert by_metric["corrupted_accuracy"].change is not None
    levels = [one.level.point for one in report.runs[1].probes]
    assert report.runs[1].accuracy["corrupted_accuracy"].point == pytest.approx(np.mean(levels))
    changes = [one.change.point for one in report.runs[1].probes if one.change]
    assert by_metric["corrupted_accuracy"].change.point == pytest.approx(np.mean(changes))
    newest = {one.case: report.campaign.id for one in report.outcomes}
    shown = technique_table.markdown(technique_table.tables([report], newest))
    assert "| Accuracy, corrupted images |" in shown


def test_runs_that_saw_other_pixels_are_not_compared(report: Report) -> None:
    baseline, run = report.runs[0], report.runs[1]
    other = replace(run.probes[0], condition=replace(run.probes[0].condition, pixels_sha256="11"))
    changed = replace(run, probes=(other, *run.probes[1:]))
    assert compare.with_changes(baseline, changed, stored_runs.TASK)[0].change is None
    (found,) = [
        one
        for one in compare.compare(baseline, changed, {**stored_runs.SUITE, "robustness": MARGIN})
        if one.metric == "corrupted_accuracy"
    ]
    assert found.change is None
    assert "not measured under the same corruptions" in found.reason
