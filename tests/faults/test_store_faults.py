"""The store is locked while a campaign measures: nothing is measured twice and nothing is lost."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from harness import lab
from harness.measure.campaign import CampaignRunner, Settings
from harness.model import Case
from harness.store import Place, Store, opening, spool, waiting
from tests.labs import make, variant


def cases_of(folder: Path) -> list[Case]:
    return lab.cases(lab.read_suite(folder / "suites" / "small.toml"), lab.select(folder, ["here"]))


def test_a_store_that_is_locked_from_the_first_result_on_has_all_of_them_once_it_is_free(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path, more=variant("int8"), workdir=device_workdir)
    monkeypatch.setattr(opening, "_WAIT_S", 0.5)
    monkeypatch.setattr(spool, "_SETTLE_S", 0.0)
    file, said = folder / "results.sqlite", list[str]()
    open_store = partial(Store, f"sqlite:///{file}", place=Place(str(folder)))
    holder = sqlite3.connect(str(file), isolation_level=None, check_same_thread=False)
    held: list[str] = []

    def hear(_: str, text: str) -> None:
        if "launch" in text and not held:
            held.append(text)
            holder.execute("BEGIN EXCLUSIVE")

    store, cases = open_store(), cases_of(folder)
    settings = Settings(command="pytest suites", quick=True, say=hear, note=said.append)
    runner = CampaignRunner(cases, store, settings)
    results = runner.results(cases)
    assert held, "no launch was heard of"
    assert [result.outcome.status for result in results] == ["passed", "passed"]
    assert len(waiting(store)) == 1
    assert "results are kept in" in said[0]
    assert "--resume or `edgeward store import" in said[-1]
    holder.execute("ROLLBACK")
    assert store.runs() == []

    runner.stop()
    assert waiting(store) == []
    assert sorted(run.id for run in store.runs()) == sorted(result.run.id for result in results if result.run)
    assert [one.status for one in store.outcomes(runner.campaign.id)] == ["passed", "passed"]
    store.close()
    holder.close()
