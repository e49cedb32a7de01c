"""What was set aside at the doors, kept with its payload so that it can be sent through again after a fix."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, tuple_, update

from qingquan.domain.readings import Quarantined, QuarantineReason
from qingquan.store.sql.columns import bounded_key
from qingquan.store.sql.schema import quarantine as table
from qingquan.store.sql.statements import Page, insert_ignoring, page_of, region

__all__ = [
    "QuarantineEntry",
    "Waiting",
    "count_waiting_messages",
    "counts_by_reason",
    "get_quarantined",
    "insert_quarantined",
    "list_quarantined",
    "list_waiting",
    "mark_messages_redriven",
    "mark_redriven",
    "newest_id",
    "positions_of",
]


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Something set aside, as the store numbers it; ``redriven_at`` [ms since epoch, UTC] once it was sent again."""

    id: int
    item: Quarantined
    redriven_at: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Entries not sent again yet, of these reasons (empty = any), with these ids (``None`` = any), none newer than ``newest``."""

    reasons: Collection[QuarantineReason]
    ids: Collection[int] | None
    newest: int

    def clauses(self) -> list[ColumnElement[bool]]:
        """The same as a query says it."""
        where: list[ColumnElement[bool]] = [table.c.redriven_at.is_(None), table.c.id <= self.newest]
        if self.reasons:
            where.append(table.c.reason.in_([str(reason) for reason in self.reasons]))
        if self.ids is not None:
            where.append(table.c.id.in_(self.ids))
        return where


def insert_quarantined(connection: Connection, items: Iterable[Quarantined]) -> int:
    """Keep items; how many were new. The same part of the same message is kept once, however often it is read."""
    return insert_ignoring(connection, table, [_row(item) for item in items], key=["sequence", "position"])


def get_quarantined(connection: Connection, ids: Collection[int]) -> list[QuarantineEntry]:
    """Those of the entries that exist, in the order they came through the log."""
    query = select(table).where(table.c.id.in_(ids)).order_by(table.c.sequence, table.c.id)
    return [_entry(row) for row in connection.execute(query)]


def list_quarantined(
    connection: Connection,
    *,
    county: str | None = None,
    works: str | None = None,
    reasons: Collection[QuarantineReason] | None = None,
    is_redriven: bool | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int = 100,
    offset: int = 0,
) -> Page[QuarantineEntry]:
    """Entries that fit every filter given, newest first; an empty filter is no filter.

    ``county`` may be a shorter division code; an entry whose topic names no county is in no region but the whole.
    ``from_ms`` <= received < ``to_ms``.
    """
    where: list[ColumnElement[bool]] = []
    if county:
        where.append(region(table.c.county, county))
    if works:
        where.append(table.c.works == works)
    if reasons:
        where.append(table.c.reason.in_([str(reason) for reason in reasons]))
    if is_redriven is not None:
        where.append(table.c.redriven_at.is_not(None) if is_redriven else table.c.redriven_at.is_(None))
    if from_ms is not None:
        where.append(table.c.received_at >= from_ms)
    if to_ms is not None:
        where.append(table.c.received_at < to_ms)
    order = (table.c.received_at.desc(), table.c.id.desc())
    page = page_of(connection, select(table).where(*where), order, limit, offset)
    return Page([_entry(row) for row in page.items], page.total)


def newest_id(connection: Connection) -> int:
    """Id of the entry made last, 0 when there is none."""
    return connection.execute(select(func.max(table.c.id))).scalar() or 0


def positions_of(connection: Connection, first: int, last: int) -> set[tuple[int, str]]:
    """Sequence and position of everything set aside of the messages from ``first`` to ``last``."""
    query = select(table.c.sequence, table.c.position).where(table.c.sequence.between(first, last))
    return {(sequence, position) for sequence, position in connection.execute(query)}


def list_waiting(
    connection: Connection, waiting: Waiting, after: QuarantineEntry | None, limit: int
) -> list[QuarantineEntry]:
    """The next entries that wait, in the order they came through the log, after a given one."""
    where = waiting.clauses()
    if after is not None:
        where.append(tuple_(table.c.sequence, table.c.id) > (after.item.sequence, after.id))
    query = select(table).where(*where).order_by(table.c.sequence, table.c.id).limit(limit)
    return [_entry(row) for row in connection.execute(query)]


def count_waiting_messages(connection: Connection, waiting: Waiting) -> int:
    """How many messages have entries that wait."""
    messages = select(table.c.sequence, table.c.digest).where(*waiting.clauses()).distinct().subquery()
    return connection.execute(select(func.count()).select_from(messages)).scalar_one()


def mark_messages_redriven(connection: Connection, sequences: Collection[int], at_ms: int) -> int:
    """Note that messages went through the door again, all their entries with them; how many entries were not marked before."""
    unmarked = update(table).where(table.c.sequence.in_(sequences), table.c.redriven_at.is_(None))
    return connection.execute(unmarked.values(redriven_at=at_ms)).rowcount


def mark_redriven(connection: Connection, ids: Collection[int], at_ms: int) -> int:
    """Note that entries were sent through the door again; how many were not marked before."""
    unmarked = update(table).where(table.c.id.in_(ids), table.c.redriven_at.is_(None))
    return connection.execute(unmarked.values(redriven_at=at_ms)).rowcount


def counts_by_reason(connection: Connection, county: str | None = None) -> dict[str, int]:
    """How many entries there are of each reason, re-driven ones included."""
    where = [region(table.c.county, county)] if county else []
    query = (
        select(table.c.reason, func.count().label("number"))
        .where(*where)
        .group_by(table.c.reason)
        .order_by(table.c.reason)
    )
    return {row.reason: row.number for row in connection.execute(query)}


def _row(item: Quarantined) -> dict[str, Any]:
    county, works = _place(item.subject)
    return {
        "reason": item.reason.value,
        "detail": item.detail,
        "sequence": item.sequence,
        "received_at": item.received_at,
        "county": county,
        "works": works,
        "subject": item.subject,
        "position": bounded_key(item.position),
        "payload": item.payload,
        "digest": item.digest,
    }


def _place(subject: str) -> tuple[str, str]:
    """County and works as a stored subject (``….wq.<county>.<works>.…``) names them, ``""`` where it does not."""
    parts = subject.split(".")
    if "wq" not in parts:
        return "", ""
    county, works, *_ = [*parts[parts.index("wq") + 1 :], "", ""]
    return county, works


def _entry(row: Row[Any]) -> QuarantineEntry:
    item = Quarantined(
        reason=QuarantineReason(row.reason),
        detail=row.detail,
        sequence=row.sequence,
        received_at=row.received_at,
        subject=row.subject,
        position=row.position,
        payload=bytes(row.payload),
        digest=row.digest,
    )
    return QuarantineEntry(row.id, item, row.redriven_at)
