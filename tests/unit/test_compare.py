"""Verdicts, incomparable runs and judgements, on runs made of real arrays."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import compare as room
from harness import stats
from harness.metrics import classification
from harness.model import Comparison, Criterion, Estimate, Measurement, Reason, Run, Validity, Verdict
from harness.vocabulary import METRICS
from tests.made_runs import BASELINE, FASTER, LABELS, LOGITS, NOISE, SUITE, a_run, latency, measured, seconds


def changes(baseline: Run, run: Run) -> dict[str, Comparison]:
    return {comparison.metric: comparison for comparison in room.compare(baseline, run, SUITE)}


@pytest.mark.parametrize(
    ("point", "low", "high", "expected"),
    [
        (0.50, 0.48, 0.52, Verdict.IMPROVED),
        (1.30, 1.27, 1.36, Verdict.REGRESSED),
        (1.00, 0.985, 1.015, Verdict.EQUIVALENT),
        (0.99, 0.985, 0.995, Verdict.BETTER),  # surely less, and too little to matter
        (1.01, 1.005, 1.015, Verdict.WORSE),
        (0.97, 0.93, 1.01, Verdict.INCONCLUSIVE),
        (0.985, 0.975, 0.995, Verdict.BETTER),  # surely less, perhaps by more than the margin
        (float("nan"), 0.9, 1.1, Verdict.INCONCLUSIVE),
    ],
)
def test_a_ratio_gets_the_verdict_its_interval_allows(point: float, low: float, high: float, expected: Verdict) -> None:
    change = Estimate(point, low, high)
    assert room.verdict(change, neutral=1.0, margin=0.02, higher_is_better=False) is expected


def test_a_difference_upwards_is_an_improvement_where_higher_is_better() -> None:
    up, down = Estimate(0.05, 0.03, 0.07), Estimate(-0.05, -0.07, -0.03)
    assert room.verdict(up, neutral=0, margin=0.02, higher_is_better=True) is Verdict.IMPROVED
    assert room.verdict(down, neutral=0, margin=0.02, higher_is_better=True) is Verdict.REGRESSED
    assert room.verdict(up, neutral=0, margin=0.02, higher_is_better=False) is Verdict.REGRESSED
    assert room.verdict(None, neutral=0, margin=0.02, higher_is_better=True) is Verdict.INCONCLUSIVE


def test_a_variant_twice_as_fast_and_a_quarter_the_size_is_improved() -> None:
    found = changes(BASELINE, FASTER)
    for name, expected in (("latency_ratio", 0.5), ("size_ratio", 0.25), ("memory_ratio", 0.45)):
        change = found[name].change
        assert found[name].verdict is Verdict.IMPROVED, name
        assert change is not None
        assert change.low <= expected * 1.02
        assert change.high >= expected * 0.98
    assert found["size_ratio"].change == Estimate(0.25, 0.25, 0.25, 1.0, "exact: bytes of the model files")
    assert (found["latency_ratio"].baseline, found["latency_ratio"].run) == ("fp32", "int8")


def test_the_same_model_twice_is_equivalent_or_inconclusive() -> None:
    found = changes(BASELINE, a_run("copy", NOISE[:72, 3]))
    assert found["latency_ratio"].verdict in (Verdict.EQUIVALENT, Verdict.INCONCLUSIVE)
    for name in ("size_ratio", "memory_ratio", "accuracy"):
        assert found[name].verdict is Verdict.EQUIVALENT, name


def test_what_was_not_measured_is_inconclusive_with_its_reason() -> None:
    energy = changes(BASELINE, FASTER)["energy_ratio"]
    assert (energy.change, energy.verdict) == (None, Verdict.INCONCLUSIVE)
    assert energy.reason == "baseline: no meter configured"
    broken = measured(FASTER, seconds("load_s", 0.1, float("nan")))
    assert changes(BASELINE, broken)["load_ratio"].reason == "run: 1 of 2 values are not numbers"


def test_a_single_reading_gives_no_interval_and_says_how_many_are_needed() -> None:
    once = measured(FASTER, Measurement("peak_memory_bytes", "B", np.array([100e6])))
    memory = changes(BASELINE, once)["memory_ratio"]
    assert (memory.change, memory.verdict) == (None, Verdict.INCONCLUSIVE)
    assert memory.reason == "0.50× by a single reading: an interval needs at least two of each"


def test_runs_of_different_campaigns_are_never_called_equivalent() -> None:
    twin = replace(BASELINE, id="later", campaign="c2", is_baseline=False)
    latency_ratio = changes(BASELINE, twin)["latency_ratio"]
    assert latency_ratio.change is not None
    assert latency_ratio.change.method.startswith("unpaired")
    assert latency_ratio.verdict is Verdict.INCONCLUSIVE
    assert "not measured in turns" in latency_ratio.reason
    assert changes(BASELINE, replace(FASTER, campaign="c2"))["latency_ratio"].verdict is Verdict.IMPROVED


def test_latencies_without_rounds_are_compared_by_their_medians() -> None:
    flat = [measured(run, replace(run.measurements["latency_s"], rounds=None)) for run in (BASELINE, FASTER)]
    change = changes(*flat)["latency_ratio"].change
    assert change is not None
    assert change.low < 0.5 < change.high
    assert change.method == "unpaired: medians of 720 and 720 samples"


def test_one_launch_is_never_called_equivalent() -> None:
    single = np.zeros((72, 3), np.int64)
    single[:, 1:] = BASELINE.measurements["latency_s"].rounds[:, 1:]  # type: ignore[index]
    runs = [
        measured(run, Measurement("latency_s", "s", np.full(720, 0.01) * run_noise, single))
        for run, run_noise in (
            (BASELINE, np.random.default_rng(2).normal(1, 0.001, 720)),
            (a_run("copy", NOISE[:72, 3]), 1),
        )
    ]
    found = changes(*runs)["latency_ratio"]
    assert found.change is not None
    assert found.change.high - found.change.low < 0.01
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the variance between launches is not in the interval" in found.reason


def test_marked_rounds_do_not_enter_the_ratio() -> None:
    slowed = NOISE[:72, 3].copy()
    slowed[::3] *= 4
    marks = {"marked_rounds": list(range(0, 72, 3))}
    kept = changes(BASELINE, a_run("hot", slowed, notes=marks))["latency_ratio"].change
    assert kept is not None
    assert "48 paired rounds" in kept.method
    assert kept.high < 1.2


def spiky(slow: int) -> Run:
    """Return a run whose last `slow` of ten inferences a round take three times as long."""
    steady = latency(NOISE[:72, 2])
    values = steady.values.reshape(-1, 10).copy()
    values[:, 10 - slow :] *= 3
    return measured(a_run("spiky", NOISE[:72, 2]), replace(steady, values=values.ravel()))


def test_a_variant_whose_typical_inference_is_slow_is_not_called_equivalent_for_its_fast_ones() -> None:
    found = changes(BASELINE, spiky(6))["latency_ratio"]
    assert found.change is not None
    assert found.change.point == pytest.approx(3)
    assert "by medians since low quantiles say 1.00" in found.change.method
    assert found.verdict is Verdict.REGRESSED


def test_an_interval_always_holds_the_ratio_of_all_samples_medians() -> None:
    for slow in range(7):
        run = spiky(slow)
        change = changes(BASELINE, run)["latency_ratio"].change
        medians = [np.median(one.measurements["latency_s"].values) for one in (BASELINE, run)]
        assert change is not None
        assert change.low <= medians[1] / medians[0] <= change.high


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fingerprint": {**FASTER.fingerprint, "kernel": "6.12"}}, "kernel 6.6 -> 6.12"),
        ({"fingerprint": {**FASTER.fingerprint, "governor": "powersave"}}, "governor performance -> powersave"),
        (
            {"fingerprint": {"soc": "BCM2712", "kernel": "6.6", "memory_bytes": 8e9}},
            "governor performance -> not known",
        ),
        ({"fingerprint": {**FASTER.fingerprint, "agent": {"version": "2"}}}, "agent.version not known -> 2"),
        ({"case": replace(FASTER.case, device="pi4")}, "device pi5 -> pi4"),
        ({"case": replace(FASTER.case, threads=4)}, "threads 1 -> 4"),
        (
            {"validity": Validity.INVALID, "reasons": (Reason("the clock jumped"),)},
            "the run is invalid: the clock jumped",
        ),
    ],
)
def test_runs_that_were_not_measured_alike_are_incomparable_and_say_why(other: dict[str, Any], said: str) -> None:
    found = changes(BASELINE, replace(FASTER, **other))
    assert {c.verdict for c in found.values()} == {Verdict.INCOMPARABLE}
    assert all(c.change is None and said in c.reason for c in found.values())


def test_digests_and_a_few_pages_of_memory_do_not_make_runs_incomparable() -> None:
    other = {**FASTER.fingerprint, "model_sha256": "abc", "suite_sha256": "def", "memory_bytes": 8_000_100_000}
    found = changes(BASELINE, replace(FASTER, fingerprint=other))
    assert Verdict.INCOMPARABLE not in {c.verdict for c in found.values()}


def test_lists_and_tuples_of_a_fingerprint_are_alike() -> None:
    runs = [replace(run, fingerprint={"clusters": kind([4, 4])}) for run, kind in ((BASELINE, list), (FASTER, tuple))]
    assert changes(*runs)["latency_ratio"].verdict is Verdict.IMPROVED


def test_lost_sensitivity_is_a_regression_beyond_the_suites_own_margin() -> None:
    outputs = LOGITS.copy()
    positives = np.flatnonzero(LABELS == 2)
    outputs[positives[: len(positives) // 5]] = [9.0, 0.0, 0.0]
    found = changes(BASELINE, replace(FASTER, outputs=outputs))
    sensitivity = found["sensitivity"]
    assert sensitivity.verdict is Verdict.REGRESSED
    assert sensitivity.change is not None
    assert sensitivity.change.high < -0.1
    assert found["specificity"].verdict is not Verdict.REGRESSED


def test_accuracies_on_other_images_are_not_compared() -> None:
    other = changes(BASELINE, replace(FASTER, labels=LABELS[::-1].copy()))["accuracy"]
    assert (other.change, other.reason) == (None, "the two were not measured on the same images")
    none = changes(BASELINE, replace(FASTER, outputs=None))["accuracy"]
    assert (none.change, none.reason) == (None, "the run has no stored outputs to pair with")


def test_a_patient_with_several_images_is_one_unit_of_every_accuracy() -> None:
    patients = {"groups": (np.arange(600) // 6).tolist()}
    runs = [replace(run, notes={**run.notes, **patients}) for run in (BASELINE, FASTER)]
    for name in ("accuracy", "sensitivity", "f1", "auroc", "brier"):
        found = changes(*runs)[name]
        assert found.change is not None
        assert "100 patients" in found.change.method or "patients and" in found.change.method
        alone = changes(runs[0], FASTER)[name].change
        assert alone == found.change, "one run that knows the patients is enough: the images are the same"
    other = replace(FASTER, notes={"groups": [0] * 600})
    found = changes(runs[0], other)["accuracy"]
    assert (found.change, found.reason) == (None, "the two were measured with other patients behind the same images")


def test_metrics_that_know_no_patients_are_not_asked_about_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_images(*_: object) -> Estimate | None:
        return Estimate(0, -0.1, 0.1)

    monkeypatch.setattr(classification, "compare", of_images)
    monkeypatch.setattr(classification, "PATIENTS", False)
    assert changes(BASELINE, FASTER)["accuracy"].change == Estimate(0, -0.1, 0.1)
    found = changes(BASELINE, replace(FASTER, notes={"groups": [0] * 600}))["accuracy"]
    assert found.change is None
    assert found.reason.startswith("the metrics of 'classification' cannot compare images of which several are of one")


def test_quick_and_degraded_runs_carry_it_in_the_reason() -> None:
    found = changes(
        BASELINE, replace(FASTER, quick=True, validity=Validity.DEGRADED, reasons=(Reason("it throttled"),))
    )
    assert found["latency_ratio"].reason == "quick; run degraded: it throttled"


def judged(run: Run, metric: str, rule: str, bound: float, baseline: Run = BASELINE) -> tuple[bool, str]:
    (found,) = room.judge(run, room.compare(baseline, run, SUITE), [Criterion(metric, rule, bound)])
    return found.passed, found.message


def test_a_ratio_is_judged_by_its_worse_end_and_says_by_how_much() -> None:
    change = Estimate(1.31, 1.27, 1.36)
    comparison = Comparison("latency_ratio", "fp32", "int8", change, Verdict.REGRESSED)
    (found,) = room.judge(FASTER, [comparison], [Criterion("latency_ratio", "max", 1.0)])
    assert not found.passed
    assert found.message == "Latency against the baseline: 1.31× (1.27–1.36×) exceeds the maximum 1.00× by 0.36"
    assert found.word == "broken"
    edge = replace(comparison, change=Estimate(0.98, 0.95, 1.01))
    (open_,) = room.judge(FASTER, [edge], [Criterion("latency_ratio", "max", 1.0)])
    assert (open_.passed, open_.word) == (False, "undecided")
    assert open_.message.startswith("Latency against the baseline: undecided: 0.98×")
    assert judged(FASTER, "latency_ratio", "max", 1.0)[0]


def test_a_tiny_excess_does_not_read_as_nothing() -> None:
    comparison = Comparison("latency_ratio", "fp32", "int8", Estimate(0.99, 0.98, 1.0012), Verdict.INCONCLUSIVE)
    (found,) = room.judge(FASTER, [comparison], [Criterion("latency_ratio", "max", 1.0)])
    assert found.message.endswith("exceeds the maximum 1.00× by 0.0012")


def test_costs_are_judged_by_their_statistic() -> None:
    passed, message = judged(FASTER, "peak_memory_bytes", "max", 80_000_000)
    assert (passed, message) == (False, "Peak memory: 90.2 MB exceeds the maximum 80.0 MB by 10.2 MB")
    assert judged(FASTER, "latency_p90_s", "max", 0.033)[0]
    assert judged(FASTER, "load_s", "max", 0.11)[0]
    assert not judged(FASTER, "first_inference_s", "max", 0.0209)[0]
    assert judged(FASTER, "size_bytes", "max", 11_000_000) == (
        True,
        "Model size: 11.0 MB is within the maximum 11.0 MB",
    )


def test_an_absent_metric_fails_and_says_why() -> None:
    assert judged(FASTER, "energy_j", "max", 1.0) == (False, "Energy per inference: absent: no meter configured")
    assert (
        judged(FASTER, "energy_ratio", "max", 1.0)[1]
        == "Energy per inference against the baseline: absent: baseline: no meter configured"
    )
    few = measured(FASTER, Measurement("latency_s", "s", np.full(50, 0.01)))
    assert judged(few, "latency_p90_s", "max", 1.0)[1] == "Latency, p90: absent: 50 samples, 64 are needed"
    assert judged(FASTER, "dice", "min", 0.9)[1] == "Dice: absent: the test split has no case of its kind"
    (alone,) = room.judge(FASTER, [], [Criterion("latency_ratio", "max", 1.0)])
    assert alone.message == "Latency against the baseline: absent: there is no run of the baseline to compare with"


def test_an_incomparable_or_invalid_run_fails_what_is_asked_of_it() -> None:
    other = replace(FASTER, fingerprint={**FASTER.fingerprint, "kernel": "6.12"})
    passed, message = judged(other, "latency_ratio", "max", 1.0)
    assert (passed, message) == (
        False,
        "Latency against the baseline: incomparable: not measured alike: kernel 6.6 -> 6.12",
    )
    invalid = replace(FASTER, validity=Validity.INVALID, reasons=(Reason("the clock jumped"),))
    assert judged(invalid, "size_bytes", "max", 1e9) == (
        False,
        "Model size: the run is invalid: the clock jumped",
    )


def test_accuracies_are_judged_by_their_point() -> None:
    point = FASTER.accuracy["accuracy"].point
    assert judged(FASTER, "accuracy", "min", point)[0]
    passed, message = judged(FASTER, "accuracy", "min", point + 0.02)
    assert not passed
    assert message.endswith("by 2.0 pp")
    assert judged(FASTER, "brier", "max", 0.5)[0]
    assert not judged(FASTER, "brier", "max", 0.001)[0]


def test_non_inferiority_is_judged_by_the_worse_end_of_the_paired_difference() -> None:
    assert judged(FASTER, "sensitivity", "non_inferior_by", 0.03)[0]
    assert judged(FASTER, "brier", "non_inferior_by", 0.03)[0]
    comparison = Comparison("sensitivity", "fp32", "int8", Estimate(-0.01, -0.045, 0.003), Verdict.INCONCLUSIVE)
    (found,) = room.judge(FASTER, [comparison], [Criterion("sensitivity", "non_inferior_by", 0.03)])
    assert (found.passed, found.undecided, found.word) == (False, True, "undecided")
    # Half as wide again as wide would do, seen from the point: (3.5 / 2)^2 as many images.
    assert found.message == (
        "Sensitivity: undecided: −1.0 pp (−4.5 to +0.3 pp) may be worse than the baseline by 4.5 pp, "
        "1.5 pp more than the 3.0 pp allowed; about 1\u202f838 images like these 600 could decide it"
    )
    broken = replace(comparison, change=Estimate(-0.08, -0.12, -0.04))
    (worse,) = room.judge(FASTER, [broken], [Criterion("sensitivity", "non_inferior_by", 0.03)])
    assert (worse.passed, worse.undecided, worse.word) == (False, False, "broken")
    beyond = replace(comparison, change=Estimate(-0.04, -0.09, 0.01))
    (lost,) = room.judge(FASTER, [beyond], [Criterion("sensitivity", "non_inferior_by", 0.03)])
    assert lost.undecided
    assert "could decide it" not in lost.message, "with this point, more images would break it"


def test_a_higher_error_counts_against_a_metric_where_lower_is_better() -> None:
    comparison = Comparison("brier", "fp32", "int8", Estimate(0.05, 0.04, 0.06), Verdict.REGRESSED)
    (found,) = room.judge(FASTER, [comparison], [Criterion("brier", "non_inferior_by", 0.03)])
    assert not found.passed
    gain = replace(comparison, change=Estimate(-0.05, -0.06, -0.04))
    assert room.judge(FASTER, [gain], [Criterion("brier", "non_inferior_by", 0.03)])[0].passed


def test_the_baseline_passes_what_is_said_against_the_baseline_and_no_more() -> None:
    accept = [
        Criterion("latency_ratio", "max", 0.5),
        Criterion("sensitivity", "non_inferior_by", 0.03),
        Criterion("latency_p50_s", "max", 0.001),
    ]
    ratio, sensitivity, cost = room.judge(BASELINE, [], accept)
    assert (ratio.passed, ratio.message) == (True, "Latency against the baseline: this is the baseline")
    assert sensitivity.passed
    assert not cost.passed


def test_a_rule_that_makes_no_sense_for_its_metric_fails_with_the_right_one() -> None:
    assert judged(FASTER, "latency_p50_s", "min", 0.1)[1] == "Latency, median: 'min' cannot be judged; write max"


def test_every_metric_has_a_statistic_or_says_why_not() -> None:
    for name, info in METRICS.items():
        value, unit, reason = stats.statistic(FASTER, name)
        assert unit == info.unit
        assert (value is None) == bool(reason), name
    assert stats.statistic(FASTER, "size_bytes") == (11_000_000.0, "B", "")
    assert stats.statistic(FASTER, "speed")[2] == "there is no metric 'speed'"


@pytest.fixture(scope="module")
def faster_compared() -> list[Comparison]:
    return room.compare(BASELINE, FASTER, SUITE)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_judged_by_its_own_rules_and_by_no_other(name: str, faster_compared: list[Comparison]) -> None:
    for rule in ("max", "min", "non_inferior_by"):
        (found,) = room.judge(FASTER, faster_compared, [Criterion(name, rule, 1.0)])
        assert (f"'{rule}' cannot be judged" in found.message) == (rule not in METRICS[name].rules), found.message


@pytest.mark.parametrize("name", METRICS)
def test_a_judgement_names_its_metric_by_title_and_keeps_the_key_for_programs(
    name: str, faster_compared: list[Comparison]
) -> None:
    (found,) = room.judge(FASTER, faster_compared, [Criterion(name, METRICS[name].rules[0], 1.0)])
    assert found.message.startswith(METRICS[name].title)
    assert not re.search(r"[a-z]_[a-z]", found.message)
    assert found.criterion.metric == name


def test_a_throughput_is_judged_in_images_a_second() -> None:
    run = measured(FASTER, Measurement("throughput_hz", "Hz", np.full(3, 1500.0)))
    said = "Throughput: 1500 images/s falls short of the minimum 2000 images/s by 500 images/s"
    assert judged(run, "throughput_hz", "min", 2000.0) == (False, said)


@pytest.mark.parametrize("name", ["latency_p90_s", "peak_memory_bytes", "size_bytes", "latency_ratio", "memory_ratio"])
def test_a_maximum_is_passed_from_its_own_figure_on_and_missed_below_it(name: str) -> None:
    assert judged(FASTER, name, "max", 1e12)[0]
    passed, message = judged(FASTER, name, "max", 1e-12)
    assert not passed
    assert "exceeds the maximum" in message


def test_measuring_goes_on_until_a_change_is_beyond_the_margin_or_wholly_within_it() -> None:
    """A change that is certain and small is no reason to stop before the margin is decided."""
    cases = [(0.5, 0.48, 0.52), (0.99, 0.985, 0.995), (0.985, 0.975, 0.995), (1.0, 0.985, 1.015), (0.97, 0.93, 1.01)]
    found = [room.decided(Estimate(*case), neutral=1.0, margin=0.02) for case in cases]
    assert found == [True, True, False, True, False]


def test_the_margin_of_latency_is_not_that_of_accuracies() -> None:
    suite = {"load": {"margin": 0.05}, "accept": [{"metric": "sensitivity", "rule": "non_inferior_by", "bound": 0.03}]}
    found = {
        name: room.margin(METRICS[name], suite)
        for name in ("latency_ratio", "sensitivity", "specificity", "brier", "hausdorff")
    }
    assert found == {
        "latency_ratio": 0.05, "sensitivity": 0.03, "specificity": 0.02, "brier": 0.01, "hausdorff": 1.0
    }  # fmt: skip


def test_a_loss_within_the_margin_is_non_inferior_and_worse() -> None:
    assert room.non_inferiority(Estimate(-0.04, -0.049, -0.031), 0.05) is Verdict.WORSE
    assert room.non_inferiority(Estimate(-0.038, -0.069, -0.008), 0.05) is Verdict.INCONCLUSIVE
    assert room.non_inferiority(Estimate(0.0, -0.02, 0.02), 0.05) is Verdict.EQUIVALENT
