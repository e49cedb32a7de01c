"""Tables of delivery: what was spent of the budgets, the gate of each channel, access tokens shared by the workers."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from qingquan.store.sql.columns import IDENTITY, MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["access_token", "channel_gate", "spending"]

# One row for every message handed over, written before it is; taken back only where the provider certainly took nothing.
spending = Table(
    "spending",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("receiver", FreeText, nullable=False),
    Column("at", MILLISECONDS, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    Index(None, "channel", "at"),
    Index(None, "message_id"),
)

# Locked by whoever spends: two workers never count the same budget at one time. Closed while a provider wants to be left alone.
channel_gate = Table(
    "channel_gate",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("closed_until", MILLISECONDS, nullable=False),
    Column("why", FreeText, nullable=False),
)

access_token = Table(
    "access_token",
    metadata,
    Column("name", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("expires_at", MILLISECONDS, nullable=False),
)
