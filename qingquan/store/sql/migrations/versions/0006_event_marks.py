"""Marks people give to detected events, known benign patterns, switched detectors."""

import sqlalchemy as sa
from alembic import op

from qingquan.store.sql.columns import DOCUMENT

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "event_mark",
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("peak", sa.Double(), nullable=False),
        sa.Column("marked_at", sa.BigInteger(), nullable=False),
        sa.Column("marked_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event", name="pk_event_mark"),
    )
    op.create_table(
        "event_pattern",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("point", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("shape", DOCUMENT, nullable=False),
        sa.Column("length_ms", sa.BigInteger(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.Column("saved_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_pattern"),
    )
    op.create_table(
        "event_switch",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("is_silent", sa.Boolean()),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("county", "works", name="pk_event_switch"),
    )
    op.create_table(
        "event_history",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_history"),
    )
    for table in ("event_mark", "event_pattern", "event_history"):
        op.create_index(f"ix_{table}_county_works", table, ["county", "works"])


def downgrade() -> None:
    """Drop them again."""
    for table in ("event_history", "event_switch", "event_pattern", "event_mark"):
        op.drop_table(table)
