"""Tables about telling people: rungs climbed, persons on duty, their shifts and swaps, silences."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from qingquan.store.sql.columns import IDENTITY, MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["duty_person", "duty_shift", "duty_swap", "incident_rung", "silence"]

# One row per rung climbed: the database itself refuses to climb one twice.
incident_rung = Table(
    "incident_rung",
    metadata,
    Column("incident_id", ForeignKey("incident.id"), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("rung", Text, primary_key=True),
    Column("at", MILLISECONDS, nullable=False),
    Column("outcome", Text, nullable=False),
)

duty_person = Table(
    "duty_person",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("role", Text, nullable=False),
    Column("area", Text, nullable=False),
    Column("township", FreeText, nullable=False),
    Column("name", FreeText, nullable=False),
    Column("phone", FreeText, nullable=False),
    Column("wecom_id", FreeText, nullable=False),
    UniqueConstraint("role", "area", "township", "name"),
)

duty_shift = Table(
    "duty_shift",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("person_id", BigInteger, ForeignKey("duty_person.id", ondelete="CASCADE"), nullable=False),
    Column("started_at", MILLISECONDS, nullable=False),
    Column("ended_at", MILLISECONDS, nullable=False),
    UniqueConstraint("person_id", "started_at"),
    Index(None, "ended_at"),
)

duty_swap = Table(
    "duty_swap",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("absent_id", BigInteger, ForeignKey("duty_person.id", ondelete="CASCADE"), nullable=False),
    Column("stand_in_id", BigInteger, ForeignKey("duty_person.id", ondelete="CASCADE"), nullable=False),
    Column("started_at", MILLISECONDS, nullable=False),
    Column("ended_at", MILLISECONDS, nullable=False),
    Column("author", FreeText, nullable=False),
    Column("comment", FreeText, nullable=False),
    Index(None, "ended_at"),
)

silence = Table(
    "silence",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("county", Text, nullable=False),
    Column("township", FreeText, nullable=False),
    Column("works", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("started_at", MILLISECONDS, nullable=False),
    Column("ended_at", MILLISECONDS, nullable=False),
    Column("author", FreeText, nullable=False),
    Column("comment", FreeText, nullable=False),
    Column("created_at", MILLISECONDS, nullable=False),
    Column("ended_by", FreeText, nullable=False),
    Index(None, "ended_at"),
)
