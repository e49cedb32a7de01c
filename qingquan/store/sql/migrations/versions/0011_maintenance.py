"""Calibration and maintenance of instruments."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "maintenance",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("point", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("planned_end_at", sa.BigInteger(), nullable=False),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.Column("start_sequence", sa.BigInteger()),
        sa.Column("end_sequence", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["county", "works"], ["works.county", "works.id"], name="fk_maintenance_county_works", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance"),
    )
    op.create_index("ix_maintenance_county_works_started_at", "maintenance", ["county", "works", "started_at"])
    op.create_index("ix_maintenance_ended_at", "maintenance", ["ended_at"])


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("maintenance")
