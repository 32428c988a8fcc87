"""Two campaigns of one case: why they differ before by how much, and intervals made of launches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import compare as room
from harness import stats
from harness.compare.campaigns import apart, relative
from harness.model import Conditions, Measurement, Reason, Run, Validity, Verdict
from tests.made_runs import BASELINE, LABELS, LOGITS, NOISE, SUITE, a_run, latency, measured

BEFORE = a_run("int8", NOISE[:72, 3] / 2, fingerprint={**BASELINE.fingerprint, "data_sha256": "d" * 64})
AFTER = replace(BEFORE, id="later", campaign="c2")
LATENCY, RELATIVE = "Latency, median", "Latency, median, against each campaign's own baseline"


def held(before: Run, after: Run, *baselines: Run) -> room.CampaignChange:
    pair = (baselines[0], baselines[1]) if baselines else (None, None)
    return room.across_campaigns(before, after, SUITE, pair)


def changed(before: Run, after: Run, *baselines: Run) -> dict[str, Any]:
    return {one.title: one for one in held(before, after, *baselines).changes}


def sentences(before: Run, after: Run, *baselines: Run) -> list[str]:
    return [cause.sentence for cause in held(before, after, *baselines).causes]


def other(**facts: Any) -> Run:
    return replace(AFTER, fingerprint={**AFTER.fingerprint, **facts})


def test_two_nights_alike_have_no_cause() -> None:
    assert sentences(BEFORE, AFTER) == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"kernel": "6.1.0-18"}, "Kernel changed: 6.6 -> 6.1.0-18."),
        ({"governor": "powersave"}, "Governor changed: performance -> powersave."),
        ({"microcode": "0x2b"}, "Microcode is known of the second campaign only: 0x2b."),
        ({"memory_bytes": 4_000_000_000}, "Memory changed: 8.00 GB -> 4.00 GB."),
        ({"data_sha256": "e" * 64}, "The test images are others: dddddddddddd -> eeeeeeeeeeee."),
    ],
)
def test_a_changed_fact_is_said_as_a_person_would(facts: Mapping[str, Any], said: str) -> None:
    (only,) = sentences(BEFORE, other(**facts))
    assert only.startswith(said)


def test_what_can_matter_most_comes_first() -> None:
    late = replace(
        other(kernel="6.12", numpy="2.3"),
        case=replace(AFTER.case, runtime="onnxruntime==1.32.0"),
        variant=replace(AFTER.variant, sha256="b" * 64),
        conditions=Conditions(before={"temperature_c": 61.0, "load_average": 2.5}),
        validity=Validity.DEGRADED,
        reasons=(Reason("it throttled"),),
        notes={"sentinel_cool_s": 0.0056},
    )
    early = replace(
        BEFORE,
        conditions=Conditions(before={"temperature_c": 41.0, "load_average": 0.1}),
        notes={"sentinel_cool_s": 0.005},
    )
    topics = [cause.topic for cause in held(early, late).causes]
    assert topics == ["model", "runtime", "kernel", "speed", "validity", "temperature", "load", "numpy"]
    assert "Numpy is known of the second campaign only: 2.3." in sentences(early, late)
    found = sentences(early, late)
    assert "The device started warmer: 41.0 °C -> 61.0 °C." in found
    assert "The processor ran slower while cool: the sentinel took 1.12× (5.00 ms -> 5.60 ms)." in found
    assert "More other work ran at the start: load average 0.100 -> 2.50." in found


def test_conditions_during_the_run_are_looked_at_too() -> None:
    traces = [Conditions(during=({"at_s": 0.0, "temperature_c": heat},)) for heat in (60.0, 83.0)]
    found = sentences(replace(BEFORE, conditions=traces[0]), replace(AFTER, conditions=traces[1]))
    assert found == ["The device got warmer: 60.0 °C -> 83.0 °C."]


def test_a_battery_that_charges_and_a_smaller_free_memory_are_said() -> None:
    states = [
        Conditions(before={"charging": False, "battery_ratio": 0.9, "available_bytes": 4e9, "frequency_hz": 2.4e9}),
        Conditions(before={"charging": True, "battery_ratio": 0.4, "available_bytes": 1e9, "frequency_hz": 1.5e9}),
    ]
    found = sentences(replace(BEFORE, conditions=states[0]), replace(AFTER, conditions=states[1]))
    assert [text.partition(":")[0] for text in found] == [
        "Its slowest core stood at another frequency at the start",
        "Its battery was charging in the second campaign only.",
        "Its battery stood at 90.0 % -> 40.0 %.",
        "Its free memory was another",
    ]


def test_a_machine_that_became_slower_cancels_against_each_nights_own_baseline() -> None:
    slow = 1.25
    baselines = (BASELINE, replace(measured(BASELINE, latency(NOISE[72:144, 2] * slow)), id="b2", campaign="c2"))
    after = measured(AFTER, latency(NOISE[72:144, 3] / 2 * slow))
    found = changed(BEFORE, after, *baselines)
    assert found[LATENCY].verdict is Verdict.REGRESSED
    assert found[RELATIVE].verdict is not Verdict.REGRESSED
    assert found[RELATIVE].change.low < 1 < found[RELATIVE].change.high
    assert (found[RELATIVE].before, found[RELATIVE].after) == (pytest.approx(0.5, rel=0.1),) * 2
    assert "cancels the machine's speed" in found[RELATIVE].how
    (said,) = [text for text in sentences(BEFORE, after, *baselines) if text.startswith("The baseline")]
    assert "the same file both times, took 1." in said


def test_a_variant_that_became_slower_shows_against_its_baseline() -> None:
    baselines = (BASELINE, replace(measured(BASELINE, latency(NOISE[72:144, 2])), id="b2", campaign="c2"))
    found = changed(BEFORE, measured(AFTER, latency(NOISE[72:144, 3] * 0.65)), *baselines)
    assert found[RELATIVE].verdict is Verdict.REGRESSED


def test_another_baseline_file_is_no_common_ground() -> None:
    baselines = (BASELINE, replace(BASELINE, id="b2", variant=replace(BASELINE.variant, sha256="z")))
    assert RELATIVE not in changed(BEFORE, AFTER, *baselines)


def test_times_of_two_nights_are_never_called_equivalent_as_measured() -> None:
    found = changed(BEFORE, AFTER)
    assert found[LATENCY].verdict is Verdict.INCONCLUSIVE
    assert "drift between the campaigns is not in the interval" in found[LATENCY].how
    assert found["Peak memory"].verdict is Verdict.EQUIVALENT


def test_the_same_outputs_of_the_same_file_are_exactly_as_accurate() -> None:
    same = changed(BEFORE, AFTER)["Sensitivity"]
    assert (same.change.low, same.change.high, same.verdict) == (0.0, 0.0, Verdict.EQUIVALENT)
    outputs = LOGITS.copy()
    outputs[np.flatnonzero(LABELS == 2)[:60]] = [9.0, 0.0, 0.0]
    assert changed(BEFORE, replace(AFTER, outputs=outputs))["Sensitivity"].verdict is Verdict.REGRESSED


def test_accuracies_on_other_images_are_incomparable_and_times_are_not() -> None:
    found = changed(BEFORE, other(data_sha256="e" * 64))
    assert found["Sensitivity"].verdict is Verdict.INCOMPARABLE
    assert found["Sensitivity"].change is None
    assert found[LATENCY].change is not None


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (replace(AFTER, case=replace(AFTER.case, threads=4)), "another question was asked: threads 1 -> 4"),
        (replace(AFTER, case=replace(AFTER.case, device="pi4")), "another question was asked: device pi5 -> pi4"),
        (replace(AFTER, validity=Validity.INVALID, reasons=(Reason("the clock jumped"),)), "the second run is invalid"),
    ],
)
def test_what_answers_another_question_is_incomparable_and_says_why(after: Run, why: str) -> None:
    found = held(BEFORE, after)
    assert {(one.verdict, one.change, one.how) for one in found.changes} == {(Verdict.INCOMPARABLE, None, why)}
    assert found.causes


def test_one_launch_a_night_gives_no_interval() -> None:
    rows = np.array([(0, 10 * i, 10 * i + 10) for i in range(72)], np.int64)
    once = [measured(run, replace(run.measurements["latency_s"], rounds=rows)) for run in (BEFORE, AFTER)]
    found = changed(*once)[LATENCY]
    assert (found.change, found.verdict) == (None, Verdict.INCONCLUSIVE)
    assert found.how == "an interval needs at least two launches in each campaign"


def measured_once(rng: np.random.Generator, machine: float, variant: float) -> tuple[Measurement, Measurement]:
    """Return a variant and its baseline: 6 launches of 6 rounds of 8, whose levels vary together and by themselves."""
    launches = np.repeat(np.exp(rng.normal(0, 0.03, 6)), 6)
    own = [np.repeat(np.exp(rng.normal(0, 0.02, 6)), 6) for _ in range(2)]
    rows = np.arange(36)
    table = np.stack([rows // 6, rows * 8, rows * 8 + 8], axis=1)
    levels = [machine * launches * mine * scale for mine, scale in zip(own, (variant, 1.0), strict=True)]
    samples = [np.repeat(each, 8) * (1 + rng.gamma(1.0, 0.02, 288)) for each in levels]
    return Measurement("latency_s", "s", samples[0], table), Measurement("latency_s", "s", samples[1], table)


def test_intervals_of_launches_hold_where_intervals_of_inferences_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    rng, trials = np.random.default_rng(4), 400
    held_ = {"launches": 0, "ratio of ratios": 0, "single inferences": 0}
    for _ in range(trials):
        first, second = measured_once(rng, 1.0, 0.5), measured_once(rng, 1.0, 0.5)
        slowed = measured_once(rng, 1.3, 0.5)
        found = {
            "launches": apart(first[0], second[0], 0.5),
            "ratio of ratios": relative(first, slowed, 0.5),
            "single inferences": stats.mean_ratio(first[0].values, second[0].values),
        }
        for name, one in found.items():
            assert one is not None
            held_[name] += one.low <= 1 <= one.high
    with capsys.disabled():
        shares = ", ".join(f"{name} {count / trials:.1%}" for name, count in held_.items())
        print(f"\ncampaigns that differ in nothing, held by a 95 % interval over {trials} trials: {shares}")
    assert held_["launches"] >= 0.93 * trials
    assert held_["ratio of ratios"] >= 0.93 * trials  # though the second machine is 30 % slower
    assert held_["single inferences"] < 0.7 * trials
