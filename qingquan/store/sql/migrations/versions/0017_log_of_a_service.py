"""Signs of life say which reading log a service reads, so that two logs behind one database are noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it fills itself with the next sign of each service."""
    op.add_column("service_sign", sa.Column("log", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it again."""
    with op.batch_alter_table("service_sign") as table:
        table.drop_column("log")
