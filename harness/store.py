"""The only reader and writer of results: SQLAlchemy, SQLite by default, PostgreSQL or any other by URL.

Every run is committed the moment it exists, so that an interrupted night keeps what it measured. Raw samples and
outputs are kept as .npy bytes, what is looked up stands in columns, the rest in JSON.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm

from harness.errors import StoreError
from harness.model import (
    Campaign,
    Comparison,
    Conditions,
    Criterion,
    Estimate,
    Judgement,
    Measurement,
    Outcome,
    Run,
    Validity,
    Verdict,
)

#: Raised with every change of the tables; a store of another version is refused, never guessed at.
VERSION = 1


class Base(orm.DeclarativeBase):
    """The tables."""

    type_annotation_map = {dict[str, Any]: sa.JSON, list[Any]: sa.JSON, bytes: sa.LargeBinary}  # noqa: RUF012


class StampRow(Base):
    """Which version of the tables this is."""

    __tablename__ = "stamp"
    version: orm.Mapped[int] = orm.mapped_column(primary_key=True)


class CampaignRow(Base):
    """One start of the harness."""

    __tablename__ = "campaign"
    id: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    started_at: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True), index=True)
    quick: orm.Mapped[bool]
    document: orm.Mapped[dict[str, Any]]


class RunRow(Base):
    """What one case gave, once; `document` holds what is not looked up."""

    __tablename__ = "run"
    id: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    campaign: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("campaign.id"), index=True)
    suite: orm.Mapped[str] = orm.mapped_column(index=True)
    device: orm.Mapped[str] = orm.mapped_column(index=True)
    started_at: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True), index=True)
    validity: orm.Mapped[str]
    document: orm.Mapped[dict[str, Any]]
    confusion: orm.Mapped[bytes | None]
    outputs: orm.Mapped[bytes | None]
    labels: orm.Mapped[bytes | None]
    measurements: orm.Mapped[list[MeasurementRow]] = orm.relationship(lazy="selectin", cascade="all, delete-orphan")


class MeasurementRow(Base):
    """One metric of one run, with its raw values."""

    __tablename__ = "measurement"
    run: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("run.id"), primary_key=True)
    metric: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    unit: orm.Mapped[str]
    method: orm.Mapped[str]
    absent_reason: orm.Mapped[str]
    estimated: orm.Mapped[bool]
    values: orm.Mapped[bytes]
    rounds: orm.Mapped[bytes | None]


class ComparisonRow(Base):
    """What changed from a baseline to a run in one metric."""

    __tablename__ = "comparison"
    run: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("run.id"), primary_key=True)
    baseline: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    metric: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    campaign: orm.Mapped[str] = orm.mapped_column(index=True)
    verdict: orm.Mapped[str]
    reason: orm.Mapped[str]
    change: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(sa.JSON)


class OutcomeRow(Base):
    """How a case ended."""

    __tablename__ = "outcome"
    campaign: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("campaign.id"), primary_key=True)
    case: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    status: orm.Mapped[str]
    run: orm.Mapped[str]
    message: orm.Mapped[str]
    judgements: orm.Mapped[list[Any]]


class Store:
    """Results behind one URL; safe to use from several threads.

    Args:
        url: SQLAlchemy URL; the folder of a SQLite file is made if it is missing.

    Raises:
        StoreError: the URL is wrong, the store cannot be opened, or it was written by another version.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parsed = sa.make_url(url)
            if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
                Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            self._engine = sa.create_engine(parsed)
            Base.metadata.create_all(self._engine)
        except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
            raise StoreError(f"cannot open the store {_shown(url)}: {_first_line(error)}; check --store") from error
        self._check_version()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def add_campaign(self, campaign: Campaign) -> None:
        """Keep a campaign that begins."""
        document = {"command": campaign.command, "suites": dict(campaign.suites), "environment": campaign.environment}
        row = CampaignRow(
            id=campaign.id, started_at=campaign.started_at, quick=campaign.quick, document=_plain(document)
        )
        with self._writing() as session:
            session.merge(row)

    def add_run(self, run: Run) -> None:
        """Keep a run, whole or not at all."""
        with self._writing() as session:
            session.add(_run_row(run))

    def add_comparisons(self, campaign: str, comparisons: Sequence[Comparison]) -> None:
        """Keep what was compared in a campaign."""
        with self._writing() as session:
            for c in comparisons:
                change = asdict(c.change) if c.change else None
                session.merge(
                    ComparisonRow(
                        run=c.run,
                        baseline=c.baseline,
                        metric=c.metric,
                        campaign=campaign,
                        verdict=c.verdict.value,
                        reason=c.reason,
                        change=_plain(change),
                    )
                )

    def add_outcome(self, campaign: str, outcome: Outcome) -> None:
        """Keep how a case ended; a case that is done again replaces its outcome."""
        judgements = [asdict(judgement) for judgement in outcome.judgements]
        with self._writing() as session:
            session.merge(
                OutcomeRow(
                    campaign=campaign,
                    case=outcome.case,
                    status=outcome.status,
                    run=outcome.run,
                    message=outcome.message,
                    judgements=judgements,
                )
            )

    def campaigns(self) -> list[Campaign]:
        """Return all campaigns, the newest first."""
        rows = self._all(sa.select(CampaignRow).order_by(CampaignRow.started_at.desc()))
        return [Campaign(id=row.id, started_at=_utc(row.started_at), quick=row.quick, **row.document) for row in rows]

    def runs(self, campaign: str | None = None, suite: str | None = None) -> list[Run]:
        """Return the runs of a campaign, of a suite, or all, in the order they were made."""
        query = sa.select(RunRow).order_by(RunRow.started_at, RunRow.id)
        if campaign is not None:
            query = query.where(RunRow.campaign == campaign)
        if suite is not None:
            query = query.where(RunRow.suite == suite)
        return [_run(row) for row in self._all(query)]

    def run(self, prefix: str) -> Run:
        """Return the one run whose id begins with `prefix`; raises StoreError if there is none or more than one."""
        found = self._all(sa.select(RunRow).where(RunRow.id.startswith(prefix, autoescape=True)).limit(2))
        if len(found) == 1:
            return _run(found[0])
        what = "no run has" if not found else "several runs have"
        raise StoreError(f"{what} an id that begins with {prefix!r}; `edgeward export` lists them")

    def comparisons(self, campaign: str) -> list[Comparison]:
        """Return what was compared in a campaign."""
        rows = self._all(sa.select(ComparisonRow).where(ComparisonRow.campaign == campaign))
        return [
            Comparison(
                r.metric, r.baseline, r.run, Estimate(**r.change) if r.change else None, Verdict(r.verdict), r.reason
            )
            for r in rows
        ]

    def outcomes(self, campaign: str) -> list[Outcome]:
        """Return how the cases of a campaign ended."""
        rows = self._all(sa.select(OutcomeRow).where(OutcomeRow.campaign == campaign).order_by(OutcomeRow.case))
        return [Outcome(r.case, r.status, r.run, r.message, tuple(_judgement(j) for j in r.judgements)) for r in rows]

    @contextmanager
    def _writing(self) -> Iterator[orm.Session]:
        try:
            with orm.Session(self._engine) as session, session.begin():
                yield session
        except sa.exc.SQLAlchemyError as error:
            where = _shown(self.url)
            raise StoreError(
                f"cannot write to {where}: {_first_line(error)}; free some space or check --store"
            ) from error

    def _all(self, query: Any) -> list[Any]:
        try:
            with orm.Session(self._engine) as session:
                return list(session.scalars(query))
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"cannot read {_shown(self.url)}: {_first_line(error)}; check --store") from error

    def _check_version(self) -> None:
        with self._writing() as session:
            found = session.scalars(sa.select(StampRow.version)).first()
            if found is None:
                session.add(StampRow(version=VERSION))
        if found not in (None, VERSION):
            raise StoreError(
                f"{_shown(self.url)} was written with tables of version {found}, this edgeward has version {VERSION}; "
                "choose another file with --store"
            )


