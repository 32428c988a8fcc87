"""What a search tries: each candidate once, the same ones for the same history, whatever happened in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.studies import Attempt, Proposal, Study
from harness.lab.models import Models
from harness.lab.space import Family, Free, Search
from harness.lab.tables import SpaceTable
from harness.model import Estimate

pytestmark = pytest.mark.usefixtures("proposals")


def searched(*, fractions: bool = False) -> Search:
    energy = Free("energy", (), 0.5, 0.9) if fractions else Free("energy", (0.5, 0.7, 0.9))
    given = {"energy": {"low": 0.5, "high": 0.9} if fractions else [0.5, 0.7, 0.9]}
    families = (
        Family(SpaceTable(id="low", recipe="low_rank", parameters=given), (energy,)),
        Family(SpaceTable(id="half", recipe="float16"), ()),
    )
    return Search("latency", "accuracy", families, Models(Path("s.toml")), ())


def attempt(one: Proposal) -> Attempt:
    cost = float(one.values.get("energy", 1.2))
    ends = Estimate(cost, cost - 0.01, cost + 0.01), Estimate(-0.1, -0.2, 0.0)
    return Attempt(one.number, one.candidate, one.family, one.values, "accepted", "", *ends, "c", "r", 1.5)


def test_each_candidate_of_a_space_is_tried_once_and_then_there_are_no_more(tmp_path: Path) -> None:
    study = Study(tmp_path / "s.sqlite", "one", searched(), 0)
    tried = []
    while asked := study.propose(2):
        tried += [one.candidate for one in asked]
        for one in asked:
            study.tell(attempt(one))
    assert sorted(tried) == ["half", "low-0.5", "low-0.7", "low-0.9"]
    assert {"half"} <= set(tried[:2])  # one of each family comes first
    known = study.attempts()
    assert [one.candidate for one in known] == tried
    assert known[0] == attempt(Proposal(known[0].number, known[0].candidate, known[0].family, known[0].values))


def test_a_search_that_ended_goes_on_with_what_it_had_begun_and_proposes_what_it_would_have(tmp_path: Path) -> None:
    def sequence(file: Path, *, again: bool) -> list[str]:
        study, found = Study(file, "one", searched(fractions=True), 7), []
        for _ in range(2):
            for one in study.propose(2):
                found.append(one.candidate)
                study.begin(one)
                if again:  # as after a SIGKILL
                    study = Study(file, "one", searched(fractions=True), 7)
                    (left, *_) = study.left()
                    assert (left.candidate, left.values, left.begun) == (one.candidate, one.values, 1)
                study.tell(attempt(one))
        return found

    assert sequence(tmp_path / "a.sqlite", again=True) == sequence(tmp_path / "b.sqlite", again=False)


def test_a_failed_attempt_is_kept_and_not_tried_again(tmp_path: Path) -> None:
    study = Study(tmp_path / "s.sqlite", "one", searched(), 0)
    (first,) = study.propose(1)
    study.tell(Attempt(first.number, first.candidate, first.family, first.values, said="no memory"))
    assert study.left() == []
    assert [(one.status, one.said) for one in study.attempts()] == [("failed", "no memory")]
    assert first.candidate not in [one.candidate for one in study.propose(9)]
