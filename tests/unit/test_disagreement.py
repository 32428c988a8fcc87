"""Images that a variant and its baseline give different classes: which are chosen, and when pictures are kept."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from harness.evidence.recomputing import recomputed, without_images
from harness.model import Campaign, Disagreement, InputSpec, Load, Reading, Run, Samples, Suite, Task
from harness.results import disagreement
from tests.made_runs import BASELINE, CLASSES, SUITE, a_run

NORMAL, CYST, SOLID = range(3)
TASK = Task("classification", "solid")
LABELS = np.array([NORMAL, SOLID, SOLID, CYST, SOLID, NORMAL, CYST, SOLID])
SAID = [NORMAL, SOLID, CYST, CYST, SOLID, CYST, NORMAL, NORMAL]
#: Image 0 and 4 are lost, 4 of the positive class; 2 and 6 are gained, 2 of that class; 5 and 7 are wrong both times.
SAID_NOW = [CYST, SOLID, SOLID, CYST, CYST, SOLID, CYST, CYST]
SUITE_OF_FOUR = Suite(
    "us", "Lesions", {"source": "npz"}, InputSpec(), TASK, Load(), "fp32", (), (), examples=4, file=Path("us.toml")
)


def answering(run: Run, said: list[int], kind: str = "logits") -> Run:
    """Return a run that gives eight images these classes, sure by 3 to 0 to 0, or as labels alone."""
    outputs = np.array(said, np.float32) if kind == "labels" else (3 * np.eye(3)[said]).astype(np.float32)
    return replace(run, outputs=outputs, labels=LABELS, notes={"output": asdict(Reading(kind=kind))})


BEFORE, AFTER = answering(BASELINE, SAID), answering(a_run("int4", np.ones(72)), SAID_NOW)


def split(images: np.ndarray) -> Samples:
    return Samples(images, LABELS, CLASSES, "made")


def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 100, 80, 1), dtype=np.uint8)


def test_what_only_the_baseline_has_right_comes_first_then_the_reverse_then_what_both_have_wrong() -> None:
    found = disagreement.between(BEFORE, AFTER, TASK, 5)
    assert found is not None
    assert (found.images, found.lost, found.gained, found.others) == (8, 2, 2, 2)
    assert [one.place for one in found.examples] == [4, 0, 2, 6, 7]
    assert [(one.truth, one.baseline, one.variant) for one in found.examples[:2]] == [
        ("solid", "solid", "cyst"), ("normal", "normal", "cyst"),
    ]  # fmt: skip
    sure = pytest.approx(np.exp(3) / (np.exp(3) + 2))
    assert all(one.baseline_share == sure == one.variant_share for one in found.examples)
    assert disagreement.between(BEFORE, BEFORE, TASK, 5) == Disagreement(8, 0, 0, 0)


def test_models_that_know_other_classes_are_compared_by_the_names_of_these() -> None:
    def knowing(run: Run, *names: str) -> Run:
        outputs = np.tile(np.array([0, 0, 0, 9], np.float32), (8, 1))
        reading = Reading(kind="logits", classes=(*CLASSES, *names))
        return replace(run, outputs=outputs, notes={"output": asdict(reading)})

    assert disagreement.between(knowing(BEFORE, "scar"), knowing(AFTER, "scar"), TASK, 4) == Disagreement(8, 0, 0, 0)
    other = disagreement.between(knowing(BEFORE, "scar"), knowing(AFTER, "artefact"), TASK, 1)
    assert other is not None
    assert other.others == 8
    assert [(one.place, one.baseline, one.variant) for one in other.examples] == [(1, "scar", "artefact")]


def test_labels_state_no_probability_and_images_without_a_truth_or_with_another_one_are_not_compared() -> None:
    found = disagreement.between(answering(BASELINE, SAID, "labels"), AFTER, TASK, 1)
    assert found is not None
    assert found.examples[0].baseline_share is None
    assert found.examples[0].variant_share is not None
    for other in (replace(AFTER, labels=LABELS[::-1]), replace(AFTER, labels=LABELS[:0]), replace(AFTER, outputs=None)):
        assert disagreement.between(BEFORE, other, TASK, 1) is None
    assert disagreement.between(BEFORE, AFTER, Task("segmentation", "solid"), 1) is None


def test_small_copies_of_the_examples_are_kept_with_the_run_only_where_the_suite_asks_for_them() -> None:
    images = grey()
    kept = disagreement.attached(AFTER, BEFORE, split(images), SUITE_OF_FOUR).disagreement
    assert kept is not None
    assert kept.pictures is not None
    assert np.array_equal(kept.pictures, images[[4, 0, 2, 6], ::2, ::2])
    for suite in (replace(SUITE_OF_FOUR, examples=0), replace(SUITE_OF_FOUR, confidential=True)):
        assert disagreement.attached(AFTER, BEFORE, split(images), suite).disagreement is None
    assert disagreement.attached(BEFORE, BEFORE, split(images), SUITE_OF_FOUR).disagreement is None
    assert disagreement.attached(BEFORE, None, split(images), SUITE_OF_FOUR).disagreement is None


def test_images_that_no_screen_shows_are_named_without_a_picture_and_with_the_reason() -> None:
    samples = split(grey().astype(np.float32))
    kept = disagreement.attached(AFTER, BEFORE, samples, SUITE_OF_FOUR).disagreement
    assert kept is not None
    assert kept.pictures is None
    assert len(kept.examples) == 4
    assert str(kept.unseen) == "the images are float32 with 1 channel; bring them as uint8 with 1 or 3"


def test_a_changed_count_or_example_is_found_when_it_is_computed_again_and_evidence_has_no_picture() -> None:
    run = without_images(disagreement.attached(AFTER, BEFORE, split(grey()), SUITE_OF_FOUR))
    assert run.disagreement is not None
    assert run.disagreement.pictures is None
    assert str(run.disagreement.unseen).startswith("evidence holds no image")
    first, *rest = run.disagreement.examples
    campaign = Campaign("c1", run.started_at, "pytest", {"us": {**SUITE, "accept": []}})

    def differing(found: Disagreement) -> list[str]:
        lines = recomputed(campaign, [BEFORE, replace(run, disagreement=found)], [], []).differing
        return [line.partition(": examples: ")[2] for line in lines if ": examples: " in line]

    assert differing(run.disagreement) == []
    assert differing(replace(run.disagreement, gained=3)) == ["gained: stored is 3, recomputed is 2"]
    (said,) = differing(replace(run.disagreement, examples=(replace(first, place=1), *rest)))
    assert said.startswith("which: stored is (1, 'solid'")
    (said,) = differing(replace(run.disagreement, examples=(replace(first, variant_share=0.99), *rest)))
    assert said.startswith("stated probabilities: ")
