"""The tables: what is looked up stands in columns, raw samples and outputs as .npy bytes, the rest in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

#: Raised with every change of a table that is there (a new one is made where it is missing); a store of another version
#: is refused, never guessed at.
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
    probes: orm.Mapped[list[ProbeRow]] = orm.relationship(
        lazy="selectin", cascade="all, delete-orphan", order_by="ProbeRow.place"
    )
    occlusion: orm.Mapped[OcclusionRow | None] = orm.relationship(lazy="selectin", cascade="all, delete-orphan")
    example: orm.Mapped[ExampleRow | None] = orm.relationship(lazy="selectin", cascade="all, delete-orphan")


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


class ProbeRow(Base):
    """What a model gave under one condition; stores of before have no such table until they are opened."""

    __tablename__ = "probe"
    run: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("run.id"), primary_key=True)
    place: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    document: orm.Mapped[dict[str, Any]]
    outputs: orm.Mapped[bytes]


class OcclusionRow(Base):
    """Where a model looks; as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "occlusion"
    run: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("run.id"), primary_key=True)
    document: orm.Mapped[dict[str, Any]]
    places: orm.Mapped[bytes]
    classes: orm.Mapped[bytes]
    maps: orm.Mapped[bytes]
    pictures: orm.Mapped[bytes | None]
    correlations: orm.Mapped[bytes | None]


class ExampleRow(Base):
    """Images on which a variant disagrees with its baseline; as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "example"
    run: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("run.id"), primary_key=True)
    document: orm.Mapped[dict[str, Any]]
    pictures: orm.Mapped[bytes | None]


class StepRow(Base):
    """What a step of training cost; as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "local_step"
    id: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    started_at: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True), index=True)
    suite: orm.Mapped[str] = orm.mapped_column(index=True)
    device: orm.Mapped[str]
    variant: orm.Mapped[str]
    document: orm.Mapped[dict[str, Any]]


class AuditRow(Base):
    """Who did what, where and when (`harness.store.audit`); as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "audit"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    at: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    kind: orm.Mapped[str]
    who: orm.Mapped[str]
    host: orm.Mapped[str]
    lab: orm.Mapped[str]
    campaign: orm.Mapped[str] = orm.mapped_column(index=True)
    suite: orm.Mapped[str] = orm.mapped_column(index=True)
    case: orm.Mapped[str]
    device: orm.Mapped[str]
    address: orm.Mapped[str]
    detail: orm.Mapped[str]


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


class ProgressRow(Base):
    """Whose a campaign is and whether it is under way; as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "progress"
    campaign: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("campaign.id"), primary_key=True)
    lab: orm.Mapped[str]
    place: orm.Mapped[str]
    purpose: orm.Mapped[str]
    holder: orm.Mapped[str]
    seen_at: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    ended_at: orm.Mapped[datetime | None] = orm.mapped_column(sa.DateTime(timezone=True))


class QuestionRow(Base):
    """What was asked of a device in a case; as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "question"
    campaign: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("campaign.id"), primary_key=True)
    case: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    suite: orm.Mapped[str]
    device: orm.Mapped[str]
    digest: orm.Mapped[str]
    asked_at: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    settled: orm.Mapped[bool]
    parts: orm.Mapped[dict[str, Any]]


class SupersededRow(Base):
    """A run that was measured again in its campaign; as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "superseded"
    run: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("run.id"), primary_key=True)
    campaign: orm.Mapped[str] = orm.mapped_column(index=True)
    successor: orm.Mapped[str]
    reason: orm.Mapped[str]


class JobRow(Base):
    """A job that a device does by itself; as `ProbeRow`, stores of before have no such table."""

    __tablename__ = "job"
    name: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    campaign: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("campaign.id"), index=True)
    device: orm.Mapped[str]
    begun_at: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    ended: orm.Mapped[str]
    document: orm.Mapped[dict[str, Any]]


#: Tables that came after the first version: a store of before that may only be read is read as having nothing in them.
_LATER = (ProbeRow, OcclusionRow, ExampleRow, StepRow, ProgressRow, QuestionRow, SupersededRow, AuditRow, JobRow)
LATER: Final = frozenset(one.__tablename__ for one in _LATER)
