"""A run held against the host's outputs: what is rounding, what is not, and what is absent with its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness import compare as room
from harness import lab, stats
from harness.model import Answers, Criterion, Reading, Reason, Run, Samples, Validity
from harness.results import runs
from harness.results.agreement import Outputs, Reference, held_against
from harness.store import export
from tests import labs
from tests.made_runs import BASELINE, LOGITS, NOISE, a_run

RUN = replace(a_run("int8", NOISE[:72, 3]), case=replace(BASELINE.case, task="classification"))
HOST = Reference(LOGITS, "onnxruntime 1.31.1 on x86_64")


def held(outputs: Outputs, reference: Reference = HOST) -> Run:
    return held_against(replace(RUN, outputs=outputs), reference, same_machine=False)


def flipped(count: int, margin: float) -> Outputs:
    """Return outputs in which `count` samples have another label than the host's, which is surer of it by `margin`."""
    outputs = LOGITS.copy()
    best, second = np.argsort(LOGITS, axis=1)[:count, -1], np.argsort(LOGITS, axis=1)[:count, -2]
    rows = np.arange(count)
    outputs[rows, best] = outputs[rows, second] - np.float32(margin)
    return outputs


def ties(count: int) -> Reference:
    """Return host outputs in which the first samples' two best are all but equal."""
    theirs = LOGITS.copy()
    order = np.argsort(LOGITS, axis=1)[:count]
    rows = np.arange(count)
    theirs[rows, order[:, -1]] = theirs[rows, order[:, -2]] + np.float32(1e-4)
    return replace(HOST, outputs=theirs)


def test_equal_outputs_agree_and_stay_valid() -> None:
    run = held(LOGITS.copy())
    assert run.validity is Validity.VALID
    assert run.measurements["reference_difference"].values.max() == 0
    assert run.accuracy["reference_agreement"].point == 1
    assert run.accuracy["reference_agreement"].method.startswith("Wilson")
    assert run.notes["reference"]["identical"] is True


def test_rounding_is_measured_and_no_reason_to_doubt() -> None:
    noise = np.random.default_rng(2).normal(0, 1e-6, LOGITS.shape).astype(np.float32)
    run = held(LOGITS + noise)
    facts = run.notes["reference"]
    assert run.validity is Validity.VALID
    assert facts["max_difference"] == pytest.approx(np.abs(noise).max(), rel=0.2)
    assert facts["mean_difference"] == pytest.approx(np.abs(noise).mean(), rel=0.2)
    assert len(run.measurements["reference_difference"].values) == len(LOGITS)


def test_one_other_label_of_a_float_model_degrades_the_run() -> None:
    run = held(flipped(1, 0.1))
    assert run.validity is Validity.DEGRADED
    (reason,) = run.reasons
    assert reason == Reason(
        "the device gives 1 of 600 samples another label than onnxruntime 1.31.1 on x86_64, the host, does, "
        "and not by a tie",
        "look with `edgeward layers` where the two begin to differ",
    )


def test_a_label_that_flips_on_a_tie_does_not() -> None:
    reference = ties(3)
    assert reference.outputs is not None
    device = reference.outputs.copy()
    order = np.argsort(device, axis=1)[:3]
    rows = np.arange(3)
    device[rows, order[:, -1]] -= np.float32(2e-4)
    run = held(device, reference)
    assert (run.validity, run.notes["reference"]["labels_differ"]) == (Validity.VALID, 3)


def test_a_quantised_model_may_round_and_may_not_be_broken() -> None:
    quantised = replace(HOST, quantised=True)
    assert held(flipped(4, 0.1), quantised).validity is Validity.VALID
    broken = held(flipped(60, 0.1), quantised)
    assert broken.validity is Validity.DEGRADED
    assert "agrees with onnxruntime 1.31.1 on x86_64, the host, in only 90.0% of the labels" in broken.reasons[0].text


