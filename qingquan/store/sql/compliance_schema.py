"""Tables of compliance by day and month: the figures in all their versions, and what is to be computed (again)."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, Table, Text

from qingquan.store.sql.columns import DOCUMENT, MILLISECONDS
from qingquan.store.sql.schema import metadata

__all__ = ["compliance", "compliance_dirty"]

# Versions count from 1. The newest is what is known now; an earlier one is what was known from its `known_at` on until the
# next one's. A version that is not published yet is replaced in place.
compliance = Table(
    "compliance",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("point", Text, primary_key=True),
    Column("parameter", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("known_at", MILLISECONDS, nullable=False),
    Column("is_published", Boolean, nullable=False),
    Column("is_newest", Boolean, nullable=False),
    Column("start_at", MILLISECONDS, nullable=False),
    Column("end_at", MILLISECONDS, nullable=False),
    Column("expected", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("usable", BigInteger, nullable=False),
    Column("met", BigInteger, nullable=False),
    Column("compliant_ms", BigInteger, nullable=False),
    Column("exceeding_ms", BigInteger, nullable=False),
    Column("unknown_ms", BigInteger, nullable=False),
    Column("mean", Double),
    Column("worst", Double),
    Column("worst_at", MILLISECONDS),
    Column("longest_ms", BigInteger, nullable=False),
    Column("episodes", Integer, nullable=False),
    Column("head_ms", BigInteger, nullable=False),
    Column("tail_ms", BigInteger, nullable=False),
    Column("findings", Integer, nullable=False),
    Column("limit_id", Text, nullable=False),
    Column("standard", Text, nullable=False),
    Column("clause", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("low", Double),
    Column("high", Double),
    Column("verdict", Text, nullable=False),
    Column("states", DOCUMENT, nullable=False),
    Index(None, "period", "county"),
)

# A day of a works whose figures do not contain all readings up to log sequence `sequence` (0 = by the calendar alone).
compliance_dirty = Table(
    "compliance_dirty",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)
