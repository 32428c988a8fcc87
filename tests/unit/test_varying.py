"""A model whose time depends on the image: the mean over the ways that images take, and no quantile of one of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness import stats
from harness.compare.costs import cost_change
from harness.model import Run
from harness.page import wording
from harness.results import scenarios
from harness.vocabulary import METRICS, PATHS
from tests.made_runs import BASELINE, NOISE, latency, measured

#: Of five images, four leave after a tenth of the baseline's time; one takes a twentieth more than the baseline.
TIMED = [1, 1, 0, 1, 1]
FACTORS = np.array([0.1, 0.1, 1.05, 0.1, 0.1])


def cascade(*, timed: list[int] = TIMED, shares: dict[str, float] | None = None) -> Run:
    """Return a run of it: in every round each image twice, with the noise of a real device."""
    shares = {"0": 0.2, "1": 0.8} if shares is None else shares
    slow = latency(NOISE[:72, 3])
    values = slow.values * np.tile(FACTORS, len(slow.values) // 5)
    whole = replace(slow, values=values)
    known = {int(path): share for path, share in shares.items()}
    run = measured(replace(BASELINE, id="cascade", is_baseline=False), whole, *scenarios.by_path(whole, timed, known))
    return replace(run, notes={**run.notes, PATHS: {"timed": timed, "shares": shares}})


def test_the_ratio_is_that_of_the_mean_image_and_not_of_the_easy_ones() -> None:
    change, said = cost_change(METRICS["latency_ratio"], BASELINE, cascade())
    assert change is not None
    assert change.low < 0.8 * 0.1 + 0.2 * 1.05 < change.high
    assert change.high - change.low < 0.1
    assert "weighted by the shares" in change.method
    assert any("20.0% of the images take 1.0" in str(one) for one in said)


def test_shares_are_those_of_the_whole_split_however_many_of_the_timed_images_leave() -> None:
    change, _ = cost_change(METRICS["latency_ratio"], BASELINE, cascade(shares={"0": 0.5, "1": 0.5}))
    assert change is not None
    assert change.low < 0.5 * 0.1 + 0.5 * 1.05 < change.high


def test_mean_and_slowest_way_stand_beside_the_percentiles() -> None:
    run = cascade()
    typical = float(np.median(latency(NOISE[:72, 3]).values))
    mean, worst = (stats.statistic(run, name)[0] for name in ("latency_mean_s", "latency_worst_s"))
    assert mean == pytest.approx(0.29 * typical, rel=0.05)
    assert worst == pytest.approx(1.05 * typical, rel=0.05)
    assert wording.typical(run, "latency_p50_s") == "latency_mean_s"
    assert "80 %" in wording.paths(run)


def test_where_every_image_takes_the_same_mean_and_slowest_are_the_median() -> None:
    values = {stats.statistic(BASELINE, f"latency_{name}_s")[0] for name in ("p50", "mean", "worst")}
    assert len(values) == 1
    assert wording.typical(BASELINE, "latency_p50_s") == "latency_p50_s"


def test_what_the_timed_pass_cannot_show_is_absent_with_the_reason() -> None:
    untimed = cascade(timed=[1, 1, 1, 1, 1])
    change, said = cost_change(METRICS["latency_ratio"], BASELINE, untimed)
    assert change is None
    assert "20.0% of the images take was not timed" in str(said[0])
    assert "20% of the images take were not timed" in stats.statistic(untimed, "latency_mean_s")[2]
    of_a_stream = cascade(timed=[])
    change, said = cost_change(METRICS["latency_ratio"], BASELINE, of_a_stream)
    assert change is None
    assert 'scenario = "single_stream"' in str(said[0])
    assert stats.statistic(of_a_stream, "latency_worst_s")[0] is None


def test_each_way_has_its_own_rounds() -> None:
    rounds = np.array([[0, 0, 4], [0, 4, 6], [1, 6, 10]])
    own, cut, there = stats.of_path(rounds, [0, 0, 0, 0, 0, 1], 1, 10)
    assert own.tolist() == [False] * 5 + [True] + [False] * 4
    assert cut.tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 1]]
    assert there.tolist() == [False, True, False]
