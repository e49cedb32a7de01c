"""Rulesets stored in the database, and which one is in force. All evaluators read it here, so all switch."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from qingquan.store.sql.rulesets_schema import ruleset, ruleset_activation, ruleset_status
from qingquan.store.sql.statements import insert_ignoring, insert_or_update

__all__ = [
    "RulesetStatus",
    "StoredRuleset",
    "activate_ruleset",
    "activation_number",
    "active_ruleset",
    "list_rulesets",
    "ruleset_statuses",
    "save_ruleset_status",
    "store_ruleset",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredRuleset:
    """A ruleset's text as it was checked and stored."""

    id: int
    digest: str
    version: str
    body: str
    stored_at: int
    stored_by: str


@dataclass(frozen=True, slots=True)
class RulesetStatus:
    """By which ruleset a service judges, since when [ms], and why it refused a newer one (empty: none)."""

    service: str
    version: str
    digest: str
    source: str
    since: int
    error: str = ""
    error_at: int | None = None


def store_ruleset(connection: Connection, digest: str, version: str, body: str, at_ms: int, by: str) -> int:
    """Keep a checked ruleset; the number of the same text where it is held already."""
    row = {"digest": digest, "version": version, "body": body, "stored_at": at_ms, "stored_by": by}
    insert_ignoring(connection, ruleset, [row], key=["digest"])
    return int(connection.scalar(select(ruleset.c.id).where(ruleset.c.digest == digest)) or 0)


def activate_ruleset(connection: Connection, ruleset_id: int | None, at_ms: int, by: str) -> None:
    """Put a stored ruleset in force; ``None`` gives the word back to the file of the settings."""
    row = {"ruleset_id": ruleset_id, "activated_at": at_ms, "activated_by": by}
    connection.execute(insert(ruleset_activation).values(row))


def activation_number(connection: Connection) -> int:
    """Number of the newest activation: changes whenever another ruleset was put in force; 0 before the first."""
    table = ruleset_activation
    return int(connection.scalar(select(table.c.id).order_by(table.c.id.desc()).limit(1)) or 0)


def active_ruleset(connection: Connection) -> StoredRuleset | None:
    """The stored ruleset in force, if it is one of these."""
    table = ruleset_activation
    newest = connection.scalar(select(table.c.ruleset_id).order_by(table.c.id.desc()).limit(1))
    if newest is None:
        return None
    row = connection.execute(select(ruleset).where(ruleset.c.id == newest)).one()
    return StoredRuleset(row.id, row.digest, row.version, row.body, row.stored_at, row.stored_by)


def list_rulesets(connection: Connection) -> list[StoredRuleset]:
    """All stored rulesets, newest first."""
    rows = connection.execute(select(ruleset).order_by(ruleset.c.id.desc()))
    return [StoredRuleset(row.id, row.digest, row.version, row.body, row.stored_at, row.stored_by) for row in rows]


def save_ruleset_status(connection: Connection, status: RulesetStatus) -> None:
    """Say by which ruleset a service judges."""
    row = {
        "service": status.service, "version": status.version, "digest": status.digest, "source": status.source,
        "since": status.since, "error": status.error, "error_at": status.error_at,
    }  # fmt: skip
    insert_or_update(connection, ruleset_status, [row], key=["service"])


def ruleset_statuses(connection: Connection) -> list[RulesetStatus]:
    """What every service judges by."""
    rows = connection.execute(select(ruleset_status).order_by(ruleset_status.c.service))
    return [
        RulesetStatus(row.service, row.version, row.digest, row.source, row.since, row.error, row.error_at)
        for row in rows
    ]
