"""Every older store opens with all it holds, a newer one is refused, and nothing is left by halves."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from harness.errors import StoreError
from harness.store import Store, schema
from harness.store.tables import LATER, Base
from tests import postgresql
from tests.pages import stored_runs
from tests.unit.test_store import OPENER

#: How many campaigns may begin at the same moment.
AT_ONCE = 15


def filled(url: str) -> None:
    """Make a store with a campaign and its runs."""
    report, store = stored_runs.report(), Store(url)
    store.add_campaign(report.campaign)
    for run in report.runs:
        store.add_case(report.campaign.id, run, ())
    store.close()


def made_older(url: str, *missing: str) -> None:
    """Take from a store what an edgeward of before did not make."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for name in (*missing, "alembic_version"):
            connection.exec_driver_sql(f"DROP TABLE {name}")
    engine.dispose()


def held(url: str) -> list[str]:
    store = Store(url, existing=True)
    try:
        return sorted(run.id for run in store.runs())
    finally:
        store.close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of an empty database, of a file and of a server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/night.sqlite"
        return
    server: str = request.getfixturevalue("server")
    yield server
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


def test_the_revisions_are_those_in_the_folder() -> None:
    folder = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert tuple(one.revision for one in reversed(list(folder.walk_revisions()))) == schema.REVISIONS


@pytest.mark.parametrize("missing", [(), ("job",), tuple(sorted(LATER))], ids=["none", "one", "all later ones"])
def test_an_older_store_opens_with_all_it_holds_and_has_todays_tables(url: str, missing: tuple[str, ...]) -> None:
    filled(url)
    before = held(url)
    made_older(url, *missing)
    assert held(url) == before, "it can be read as it is"
    store = Store(url)
    assert sorted(run.id for run in store.runs()) == before
    assert "were brought up to date" in store.migrated
    with store.engine.connect() as connection:
        assert schema.revision(connection) == schema.HEAD
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    store.note("exported", detail="something")
    with store.engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="only added to"):
        connection.exec_driver_sql("DELETE FROM audit")
    store.close()
    again = Store(url)
    assert again.migrated == ""
    again.close()


def test_a_copy_of_an_older_file_is_kept_as_it_was(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/night.sqlite"
    filled(url)
    made_older(url, *LATER)
    store = Store(url)
    copy = tmp_path / f"night.sqlite.before-{schema.HEAD}"
    assert store.migrated.endswith(f"a copy of it as it was is {copy}")
    store.close()
    with closing(sqlite3.connect(copy)) as raw:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not names & {*LATER, "alembic_version"}
    assert held(f"sqlite:///{copy}") == held(url)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["night.sqlite", copy.name]


def test_a_newer_store_is_refused_in_one_line_and_left_as_it_was(url: str) -> None:
    filled(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'tomorrow'")
    engine.dispose()
    for existing in (True, False):
        with pytest.raises(StoreError, match=r"written by a newer edgeward .*'tomorrow'.*; update edgeward") as refused:
            Store(url, existing=existing)
        assert "\n" not in str(refused.value)


def test_what_ends_in_the_middle_leaves_the_store_as_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.operations import Operations

    filled(url)
    before = held(url)
    made_older(url, *LATER)
    made: list[str] = []
    create = Operations.create_table

    def until_the_third(self: Operations, name: str, *columns: Any, **more: Any) -> Any:
        if len(made) == 2:
            raise OSError("the power went")
        made.append(name)
        return create(self, name, *columns, **more)

    monkeypatch.setattr(Operations, "create_table", until_the_third)
    with pytest.raises(StoreError, match="the power went"):
        Store(url)
    assert len(made) == 2
    monkeypatch.undo()
    assert held(url) == before
    engine = sa.create_engine(url)
    assert not {*sa.inspect(engine).get_table_names()} & LATER, "all or nothing"
    engine.dispose()
    Store(url).close()
    assert held(url) == before


@pytest.mark.parametrize("older", [False, True], ids=["a new store", "an older one"])
def test_fifteen_processes_that_begin_together_all_open_it(url: str, older: bool) -> None:
    if older:
        filled(url)
        made_older(url, *LATER)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", OPENER]
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(AT_ONCE)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{url}\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in said] == ["open\n"] * AT_ONCE, [err[-300:] for _, err in said if err]
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert schema.revision(connection) == schema.HEAD
        assert connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM stamp").scalar() == 1
    engine.dispose()
