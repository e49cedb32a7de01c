"""Register entries of works: what choosing a limit needs."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


FACTS = ("treatment_limited", "groundwater_limited", "raw_permanganate_above_6")


def upgrade() -> None:
    """Add what relaxed rows depend on; of works entered before nothing is stated, so the stricter rows hold."""
    for name in FACTS:
        op.add_column("works", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop it again."""
    for name in FACTS:
        op.drop_column("works", name)
