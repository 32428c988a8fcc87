"""What one store holds is added to another one: a spool, or the store of another host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from harness.errors import StoreError
from harness.store.opening import first_line
from harness.store.results import Store
from harness.store.tables import AuditRow, Base, CampaignRow, ProgressRow, RunRow, StampRow

#: Of these, what the target has stays: who works on a campaign there knows it better.
_KEPT: Final = (StampRow.__tablename__, ProgressRow.__tablename__)
#: How many rows are written at once.
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What the target did not have before: how many campaigns and runs."""

    campaigns: int
    runs: int


def take_in(target: Store, source: Store) -> TakenIn:
    """Add everything that a store holds to another one, in one transaction; what both have is as the source has it.

    Args:
        target: is written.
        source: is read, row by row, as it is.

    Raises:
        StoreError: one of them cannot be read or written; then nothing was added.
    """
    new = {CampaignRow.__tablename__: 0, RunRow.__tablename__: 0}
    try:
        with target.engine.begin() as into, source.engine.connect() as of:
            there = set(sa.inspect(source.engine).get_table_names())
            for table in Base.metadata.sorted_tables:
                if table.name not in there or table.name == StampRow.__tablename__:
                    continue
                rows = of.execution_options(yield_per=_AT_ONCE).execute(sa.select(table)).mappings()
                for found in rows:
                    row = dict(found)
                    added = _note(into, row) if table.name == AuditRow.__tablename__ else _put(into, table, row)
                    if table.name in new:
                        new[table.name] += added
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(
            f"{source.url} cannot be added to {target.url}: {first_line(error)}",
            remedy="try again once both can be opened; nothing was added",
        ) from error
    return TakenIn(new[CampaignRow.__tablename__], new[RunRow.__tablename__])


def _put(into: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Write a row; return whether it was not there before."""
    here = sa.and_(*(column == row[column.name] for column in table.primary_key.columns))
    if into.execute(sa.select(sa.literal(1)).select_from(table).where(here)).first() is None:
        into.execute(sa.insert(table).values(**row))
        return True
    rest = {name: value for name, value in row.items() if name not in table.primary_key.columns}
    if rest and table.name not in _KEPT:
        into.execute(sa.update(table).where(here).values(**rest))
    return False


def _note(into: sa.Connection, row: Mapping[str, Any]) -> bool:
    """Add an entry of the audit record, which is only added to, unless it is there."""
    table = AuditRow.__table__
    said = {name: value for name, value in row.items() if name != "id"}
    same = sa.and_(*(table.c[name] == value for name, value in said.items()))
    if into.execute(sa.select(table.c.id).where(same)).first() is not None:
        return False
    into.execute(sa.insert(AuditRow).values(**said))
    return True
