"""Tables of the relational store. Portable SQL only: the same definitions serve SQLite and PostgreSQL.

Times are ms since epoch, UTC, and end in ``_at``; columns whose domain name is an SQL keyword carry another name
(``started_at`` for start, ``ended_at`` for end, ``limit_value`` for limit). A change here needs a migration beside it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from qingquan.store.sql.columns import DOCUMENT, IDENTITY, MILLISECONDS, FreeText

__all__ = [
    "contact",
    "counter",
    "evaluator_progress",
    "finding",
    "incident",
    "incident_event",
    "incident_finding",
    "lab_result",
    "lab_sample",
    "meta",
    "metadata",
    "outbox",
    "point",
    "quarantine",
    "works",
    "works_state",
]

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

# --- register ---------------------------------------------------------------------------------------------------------

works = Table(
    "works",
    metadata,
    Column("county", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", FreeText, nullable=False),
    Column("township", FreeText, nullable=False),
    Column("disinfectant", Text, nullable=False),
    Column("equipment", Text, nullable=False),
    Column("capacity_m3_d", Double, nullable=False),
    Column("population", Integer, nullable=False),
    Column("source_limited", Boolean, nullable=False),
    Column("cadence_s", Integer, nullable=False),
    Column("upload_interval_s", Integer, nullable=False),
    Column("longitude", Double),
    Column("latitude", Double),
    Column("time_zone", Text, nullable=False),
    Column("commissioned_at", MILLISECONDS),
    Column("simulated", Boolean, nullable=False),
    Column("note", FreeText, nullable=False),
    Column("tags", DOCUMENT, nullable=False),
    Column("evidence", Text, nullable=False, server_default=text("'sensor'")),
    Column("treatment_limited", Boolean, nullable=False, server_default=false()),
    Column("groundwater_limited", Boolean, nullable=False, server_default=false()),
    Column("raw_permanganate_above_6", Boolean, nullable=False, server_default=false()),
)

point = Table(
    "point",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", FreeText, nullable=False),
    Column("parameters", DOCUMENT, nullable=False),
    ForeignKeyConstraint(["county", "works"], ["works.county", "works.id"], ondelete="CASCADE"),
)

contact = Table(
    "contact",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("role", Text, nullable=False),
    Column("name", FreeText, nullable=False),
    Column("phone", FreeText, nullable=False),
    Column("wecom_id", FreeText, nullable=False),
    ForeignKeyConstraint(["county", "works"], ["works.county", "works.id"], ondelete="CASCADE"),
)

# --- what the evaluator writes, in one transaction --------------------------------------------------------------------

finding = Table(
    "finding",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("county", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("point", Text, nullable=False),
    Column("parameter", Text, nullable=False),
    Column("started_at", MILLISECONDS, nullable=False),
    Column("ended_at", MILLISECONDS),
    Column("evidence_at", MILLISECONDS, nullable=False),
    Column("extreme", Double),
    Column("limit_value", Double),
    Column("clause", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("rule_version", Text, nullable=False),
    Column("reason", FreeText, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("evidence", DOCUMENT, nullable=False),
    Column("updated_at", MILLISECONDS, nullable=False),
    Index(None, "started_at", "id"),
    Index(None, "county", "works", "started_at"),
    Index(None, "ended_at"),
)

works_state = Table(
    "works_state",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("disinfection", Text, nullable=False),
    Column("since_at", MILLISECONDS, nullable=False),
    Column("as_of_at", MILLISECONDS),
    Column("stale", Boolean, nullable=False),
    Column("residual", Double),
    Column("residual_parameter", Text),
    Column("turbidity", Double),
    Column("worst", Integer),
    Column("open_findings", Integer, nullable=False),
    Column("latest", DOCUMENT, nullable=False),
)

evaluator_progress = Table(
    "evaluator_progress",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
)

counter = Table(
    "counter", metadata, Column("name", Text, primary_key=True), Column("value", BigInteger, nullable=False)
)

# --- incidents and messages -------------------------------------------------------------------------------------------

incident = Table(
    "incident",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("county", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("stale", Boolean, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("opened_at", MILLISECONDS, nullable=False),
    Column("acknowledged_at", MILLISECONDS),
    Column("acknowledged_by", FreeText, nullable=False),
    Column("resolved_at", MILLISECONDS),
    Column("summary", DOCUMENT, nullable=False),
    # "county|works|cause" until resolved, then empty: the database itself refuses a second open incident of one cause.
    Column("open_key", Text),
    # The ladder of those who are told: round (a worse finding begins a new one), its beginning, when to look again.
    Column("round", Integer, nullable=False, server_default=text("0")),
    Column("ladder_at", MILLISECONDS),
    Column("next_at", MILLISECONDS),
    Column("lease_until", MILLISECONDS),
    Column("parent_id", BigInteger),
    Column("drill_number", Integer),
    Column("closed_at", MILLISECONDS),
    Column("closed_by", FreeText, nullable=False, server_default=text("''")),
    Column("cause_code", Text, nullable=False, server_default=text("''")),
    UniqueConstraint("open_key"),
    Index(None, "opened_at", "id"),
    Index(None, "county", "works", "opened_at"),
    Index(None, "next_at"),
    Index(None, "parent_id"),
    Index(None, "drill_number", unique=True),
)

incident_finding = Table(
    "incident_finding",
    metadata,
    Column("incident_id", ForeignKey("incident.id"), primary_key=True),
    Column("finding_id", ForeignKey("finding.id"), primary_key=True),
    Index(None, "finding_id"),
)

# Append-only: the beginning of the audit trail. The hash-chained audit log will take its entries from here.
incident_event = Table(
    "incident_event",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("incident_id", ForeignKey("incident.id"), nullable=False),
    Column("at", MILLISECONDS, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", FreeText, nullable=False),
    Column("detail", FreeText, nullable=False),
    Index(None, "incident_id", "id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("incident_id", ForeignKey("incident.id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("receiver", FreeText, nullable=False),
    Column("receiver_name", FreeText, nullable=False),
    Column("body", FreeText, nullable=False),
    Column("params", DOCUMENT, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", MILLISECONDS, nullable=False),
    Column("due_at", MILLISECONDS, nullable=False),
    Column("leased_until", MILLISECONDS),
    Column("leased_by", Text, nullable=False),
    Column("sent_at", MILLISECONDS),
    Column("provider_id", FreeText, nullable=False),
    Column("error", FreeText, nullable=False),
    # Why it is refused, not sent or unknown: a word of `NotSent`, empty where a rule of the ladder says so in `error`.
    Column("why", Text, nullable=False, server_default=text("''")),
    # Further ways to the same person, "channel:receiver" a line, in order; then who carried it, whom it stands in for.
    Column("fallback", FreeText, nullable=False, server_default=text("''")),
    Column("carried_by", BigInteger),
    Column("stands_in_for", BigInteger),
    Column("stood_in_at", MILLISECONDS),
    # When to ask for the receipt, and when there was one.
    Column("ask_at", MILLISECONDS),
    Column("receipt_at", MILLISECONDS),
    UniqueConstraint("incident_id", "step", "receiver", "channel"),
    Index(None, "state", "due_at"),
    Index(None, "created_at", "id"),
    Index(None, "channel", "ask_at"),
    Index(None, "channel", "provider_id"),
)

# --- what was set aside -----------------------------------------------------------------------------------------------

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("detail", FreeText, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("received_at", MILLISECONDS, nullable=False),
    Column("county", FreeText, nullable=False),
    Column("works", FreeText, nullable=False),
    Column("subject", FreeText, nullable=False),
    Column("position", FreeText, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("redriven_at", MILLISECONDS),
    UniqueConstraint("sequence", "position"),
    Index(None, "received_at", "id"),
    Index(None, "reason"),
)

# --- laboratory -------------------------------------------------------------------------------------------------------

lab_sample = Table(
    "lab_sample",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("county", Text, nullable=False),
    Column("number", FreeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("point", Text, nullable=False),
    Column("sampled_at", MILLISECONDS, nullable=False),
    Column("uploaded_at", MILLISECONDS, nullable=False),
    Column("uploaded_by", FreeText, nullable=False),
    Column("laboratory", FreeText, nullable=False),
    Column("source_file", FreeText, nullable=False),
    Column("source_digest", Text, nullable=False),
    # A laboratory's number names one bottle for ever; a correction is a new version, never an overwrite.
    UniqueConstraint("county", "number", "version"),
    Index(None, "uploaded_at", "id"),
    Index(None, "county", "works", "sampled_at"),
)

lab_result = Table(
    "lab_result",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("sample_id", ForeignKey("lab_sample.id"), nullable=False),
    Column("parameter", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("value_text", FreeText, nullable=False),
    Column("value", Double),
    Column("detection_limit", Double),
    Column("unit", FreeText, nullable=False),
    Column("canonical_value", Double),
    Column("method", FreeText, nullable=False),
    Column("analysed_at", MILLISECONDS),
    Column("verdict", Text, nullable=False),
    Column("limit_text", FreeText, nullable=False),
    Column("limit_id", Text, nullable=False),
    Column("clause", Text, nullable=False),
    Column("source_row", Integer, nullable=False),
    Column("reason", FreeText, nullable=False, server_default=text("''")),
    Index(None, "sample_id", "id"),
    Index(None, "parameter"),
)
