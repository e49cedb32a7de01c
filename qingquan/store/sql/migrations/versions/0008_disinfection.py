"""Facts about contact tanks, stock and hand-logged measurements."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _of_works(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["county", "works"], ["works.county", "works.id"], name=f"fk_{table}_county_works", ondelete="CASCADE"
    )


def upgrade() -> None:
    """Add the column that says who measures, and the tables."""
    op.add_column("works", sa.Column("evidence", sa.Text(), nullable=False, server_default=sa.text("'sensor'")))
    op.create_table(
        "dosing_facts",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("giardia_log", sa.Double()),
        sa.Column("virus_log", sa.Double()),
        sa.Column("tank_volume_l", sa.Double()),
        sa.Column("pump_capacity_l_h", sa.Double()),
        sa.Column("store_temperature_c", sa.Double()),
        sa.Column("network_end_hours", sa.Double()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        _of_works("dosing_facts"),
        sa.PrimaryKeyConstraint("county", "works", name="pk_dosing_facts"),
    )
    op.create_table(
        "contact_segment",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("volume_m3", sa.Double(), nullable=False),
        sa.Column("baffling_factor", sa.Double(), nullable=False),
        sa.Column("peak_flow_m3_h", sa.Double(), nullable=False),
        _of_works("contact_segment"),
        sa.PrimaryKeyConstraint("county", "works", "position", name="pk_contact_segment"),
    )
    op.create_table(
        "chemical_delivery",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=False),
        sa.Column("strength_g_l", sa.Double(), nullable=False),
        sa.Column("amount_l", sa.Double()),
        _of_works("chemical_delivery"),
        sa.PrimaryKeyConstraint("county", "works", "delivered_at", name="pk_chemical_delivery"),
    )
    op.create_table(
        "hand_measurement",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("point", sa.Text(), nullable=False),
        sa.Column("parameter", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.Column("qualifier", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger()),
        _of_works("hand_measurement"),
        sa.PrimaryKeyConstraint("id", name="pk_hand_measurement"),
        sa.UniqueConstraint(
            "county", "works", "point", "parameter", "observed_at",
            name="uq_hand_measurement_county_works_point_parameter_observed_at",
        ),
    )  # fmt: skip
    op.create_index(
        "ix_hand_measurement_county_works_observed_at", "hand_measurement", ["county", "works", "observed_at"]
    )
    op.create_index("ix_hand_measurement_sequence", "hand_measurement", ["sequence"])
    op.create_table(
        "disinfection_advice",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        _of_works("disinfection_advice"),
        sa.PrimaryKeyConstraint("county", "works", name="pk_disinfection_advice"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("disinfection_advice")
    op.drop_index("ix_hand_measurement_sequence", table_name="hand_measurement")
    op.drop_index("ix_hand_measurement_county_works_observed_at", table_name="hand_measurement")
    op.drop_table("hand_measurement")
    op.drop_table("chemical_delivery")
    op.drop_table("contact_segment")
    op.drop_table("dosing_facts")
    op.drop_column("works", "evidence")
