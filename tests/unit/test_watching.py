"""`edgeward watch`: levels that changed, what settles a suspicion, and how often chance would wake somebody."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.cli.settings import Settings
from harness.compare import Finding, Results, histories, watch
from harness.measure.described import commit_of
from harness.model import FloatArray, Verdict
from harness.stats import shifts
from harness.store import Store
from tests.made_runs import SUITE
from tests.unit.test_history import around, night

#: What a quiet device's nights differ by, as standard deviation of the logarithm.
SCATTER = 0.008


def series(*levels: tuple[float, int], seed: int = 3) -> FloatArray:
    """Return ratios that scatter around levels, each for so many nights."""
    steps = np.concatenate([np.full(count, math.log(level)) for level, count in levels])
    values: FloatArray = np.exp(steps + np.random.default_rng(seed).normal(0, SCATTER, len(steps)))
    return values


def nights(ratios: Iterable[float], **changes: Any) -> list[Results]:
    return [night(number, around(float(one)), **changes) for number, one in enumerate(ratios)]


def seen(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(one.standing, str(one.verdict)) for one in found]


def watched(ratios: Iterable[float]) -> list[Finding]:
    return watch(histories(nights(ratios), lambda _: None))


def test_a_level_is_found_where_it_changed_with_its_interval() -> None:
    values = np.log(series((0.5, 20), (0.55, 10)))
    (found,) = shifts(values, np.full(30, SCATTER))
    assert found.at == 20
    assert found.low < math.log(1.1) < found.high
    assert found.p < 1e-6


def test_several_levels_are_found_and_a_series_without_one_has_none() -> None:
    values = np.log(series((0.5, 20), (0.6, 15), (0.5, 20)))
    assert [one.at for one in shifts(values, np.zeros(55))] == [20, 35]
    assert shifts(np.log(series((0.5, 60))), np.zeros(60)) == []
    assert shifts(np.zeros(30), np.zeros(30)) == []
    assert shifts(np.zeros(3), np.zeros(3)) == []


def test_a_value_that_is_less_certain_than_usual_counts_for_less() -> None:
    values = np.log(series((0.5, 20), (0.55, 1)))
    errors = np.full(21, SCATTER)
    assert [one.at for one in shifts(values, errors)] == [20]
    errors[-1] = 10 * SCATTER
    assert shifts(values, errors) == []


def test_a_small_change_and_one_below_the_margin_are_none() -> None:
    values = np.log(series((0.5, 30), (0.515, 30)))
    assert len(shifts(values, np.zeros(60))) == 1
    assert shifts(values, np.zeros(60), least=math.log(1.05)) == []


def test_one_night_is_a_suspicion_the_next_makes_it_real_and_it_is_said_once() -> None:
    quiet = series((0.5, 20))
    assert watched(quiet) == []
    first = watched([*quiet, 0.56])
    assert seen(first) == [("unknown", "regressed")]
    assert not first[0].alarm
    (second,) = watched([*quiet, 0.56, 0.56])
    assert (second.standing, second.verdict, second.alarm) == ("real", Verdict.REGRESSED, True)
    assert second.change.low < 1.12 < second.change.high
    assert (second.old.id, second.new.id) == ("n19", "n20")
    assert watched([*quiet, 0.56, 0.56, 0.56]) == [], "said before"


def test_an_accident_of_one_night_is_noise_and_wakes_nobody() -> None:
    quiet = series((0.5, 20))
    found = watched([*quiet, 0.75, 0.5])
    assert seen(found) == [("noise", "regressed")]
    assert not found[0].alarm
    assert watched([*quiet, 0.75, 0.5, 0.5]) == []


def test_an_improvement_is_said_and_is_no_alarm() -> None:
    found = watched([*series((0.5, 20)), 0.45, 0.45])
    assert seen(found) == [("real", "improved")]
    assert not found[0].alarm


def test_a_creeping_loss_that_no_night_shows_is_found_once_there_are_enough_nights() -> None:
    values = series((0.5, 25), (0.515, 15), seed=8)
    said = [one.standing for stop in range(26, 41) for one in watched(values[:stop])]
    assert said.count("real") == 1


def test_what_was_set_up_otherwise_stands_with_the_change() -> None:
    quiet = nights(series((0.5, 20)))
    late = [night(number, around(0.56), kernel="6.8") for number in (20, 21)]
    (found,) = watch(histories([*quiet, *late], lambda _: None))
    assert [cause.topic for cause in found.causes] == ["kernel"]


def test_another_baseline_begins_a_new_history() -> None:
    from tests.unit.test_history import BASE

    other = replace(BASE, variant=replace(BASE.variant, sha256="another"))
    late = [night(number, around(0.9), base=other) for number in range(20, 23)]
    assert watch(histories([*nights(series((0.5, 20))), *late], lambda _: None)) == []


def on_device(results: Results, device: str) -> Results:
    """Return what a campaign gave as if another device had given it."""
    runs = tuple(
        replace(
            run, id=f"{run.id}{device}", case=replace(run.case, device=device, id=run.case.id.replace("pi5", device))
        )
        for run in results.runs
    )
    names = {run.id: f"{run.id}{device}" for run in results.runs}
    comparisons = tuple(replace(one, run=names[one.run], baseline=names[one.baseline]) for one in results.comparisons)
    return Results(results.campaign, runs, comparisons, ())


def test_what_is_too_small_on_each_device_is_seen_on_all_of_them_together() -> None:
    count = 12
    own = [series((0.5, 20), (0.511, 3), seed=40 + number) for number in range(count)]
    whole = []
    for number in range(23):
        parts = [on_device(night(number, around(float(own[d][number]))), f"pi{d}") for d in range(count)]
        runs = tuple(run for part in parts for run in part.runs)
        comparisons = tuple(one for part in parts for one in part.comparisons)
        whole.append(Results(parts[0].campaign, runs, comparisons, ()))
    said = [one for stop in range(21, 24) for one in watch(histories(whole[:stop], lambda _: None)) if one.alarm]
    (fleet,) = [one for one in said if len(one.cases) > 1]
    assert len(fleet.cases) == count
    assert "12 devices together" in fleet.name
    assert len(said) - 1 < count / 2, "most devices do not show it alone"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A lab whose store holds a level that changed two campaigns ago."""
    for folder in ("devices", "suites", "reports"):
        (tmp_path / folder).mkdir()
    fill(tmp_path, nights([*series((0.5, 20)), 0.56, 0.56]))
    return tmp_path


