"""The first schema: register, findings, incidents, outbox, states, progress, quarantine, laboratory."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "counter",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
    )
    op.create_table(
        "evaluator_progress",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", name="pk_evaluator_progress"),
    )
    op.create_table(
        "finding",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("point", sa.Text(), nullable=False),
        sa.Column("parameter", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("evidence_at", sa.BigInteger(), nullable=False),
        sa.Column("extreme", sa.Double()),
        sa.Column("limit_value", sa.Double()),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("evidence", DOCUMENT, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_finding"),
    )
    op.create_index("ix_finding_county_works_started_at", "finding", ["county", "works", "started_at"], unique=False)
    op.create_index("ix_finding_ended_at", "finding", ["ended_at"], unique=False)
    op.create_index("ix_finding_started_at_id", "finding", ["started_at", "id"], unique=False)
    op.create_table(
        "incident",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger()),
        sa.Column("acknowledged_by", sa.Text(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger()),
        sa.Column("summary", DOCUMENT, nullable=False),
        sa.Column("open_key", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
        sa.UniqueConstraint("open_key", name="uq_incident_open_key"),
    )
    op.create_index("ix_incident_county_works_opened_at", "incident", ["county", "works", "opened_at"], unique=False)
    op.create_index("ix_incident_opened_at_id", "incident", ["opened_at", "id"], unique=False)
    op.create_table(
        "lab_sample",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("point", sa.Text(), nullable=False),
        sa.Column("sampled_at", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_at", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("laboratory", sa.Text(), nullable=False),
        sa.Column("source_file", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lab_sample"),
        sa.UniqueConstraint("county", "number", "version", name="uq_lab_sample_county_number_version"),
    )
    op.create_index(
        "ix_lab_sample_county_works_sampled_at", "lab_sample", ["county", "works", "sampled_at"], unique=False
    )
    op.create_index("ix_lab_sample_uploaded_at_id", "lab_sample", ["uploaded_at", "id"], unique=False)
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("redriven_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        sa.UniqueConstraint("sequence", "position", name="uq_quarantine_sequence_position"),
    )
    op.create_index("ix_quarantine_reason", "quarantine", ["reason"], unique=False)
    op.create_index("ix_quarantine_received_at_id", "quarantine", ["received_at", "id"], unique=False)
    op.create_table(
        "works",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("township", sa.Text(), nullable=False),
        sa.Column("disinfectant", sa.Text(), nullable=False),
        sa.Column("equipment", sa.Text(), nullable=False),
        sa.Column("capacity_m3_d", sa.Double(), nullable=False),
        sa.Column("population", sa.Integer(), nullable=False),
        sa.Column("source_limited", sa.Boolean(), nullable=False),
        sa.Column("cadence_s", sa.Integer(), nullable=False),
        sa.Column("upload_interval_s", sa.Integer(), nullable=False),
        sa.Column("longitude", sa.Double()),
        sa.Column("latitude", sa.Double()),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("commissioned_at", sa.BigInteger()),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("tags", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("county", "id", name="pk_works"),
    )
    op.create_table(
        "works_state",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("disinfection", sa.Text(), nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("as_of_at", sa.BigInteger()),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("residual", sa.Double()),
        sa.Column("residual_parameter", sa.Text()),
        sa.Column("turbidity", sa.Double()),
        sa.Column("worst", sa.Integer()),
        sa.Column("open_findings", sa.Integer(), nullable=False),
        sa.Column("latest", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("county", "works", name="pk_works_state"),
    )
    op.create_table(
        "contact",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("wecom_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["county", "works"], ["works.county", "works.id"], name="fk_contact_county_works", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("county", "works", "position", name="pk_contact"),
    )
    op.create_table(
        "incident_event",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("incident_id", IDENTITY, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_incident_event_incident_id"),
        sa.PrimaryKeyConstraint("id", name="pk_incident_event"),
    )
    op.create_index("ix_incident_event_incident_id_id", "incident_event", ["incident_id", "id"], unique=False)
    op.create_table(
        "incident_finding",
        sa.Column("incident_id", IDENTITY, nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name="fk_incident_finding_finding_id"),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_incident_finding_incident_id"),
        sa.PrimaryKeyConstraint("incident_id", "finding_id", name="pk_incident_finding"),
    )
    op.create_index("ix_incident_finding_finding_id", "incident_finding", ["finding_id"], unique=False)
    op.create_table(
        "lab_result",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("sample_id", IDENTITY, nullable=False),
        sa.Column("parameter", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("value_text", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("detection_limit", sa.Double()),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("canonical_value", sa.Double()),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("analysed_at", sa.BigInteger()),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("limit_text", sa.Text(), nullable=False),
        sa.Column("limit_id", sa.Text(), nullable=False),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("source_row", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sample_id"], ["lab_sample.id"], name="fk_lab_result_sample_id"),
        sa.PrimaryKeyConstraint("id", name="pk_lab_result"),
    )
    op.create_index("ix_lab_result_parameter", "lab_result", ["parameter"], unique=False)
    op.create_index("ix_lab_result_sample_id_id", "lab_result", ["sample_id", "id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("incident_id", IDENTITY, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("receiver_name", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("params", DOCUMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger()),
        sa.Column("leased_by", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_outbox_incident_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint(
            "incident_id", "step", "receiver", "channel", name="uq_outbox_incident_id_step_receiver_channel"
        ),
    )
    op.create_index("ix_outbox_created_at_id", "outbox", ["created_at", "id"], unique=False)
    op.create_index("ix_outbox_state_due_at", "outbox", ["state", "due_at"], unique=False)
    op.create_table(
        "point",
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("works", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parameters", DOCUMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["county", "works"], ["works.county", "works.id"], name="fk_point_county_works", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("county", "works", "id", name="pk_point"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("point")
    op.drop_table("outbox")
    op.drop_table("lab_result")
    op.drop_table("incident_finding")
    op.drop_table("incident_event")
    op.drop_table("contact")
    op.drop_table("works_state")
    op.drop_table("works")
    op.drop_table("quarantine")
    op.drop_table("meta")
    op.drop_table("lab_sample")
    op.drop_table("incident")
    op.drop_table("finding")
    op.drop_table("evaluator_progress")
    op.drop_table("counter")
