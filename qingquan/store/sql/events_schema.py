"""Tables of detected events: marks people give to them, known benign patterns, detectors as people have switched them."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Table, Text

from qingquan.store.sql.columns import DOCUMENT, IDENTITY, MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["event_history", "event_mark", "event_pattern", "event_switch", "event_told"]

# The newest verdict on an event counts; `event_history` keeps them all.
event_mark = Table(
    "event_mark",
    metadata,
    Column("event", Text, primary_key=True),
    Column("county", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("peak", Double, nullable=False),
    Column("marked_at", MILLISECONDS, nullable=False),
    Column("marked_by", FreeText, nullable=False),
    Index(None, "county", "works"),
)

event_pattern = Table(
    "event_pattern",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("county", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("point", Text, nullable=False),
    Column("name", FreeText, nullable=False),
    Column("event", Text, nullable=False),
    Column("shape", DOCUMENT, nullable=False),
    Column("length_ms", BigInteger, nullable=False),
    Column("saved_at", MILLISECONDS, nullable=False),
    Column("saved_by", FreeText, nullable=False),
    Index(None, "county", "works"),
)

# A person's word on a works' detector: verdicts up to `since` no longer silence it.
event_switch = Table(
    "event_switch",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("is_silent", Boolean),
    Column("since", MILLISECONDS, nullable=False),
    Column("by", FreeText, nullable=False),
)

# When an event was first written down: its finding changes as it goes on, and must not differ between one detector and the next.
event_told = Table(
    "event_told",
    metadata,
    Column("event", Text, primary_key=True),
    Column("told_at", MILLISECONDS, nullable=False),
)

# Append-only: who marked, switched, saved or deleted what, and when.
event_history = Table(
    "event_history",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("county", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("at", MILLISECONDS, nullable=False),
    Column("by", FreeText, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", FreeText, nullable=False),
    Index(None, "county", "works"),
)
