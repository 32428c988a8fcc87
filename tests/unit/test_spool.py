"""What the store does not take waits beside it: locked, full and taken away for real, and added again."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from harness.cli import cli
from harness.cli.settings import Settings
from harness.errors import StoreError
from harness.model import Campaign, Outcome, Run
from harness.store import Place, Spool, Store, opening, waiting
from harness.store import spool as spool_module
from tests.made_runs import BASELINE, SUITE

CAMPAIGN = Campaign("c1", BASELINE.started_at, "pytest suites", {"us": dict(SUITE)})
#: Beyond what a campaign makes of tables alone.
FEW_PAGES = 80


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a campaign under way, which waits a moment for others."""
    monkeypatch.setattr(opening, "_WAIT_S", 0.2)
    monkeypatch.setattr(spool_module, "_REST_S", 0.0)
    for folder in ("devices", "suites", "reports"):
        (tmp_path / folder).mkdir()
    made = Store(f"sqlite:///{tmp_path}/reports/results.sqlite", place=Place(str(tmp_path)))
    made.add_campaign(CAMPAIGN)
    return made


@pytest.fixture
def said() -> list[str]:
    """What a person reads."""
    return []


def case(number: int) -> tuple[Run, Outcome]:
    name = f"suites/us.toml::fp{number}@pi5"
    run = replace(BASELINE, id=f"run{number}", case=replace(BASELINE.case, id=name, variant=f"fp{number}"))
    return run, Outcome(name, "passed", run.id, (), (), run.case)


def keep(spool: Spool, number: int) -> None:
    run, outcome = case(number)
    spool.write(lambda to: to.add_case(CAMPAIGN.id, run, [], outcome))


def ids(store: Store) -> list[str]:
    return sorted(run.id for run in store.runs())


