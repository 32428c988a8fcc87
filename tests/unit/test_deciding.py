"""When a job may stop, and what its own rounds say of the device: on events as a conductor writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import lab
from harness.agent import contract
from harness.measure.grouping import groups
from harness.measure.jobs import Group
from harness.measure.known import is_known
from harness.model import FloatArray, Validity, sentence
from harness.results import runs
from harness.results.job_log import JobLog
from tests import small_models as small
from tests.events import event

ROUNDS, COUNT = 8, 40


@pytest.fixture
def group(tmp_path: Path) -> Group:
    suite = small.write_suite(tmp_path, "deciding", ("good", small.good), {"other": small.good})
    small.write_device(tmp_path, "here", workdir=tmp_path / "work")
    (found,) = groups(lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["here"])))
    return found


def log_of(ratio: float, launches: int, *, noise: float = 0.002, pace: FloatArray | None = None) -> JobLog:
    """Return what a job has said after `launches` of a baseline of 1 ms and a model `ratio` times as slow."""
    rng = np.random.default_rng(launches)
    paces = np.ones(launches) if pace is None else pace
    said = JobLog()
    for launch in range(launches):
        levels = 1e6 * np.array([1.0, ratio]) * rng.lognormal(0, noise, (ROUNDS, 2))
        rounds = [
            contract.Round(m, t, 0.0, COUNT, float(levels[t, m]), int(levels[t, m] * COUNT * paces[launch]))
            for t in range(ROUNDS)
            for m in (0, 1)
        ]
        said.events.append(event(contract.Launch, launch=launch, rounds=rounds))
    return said


def test_nothing_is_known_before_the_launches_show_their_variance(group: Group) -> None:
    assert not any(is_known(group, log_of(2.0, launches), 1) for launches in (1, 2, 3))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.03, 2.0])
def test_a_verdict_ends_the_measuring(group: Group, ratio: float) -> None:
    assert is_known(group, log_of(ratio, 6), 1)


def test_a_ratio_that_is_narrow_but_leaves_the_verdict_open_is_measured_on(group: Group) -> None:
    # At 1.5 % the interval excludes 1, the point is inside the margin, and the end of the interval may not be.
    said = log_of(1.015, 6, noise=0.008)
    assert not is_known(group, said, 1)
    assert is_known(group, log_of(1.015, 40, noise=0.008), 1)


def test_a_ratio_that_scatters_is_measured_on(group: Group) -> None:
    assert not is_known(group, log_of(1.03, 5, noise=0.2), 1)


def rows(drift: float) -> np.ndarray:
    return np.array([[0, 0, 1, drift * 1e4]] * 20, np.int64)


@pytest.mark.parametrize(
    ("drift", "pace", "validity", "said"),
    [
        (0.0, [1.0] * 8, Validity.VALID, ""),
        (
            0.0,
            [1.0] * 4 + [2.0] * 4,
            Validity.DEGRADED,
            "50% to 100% of usual, 50% of launches, by the models' own pace more than 10% off",
        ),
        (0.3, [1.0] * 8, Validity.DEGRADED, "77% to 77% of usual, 100% of rounds more than 5% off"),
        (
            4.0,
            [1.0] * 8,
            Validity.INVALID,
            "more than 4 times slower than at the start around 9 of 10 rounds; end what",
        ),
    ],
)
def test_a_device_that_was_slowed_down_is_said_to_have_been(
    drift: float, pace: list[float], validity: Validity, said: str
) -> None:
    log = log_of(1.0, 8, noise=1e-4, pace=np.array(pace))
    found, reasons = runs.validity_of(rows(drift), None, (), log.slowdowns())
    assert found is validity
    assert said in sentence(reasons)
