"""Compliance by day and month."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NUMBERS = ("expected", "received", "usable", "met", "compliant_ms", "exceeding_ms", "unknown_ms")


def upgrade() -> None:
    """Make the tables; the figures themselves are computed by the service."""
    document = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
    op.create_table(
        "compliance",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("county", "works", "point", "parameter", "period")),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("is_published", sa.Boolean(), nullable=False),
        sa.Column("is_newest", sa.Boolean(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _NUMBERS),
        sa.Column("mean", sa.Double()),
        sa.Column("worst", sa.Double()),
        sa.Column("worst_at", sa.BigInteger()),
        sa.Column("longest_ms", sa.BigInteger(), nullable=False),
        sa.Column("episodes", sa.Integer(), nullable=False),
        sa.Column("head_ms", sa.BigInteger(), nullable=False),
        sa.Column("tail_ms", sa.BigInteger(), nullable=False),
        sa.Column("findings", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("limit_id", "standard", "clause", "basis")),
        sa.Column("low", sa.Double()),
        sa.Column("high", sa.Double()),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("states", document, nullable=False),
        sa.PrimaryKeyConstraint("county", "works", "point", "parameter", "period", "version", name="pk_compliance"),
    )
    op.create_index("ix_compliance_period_county", "compliance", ["period", "county"])
    op.create_table(
        "compliance_dirty",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("county", "works", "day", name="pk_compliance_dirty"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("compliance_dirty")
    op.drop_index("ix_compliance_period_county", "compliance")
    op.drop_table("compliance")