def lock(store: Store) -> sqlite3.Connection:
    """Hold a store as another program does that writes for long."""
    held = sqlite3.connect(str(store.file), isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    return held


def test_what_a_locked_store_does_not_take_waits_and_is_added_by_the_next_write(store: Store, said: list[str]) -> None:
    spool = Spool(store, CAMPAIGN.id, said.append)
    keep(spool, 1)
    held = lock(store)
    keep(spool, 2)
    keep(spool, 3)
    assert waiting(store) == [spool.file]
    assert len(said) == 1
    assert "database is locked" in said[0]
    held.execute("ROLLBACK")
    held.close()
    keep(spool, 4)
    assert ids(store) == ["run1", "run2", "run3", "run4"]
    assert waiting(store) == []
    run = store.run("run2")
    assert (run.outputs == BASELINE.outputs).all()  # type: ignore[union-attr]
    assert {one.run for one in store.outcomes(CAMPAIGN.id)} == {"run1", "run2", "run3", "run4"}
    assert [one.detail for one in store.audit(campaign=CAMPAIGN.id)].count("run run2") == 1


def test_a_store_that_failed_is_left_alone_for_a_while(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_REST_S", 3600.0)
    spool = Spool(store, CAMPAIGN.id, said.append)
    held = lock(store)
    keep(spool, 1)
    held.execute("ROLLBACK")
    held.close()
    keep(spool, 2)
    assert ids(store) == [], "it was not asked again"
    spool.settle()
    assert ids(store) == ["run1", "run2"]


def test_at_the_end_the_store_is_asked_again_and_what_it_does_not_take_is_named(store: Store, said: list[str]) -> None:
    spool = Spool(store, CAMPAIGN.id, said.append)
    held = lock(store)
    keep(spool, 1)
    spool.settle(within_s=0)
    assert "edgeward store import" in said[-1]
    held.execute("ROLLBACK")
    held.close()
    spool.settle(within_s=0)
    assert ids(store) == ["run1"]


def test_a_case_that_was_done_again_is_as_it_was_done_last(store: Store, said: list[str]) -> None:
    spool = Spool(store, CAMPAIGN.id, said.append)
    run, outcome = case(1)
    store.add_outcome(CAMPAIGN.id, replace(outcome, status="error", run=""))
    held = lock(store)
    keep(spool, 1)
    held.execute("ROLLBACK")
    held.close()
    spool.settle()
    assert [(one.status, one.run) for one in store.outcomes(CAMPAIGN.id)] == [("passed", run.id)]


def full(store: Store) -> None:
    """Let the database take no more pages, as a full disk does."""
    sa.event.listen(store.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {FEW_PAGES}"))
    store.engine.dispose()


def test_a_store_without_room_loses_nothing(store: Store, said: list[str]) -> None:
    full(store)
    spool = Spool(store, CAMPAIGN.id, said.append)
    for number in range(6):
        keep(spool, number)
    spool.settle(within_s=0)
    assert "full" in said[0]
    assert spool.broken is None
    (file,) = waiting(store)
    kept = Store(f"sqlite:///{file}", existing=True)
    assert sorted({*ids(store), *ids(kept)}) == [f"run{number}" for number in range(6)]


def test_where_neither_can_be_written_that_is_an_error_that_says_both(store: Store, said: list[str]) -> None:
    spool = Spool(store, CAMPAIGN.id, said.append)
    assert spool.file is not None
    spool.file.mkdir()
    held = lock(store)
    with pytest.raises(StoreError, match=r"locked.*, and nor can .*spool-c1\.sqlite"):
        keep(spool, 1)
    assert spool.broken is not None
    held.close()


def edgeward(lab: Path, *words: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["store", *map(str, words), "--lab", str(lab)], obj=Settings())
    return done.exit_code, done.output


def test_the_command_adds_what_waits_and_removes_the_file(store: Store, said: list[str], tmp_path: Path) -> None:
    spool = Spool(store, CAMPAIGN.id, said.append)
    held = lock(store)
    keep(spool, 1)
    held.close()
    code, text = edgeward(tmp_path, "check")
    assert code == 1
    assert f"results wait in {spool.file}" in text
    assert edgeward(tmp_path, "import", spool.file) == (
        0, f"1 run added, of 0 new campaigns; {spool.file} is removed\n"
    )  # fmt: skip
    assert edgeward(tmp_path, "check") == (0, "1 campaign, 0 faults\n")
    assert edgeward(tmp_path, "import", spool.file) == (
        2, f"edgeward: there is no file {spool.file}; correct its path\n"
    )  # fmt: skip


def test_the_store_of_another_host_is_added_once_and_stays(store: Store, tmp_path: Path) -> None:
    other = Store(f"sqlite:///{tmp_path}/other.sqlite")
    other.add_campaign(replace(CAMPAIGN, id="c2"))
    run, outcome = case(7)
    other.add_case("c2", replace(run, campaign="c2"), [], outcome)
    other.close()
    file = tmp_path / "other.sqlite"
    assert edgeward(tmp_path, "import", file) == (0, "1 run added, of 1 new campaign\n")
    assert edgeward(tmp_path, "import", file) == (0, "0 runs added, of 0 new campaigns\n")
    assert file.exists()
    assert ids(store) == ["run7"]


def test_a_damaged_row_and_one_without_its_run_are_faults(store: Store, said: list[str], tmp_path: Path) -> None:
    spool = Spool(store, CAMPAIGN.id, said.append)
    keep(spool, 1)
    keep(spool, 2)
    with sqlite3.connect(str(store.file)) as raw:
        raw.execute("UPDATE measurement SET \"values\" = x'00' WHERE run = 'run1' AND metric = 'latency_s'")
        raw.execute("DELETE FROM run WHERE id = 'run2'")
    code, text = edgeward(tmp_path, "check")
    assert code == 1
    assert "run of run1 us pi5 cannot be read from the store" in text
    assert "outcome of suites/us.toml::fp2@pi5 in campaign c1: its run run2 is not there" in text
