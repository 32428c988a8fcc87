"""Who measured what, where and when is recorded with what was measured, and nobody changes it afterwards."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from harness.cli import cli
from harness.cli.settings import Settings
from harness.compare import Results
from harness.errors import StoreError
from harness.evidence.record import written
from harness.model import Address, Campaign, Device, MeasuredCase, Outcome, Reason
from harness.store import Place, Store, audit
from harness.store.tables import AuditRow
from tests.made_runs import BASELINE

PLACE = Place.of(Path("/labs/north"), [Device("pi5", "sbc", Address("ssh", "board", "pi"))])
CAMPAIGN = Campaign("c1", datetime(2026, 11, 21, 20, tzinfo=UTC), "pytest suites", {"us": {"title": "Ultrasound"}})
FAILED = Outcome("us::int8", "error", reasons=(Reason("hot"),), about=MeasuredCase("us::int8", "us", "int8", "pi5"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "night.sqlite"


@pytest.fixture
def store(file: Path) -> Store:
    """Give a store with a case that was measured, one that was tried, and a campaign that was resumed."""
    opened = Store(f"sqlite:///{file}", place=PLACE)
    opened.add_campaign(CAMPAIGN)
    opened.add_case(CAMPAIGN.id, BASELINE, ())
    opened.add_outcome(CAMPAIGN.id, FAILED)
    opened.note("resumed", campaign=CAMPAIGN.id, detail="pytest suites --resume")
    return opened


def test_it_says_who_did_what_where_and_when(store: Store) -> None:
    before = datetime.now(UTC)
    measured, tried, resumed = store.audit()
    assert (measured.kind, measured.suite, measured.device, measured.address) == (
        "measured",
        "us",
        "pi5",
        "ssh://pi@board",
    )
    assert (measured.campaign, measured.lab, measured.detail) == ("c1", "/labs/north", f"run {BASELINE.id}")
    assert (tried.kind, tried.case, tried.address, tried.detail) == ("tried", "us::int8", "ssh://pi@board", "error")
    assert (resumed.kind, resumed.detail) == ("resumed", "pytest suites --resume")
    assert all(one.who and one.host and one.at <= before for one in (measured, tried, resumed))
    assert [one.kind for one in store.audit(suite="us")] == ["measured", "tried"]
    assert store.audit(campaign="another") == []


def test_a_run_that_is_not_kept_is_not_in_it(store: Store) -> None:
    with pytest.raises(StoreError):
        store.add_case(CAMPAIGN.id, BASELINE, ())
    assert [one.kind for one in store.audit()] == ["measured", "tried", "resumed"]


@pytest.mark.parametrize("statement", [
    "UPDATE audit SET who = 'nobody'",
    "DELETE FROM audit",
    "DELETE FROM audit WHERE id = 1",
    "REPLACE INTO audit SELECT * FROM audit",
    "INSERT INTO audit SELECT * FROM audit WHERE true ON CONFLICT (id) DO UPDATE SET who = 'nobody'",
])  # fmt: skip
def test_the_database_refuses_to_change_or_remove_any_of_it(store: Store, file: Path, statement: str) -> None:
    before = store.audit()
    with closing(sqlite3.connect(file)) as raw, pytest.raises(sqlite3.IntegrityError, match="only added to"):
        raw.execute(statement)
    assert store.audit() == before


def test_postgresql_is_given_triggers_for_every_way_to_change_it() -> None:
    said: list[str] = []
    engine: sa.engine.mock.MockConnection = sa.create_mock_engine(
        "postgresql://", lambda one, *_: said.append(str(one.compile(dialect=engine.dialect)))
    )
    AuditRow.__table__.create(engine)  # type: ignore[attr-defined]
    made = [one for one in said if "TRIGGER" in one]
    assert any("BEFORE UPDATE OR DELETE ON audit FOR EACH ROW" in one for one in made)
    assert any("BEFORE TRUNCATE ON audit FOR EACH STATEMENT" in one for one in made)


def test_an_older_store_gets_it_when_it_is_written_and_is_read_without(store: Store, file: Path) -> None:
    store.close()
    with closing(sqlite3.connect(file)) as raw:
        for kind, name in raw.execute("SELECT type, name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP {kind} {name}")
        raw.execute("DROP TABLE audit")
        raw.execute("DROP TABLE alembic_version")
    read = Store(f"sqlite:///file:{file}?mode=ro&uri=true", existing=True)
    assert read.audit() == []
    assert [one.id for one in read.runs()] == [BASELINE.id]
    read.close()
    again = Store(f"sqlite:///{file}")
    again.note("exported", detail="csv")
    assert [one.kind for one in again.audit()] == ["exported"]
    with closing(sqlite3.connect(file)) as raw, pytest.raises(sqlite3.IntegrityError, match="only added to"):
        raw.execute("DELETE FROM audit")


def test_an_export_has_it_and_is_in_it(store: Store, file: Path) -> None:
    store.close()
    for kind in ("json", "csv"):
        done = edgeward("export", "--format", kind, "--store", f"sqlite:///{file}")
    done = edgeward("export", "--format", "json", "--store", f"sqlite:///{file}", "--campaign", "c1")
    assert [one["kind"] for one in json.loads(done)["audit"]] == ["measured", "tried", "resumed"]
    done = edgeward("export", "--format", "json", "--store", f"sqlite:///{file}")
    kinds = [(one["kind"], one["campaign"], one["detail"]) for one in json.loads(done)["audit"]]
    assert kinds[3:] == [
        ("exported", "", "json, all campaigns"),
        ("exported", "", "csv, all campaigns"),
        ("exported", "c1", "json"),
    ]


def test_history_shows_it_of_a_suite(store: Store, file: Path) -> None:
    store.close()
    lines = edgeward("history", "us", "--audit", "--store", f"sqlite:///{file}").splitlines()
    assert len(lines) == 2
    assert f"measured us at ssh://pi@board (run {BASELINE.id}, lab /labs/north)" in lines[0]
    assert "tried us::int8 at ssh://pi@board (error, lab /labs/north)" in lines[1]
    found = json.loads(edgeward("history", "us", "--audit", "--json", "--store", f"sqlite:///{file}"))
    assert [one["device"] for one in found] == ["pi5", "pi5"]


def test_an_unknown_kind_is_a_defect_and_no_entry() -> None:
    with pytest.raises(ValueError, match="'looked' is none of measured"):
        audit.entry("looked", Place())


def test_the_store_of_a_bundle_names_nobody(tmp_path: Path) -> None:
    written(Results(CAMPAIGN, (BASELINE,), (), ()), tmp_path / "bundle.sqlite")
    assert Store(f"sqlite:///{tmp_path}/bundle.sqlite", existing=True).audit() == []


def edgeward(*words: str) -> str:
    done = CliRunner().invoke(cli, words, obj=Settings(), prog_name="edgeward")
    assert done.exit_code == 0, done.output
    return done.stdout