def test_scores_that_move_far_with_equal_labels_degrade_a_float_model() -> None:
    run = held(LOGITS * np.float32(1.2))
    assert run.accuracy["reference_agreement"].point == 1
    assert run.validity is Validity.DEGRADED
    assert "of their spread" in run.reasons[0].text


def test_a_reference_without_numbers_is_said() -> None:
    theirs = LOGITS.copy()
    theirs[0, 0] = np.nan
    run = held(LOGITS, replace(HOST, outputs=theirs))
    assert run.validity is Validity.DEGRADED
    assert "are not numbers, the device does not" in run.reasons[0].text
    export.to_json([run], [])


def test_an_invalid_run_stays_invalid() -> None:
    invalid = replace(RUN, outputs=flipped(9, 1.0), validity=Validity.INVALID, reasons=(Reason("the clock jumped"),))
    run = held_against(invalid, HOST, same_machine=False)
    assert run.validity is Validity.INVALID
    assert len(run.reasons) == 2


@pytest.mark.parametrize(
    ("outputs", "reference", "reason"),
    [
        (LOGITS, Reference(absent="no reference on this host: there is no wheel"), "no reference on this host: there"),
        (None, HOST, "the device gave no outputs"),
        (LOGITS[:, :2], HOST, "the device's outputs are of shape (600, 2), the host's of (600, 3)"),
    ],
)
def test_no_reference_is_absent_with_its_reason(outputs: Outputs, reference: Reference, reason: str) -> None:
    run = held(outputs, reference)
    assert run.measurements["reference_difference"].absent_reason.startswith(reason)
    assert "reference_agreement" not in run.accuracy
    (judged,) = room.judge(run, [], [Criterion("reference_agreement", "min", 1.0)])
    assert not judged.passed
    assert reason in judged.message


def test_agreement_can_be_asked_for_and_is_no_comparison_with_the_baseline() -> None:
    run = held(flipped(6, 0.1))
    (judged,) = room.judge(run, [], [Criterion("reference_agreement", "min", 1.0)])
    assert judged.message == "Agreement with the host: 99.0 % falls short of the minimum 100.0 % by 1.0 pp"
    assert "reference_agreement" not in {one.metric for one in room.compare(BASELINE, run, room_suite())}


def room_suite() -> dict[str, object]:
    return {"task": {"kind": "classification", "positive": "solid"}, "load": {"margin": 0.02}, "accept": []}


def test_the_export_has_difference_and_agreement() -> None:
    (run,) = json.loads(export.to_json([held(flipped(6, 0.1))], []))["runs"]
    assert run["accuracy"]["reference_agreement"]["point"] == 0.99
    assert len(run["measurements"]["reference_difference"]["values"]) == 600
    assert len(run["measurements"]["reference_mean_difference"]["values"]) == 600


def test_images_without_labels_are_measured_for_agreement_alone(tmp_path: Path) -> None:
    (tmp_path / "base.onnx").write_bytes(b"a model")
    (tmp_path / "s.toml").write_text(labs.suite_toml(data=labs.npz()))
    (tmp_path / "here.toml").write_text(labs.device_toml(workdir=tmp_path))
    (case,) = lab.cases(lab.read_suite(tmp_path / "s.toml"), [lab.read_device(tmp_path / "here.toml")])
    samples = Samples(np.zeros((600, 1, 1, 1)), np.empty(0, np.int64), BASELINE.classes, "nobody knows what they show")
    answers = Answers(LOGITS, Reading(kind="logits"))
    outputs, judged, refused = runs._judged(case, answers, samples)
    assert outputs is LOGITS
    assert (dict(judged.estimates), refused) == ({}, None)
    own, base = (
        replace(RUN, outputs=values, labels=samples.labels, accuracy={}) for values in (flipped(60, 9.0), outputs)
    )
    found = replace(own, accuracy=runs.with_agreement(own, base))
    assert found.accuracy["agreement"].point == pytest.approx(0.9)
    assert stats.statistic(found, "accuracy")[2] == "the images have no labels"
