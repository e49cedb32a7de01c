"""What one evaluation asks of incidents and their messages, for thousands of works in a handful of statements.

The twins for a single incident stand in `incidents` and `outbox`; rows and rules are the same.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import Finding
from qingquan.domain.incidents import Incident, MessageState, TransitionReason
from qingquan.store.sql.findings import get_findings
from qingquan.store.sql.incidents import _incidents, _open_key_of, _row
from qingquan.store.sql.schema import incident as table
from qingquan.store.sql.schema import incident_event, incident_finding, outbox

__all__ = [
    "Told",
    "add_events",
    "call_off",
    "insert_incidents",
    "link_findings",
    "linked_findings",
    "retrospective_incidents",
    "stored_findings",
    "told_of",
    "unresolved_incidents",
    "update_incidents",
    "works_with_incident",
]

T = TypeVar("T")
WorksKey = tuple[str, str]

# Well below the 32,766 variables a SQLite statement may have, two per works.
CHUNK = 5_000

# A row in one of these states reached the provider, or may have.
_TOLD = (MessageState.SENDING, MessageState.ACCEPTED, MessageState.DELIVERED, MessageState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody who has been told of an incident, over a channel."""

    incident_id: int
    channel: str
    receiver: str
    receiver_name: str


def stored_findings(connection: Connection, finding_ids: Collection[str]) -> dict[str, Finding]:
    """Those of the findings that are stored, by id."""
    return {f.id: f for chunk in _chunks(finding_ids) for f in get_findings(connection, chunk)}


def linked_findings(connection: Connection, finding_ids: Collection[str]) -> set[str]:
    """Those of the findings that stand under an incident, resolved or not."""
    links = incident_finding.c.finding_id
    return {
        str(found)
        for chunk in _chunks(finding_ids)
        for found in connection.scalars(select(links).where(links.in_(chunk)).distinct())
    }


def unresolved_incidents(connection: Connection, works: Collection[WorksKey]) -> list[Incident]:
    """All incidents of these works that are not resolved, oldest first, held until the transaction ends."""
    found: list[Incident] = []
    for chunk in _chunks(works):
        query = select(table).where(table.c.open_key.is_not(None), tuple_(table.c.county, table.c.works).in_(chunk))
        rows = connection.execute(query.order_by(table.c.id).with_for_update()).all()
        found += [one for part in _chunks(rows) for one in _incidents(connection, part)]
    return found


def retrospective_incidents(connection: Connection, works: Collection[WorksKey], from_ms: int) -> list[Incident]:
    """Resolved incidents of these works that were recorded late, not before ``from_ms``; oldest first."""
    found: list[Incident] = []
    for chunk in _chunks(works):
        query = select(table).where(
            table.c.late, table.c.open_key.is_(None), table.c.opened_at >= from_ms,
            tuple_(table.c.county, table.c.works).in_(chunk),
        )  # fmt: skip
        found += _incidents(connection, connection.execute(query.order_by(table.c.id).with_for_update()).all())
    return found


def works_with_incident(connection: Connection, works: Collection[WorksKey], cause: str) -> set[WorksKey]:
    """Those of the works that have, or ever had, an incident of this cause."""
    columns = table.c.county, table.c.works
    return {
        (row.county, row.works)
        for chunk in _chunks(works)
        for row in connection.execute(
            select(*columns).where(table.c.cause == cause, tuple_(*columns).in_(chunk)).distinct()
        )
    }


def insert_incidents(connection: Connection, incidents: Sequence[Incident]) -> list[Incident]:
    """Store new incidents, cause from ``summary["cause"]``; the same ones with the ids they got, in the same order.

    A second unresolved one of a works and cause is refused by the database (`IntegrityError`): a programming error.
    """
    if not incidents:
        return []
    rows = [
        _row(one) | {"cause": one.summary["cause"], "open_key": _open_key_of(one, one.summary["cause"])}
        for one in incidents
    ]
    statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
    numbers = connection.scalars(statement, rows).all()
    return [replace(one, id=number) for one, number in zip(incidents, numbers, strict=True)]


def update_incidents(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Bring stored incidents to the values given; findings are linked by `link_findings` alone."""
    if not incidents:
        return
    rows = [
        _row(one) | {"open_key": _open_key_of(one, one.summary["cause"]), "incident_id": one.id}
        for one in sorted(incidents, key=lambda one: one.id)
    ]
    connection.execute(update(table).where(table.c.id == bindparam("incident_id")), rows)


def link_findings(connection: Connection, links: Iterable[tuple[int, str]]) -> None:
    """Put stored findings under incidents: pairs of incident id and finding id that are not linked yet."""
    rows = [{"incident_id": number, "finding_id": finding_id} for number, finding_id in links]
    if rows:
        connection.execute(insert(incident_finding), rows)


def add_events(connection: Connection, at_ms: int, events: Iterable[tuple[int, TransitionReason, str]]) -> None:
    """Add lines to the history of incidents: incident id, reason, detail. The actor is the system itself."""
    rows = [
        {"incident_id": number, "at": at_ms, "reason": reason.value, "actor": "", "detail": detail}
        for number, reason, detail in events
    ]
    if rows:
        connection.execute(insert(incident_event), rows)


def call_off(connection: Connection, incident_ids: Collection[int], error: str, why: NotSent = NotSent.OVER) -> int:
    """Withdraw the messages of these incidents that wait and were never handed to a provider; how many there were."""
    count = 0
    for chunk in _chunks(incident_ids):
        waiting = (outbox.c.state == MessageState.QUEUED.value) & outbox.c.incident_id.in_(chunk)
        changed = update(outbox).where(waiting).values(state=MessageState.NOT_SENT.value, error=error, why=why.value)
        count += connection.execute(changed).rowcount
    return count


def told_of(connection: Connection, incident_ids: Collection[int]) -> list[Told]:
    """Who was told of these incidents, each once per channel, in the order they were told."""
    columns = outbox.c.incident_id, outbox.c.channel, outbox.c.receiver, outbox.c.receiver_name
    told: dict[tuple[int, str, str], Told] = {}
    for chunk in _chunks(incident_ids):
        reached = outbox.c.state.in_([state.value for state in _TOLD])
        query = select(*columns).where(reached, outbox.c.incident_id.in_(chunk)).order_by(outbox.c.id)
        for row in connection.execute(query):
            told.setdefault((row.incident_id, row.channel, row.receiver), Told(*row))
    return list(told.values())


def _chunks(items: Collection[T]) -> Iterator[list[T]]:
    ordered = list(items)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]
