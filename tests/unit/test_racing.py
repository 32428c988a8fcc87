"""A candidate drops out of a race when it is excluded for certain, and not before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.agent import contract
from harness.measure import racing
from harness.measure.jobs import Group, Race
from harness.model import Address, Case, Criterion, Device, Fit, InputSpec, Load, Reading, Samples, Suite, Task, Variant
from harness.results.job_log import JobLog

RNG = np.random.default_rng(3)
LABELS = np.arange(300) % 3
CLASSES = ("normal", "cyst", "solid")
SAMPLES = Samples(np.zeros((300, 1, 1, 1), np.uint8), LABELS, CLASSES, "made")
RIGHT = (9 * np.eye(3)[LABELS]).astype(np.float32)
LINE = Criterion("accuracy", "non_inferior_by", 0.05)


def wrong(share: float) -> np.ndarray:
    """Return answers of which a share is wrong."""
    answers = RIGHT.copy()
    count = int(share * len(answers))
    answers[:count] = answers[:count, [1, 2, 0]]
    return answers


def group(names: list[str], *, ratio: str = "latency_ratio", best: str = "") -> Group:
    variants = tuple(Variant(name, "onnx", Path(name), name, 1000) for name in names)
    task, load = Task("classification", "solid"), Load(margin=0.02)
    suite = Suite("s", "S", {}, InputSpec(), task, load, names[0], variants, (LINE,))
    device = Device("here", "workstation", Address("local:"))
    cases = tuple(Case(suite, one, device, "onnxruntime==1.31.1", one.id) for one in variants)
    fits = {one.id: Fit(reading=Reading(kind="logits")) for one in cases}
    return Group(suite, device, "onnxruntime==1.31.1", cases, fits, Race(ratio, best))


def log(levels: list[float], answers: list[np.ndarray], launches: int) -> JobLog:
    """Return what a job said: each model's level in ms, with a noise of 0.3 % between launches and rounds."""
    made = JobLog()
    for number in range(launches):
        rounds = [
            contract.Round(
                model=model,
                turn=turn,
                drift=0.0,
                count=40,
                level_ns=level * 1e6 * float(RNG.normal(1, 0.003)),
                ns=10**8,
            )
            for turn in range(8)
            for model, level in enumerate(levels)
        ]
        event = contract.Launch(
            event="launch", t_ns=number, launch=number, rounds=rounds, conditions=contract.Readings(), paused_s=0.0
        )
        made.events.append(event)
    made.arrays = {f"m{model}.outputs.npy": one for model, one in enumerate(answers)}
    return made


def dropped(of: Group, said: JobLog) -> dict[int, str]:
    return racing.excluded(of, said, racing.judged(of, said, SAMPLES), set())


def test_a_model_that_is_far_slower_than_a_sound_one_is_out_after_one_launch() -> None:
    said = log([10, 5, 15], [RIGHT] * 3, 1)
    out = dropped(group(["base", "fast", "slow"]), said)
    assert list(out) == [2]
    assert out[2].startswith("3.00×")
    assert out[2].endswith("the latency of fast")


def test_a_model_that_is_a_little_slower_is_out_when_launches_show_it_and_not_before() -> None:
    of = group(["base", "fast", "slow"], best="fast")
    assert dropped(of, log([10, 5, 5.5], [RIGHT] * 3, 1)) == {}
    assert list(dropped(of, log([10, 5, 5.5], [RIGHT] * 3, 6))) == [2]


def test_models_that_differ_by_less_than_the_margin_are_never_excluded() -> None:
    assert dropped(group(["base", "one", "two"], best="one"), log([10, 5, 5.05], [RIGHT] * 3, 12)) == {}


def test_a_model_that_certainly_answers_worse_is_out_and_excludes_no_other() -> None:
    out = dropped(group(["base", "fast", "slow"]), log([10, 5, 15], [RIGHT, wrong(0.3), RIGHT], 1))
    assert list(out) == [1]
    assert out[1].startswith("accuracy: −30.0 pp")


def test_a_model_whose_accuracy_is_undecided_stays_and_excludes_no_other() -> None:
    assert dropped(group(["base", "fast", "slow"]), log([10, 5, 15], [RIGHT, wrong(0.05), RIGHT], 1)) == {}


def test_the_best_so_far_is_not_excluded_and_without_answers_nobody_excludes() -> None:
    assert dropped(group(["base", "best", "new"], best="best"), log([10, 15, 5], [RIGHT] * 3, 1)) == {}
    assert dropped(group(["base", "fast", "slow"]), log([10, 5, 15], [], 1)) == {}


def test_sizes_are_compared_exactly() -> None:
    of = group(["base", "small", "large"], ratio="size_ratio")
    large = of.cases[2]
    object.__setattr__(large.variant, "size_bytes", 2000)
    assert dropped(of, log([10, 10, 10], [RIGHT] * 3, 1)) == {2: "2.00× the model size of small"}


@pytest.mark.parametrize("level", [5.0, 10.0])
def test_a_candidate_is_settled_when_it_is_known_against_the_best(level: float) -> None:
    of = group(["base", "best", "new"], best="best")
    assert not racing.settled(of, log([10, 5, level], [RIGHT] * 3, 1), 2)
    assert racing.settled(of, log([10, 5, level], [RIGHT] * 3, 12), 2)
