"""The tables of the first stores: campaigns, runs with their measurements, comparisons, outcomes."""

import sqlalchemy as sa
from alembic import op

revision = "first"
down_revision = None
branch_labels = depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table("stamp", sa.Column("version", sa.Integer, primary_key=True))
    op.create_table(
        "campaign",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("quick", sa.Boolean, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("campaign", sa.String, sa.ForeignKey("campaign.id"), nullable=False, index=True),
        sa.Column("suite", sa.String, nullable=False, index=True),
        sa.Column("device", sa.String, nullable=False, index=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("validity", sa.String, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("confusion", sa.LargeBinary),
        sa.Column("outputs", sa.LargeBinary),
        sa.Column("labels", sa.LargeBinary),
    )
    op.create_table(
        "measurement",
        sa.Column("run", sa.String, sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("metric", sa.String, primary_key=True),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("absent_reason", sa.String, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("values", sa.LargeBinary, nullable=False),
        sa.Column("rounds", sa.LargeBinary),
    )
    op.create_table(
        "comparison",
        sa.Column("run", sa.String, sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("baseline", sa.String, primary_key=True),
        sa.Column("metric", sa.String, primary_key=True),
        sa.Column("campaign", sa.String, nullable=False, index=True),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("change", sa.JSON),
    )
    op.create_table(
        "outcome",
        sa.Column("campaign", sa.String, sa.ForeignKey("campaign.id"), primary_key=True),
        sa.Column("case", sa.String, primary_key=True),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("message", sa.String, nullable=False),
        sa.Column("judgements", sa.JSON, nullable=False),
    )
