"""Whether a store is whole: what the database says of itself, and what each row says of the others."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from harness.errors import StoreError
from harness.store.opening import first_line
from harness.store.results import Store
from harness.store.tables import ComparisonRow, OutcomeRow, RunRow


def faults(store: Store) -> Iterator[str]:
    """Yield what is wrong with a store, each in one line; nothing where it is whole.

    Every run is read with its arrays, as a report does.

    Raises:
        StoreError: it cannot be read at all.
    """
    yield from _of_sqlite(store)
    for campaign in store.campaigns():
        *_, lost = store.readable(campaign.id)
        yield from lost
    yield from _dangling(store)


def _of_sqlite(store: Store) -> Iterator[str]:
    if store.engine.dialect.name != "sqlite":
        return
    try:
        with store.engine.connect() as connection:
            said = [str(row[0]) for row in connection.execute(sa.text("PRAGMA integrity_check"))]
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(
            f"{store.url} cannot be checked: {first_line(error)}",
            remedy="save what is left with `sqlite3 FILE .recover`",
        ) from error
    if said != ["ok"]:
        yield from (f"SQLite: {line}" for line in said)


def _dangling(store: Store) -> Iterator[str]:
    """Yield rows that speak of a run that is not there."""
    with store.engine.connect() as connection:
        runs = set(connection.execute(sa.select(RunRow.id)).scalars())
        for campaign, case, run in connection.execute(
            sa.select(OutcomeRow.campaign, OutcomeRow.case, OutcomeRow.run).where(OutcomeRow.run != "")
        ):
            if run not in runs:
                yield f"outcome of {case} in campaign {campaign[:8]}: its run {run[:8]} is not there"
        for run, metric in connection.execute(sa.select(ComparisonRow.run, ComparisonRow.metric)):
            if run not in runs:
                yield f"comparison {metric} of run {run[:8]}: the run is not there"
