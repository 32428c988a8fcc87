"""The rule for percentiles against MLPerf LoadGen itself: how many samples it wants, and which of them it reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices.virtual.requirements import give_up
from harness import stats
from tests.loadgen import Report, single_stream


@pytest.fixture(autouse=True)
def _loadgen() -> None:
    try:
        import mlperf_loadgen
    except ImportError:
        give_up("this Python lacks mlcommons-loadgen, which has no wheel for every platform")
    assert mlperf_loadgen


def sampled(folder: Path, queries: int, q: float) -> Report:
    """Let LoadGen time as many queries, each of another length, in an order of chance."""
    lengths = np.random.default_rng(queries).permutation(queries)
    left = iter(lengths.tolist())
    return single_stream(lambda _: sum(range(5 * next(left))), folder, queries=queries, q=q, trace=True)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.97, 0.99])
def test_loadgen_wants_as_many_samples_as_we_do_and_not_one_less(q: float, tmp_path: Path) -> None:
    needed = stats.samples_needed(q)
    enough, short = sampled(tmp_path, needed, q), sampled(tmp_path, needed - 1, q)
    assert enough.number(r"Processed at least (\d+) queries") == needed
    assert short.number(r"Need to process at least (\d+) queries") == needed
    print(f"\np{q * 100:g}: {needed} samples, by LoadGen and by us")


def test_loadgen_wants_662_samples_for_its_99th_percentile_as_we_do(tmp_path: Path) -> None:
    assert sampled(tmp_path, 661, 0.9).number(r"process at\s+least (\d+) total") == stats.samples_needed(0.99) == 662
    assert "99.0th percentile estimate" in sampled(tmp_path, 662, 0.9).early_stopping


@pytest.mark.parametrize(
    ("q", "queries"), [(0.5, 11), (0.5, 400), (0.9, 64), (0.9, 91), (0.9, 500), (0.95, 700), (0.99, 662), (0.99, 3000)]
)
def test_our_bound_is_the_very_sample_that_loadgen_reports(q: float, queries: int, tmp_path: Path) -> None:
    found = sampled(tmp_path, queries, q)
    samples = found.samples_ns
    assert len(samples) == queries
    reported = found.number(rf"stopping {q * 100:.1f}th percentile estimate: (\d+)")
    assert stats.percentile_bound(samples.astype(np.float64), q) == reported
    above = found.number(r"Would discard (\d+) highest")
    assert samples[queries - 1 - above] == reported, "what LoadGen discards lies above what it reports"
    by_rank = stats.percentile_bound(np.arange(float(queries)), q)
    assert by_rank == queries - 1 - above, "the same rank, where no two samples are alike"


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_our_plain_percentile_lies_beside_loadgens_which_takes_the_next_sample_instead_of_a_point_between_two(
    q: float, tmp_path: Path
) -> None:
    found = sampled(tmp_path, 1000, q)
    samples, ours = found.samples_ns, stats.percentile(found.samples_ns.astype(np.float64), q)
    theirs = found.percentiles_ns[q * 100]
    index = int(1000 * q)
    assert theirs == samples[index]
    assert ours is not None
    assert samples[index - 1] <= ours <= theirs


def test_the_bound_holds_for_99_of_100_sets_of_samples() -> None:
    rng = np.random.default_rng(4)
    for q, n in ((0.9, 64), (0.9, 300), (0.99, 700)):
        bounds = [stats.percentile_bound(row, q) for row in rng.random((4000, n))]
        held = np.mean([bound is not None and bound >= q for bound in bounds])
        print(f"\np{q * 100:g} of {n} samples: the bound held in {held:.2%} of 4000 sets")
        assert held >= 0.99


def test_too_few_samples_have_no_bound_and_low_quantiles_are_refused() -> None:
    assert stats.percentile_bound(np.arange(63.0), 0.9) is None
    assert stats.percentile_bound(np.arange(64.0), 0.9) == 63.0
    with pytest.raises(ValueError, match=r"for quantiles from 0\.5 to below 1, not 0\.1"):
        stats.percentile_bound(np.arange(100.0), 0.1)
