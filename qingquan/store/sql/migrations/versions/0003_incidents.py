"""Incidents: what grouping, silences, drills and rosters need."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def upgrade() -> None:
    """Add the columns of a ladder, a group, a drill and an end to incidents, and the tables about telling people."""
    for column in (
        sa.Column("round", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("ladder_at", sa.BigInteger()),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("parent_id", sa.BigInteger()),
        sa.Column("drill_number", sa.Integer()),
        sa.Column("closed_at", sa.BigInteger()),
        sa.Column("closed_by", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("cause_code", sa.Text(), nullable=False, server_default=sa.text("''")),
    ):
        op.add_column("incident", column)
    op.create_index("ix_incident_next_at", "incident", ["next_at"])
    op.create_index("ix_incident_parent_id", "incident", ["parent_id"])
    op.create_index("ix_incident_drill_number", "incident", ["drill_number"], unique=True)
    op.create_table(
        "incident_rung",
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_incident_rung_incident_id_incident"),
        sa.PrimaryKeyConstraint("incident_id", "round", "rung", name="pk_incident_rung"),
    )
    op.create_table(
        "duty_person",
        _id(),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("township", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("wecom_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_duty_person"),
        sa.UniqueConstraint("role", "area", "township", "name", name="uq_duty_person_role_area_township_name"),
    )
    op.create_table(
        "duty_shift",
        _id(),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["duty_person.id"], name="fk_duty_shift_person_id_duty_person", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_duty_shift"),
        sa.UniqueConstraint("person_id", "started_at", name="uq_duty_shift_person_id_started_at"),
    )
    op.create_index("ix_duty_shift_ended_at", "duty_shift", ["ended_at"])
    op.create_table(
        "duty_swap",
        _id(),
        sa.Column("absent_id", sa.BigInteger(), nullable=False),
        sa.Column("stand_in_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["absent_id"], ["duty_person.id"], name="fk_duty_swap_absent_id_duty_person", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["stand_in_id"], ["duty_person.id"], name="fk_duty_swap_stand_in_id_duty_person", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_duty_swap"),
    )
    op.create_index("ix_duty_swap_ended_at", "duty_swap", ["ended_at"])
    op.create_table(
        "silence",
        _id(),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("township", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_silence"),
    )
    op.create_index("ix_silence_ended_at", "silence", ["ended_at"])


def downgrade() -> None:
    """Drop them again; closed incidents become resolved ones, which is all the older version knows."""
    op.execute(sa.text("UPDATE incident SET state = 'resolved' WHERE state = 'closed'"))
    for table in ("silence", "duty_swap", "duty_shift", "duty_person", "incident_rung"):
        op.drop_table(table)
    for index in ("ix_incident_drill_number", "ix_incident_parent_id", "ix_incident_next_at"):
        op.drop_index(index, "incident")
    for column in (
        "cause_code", "closed_by", "closed_at", "drill_number", "parent_id", "lease_until", "next_at", "ladder_at", "round",
    ):  # fmt: skip
        op.drop_column("incident", column)
