"""How the benchmarks judge a ratio."""

from __future__ import annotations

import numpy as np
import pytest

from harness.model import Estimate
from tests.benchmarks import bars


@pytest.mark.parametrize(
    ("point", "low", "high", "expected"),
    [
        (1.0, 0.99, 1.01, "within"),
        (0.95, 0.94, 0.97, "beyond"),
        (1.05, 1.03, 1.06, "beyond"),
        (0.978, 0.95, 1.0006, "undecided"),
        (1.019, 0.99, 1.04, "undecided"),
        # An interval that wide has not measured anything.
        (0.9, 0.5, 1.3, "beyond"),
    ],
)
def test_a_bar_is_broken_where_the_interval_or_a_far_point_says_so(
    point: float, low: float, high: float, expected: str
) -> None:
    assert bars.verdict(Estimate(point, low, high), 0.98, 1.02) == expected


def test_launches_that_had_bad_luck_with_their_memory_do_not_move_the_ratio() -> None:
    random = np.random.default_rng(2)
    base = random.normal(10, 0.1, (2, 48))
    # Half the launches of the one take half as long again, a third of the other's a fifth.
    ours = base[0] * np.where(random.random(48) < 0.5, 1.5, 1.0)
    theirs = base[1] * np.where(random.random(48) < 0.33, 1.2, 1.0)
    same, slower = (
        bars.ratio_of_quickest(list(ours), list(theirs)),
        bars.ratio_of_quickest(list(ours * 1.05), list(theirs)),
    )
    assert same.low < 1 < same.high
    assert bars.verdict(same, 0.98, 1.02) != "beyond"
    assert bars.verdict(slower, 0.98, 1.02) == "beyond"


@pytest.mark.parametrize(("failures", "looks", "holds"), [(0, 1, True), (1, 2, True), (2, 2, False)])
def test_a_comparison_fails_where_it_fails_twice(failures: int, looks: int, holds: bool) -> None:
    taken = []

    @bars.measured_again
    def comparison() -> None:
        taken.append(1)
        assert len(taken) > failures

    if holds:
        comparison()
    else:
        with pytest.raises(AssertionError):
            comparison()
    assert len(taken) == looks
