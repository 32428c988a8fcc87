"""`edgeward compare`: why, then by how much; and ids that mean nothing, too much or the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.cli.settings import Settings
from harness.model import Campaign, Run
from harness.store import Store
from tests.made_runs import BASELINE, NOISE, SUITE, a_run, latency, measured

Command = Callable[..., tuple[int, str]]
BASE_CASE = replace(BASELINE.case, id="suites/us.toml::fp32@pi5")
INT8_CASE = replace(BASE_CASE, variant="int8", id="suites/us.toml::int8@pi5")


def runs_of(campaign: str, rows: slice, **facts: str) -> list[Run]:
    """Return the baseline and a variant of one campaign; ids begin with the campaign's first letters."""
    fingerprint = {**BASELINE.fingerprint, **facts}
    base = replace(measured(BASELINE, latency(NOISE[rows, 2])), case=BASE_CASE)
    int8 = replace(a_run("int8", NOISE[rows, 3] / 2), case=INT8_CASE)
    later = timedelta(days=campaign != "aa11")
    return [
        replace(
            run, id=f"{start}{campaign}", campaign=campaign, fingerprint=fingerprint, started_at=run.started_at + later
        )
        for start, run in (("b", base), ("c", int8))
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two campaigns of one suite, the second under another kernel, and a campaign of another suite."""
    made = Store(f"sqlite:///{tmp_path}/results.sqlite")
    campaigns = {"aa11": runs_of("aa11", slice(0, 72)), "aa22": runs_of("aa22", slice(72, 144), kernel="6.1.0-18")}
    for name, runs in campaigns.items():
        made.add_campaign(Campaign(name, runs[0].started_at, "pytest suites --device pi5", {"us": dict(SUITE)}))
        for run in runs:
            made.add_case(name, run, ())
    other = replace(BASELINE, id="d1", campaign="ee33", case=replace(BASE_CASE, suite="ct", id="suites/ct.toml::a@pi5"))
    made.add_campaign(Campaign("ee33", other.started_at, "pytest suites --device pi5", {"ct": dict(SUITE)}))
    made.add_case("ee33", other, ())
    yield made
    made.close()


@pytest.fixture
def compare(store: Store) -> Command:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["compare", "--store", store.url, *words], obj=Settings())
        return done.exit_code, done.output

    return run


def test_two_campaigns_are_compared_case_by_case_why_before_by_how_much(compare: Command) -> None:
    code, shown = compare("aa11", "aa2")
    assert code == 0, shown
    lines = shown.splitlines()
    why, base, int8 = (
        shown.index(text) for text in ("  - Kernel changed: 6.6 -> 6.1.0-18.", "fp32 on pi5", "int8 on pi5")
    )
    assert why < base < int8
    assert shown.count("Kernel changed") == 1, "what changed for all cases is said once"
    relative = [line for line in lines if line.startswith("Latency, median, against each campaign's own baseline")]
    assert len(relative) == 1, "the baseline has none to be held against"
    assert "0.5" in relative[0]
    assert lines[-1].startswith("Where both campaigns measured the same baseline")


def test_without_ids_the_last_two_campaigns_alike_are_compared_and_what_is_the_same_is_left_out(
    compare: Command,
) -> None:
    _, whole = compare("aa11", "aa22")
    code, shown = compare()
    assert code == 0, shown
    assert shown.splitlines()[0] == whole.splitlines()[0], "the campaign of another suite is passed over"
    assert "Kernel changed" in shown
    before, after = ([" ".join(line.split()) for line in text.splitlines()] for text in (whole, shown))
    same = [line for line in before if " equivalent " in line or line.startswith("Energy per inference")]
    assert {line.split()[0] for line in same} >= {"Model", "Sensitivity", "Specificity", "Energy"}
    assert [line for line in before if line not in same and line] == [
        line for line in after if not line.startswith("Left out: ") and line
    ]
    assert f"Left out: {len(same)} numbers found equivalent, or absent in both campaigns." in after


def test_without_ids_a_store_without_two_campaigns_alike_says_what_to_do(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/one.sqlite")
    store.add_campaign(Campaign("aa11", BASELINE.started_at, "pytest suites --device pi5", {"us": dict(SUITE)}))
    store.add_case("aa11", runs_of("aa11", slice(0, 72))[0], ())
    store.close()
    done = CliRunner().invoke(cli, ["compare", "--store", store.url], obj=Settings())
    assert done.exit_code == 2
    assert "no two campaigns measured the same suites on the same devices; measure once more" in done.output


def test_two_runs_of_two_nights_find_their_baselines(compare: Command) -> None:
    code, shown = compare("caa11", "caa22")
    assert code == 0, shown
    assert "against each campaign's own baseline" in shown
    assert "Kernel changed" in shown


def test_two_runs_of_one_campaign_took_turns_and_are_compared_as_in_the_report(compare: Command) -> None:
    code, shown = compare("baa11", "caa11")
    assert code == 0, shown
    assert "What changed in between" not in shown
    assert "improved" in next(line for line in shown.splitlines() if line.startswith("Latency"))


def test_programs_read_the_same_as_json(compare: Command) -> None:
    code, shown = compare("aa11", "aa22", "--format", "json")
    assert code == 0, shown
    cases = json.loads(shown)["cases"]
    assert [case["after"]["case"] for case in cases] == ["suites/us.toml::fp32@pi5", "suites/us.toml::int8@pi5"]
    assert cases[1]["causes"][0] == {"topic": "kernel", "sentence": "Kernel changed: 6.6 -> 6.1.0-18."}
    changes = {change["title"]: change for change in cases[1]["changes"]}
    change = changes["Latency, median, against each campaign's own baseline"]
    assert change["metric"] == "latency_p50_s"
    assert change["change"]["low"] < 1 < change["change"]["high"]
    assert changes["Energy per inference"]["change"] is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("caa12", "caa22", "no run has an id that begins with 'caa12', nor a campaign; nearest: caa11"),
        ("a", "aa22", "0 runs and 2 campaigns have an id that begins with 'a'; give more of it"),
        ("caa11", "caa11", "both ids are run caa11; `edgeward history us` lists others"),
        ("aa11", "aa11", "both ids are campaign aa11"),
        ("aa11", "caa22", "one id is a run's and the other a campaign's; give two runs or two campaigns"),
        ("d1", "caa22", "the runs are of different suites, ct and us; give two runs of one suite"),
        ("aa11", "", "'aa11' is one id; give two, or none for the last two campaigns alike"),
        ("ee33", "aa22", "the two campaigns share no case: the first has suites/ct.toml::a@pi5, the second suites/us"),
    ],
)
def test_ids_that_cannot_be_compared_are_met_with_what_to_do(
    compare: Command, before: str, after: str, said: str
) -> None:
    code, shown = compare(before, after)
    assert code == 2
    assert shown.startswith(f"edgeward: {said}")
    assert len(shown.splitlines()) <= 2
