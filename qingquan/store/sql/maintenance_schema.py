"""Table of calibration and maintenance: who works on the instruments of a point, why, and until when.

What judging reads are the readings in the log; ``start_sequence`` and ``end_sequence`` are their places in it, empty until
the log has them: what a log that was down has not got yet is sent again.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKeyConstraint, Index, Table, Text

from qingquan.store.sql.columns import IDENTITY, MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["maintenance"]

maintenance = Table(
    "maintenance",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("county", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("point", Text, nullable=False),
    Column("started_at", MILLISECONDS, nullable=False),
    Column("started_by", FreeText, nullable=False),
    Column("reason", FreeText, nullable=False),
    Column("planned_end_at", MILLISECONDS, nullable=False),
    Column("calibrated", Boolean, nullable=False),
    Column("ended_at", MILLISECONDS),
    Column("ended_by", FreeText, nullable=False),
    Column("start_sequence", BigInteger),
    Column("end_sequence", BigInteger),
    Index(None, "county", "works", "started_at"),
    Index(None, "ended_at"),
    ForeignKeyConstraint(["county", "works"], ["works.county", "works.id"], ondelete="CASCADE"),
)
