"""Answers from the phone, and the links that lead to them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "answer",
        sa.Column("id", _number(), nullable=False),
        sa.Column("incident_id", _number()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("until_at", sa.BigInteger()),
        sa.Column("photo_digest", sa.Text(), nullable=False),
        sa.Column("photo_type", sa.Text(), nullable=False),
        sa.Column("photo_bytes", sa.BigInteger(), nullable=False),
        sa.Column("repeat_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_answer_incident_id_incident"),
        sa.PrimaryKeyConstraint("id", name="pk_answer"),
        sa.UniqueConstraint("repeat_key", name="uq_answer_repeat_key"),
    )
    op.create_index("ix_answer_incident_id_id", "answer", ["incident_id", "id"])
    op.create_index("ix_answer_at_id", "answer", ["at", "id"])
    op.create_table(
        "answer_link",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("incident_id", _number(), nullable=False),
        sa.Column("message_id", _number(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_answer_link_incident_id_incident"),
        sa.ForeignKeyConstraint(["message_id"], ["outbox.id"], name="fk_answer_link_message_id_outbox"),
        sa.PrimaryKeyConstraint("digest", name="pk_answer_link"),
    )
    op.create_index("ix_answer_link_expires_at", "answer_link", ["expires_at"])


def downgrade() -> None:
    """Drop them; the history of the incidents keeps who answered what."""
    op.drop_table("answer_link")
    op.drop_table("answer")
    op.execute(sa.text("DELETE FROM incident_event WHERE reason IN ('reported_fixed', 'help_wanted', 'noted')"))
