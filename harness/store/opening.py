"""A store is opened: its URL, its version, and the tables that are missing in one of before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy import orm

from harness import redaction
from harness.errors import StoreError
from harness.store import audit, schema
from harness.store.tables import LATER, Base, RunRow

#: How long a writer waits for another one.
_WAIT_S = 30.0
_WRITES_ONE: Final = "check --store, or measure first: `pytest suites --device ID` writes one"


class Opened:
    """The tables behind one URL.

    Args:
        url: SQLAlchemy URL; the folder of a SQLite file is made if it is missing.
        existing: whether it must be there already: a command that only reads makes no file and no table, and finds
            nothing in a table that an older edgeward did not make.
        place: where it is written from, for the audit record.
        audited: whether what is written is noted in the audit record; a copy of what another store holds is not.

    Raises:
        StoreError: the URL is wrong, the store cannot be opened, was written by another version, or is not there.
    """

    def __init__(
        self, url: str, *, existing: bool = False, place: audit.Place = audit.NOWHERE, audited: bool = True
    ) -> None:
        self.url, self.place, self._audited = url, place, audited
        # Before anything can be said of it.
        redaction.learn([url])
        #: The file of SQLite, None in memory and on a server.
        self.file: Path | None = None
        #: What was done to an older store of which a person should know, "" for nothing.
        self.migrated = ""
        self._missing: frozenset[str] = frozenset()
        try:
            parsed = sa.make_url(url)
            redaction.register(parsed.password)
            redaction.learn(dict(parsed.query))
            self.file = file = _file(parsed)
            if existing and file is not None and not file.is_file():
                raise StoreError(f"there is no store {file}", remedy=_WRITES_ONE)
            if file is not None and not existing:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._engine = sa.create_engine(parsed, **_patient(parsed))
            self._check_version(existing=existing)
        except ImportError as error:
            server = url.startswith("postgresql")
            remedy = "pip install 'edgeward[postgres]', and begin the URL with postgresql+psycopg://"
            raise StoreError(
                f"cannot open the store {url}: {error}", remedy=remedy if server else "install it beside edgeward"
            ) from error
        except (sa.exc.SQLAlchemyError, ValueError, OSError) as error:
            raise StoreError(
                f"cannot open the store {url}: {first_line(error)}",
                remedy=_remedy(error, "check --store; a file is named by sqlite:///FILE"),
            ) from error

    @property
    def engine(self) -> sa.Engine:
        """What speaks to the database, for what copies whole tables."""
        return self._engine

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _session(self) -> orm.Session:
        """Return a session; a run that it reads has nothing of what is in tables that are not there."""
        session = orm.Session(self._engine)
        if self._absent_parts():
            sa.event.listen(session, "do_orm_execute", self._spare)
            sa.event.listen(session, "loaded_as_persistent", self._leave_out)
        return session

    def _spare(self, asked: orm.ORMExecuteState) -> None:
        if asked.is_select and sa.inspect(RunRow) in asked.all_mappers:
            asked.statement = asked.statement.options(*(orm.lazyload(getattr(RunRow, p)) for p in self._absent_parts()))

    def _leave_out(self, _: orm.Session, row: object) -> None:
        for name in self._absent_parts() if isinstance(row, RunRow) else ():
            several = sa.inspect(RunRow).relationships[name].uselist
            orm.attributes.set_committed_value(row, name, [] if several else None)

    def _absent_parts(self) -> list[str]:
        parts = sa.inspect(RunRow).relationships
        return [part.key for part in parts if part.mapper.class_.__tablename__ in self._missing]

    def _lacks(self, table: type[Base]) -> bool:
        """Return whether a store of before, which is only read, has no such table."""
        return table.__tablename__ in self._missing

    @contextmanager
    def _writing(self) -> Iterator[orm.Session]:
        try:
            with self._session() as session, session.begin():
                yield session
        except sa.exc.SQLAlchemyError as error:
            where = self.url
            raise StoreError(
                f"cannot write to {where}: {first_line(error)}",
                remedy=_remedy(error, "free some space or check --store"),
            ) from error

    def _all(self, query: Any) -> list[Any]:
        with self._reading() as session:
            return list(session.scalars(query))

    @contextmanager
    def _reading(self) -> Iterator[orm.Session]:
        try:
            with self._session() as session:
                yield session
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(
                f"cannot read {self.url}: {first_line(error)}", remedy=_remedy(error, "check --store")
            ) from error

    def _check_version(self, *, existing: bool) -> None:
        """Make or migrate the tables; a store that is only read stays as it is."""
        if not existing:
            self.migrated = schema.bring_up_to_date(self._engine, self.file)
            return
        with self._engine.connect() as connection:
            if not schema.revision(connection):
                raise StoreError(f"{self.url} holds no results of edgeward", remedy=_WRITES_ONE)
            self._missing = LATER - {*sa.inspect(connection).get_table_names()}


def _file(url: sa.URL) -> Path | None:
    """Return the file of a SQLite store that SQLite would make, None for one in memory, to be read or on a server."""
    database = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or ":memory:" in database or url.query.get("mode") in ("memory", "ro"):
        return None
    # With `uri=true` the name is percent-encoded: `file:night%20one.sqlite`.
    return Path(unquote(database.removeprefix("file:")) if database.startswith("file:") else database)


def _patient(url: sa.URL) -> dict[str, Any]:
    """Return the options with which SQLite waits for another writer, and a server that was started again is met."""
    return {"connect_args": {"timeout": _WAIT_S}} if url.get_backend_name() == "sqlite" else {"pool_pre_ping": True}


def _remedy(error: Exception, otherwise: str) -> str:
    """Return what helps with a store that is there; the words are SQLite's own (sqlite3ErrStr of its main.c)."""
    said = str(error)
    if "is locked" in said:
        return "another program holds it: wait until that has ended, or read a copy of the file"
    if "malformed" in said:
        return "the file is damaged or cut short: take a whole copy, or save what is left with `sqlite3 FILE .recover`"
    return otherwise


def first_line(error: Exception) -> str:
    """Return the line of a database's error that says what is wrong."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
