"""Quantiles, confidence sequences and ratios: against published numbers, simulation and recorded noise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from harness import stats
from harness.errors import MeasurementError
from harness.model import FloatArray, IntArray

DATA = Path(__file__).parent / "data"
LIMIT = math.log(20)
LAUNCHES, ROUNDS = 12, 6


def in_rounds(levels: FloatArray, rounds: int, inferences: int = 1) -> tuple[FloatArray, IntArray]:
    """Return values and (R, 3) rounds for `levels`, one a round, `rounds` of them a launch."""
    count = len(levels)
    starts = np.arange(count) * inferences
    table = np.stack([np.arange(count) // rounds, starts, starts + inferences], axis=1).astype(np.int64)
    return np.repeat(levels, inferences), table


def test_p90_needs_64_and_p99_needs_662_samples_as_in_loadgen() -> None:
    assert stats.samples_needed(0.9) == 64
    assert stats.samples_needed(0.99) == 662


def test_a_percentile_is_absent_until_there_are_enough_samples() -> None:
    values = np.arange(662.0)
    assert stats.percentile(values[:63], 0.9) is None
    assert stats.percentile(values[:64], 0.9) == pytest.approx(np.quantile(values[:64], 0.9))
    assert stats.percentile(values[:661], 0.99) is None
    assert stats.percentile(values, 0.99) == pytest.approx(np.quantile(values, 0.99))


@pytest.mark.parametrize("q", [0.0, 1.0, 1.5])
def test_a_quantile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        stats.samples_needed(q)


def test_the_median_of_ten_is_enclosed_by_the_second_and_ninth_value() -> None:
    # The classic table of sign-test intervals: n = 10, (x2, x9), 97.9 % (Conover 1999, section 3.2).
    estimate = stats.quantile_interval(np.arange(1.0, 11.0), 0.5)
    assert estimate is not None
    assert (estimate.low, estimate.high) == (2.0, 9.0)


def test_a_quantile_without_enclosing_samples_has_no_interval() -> None:
    assert stats.quantile_interval(np.arange(20.0), 0.9) is None
    assert stats.quantile_interval(np.empty(0), 0.5) is None


def test_quantile_intervals_cover_the_true_quantile() -> None:
    rng = np.random.default_rng(0)
    truth = math.log(10)  # p90 of the exponential distribution
    found = [stats.quantile_interval(rng.exponential(size=100), 0.9) for _ in range(400)]
    covered = np.mean([e is not None and e.low <= truth <= e.high for e in found])
    assert covered >= 0.93


def test_the_t_evidence_equals_the_bayes_factor_integrated_numerically() -> None:
    # The right-Haar Bayes factor of the t statistic: noncentral t averaged over the normal prior, over central t.
    from scipy.integrate import quad
    from scipy.stats import nct, norm, t

    from harness.stats.evidence import _EFFECT_VARIANCE, _log_t_evidence

    values = np.array([0.3, 1.1, 0.2, 0.9, 0.4])
    n = len(values)
    statistic = math.sqrt(n) * values.mean() / values.std(ddof=1)
    width = math.sqrt(_EFFECT_VARIANCE)

    def integrand(effect: float) -> float:
        return float(nct.pdf(statistic, n - 1, math.sqrt(n) * effect) * norm.pdf(effect, scale=width))

    marginal = quad(integrand, -8, 12, limit=200)[0]
    assert _log_t_evidence(values[None])(np.zeros(n))[0, -1] == pytest.approx(
        math.log(marginal / t.pdf(statistic, n - 1)), abs=1e-4
    )


def test_the_interval_is_where_the_evidence_reaches_its_limit() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.02, 10)
    low, high = stats.confidence_sequence(values)
    assert low < np.median(values) < high
    for end, outward in ((low, -1e-6), (high, 1e-6)):
        assert stats.log_evidence(values, end + outward) >= LIMIT
        assert stats.log_evidence(values, end - outward) < LIMIT


def test_what_an_earlier_look_has_ruled_out_stays_so_unless_looks_contradict_one_another() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.02, 10)
    looks = [stats.confidence_sequence(values[:n]) for n in range(4, 11)]
    low, high = stats.confidence_sequence(values, first_look=4)
    assert (low, high) == pytest.approx((max(a for a, _ in looks), min(b for _, b in looks)))
    jumping = np.concatenate([np.linspace(1.0, 1.01, 6), np.linspace(3.0, 3.01, 60)])
    assert stats.confidence_sequence(jumping, first_look=4) == stats.confidence_sequence(jumping)


def test_the_interval_moves_and_scales_with_the_values() -> None:
    values = np.random.default_rng(2).normal(0.0, 1.0, 9)
    low, high = stats.confidence_sequence(values)
    assert stats.confidence_sequence(5 + 3 * values) == pytest.approx((5 + 3 * low, 5 + 3 * high), abs=1e-6)


def test_fewer_than_four_launches_have_no_interval() -> None:
    assert stats.confidence_sequence(np.array([1.0, 1.1, 0.9])) == (-math.inf, math.inf)
    assert stats.confidence_sequence(np.empty(0)) == (-math.inf, math.inf)
    assert math.isfinite(stats.confidence_sequence(np.array([1.0, 1.1, 0.9, 1.05]))[1])


def test_a_model_twice_as_fast_is_seen_as_such_under_recorded_noise() -> None:
    noise = np.load(DATA / "rounds_busy.npy")[:48] * 1e-9
    estimate = stats.ratio_estimate(*in_rounds(noise[:, 0], ROUNDS), *in_rounds(noise[:, 1] / 2, ROUNDS))
    assert estimate is not None
    assert estimate.low < 0.5 < estimate.high
    assert estimate.high < 0.7
    assert "8 launches" in estimate.method


def test_rounds_pair_by_launch_and_place_and_unpaired_ones_are_left_out() -> None:
    base_rounds = np.array([[0, 0, 1], [0, 1, 2], [1, 2, 3]], np.int64)
    rounds = np.array([[0, 0, 1], [1, 1, 2], [1, 2, 3]], np.int64)
    launches, levels = stats.round_log_levels(np.array([1.0, 2.0, 4.0]), base_rounds, np.array([3.0, 8.0, 9.0]), rounds)
    assert launches.tolist() == [0, 1]
    np.testing.assert_allclose(np.exp(levels), [[1.0, 3.0], [4.0, 8.0]])


def test_a_marked_round_is_left_out_without_shifting_its_neighbours() -> None:
    values, rounds = in_rounds(np.array([1.0, 50.0, 1.0]), 3)
    base = in_rounds(np.ones(3), 3)
    keep = np.array([True, False, True])
    for base_keep, own_keep in ((None, keep), (keep, None)):
        _, levels = stats.round_log_levels(*base, values, rounds, base_keep=base_keep, keep=own_keep)
        assert levels.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_marked_rounds_are_left_out_launch_by_launch_where_enough_remain() -> None:
    launches = np.repeat([0, 1, 2], 6)
    marked = np.zeros(18, bool)
    marked[[0, 3, 6, 7, 8]] = True
    keep = stats.quiet_rounds(marked, launches)
    assert keep.tolist() == [False, True, True, False, *[True] * 14]
    for end in (6, 12):
        assert stats.quiet_rounds(marked[:end], launches[:end]).tolist() == keep[:end].tolist()


def test_the_level_of_a_round_does_not_depend_on_how_many_inferences_fit_into_it() -> None:
    rng = np.random.default_rng(6)
    slow = in_rounds(np.ones(4000), ROUNDS, 5)[1]
    fast = in_rounds(np.ones(4000), ROUNDS, 20)[1]
    _, levels = stats.round_log_levels(rng.gamma(9, 1, 20_000), slow, rng.gamma(9, 1, 80_000), fast)
    # Single inferences that vary by a third, 5 against 20 a round: the minima would be 24 % apart.
    assert float(np.median(levels[:, 1]) - np.median(levels[:, 0])) == pytest.approx(0, abs=0.012)


def test_a_round_of_few_inferences_is_held_against_the_same_quantile_of_one_of_many() -> None:
    assert stats.round_quantile(13) == stats.round_quantile(500) == 0.05
    assert stats.round_quantile(5) == pytest.approx(0.125)
    assert np.quantile(np.arange(5.0), 0.125, method="median_unbiased") == pytest.approx(0)


def test_a_launch_is_located_by_its_pairs_and_by_its_lowest_rounds() -> None:
    levels = np.array([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0], [1.0, 1.5]])
    found = stats.launch_locations(np.array([3, 3, 3, 7]), levels)
    np.testing.assert_allclose(found, [[1.0, 1.0], [0.5, 0.5]])
    np.testing.assert_allclose(stats.launch_locations(np.zeros(3, np.int64), levels[[0, 2, 3]]), [[0.5, 1.0]])


def test_two_ways_to_see_the_same_launches_are_averaged() -> None:
    rng = np.random.default_rng(12)
    ways = rng.normal(0.02, 0.01, (8, 2))
    parts = [math.exp(stats.log_evidence(way, 0.0)) for way in ways.T]
    assert math.exp(stats.log_evidence(ways, 0.0)) == pytest.approx(sum(parts) / 2)
    low, high = stats.confidence_sequence(ways)
    for end, outward in ((low, -1e-6), (high, 1e-6)):
        assert stats.log_evidence(ways, end + outward) >= LIMIT > stats.log_evidence(ways, end - outward)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_latency_that_is_not_a_positive_number_is_refused(bad: float) -> None:
    values, rounds = in_rounds(np.array([1.0, bad]), 2)
    with pytest.raises(MeasurementError, match="round 1 holds a latency that is not a positive number"):
        stats.round_log_levels(*in_rounds(np.ones(2), 2), values, rounds)


def test_a_round_outside_the_values_is_refused() -> None:
    rounds = np.array([[0, 0, 9]], np.int64)
    with pytest.raises(MeasurementError, match=r"round 0 spans 0\.\.9 of 3 latencies"):
        stats.round_log_levels(*in_rounds(np.ones(1), 1), np.ones(3), rounds)


def test_one_launch_gives_an_interval_that_says_what_it_leaves_out() -> None:
    noise = np.load(DATA / "rounds_quiet.npy")[:20]
    estimate = stats.ratio_estimate(*in_rounds(noise[:, 0], 20), *in_rounds(noise[:, 1] * 2, 20))
    assert estimate is not None
    assert estimate.method.startswith(stats.ONE_LAUNCH)
    assert estimate.low < 2 < estimate.high


def test_too_few_rounds_give_no_ratio_at_all() -> None:
    assert stats.ratio_estimate(*in_rounds(np.ones(3), 3), *in_rounds(np.ones(3), 3)) is None
    assert stats.ratio_estimate(*in_rounds(np.ones(0), 3), *in_rounds(np.ones(0), 3)) is None


def test_the_median_sequence_covers_at_every_look() -> None:
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(400):
        values = rng.standard_cauchy(60)
        ends = [stats.median_sequence(values[:n]) for n in range(6, 61, 3)]
        missed += any(not low <= 0 <= high for low, high in ends)
    assert missed / 400 <= 0.05


def test_repeated_readings_give_a_ratio_with_a_t_interval() -> None:
    # Two samples of three: the pooled case by hand, log difference 0.2, s = 0.1, t(4, 97.5 %) = 2.776.
    base, own = np.exp([0.9, 1.0, 1.1]), np.exp([1.1, 1.2, 1.3])
    estimate = stats.mean_ratio(base, own)
    assert estimate is not None
    assert math.log(estimate.point) == pytest.approx(0.2)
    assert math.log(estimate.high) == pytest.approx(0.2 + 2.776 * 0.1 * math.sqrt(2 / 3), abs=1e-3)
    assert stats.mean_ratio(base[:1], own) is None


def test_cold_starts_are_compared_by_ranks_so_one_outlier_does_not_decide() -> None:
    rng = np.random.default_rng(8)
    base = rng.lognormal(0, 0.05, 10)
    own = rng.lognormal(math.log(0.5), 0.05, 10)
    own[0] = 100.0
    estimate = stats.rank_ratio(base, own)
    assert estimate is not None
    assert 0.4 < estimate.low < estimate.point < estimate.high < 0.65
    assert stats.rank_ratio(base[:3], own) is None


def test_rank_intervals_cover_the_true_ratio() -> None:
    rng = np.random.default_rng(9)
    for size in (4, 5, 10):
        found = [stats.rank_ratio(rng.lognormal(0, 1, size), 2 * rng.lognormal(0, 1, size)) for _ in range(400)]
        assert np.mean([e is not None and e.low <= 2 <= e.high for e in found]) >= 0.94
