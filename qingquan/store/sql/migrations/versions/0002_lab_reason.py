"""A laboratory result says why its verdict is what it is."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the sentence; results judged before have none."""
    op.add_column("lab_result", sa.Column("reason", sa.Text(), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Drop it again."""
    op.drop_column("lab_result", "reason")
