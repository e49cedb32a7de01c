"""When sudden changes were first told, so that a detector's delay can be said."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "event_told",
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event", name="pk_event_told"),
    )


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("event_told")