def _run_row(run: Run) -> RunRow:
    document = {
        "case": run.case,
        "variant": run.variant,
        "accuracy": {name: asdict(estimate) for name, estimate in run.accuracy.items()},
        "conditions": asdict(run.conditions),
        "fingerprint": run.fingerprint,
        "reasons": list(run.reasons),
        "classes": list(run.classes),
        "is_baseline": run.is_baseline,
        "quick": run.quick,
        "notes": run.notes,
    }
    return RunRow(
        id=run.id,
        campaign=run.campaign,
        suite=run.case["suite"],
        device=run.case["device"],
        started_at=run.started_at,
        validity=run.validity.value,
        document=_plain(document),
        confusion=_pack(run.confusion),
        outputs=_pack(run.outputs),
        labels=_pack(run.labels),
        measurements=[
            MeasurementRow(
                metric=m.metric,
                unit=m.unit,
                method=m.method,
                absent_reason=m.absent_reason,
                estimated=m.estimated,
                values=_pack(m.values),
                rounds=_pack(m.rounds),
            )
            for m in run.measurements.values()
        ],
    )


def _run(row: RunRow) -> Run:
    d = dict(row.document)
    conditions = d.pop("conditions")
    measurements = {
        m.metric: Measurement(
            m.metric, m.unit, _unpack(m.values), _unpack(m.rounds), m.method, m.absent_reason, m.estimated
        )
        for m in row.measurements
    }
    return Run(
        id=row.id,
        campaign=row.campaign,
        started_at=_utc(row.started_at),
        measurements=measurements,
        accuracy={name: Estimate(**fields) for name, fields in d.pop("accuracy").items()},
        conditions=Conditions(conditions["before"], tuple(conditions["during"]), conditions["after"]),
        validity=Validity(row.validity),
        reasons=tuple(d.pop("reasons")),
        classes=tuple(d.pop("classes")),
        confusion=_unpack(row.confusion),
        outputs=_unpack(row.outputs),
        labels=_unpack(row.labels),
        **d,
    )


def _judgement(fields: Mapping[str, Any]) -> Judgement:
    return Judgement(Criterion(**fields["criterion"]), fields["passed"], fields["message"])


def _pack(array: Any) -> Any:
    if array is None:
        return None
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _unpack(raw: bytes | None) -> Any:
    return None if raw is None else np.load(io.BytesIO(raw), allow_pickle=False)


def _plain(value: Any) -> Any:
    """Return `value` as JSON holds it: numpy scalars and tuples become Python's own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        value = value.item()
    if isinstance(value, Path):
        return str(value)
    return value


def _utc(moment: datetime) -> datetime:
    # SQLite forgets the zone; everything is written in UTC.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _shown(url: str) -> str:
    """Return the URL as it may be printed: without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return repr(url)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
