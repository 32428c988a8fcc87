"""The version of a store's tables, and how an older store gets today's: a revision of Alembic each, in `migrations`.

New stores are made with today's tables at once. An older one is migrated when it is first written, in one transaction:
a process that is killed meanwhile leaves it as it was. Before that a copy is kept, beside a file of SQLite; copies of a
server's store are made by who keeps the server. Several processes that begin together wait for one another.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from harness.errors import StoreError
from harness.store.tables import VERSION, Base, CampaignRow, StampRow

#: The revisions, oldest first; the last one is today's.
REVISIONS: Final = ("first", "later")
HEAD: Final = REVISIONS[-1]
#: Alembic's own table.
_TABLE: Final = "alembic_version"
#: The number by which processes wait for one another on PostgreSQL: "edgeward" as letters' places, any would do.
_LOCK: Final = 0x65646765
_FOLDER: Final = Path(__file__).parent / "migrations"


def revision(connection: sa.Connection) -> str:
    """Return which revision a store has: "" for an empty database, "first" for any that is older than revisions.

    Raises:
        StoreError: it was written by an edgeward that this one is too old for, or by one of other tables.
    """
    there = sa.inspect(connection).has_table
    shown = connection.engine.url.render_as_string(hide_password=True)
    if there(_TABLE):
        found = str(connection.exec_driver_sql(f"SELECT version_num FROM {_TABLE}").scalar_one())
        if found not in REVISIONS:
            raise StoreError(
                f"{shown} was written by a newer edgeward (its tables are of revision {found!r})",
                remedy="update edgeward, or choose another file with --store",
            )
        return found
    if not there(StampRow.__tablename__):
        return ""
    version = connection.execute(sa.select(StampRow.version)).scalar()
    if version not in (None, VERSION):
        raise StoreError(
            f"{shown} was written with tables of version {version}, this edgeward has version {VERSION}",
            remedy="choose another file with --store",
        )
    return "" if version is None else REVISIONS[0]


def bring_up_to_date(engine: sa.Engine, file: Path | None) -> str:
    """Make a new store's tables, or migrate an older one's; return what was done of which a person should know.

    Args:
        engine: of the database.
        file: of SQLite, beside which a copy is kept; None where the database is in memory or on a server.

    Raises:
        StoreError: as `revision`, or no copy could be kept.
    """
    with engine.connect() as connection:
        if revision(connection) == HEAD:
            return ""
    with _alone(engine) as connection:
        found = revision(connection)  # another process may have been faster
        if found == HEAD:
            return ""
        if not found:
            Base.metadata.create_all(connection)
            connection.execute(sa.insert(StampRow).values(version=VERSION))
            connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {_TABLE} (version_num VARCHAR(32) PRIMARY KEY)")
            connection.exec_driver_sql(f"INSERT INTO {_TABLE} (version_num) VALUES ('{HEAD}')")
            return ""
        used = connection.execute(sa.select(sa.literal(1)).select_from(CampaignRow).limit(1)).first() is not None
        copy = _copied(file) if used and file is not None else None
        _migrate(connection, found)
    kept = f"a copy of it as it was is {copy}" if copy else "back up a server's store before an update"
    return f"the tables of {engine.url.render_as_string(hide_password=True)} were brought up to date; {kept}"


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection in a transaction in which no other process changes the tables."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        yield connection
        connection.commit()


def _migrate(connection: sa.Connection, found: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if not sa.inspect(connection).has_table(_TABLE):
        command.stamp(config, found)
    command.upgrade(config, HEAD)


def _copied(file: Path) -> Path:
    """Keep a copy of a file of SQLite beside it; one that is there from before is the older one, and stays."""
    copy = file.with_name(f"{file.name}.before-{HEAD}")
    if copy.exists():
        return copy
    part = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(copy)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"no copy of {file} can be kept before its tables are brought up to date: {error}",
            remedy="free some space; nothing was changed",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return copy
