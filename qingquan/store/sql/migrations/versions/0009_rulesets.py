"""Rulesets in force."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of rulesets."""
    op.create_table(
        "ruleset",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("stored_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ruleset"),
        sa.UniqueConstraint("digest", name="uq_ruleset_digest"),
    )
    op.create_table(
        "ruleset_activation",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("ruleset_id", IDENTITY),
        sa.Column("activated_at", sa.BigInteger(), nullable=False),
        sa.Column("activated_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["ruleset_id"], ["ruleset.id"], name="fk_ruleset_activation_ruleset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ruleset_activation"),
    )
    op.create_table(
        "ruleset_status",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("error_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("service", name="pk_ruleset_status"),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("ruleset_status")
    op.drop_table("ruleset_activation")
    op.drop_table("ruleset")
