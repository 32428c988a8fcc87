"""All folds of a pool together: the corrected interval, and what of a store makes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from harness import stats
from harness.cli import pooling
from harness.errors import StoreError
from harness.model import Campaign, Comparison, Estimate, MeasuredCase, Verdict
from harness.store import Store
from tests import made_runs


def exactly(values: Iterable[float]) -> list[Estimate]:
    return [Estimate(value, value, value) for value in values]


def test_the_interval_is_the_one_worked_out_by_hand() -> None:
    values = exactly([0.01, -0.02, 0.00, -0.03, -0.01])
    found = stats.mean_over_folds(values, 1 / 3)
    assert found is not None
    # s^2 = 0.00025, t(0.975, 4) = 2.776445
    half = 2.776445 * math.sqrt((1 / 5 + 1 / 3) * 0.00025)
    assert (found.point, found.low, found.high) == pytest.approx((-0.01, -0.01 - half, -0.01 + half))
    assert stats.mean_over_folds(values[:1], 1 / 3) is None


def test_folds_that_happen_to_be_equal_are_no_more_certain_than_their_images() -> None:
    found = stats.mean_over_folds([Estimate(0.0, -0.1, 0.05)] * 4, 0.5)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-0.05, 0.025))


def test_folds_that_learnt_from_the_same_images_are_seldom_surer_than_they_may() -> None:
    # Differences of two folds correlate by what their training sets share: n_test / (n_test + n_train).
    rng, missed, plain, k = np.random.default_rng(71), 0, 0, 5
    shared = 0.25
    for _ in range(2000):
        values = exactly(math.sqrt(shared) * rng.normal() + math.sqrt(1 - shared) * rng.normal(size=k))
        found, naive = stats.mean_over_folds(values, 1 / 3), stats.mean_over_folds(values, 0.0)
        assert found is not None
        assert naive is not None
        missed += not found.low <= 0 <= found.high
        plain += not naive.low <= 0 <= naive.high
    print(f"\n5 folds: {missed / 2000:.1%} missed (claimed: 5 %), {plain / 2000:.1%} as if they were independent")
    assert missed / 2000 < 0.065
    assert plain / 2000 > 0.1


def a_store(base: Path, changes: list[float | None], pool: str = "one") -> Store:
    """Return a store of one suite a fold, a baseline and a variant each; a change of None could not be estimated."""
    store = Store(f"sqlite:///{base}/results.sqlite")
    for fold, change in enumerate(changes):
        name = f"us-{fold}"
        data = {"source": "npz", "folds": {"count": len(changes), "fold": fold, "pool": pool if fold else "one"}}
        settings = {"data": data, "accept": [{"metric": "accuracy", "rule": "non_inferior_by", "bound": 0.05}]}
        store.add_campaign(Campaign(f"c{fold}", datetime(2026, 11, 21, tzinfo=UTC), "pytest", {name: settings}))
        case = MeasuredCase("", name, "", "pi5", "onnxruntime==1.31.1")
        before, after = (
            replace(
                made_runs.a_run(f"{role}-{fold}", made_runs.NOISE[:72, 2]),
                campaign=f"c{fold}",
                case=replace(case, variant=role),
                is_baseline=role == "fp32",
            )
            for role in ("fp32", "int8")
        )
        found = None if change is None else Estimate(change, change - 0.1, change + 0.1)
        store.add_case(f"c{fold}", before, ())
        store.add_case(f"c{fold}", after, [Comparison("accuracy", before.id, after.id, found, Verdict.INCONCLUSIVE)])
    return store


def test_the_newest_runs_of_all_folds_are_judged_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, names = a_store(tmp_path, [0.01, -0.01, 0.0, -0.01, 0.01]), [f"us-{fold}" for fold in range(5)]
    (found,) = pooling.pooled(store, names)
    assert (found.case, found.metric, found.margin) == ("int8@pi5 onnxruntime==1.31.1", "accuracy", 0.05)
    assert found.change is not None
    assert found.change.point == pytest.approx(0.0)
    assert found.verdict == "non-inferior"
    pooling.show_pooled([found], 5)
    assert "non-inferior" in capsys.readouterr().out
    with pytest.raises(StoreError, match="these are the folds 0, 1, 2 of 5; give the suite of every fold once"):
        pooling.pooled(store, names[:3])
    with pytest.raises(StoreError, match="no case of 'us-9' gave a run"):
        pooling.pooled(store, ["us-9"])


def test_a_change_that_is_lacking_in_one_fold_is_lacking_in_all(tmp_path: Path) -> None:
    store = a_store(tmp_path, [0.01, None, 0.0])
    (found,) = pooling.pooled(store, ["us-0", "us-1", "us-2"])
    assert found.change is None
    assert found.verdict == "–"


def test_folds_of_other_images_are_not_taken_together(tmp_path: Path) -> None:
    store = a_store(tmp_path, [0.01, 0.0, 0.0], pool="other")
    with pytest.raises(StoreError, match="not folds of one pool: their images differ"):
        pooling.pooled(store, ["us-0", "us-1", "us-2"])
