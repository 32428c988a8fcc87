"""The report of a campaign whose suite has `[robustness]`: a forest for each variant, a table, what was left out."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from harness import compare, page
from harness.model import Condition, Criterion, Reason, Run, Samples
from harness.page import technique_table
from harness.page.report import Report
from harness.results import occlusion
from harness.results.occlusion import Covered
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
    # As the phantom: its images have masks beside the labels that count.
    masks = np.zeros((900, 1, 1), np.uint8)
    samples = Samples(np.zeros((900, 1, 1, 1), np.uint8), run.labels, run.classes, "synthetic", masks)
    rng = np.random.default_rng(place)
    given = Given(remarks=("motion_blur at severity 1 leaves images of 28 × 28 pixels as they are, so it is left out",))
    noise = [0.0, 0.01, 0.5, 1.5]
    outputs = np.concatenate([run.outputs + place * much * rng.normal(size=run.outputs.shape) for much in noise])
    given = given.more(CONDITIONS, Reason("it gave no answer") if place == 2 else outputs)
    case = replace(run.case, task="classification")
    return attached(replace(run, case=case), given, samples, stored_runs.TASK)


def looked(run: Run, place: int, baseline: Run | None) -> Run:
    """Return a run with maps on four images, which are the more like noise, the later its place."""
    assert run.outputs is not None
    assert run.labels is not None
    samples = Samples(np.zeros((900, 8, 8, 1), np.uint8), run.labels, run.classes, "synthetic")
    places, noise = np.array([1, 4, 7, 10]), np.random.default_rng(place)
    seen = np.random.default_rng(0).normal(size=(4 * 49, 3)) + place * noise.normal(size=(4 * 49, 3))
    pictures = np.full((4, 8, 8, 1), 90, np.uint8)
    given = Covered(places, pictures).more(seen if place != 2 else Reason("it gave no answer"))
    return occlusion.attached(run, given, baseline, samples)


@pytest.fixture(scope="module")
def report() -> Report:
    full = stored_runs.report(runtime="onnxruntime")
    runs = [tried(run, place) for place, run in enumerate(full.runs)]
    runs = [replace(run, probes=compare.with_changes(runs[0], run, stored_runs.TASK)) for run in runs]
    looking = [looked(runs[0], 0, None)]
    runs = looking + [looked(run, place, looking[0]) for place, run in enumerate(runs) if place]
    (suite,) = full.campaign.suites
    described = {**full.campaign.suites[suite], "robustness": MARGIN}
    compared = [one for run in runs[1:] for one in compare.compare(runs[0], run, described)]
    campaign = replace(full.campaign, suites={suite: described})
    return replace(full, campaign=campaign, runs=tuple(runs), comparisons=tuple(compared))


@pytest.fixture(scope="module")
def section(report: Report) -> str:
    (found,) = re.findall(r'<section id="robustness".*?</section>', page.render(report).decode(), re.DOTALL)
    return str(found)


def test_each_variant_has_a_forest_and_every_condition_a_verdict_against_the_margin(section: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", section))
    assert (
        section.count("<figcaption>") == 4 + 4
    )  # a forest and pictures; six runs without the baseline and the one that gave nothing
    assert "resnet18-int8: change in accuracy" in text
    assert re.search(r"resnet18-int8 against the baseline[^\"]*speckle noise, 1: [^\"]*non-inferior", section)
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


def test_it_is_said_and_shown_whether_a_variant_looks_where_its_baseline_looks(report: Report, section: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", section))
    int8 = report.runs[1].occlusion
    assert int8 is not None
    assert int8.agreement is not None
    assert int8.correlations is not None
    assert f"resnet18-int8: {int8.agreement.point:.2f} ({int8.agreement.low:.2f} to".replace("-0", "−0") in text
    assert "resnet18-int4: no map: it gave no answer" in text
    assert section.count("<img ") == 4 * 3 * 3
    least = int8.places[int8.correlations.argmin()]
    assert f"image {least}, called" in text
    assert report.runs[0].occlusion is not None
    assert np.array_equal(occlusion.correlations(int8.maps, int8.maps).round(9), np.ones(4))
    assert occlusion.correlations(int8.maps, np.zeros_like(int8.maps)).tolist() == [0.0] * 4


def test_a_mean_over_some_of_the_conditions_is_none_and_its_line_of_accept_says_why(report: Report) -> None:
    run, baseline = report.runs[1], report.runs[0]
    assert run.labels is not None
    assert run.outputs is not None
    samples = Samples(np.zeros((900, 1, 1, 1), np.uint8), run.labels, run.classes, "synthetic")
    given = Given().more(CONDITIONS[:1], run.outputs).more(CONDITIONS[1:], Reason("out of memory"))
    bare = {name: one for name, one in run.accuracy.items() if name != "corrupted_accuracy"}
    some = attached(replace(run, accuracy=bare), given, samples, stored_runs.TASK)
    assert len(some.probes) == 1
    assert "corrupted_accuracy" not in some.accuracy
    line = Criterion("corrupted_accuracy", "non_inferior_by", 0.03)
    compared = compare.compare(baseline, some, {**stored_runs.SUITE, "robustness": MARGIN, "accept": [asdict(line)]})
    (judged,) = compare.judge(some, compared, [line])
    assert not judged.passed
    assert "absent: the two were not measured under the same corruptions" in judged.message


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
