"""Of models on a plane of cost and accuracy, intervals say which dominate, are dominated, or cannot be separated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness.compare.front import VIA_BASELINE, Member, Relation, Standing, relation, standings
from harness.model import Estimate
from tests.made_runs import LABELS, SUITE, a_run

RIGHT = (9 * np.eye(3)[LABELS]).astype(np.float32)
ASKED: Mapping[str, str] = {"ratio": "latency_ratio", "accuracy": "accuracy"}
PLAIN = {**SUITE, "accept": [{"metric": "accuracy", "rule": "non_inferior_by", "bound": 0.03}]}


def member(name: str, cost: float, *, wrong: float = 0.0, width: float = 0.01) -> Member:
    """Return a model of another race than all others, of whose answers a share is wrong."""
    answers = RIGHT.copy()
    count = int(wrong * len(answers))
    answers[:count] = answers[:count][:, [1, 2, 0]]
    run = a_run(name, np.full(80, 0.01))
    run = replace(run, campaign=name, outputs=answers, labels=LABELS)
    return Member(name, run, Estimate(cost, cost * (1 - width), cost * (1 + width)))


def test_cheaper_and_no_worse_dominates_and_the_other_way_round_is_dominated() -> None:
    one, other = member("one", 0.5), member("other", 0.9)
    assert relation(one, other, PLAIN, **ASKED) is Relation.DOMINATES
    assert relation(other, one, PLAIN, **ASKED) is Relation.DOMINATED


def test_cheaper_and_worse_is_traded() -> None:
    assert relation(member("one", 0.5, wrong=0.2), member("other", 0.9), PLAIN, **ASKED) is Relation.TRADED


def test_better_at_the_same_cost_dominates_if_the_cost_is_known_well() -> None:
    worse = member("worse", 0.5, wrong=0.2, width=0.001)
    assert relation(member("one", 0.5, width=0.001), worse, PLAIN, **ASKED) is Relation.DOMINATES
    assert relation(member("one", 0.5, width=0.2), worse, PLAIN, **ASKED) is Relation.UNCLEAR


def test_at_the_edge_of_a_margin_the_order_of_a_pair_does_not_count() -> None:
    edge = 1 + PLAIN["load"]["margin"]
    turned = {Relation.DOMINATES: Relation.DOMINATED, Relation.DOMINATED: Relation.DOMINATES}
    for cost in np.linspace(1 - 2 * (edge - 1), 1 + 2 * (edge - 1), 41):
        for wrong in (0.0, 0.2):
            one, other = member("one", 1.0, wrong=wrong, width=1e-4), member("other", float(cost), width=1e-4)
            there, back = relation(one, other, PLAIN, **ASKED), relation(other, one, PLAIN, **ASKED)
            assert back is turned.get(there, there), (cost, wrong)


def test_wide_intervals_cannot_be_separated() -> None:
    assert relation(member("one", 0.5, width=0.3), member("other", 0.6, width=0.3), PLAIN, **ASKED) is Relation.UNCLEAR
    assert "cannot be separated" in Relation.UNCLEAR
    assert "baseline" in VIA_BASELINE


def test_a_front_is_what_nothing_dominates() -> None:
    four = [member("a", 0.5), member("b", 0.9), member("c", 0.3, wrong=0.2), member("d", 0.49, width=0.3)]
    found: dict[str, Standing] = {one.member.name: one for one in standings(four, PLAIN, **ASKED)}
    assert [name for name, one in found.items() if not one.dominated] == ["a", "c", "d"]
    assert found["a"].dominates == ("b",)
    assert found["a"].unclear == ("d",)
    assert "a" in found["b"].dominated
