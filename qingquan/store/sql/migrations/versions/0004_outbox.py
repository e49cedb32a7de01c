"""Outbox: ways left, receipts, budgets spent, gates of the channels, shared tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FREE = ("carried_by", "stands_in_for", "stood_in_at", "ask_at", "receipt_at")


def upgrade() -> None:
    """Add the columns of delivery to the outbox, and the tables about budgets."""
    for name in ("why", "fallback"):
        op.add_column("outbox", sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))
    for name in _FREE:
        op.add_column("outbox", sa.Column(name, sa.BigInteger()))
    op.create_index("ix_outbox_channel_ask_at", "outbox", ["channel", "ask_at"])
    op.create_index("ix_outbox_channel_provider_id", "outbox", ["channel", "provider_id"])
    op.create_table(
        "spending",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_spending"),
    )
    op.create_index("ix_spending_channel_at", "spending", ["channel", "at"])
    op.create_index("ix_spending_message_id", "spending", ["message_id"])
    op.create_table(
        "channel_gate",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("closed_until", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("channel", name="pk_channel_gate"),
    )
    op.create_table(
        "access_token",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_access_token"),
    )


def downgrade() -> None:
    """Drop them again."""
    for table in ("access_token", "channel_gate", "spending"):
        op.drop_table(table)
    op.drop_index("ix_outbox_channel_provider_id", "outbox")
    op.drop_index("ix_outbox_channel_ask_at", "outbox")
    for name in (*_FREE, "fallback", "why"):
        op.drop_column("outbox", name)
