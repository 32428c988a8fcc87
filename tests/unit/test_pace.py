"""What rounds say of the processor: a device that slows down differs from one that is disturbed now and then."""

from __future__ import annotations

import numpy as np

from harness import stats
from harness.model import FloatArray, IntArray

LAUNCHES, ROUNDS = 8, 8


def model(scale: float, rng: np.random.Generator, slow: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the launches and mean latencies of a model's rounds; `slow` (8,) multiplies those of a launch."""
    launches = np.repeat(np.arange(LAUNCHES), ROUNDS)
    return launches, scale * np.repeat(slow, ROUNDS) * rng.lognormal(0, 0.02, len(launches))


def test_a_device_that_halves_its_speed_halfway_is_seen_in_every_later_launch() -> None:
    rng = np.random.default_rng(1)
    halved = np.repeat([1.0, 2.0], LAUNCHES // 2)
    found = stats.launch_slowdowns([model(scale, rng, halved) for scale in (0.001, 0.005)])
    assert (found[:4] < stats.SLOWED).all()
    np.testing.assert_allclose(found[4:], 1.0, atol=0.1)


def test_a_device_that_is_disturbed_in_a_few_rounds_is_not_called_slow() -> None:
    rng = np.random.default_rng(2)
    models = [model(0.002, rng, np.ones(LAUNCHES)) for _ in range(2)]
    for _, means in models:
        means[rng.random(len(means)) < 0.1] *= 5
    assert (stats.launch_slowdowns(models) < stats.SLOWED).all()


def test_one_model_alone_that_slows_down_is_not_the_devices_fault() -> None:
    rng = np.random.default_rng(3)
    late = np.repeat([1.0, 3.0], LAUNCHES // 2)
    models = [model(0.002, rng, np.ones(LAUNCHES)), model(0.002, rng, np.ones(LAUNCHES)), model(0.002, rng, late)]
    assert (stats.launch_slowdowns(models) < stats.SLOWED).all()


def test_a_model_that_was_decided_early_counts_for_the_launches_it_had() -> None:
    rng = np.random.default_rng(4)
    whole, short = (model(0.002, rng, np.ones(LAUNCHES)) for _ in range(2))
    found = stats.launch_slowdowns([whole, (short[0][: 4 * ROUNDS], short[1][: 4 * ROUNDS])])
    assert len(found) == LAUNCHES
    assert len(stats.launch_slowdowns([])) == 0
