"""How the province's county edges stand: one row each, brought up to date every few seconds. Times are of our clock."""

from sqlalchemy import BigInteger, Column, Table, Text

from qingquan.store.sql.columns import MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["edge_link"]

edge_link = Table(
    "edge_link",
    metadata,
    Column("name", Text, primary_key=True),
    Column("checked_at", MILLISECONDS, nullable=False),
    Column("heard_at", MILLISECONDS),
    # When the province last had everything the edge had.
    Column("level_at", MILLISECONDS),
    Column("last_sequence", BigInteger, nullable=False),
    Column("waiting", BigInteger, nullable=False),
    # When the edge's log was made: one made anew counts from 1 again.
    Column("log_made", Text, nullable=False),
    # Why its readings are not taken; empty where they are.
    Column("fault", FreeText, nullable=False),
)
