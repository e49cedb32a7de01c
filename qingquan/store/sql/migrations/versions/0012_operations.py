"""Operations: signs of life of services, measures of the watchdog, heartbeats of other installations."""

import sqlalchemy as sa
from alembic import op

from qingquan.store.sql.columns import FreeText

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the three tables; they begin empty and fill themselves."""
    op.create_table(
        "service_sign",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("rss_bytes", sa.BigInteger(), nullable=False),
        sa.Column("cpu_s", sa.Double(), nullable=False),
        sa.Column("is_caught_up", sa.Boolean(), nullable=True),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("service", "instance", name=op.f("pk_service_sign")),
    )
    op.create_table(
        "operations_measure",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", FreeText(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_operations_measure")),
    )
    op.create_table(
        "heartbeat",
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("detail", FreeText(), nullable=False),
        sa.PrimaryKeyConstraint("sender", name=op.f("pk_heartbeat")),
    )


def downgrade() -> None:
    """Drop them again."""
    for name in ("heartbeat", "operations_measure", "service_sign"):
        op.drop_table(name)
