"""Tables of rulesets: those stored here, which one is in force since when, and what each evaluator judges by."""

from sqlalchemy import Column, ForeignKey, Table, Text

from qingquan.store.sql.columns import IDENTITY, MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["ruleset", "ruleset_activation", "ruleset_status"]

ruleset = Table(
    "ruleset",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("version", FreeText, nullable=False),
    Column("body", FreeText, nullable=False),
    Column("stored_at", MILLISECONDS, nullable=False),
    Column("stored_by", FreeText, nullable=False),
)

# The newest row decides; without a ruleset it gives the word back to the file of the settings. Rows are never changed.
ruleset_activation = Table(
    "ruleset_activation",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("ruleset_id", ForeignKey("ruleset.id")),
    Column("activated_at", MILLISECONDS, nullable=False),
    Column("activated_by", FreeText, nullable=False),
)

ruleset_status = Table(
    "ruleset_status",
    metadata,
    Column("service", Text, primary_key=True),
    Column("version", FreeText, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source", FreeText, nullable=False),
    Column("since", MILLISECONDS, nullable=False),
    Column("error", FreeText, nullable=False),
    Column("error_at", MILLISECONDS),
)
