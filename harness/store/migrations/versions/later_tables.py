"""The tables that came one after the other, each made where it was missing: a store before this has any of them.

Probes, occlusion maps, examples, steps of training, the audit record, progress, questions, superseded runs, jobs.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from harness.store import audit

revision = "later"
down_revision = "first"
branch_labels = depends_on = None

_RUN = "run.id"
_CAMPAIGN = "campaign.id"
_MOMENT = sa.DateTime(timezone=True)


def _text(name: str, *, index: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, index=index)


def upgrade() -> None:
    """Make those that are missing."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for name, columns in _tables().items():
        if name not in there:
            op.create_table(name, *columns)
    if "audit" not in there:
        for statement in audit.only_added(op.get_bind().dialect.name):
            op.get_bind().exec_driver_sql(statement)


def _tables() -> dict[str, list[sa.Column[Any]]]:
    of_run = [sa.Column("run", sa.String, sa.ForeignKey(_RUN), primary_key=True)]
    found: dict[str, list[sa.Column[Any]]] = {
        "probe": [
            *of_run,
            sa.Column("place", sa.Integer, primary_key=True),
            sa.Column("document", sa.JSON, nullable=False),
            sa.Column("outputs", sa.LargeBinary, nullable=False),
        ],
        "occlusion": [
            sa.Column("run", sa.String, sa.ForeignKey(_RUN), primary_key=True),
            sa.Column("document", sa.JSON, nullable=False),
            *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("places", "classes", "maps")),
            *(sa.Column(name, sa.LargeBinary) for name in ("pictures", "correlations")),
        ],
        "example": [
            sa.Column("run", sa.String, sa.ForeignKey(_RUN), primary_key=True),
            sa.Column("document", sa.JSON, nullable=False),
            sa.Column("pictures", sa.LargeBinary),
        ],
        "local_step": [
            sa.Column("id", sa.String, primary_key=True),
            sa.Column("started_at", _MOMENT, nullable=False, index=True),
            _text("suite", index=True),
            _text("device"),
            _text("variant"),
            sa.Column("document", sa.JSON, nullable=False),
        ],
        "audit": [
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("at", _MOMENT, nullable=False),
            *(_text(name) for name in ("kind", "who", "host", "lab")),
            _text("campaign", index=True),
            _text("suite", index=True),
            *(_text(name) for name in ("case", "device", "address", "detail")),
        ],
        "progress": [
            sa.Column("campaign", sa.String, sa.ForeignKey(_CAMPAIGN), primary_key=True),
            *(_text(name) for name in ("lab", "place", "purpose", "holder")),
            sa.Column("seen_at", _MOMENT, nullable=False),
            sa.Column("ended_at", _MOMENT),
        ],
        "question": [
            sa.Column("campaign", sa.String, sa.ForeignKey(_CAMPAIGN), primary_key=True),
            sa.Column("case", sa.String, primary_key=True),
            *(_text(name) for name in ("suite", "device", "digest")),
            sa.Column("asked_at", _MOMENT, nullable=False),
            sa.Column("settled", sa.Boolean, nullable=False),
            sa.Column("parts", sa.JSON, nullable=False),
        ],
        "superseded": [
            sa.Column("run", sa.String, sa.ForeignKey(_RUN), primary_key=True),
            _text("campaign", index=True),
            _text("successor"),
            _text("reason"),
        ],
        "job": [
            sa.Column("name", sa.String, primary_key=True),
            sa.Column("campaign", sa.String, sa.ForeignKey(_CAMPAIGN), nullable=False, index=True),
            _text("device"),
            sa.Column("begun_at", _MOMENT, nullable=False),
            _text("ended"),
            sa.Column("document", sa.JSON, nullable=False),
        ],
    }
    return found