def fill(lab: Path, results: Sequence[Results]) -> None:
    store = Store(f"sqlite:///{lab / 'reports' / 'results.sqlite'}")
    for one in results:
        store.add_campaign(one.campaign)
        for run, outcome in zip(one.runs, one.outcomes, strict=True):
            store.add_case(one.campaign.id, run, [c for c in one.comparisons if c.run == run.id], outcome)
    store.close()


def edgeward(lab: Path, *options: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["watch", *map(str, options), "--lab", str(lab)], obj=Settings())
    return done.exit_code, done.output


def test_the_command_ends_with_1_for_a_real_loss_and_writes_it_for_people_and_for_a_webhook(lab: Path) -> None:
    code, said = edgeward(lab, "--markdown", lab / "watch.md", "--json", lab / "watch.json")
    assert code == 1
    assert said.startswith("! real: Latency regressed: int8 on pi5 with onnxruntime 1.31.1: 1.1")
    assert "Nothing that is recorded was set up otherwise." in said
    assert said.endswith("1 change, of which 1 for the worse and real.\n")
    document: Mapping[str, Any] = json.loads((lab / "watch.json").read_text())
    assert (document["alarms"], len(document["findings"])) == (1, 1)
    assert document["text"].startswith("1 change")
    assert document["findings"][0]["new"]["campaign"] == "n20"
    assert "| real |" in (lab / "watch.md").read_text()


def test_the_command_ends_with_0_where_nothing_is_new_and_refuses_an_unknown_suite(lab: Path) -> None:
    fill(lab, [night(22, around(0.56))])
    assert edgeward(lab) == (0, "Nothing that the newest campaigns show is new.\n")
    code, said = edgeward(lab, "su")
    assert code == 2
    assert "us" in said


def test_the_commits_of_the_lab_between_two_levels_are_named(lab: Path) -> None:
    store = Store(f"sqlite:///{lab / 'reports' / 'results.sqlite'}")
    for campaign in store.campaigns():
        commit = "b" * 12 if campaign.id in ("n20", "n21") else "a" * 12
        store.add_campaign(replace(campaign, environment={**campaign.environment, "lab_commit": commit}))
    store.close()
    assert f"Commits of the lab: {'a' * 12}..{'b' * 12}" in edgeward(lab)[1]


def test_the_suite_of_these_tests_has_the_margin_that_they_count_with() -> None:
    assert SUITE["load"] == {"margin": 0.02}


def test_the_commit_of_a_lab_is_known_also_where_something_is_not_committed(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "", "no repository"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "suite.toml").write_text("one")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = commit_of(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", commit)
    (tmp_path / "suite.toml").write_text("two")
    assert commit_of(tmp_path) == f"{commit}-dirty"
