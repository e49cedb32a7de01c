"""Tables of answers from the phone, and of the links that lead to them."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text, UniqueConstraint

from qingquan.store.sql.columns import IDENTITY, MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["answer", "answer_link"]

# Refused ones stand here as well: who tried, and why it counted for nothing.
answer = Table(
    "answer",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("incident_id", ForeignKey("incident.id")),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("sender", FreeText, nullable=False),
    Column("person", FreeText, nullable=False),
    Column("at", MILLISECONDS, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("text", FreeText, nullable=False),
    Column("until_at", MILLISECONDS),
    Column("photo_digest", Text, nullable=False),
    Column("photo_type", Text, nullable=False),
    Column("photo_bytes", BigInteger, nullable=False),
    Column("repeat_key", Text, nullable=False),
    # The same answer, however often it is pushed or clicked, is one row.
    UniqueConstraint("repeat_key"),
    Index(None, "incident_id", "id"),
    Index(None, "at", "id"),
)

# A link is kept as the digest of its token: who reads this table cannot follow it.
answer_link = Table(
    "answer_link",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("incident_id", ForeignKey("incident.id"), nullable=False),
    Column("message_id", ForeignKey("outbox.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("receiver", FreeText, nullable=False),
    Column("person", FreeText, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("expires_at", MILLISECONDS, nullable=False),
    Index(None, "expires_at"),
)
