"""A campaign as its bundle keeps it: all that was stored, without an image."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from harness.compare import Results
from harness.errors import StoreError
from harness.evidence.recomputing import without_images
from harness.model import Campaign
from harness.store import Store


def record_of(store: Store, campaign: Campaign) -> Results:
    """Return a campaign's record.

    Raises:
        StoreError: a row of it cannot be read, or nothing was measured.
    """
    runs, comparisons, outcomes, lost = store.readable(campaign.id)
    if lost:
        raise StoreError(lost[0], remedy="take a copy of the store from before, or measure the campaign again")
    if not runs:
        raise StoreError(
            f"campaign {campaign.id[:8]} measured nothing", remedy="`edgeward report` says what went wrong"
        )
    # What was measured again proves nothing any more, unless something that counts was compared with it.
    gone = store.superseded(campaign.id)
    comparisons = [one for one in comparisons if one.run not in gone]
    heads = {one.baseline for one in comparisons}
    kept = [run for run in runs if run.id not in gone or run.id in heads]
    return Results(campaign, tuple(map(without_images, kept)), tuple(comparisons), tuple(outcomes))


def written(record: Results, file: Path) -> None:
    """Write a record as a store of its own: the same record gives the same bytes with the same SQLite."""
    own = {run.id: [one for one in record.comparisons if one.run == run.id] for run in record.runs}
    ended = {one.run: one for one in record.outcomes if one.run in own}
    raw = file.with_name(f"{file.name}.raw")
    with closing(Store(f"sqlite:///{raw}", audited=False)) as store:
        store.add_campaign(record.campaign)
        for run in record.runs:
            store.add_case(record.campaign.id, run, own[run.id], ended.get(run.id))
        for one in record.outcomes:
            if one.run not in own:
                store.add_outcome(record.campaign.id, one)
    _ordered(raw, file)
    raw.unlink()


def _ordered(raw: Path, file: Path) -> None:
    """Copy a store with its tables, indexes and rows by name: SQLAlchemy makes indexes in another order every time."""
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        copy.execute("ATTACH ? AS raw", (str(raw),))
        copy.execute("BEGIN")
        made = copy.execute(
            "SELECT type, name, sql FROM raw.sqlite_master WHERE type IN ('table', 'index') AND sql NOT NULL "
            "ORDER BY type DESC, name"
        )
        for kind, name, sql in made.fetchall():
            copy.execute(sql)
            if kind == "table":
                columns = copy.execute(f'PRAGMA raw.table_info("{name}")').fetchall()
                keys = ", ".join(f'"{column[1]}"' for column in columns if column[5])
                copy.execute(f'INSERT INTO main."{name}" SELECT * FROM raw."{name}" ORDER BY {keys}')
        copy.execute("COMMIT")


@contextmanager
def store_of(file: Path) -> Iterator[Store]:
    """Give the store that a bundle holds."""
    with closing(Store(f"sqlite:///{file}", existing=True)) as store:
        yield store
