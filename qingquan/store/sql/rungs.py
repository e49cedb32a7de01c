"""Ladders of incidents: which want looking at, which rungs have been climbed, which incidents hang together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, tuple_, update

from qingquan.domain.incidents import Incident, Message, MessageState
from qingquan.store.sql.incidents import _incidents
from qingquan.store.sql.outbox import _message
from qingquan.store.sql.routing_schema import incident_rung
from qingquan.store.sql.schema import incident as table
from qingquan.store.sql.schema import outbox

__all__ = [
    "RungRow",
    "children_of",
    "due_incidents",
    "give_up_rung",
    "incidents_by_id",
    "is_any_due",
    "last_drilled",
    "next_drill_number",
    "open_causes",
    "open_of_cause",
    "opened_since",
    "postpone",
    "reword",
    "rungs_of",
    "set_parent",
    "take_rung",
    "waiting_messages",
]

WorksKey = tuple[str, str]
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class RungRow:
    """A rung that was climbed."""

    incident_id: int
    round: int
    rung: str
    at: int
    outcome: str


def due_incidents(connection: Connection, now_ms: int, limit: int) -> list[Incident]:
    """Incidents that want looking at, the longest due first, held until the transaction ends.

    Several processes may ask: none gets a row that another holds, and the hold ends with its holder.
    """
    query = select(table).where(table.c.next_at <= now_ms).order_by(table.c.next_at, table.c.id).limit(limit)
    return _incidents(connection, connection.execute(query.with_for_update(skip_locked=True)).all())


def is_any_due(connection: Connection, now_ms: int) -> bool:
    """Whether any incident wants looking at; a reading transaction is enough to ask."""
    return connection.scalar(select(table.c.id).where(table.c.next_at <= now_ms).limit(1)) is not None


def incidents_by_id(connection: Connection, ids: Collection[int]) -> list[Incident]:
    """These incidents, oldest first, held until the transaction ends."""
    found: list[Incident] = []
    wanted = sorted(ids)
    for n in range(0, len(wanted), CHUNK):
        query = select(table).where(table.c.id.in_(wanted[n : n + CHUNK])).order_by(table.c.id)
        found += _incidents(connection, connection.execute(query.with_for_update()).all())
    return found


def rungs_of(connection: Connection, ids: Collection[int]) -> list[RungRow]:
    """All rungs climbed for these incidents, in the order they were."""
    found: list[RungRow] = []
    wanted = sorted(ids)
    for n in range(0, len(wanted), CHUNK):
        query = select(incident_rung).where(incident_rung.c.incident_id.in_(wanted[n : n + CHUNK]))
        found += [RungRow(*row) for row in connection.execute(query.order_by(incident_rung.c.at))]
    return found


def take_rung(connection: Connection, rows: Sequence[RungRow]) -> None:
    """Note rungs as climbed. A rung climbed before is an `IntegrityError`: the holder of the incident's row climbs it once."""
    if rows:
        connection.execute(
            insert(incident_rung),
            [
                {"incident_id": r.incident_id, "round": r.round, "rung": r.rung, "at": r.at, "outcome": r.outcome}
                for r in rows
            ],
        )


def give_up_rung(connection: Connection, incident_id: int, round_: int, rung: str, now_ms: int) -> bool:
    """Note that a rung reached nobody after all, and have its incident looked at now; ``False`` if that is noted already."""
    row = (
        incident_rung.c.incident_id == incident_id, incident_rung.c.round == round_, incident_rung.c.rung == rung,
        incident_rung.c.outcome == "told",
    )  # fmt: skip
    if not connection.execute(update(incident_rung).where(*row).values(outcome="nobody")).rowcount:
        return False
    later = table.c.id == incident_id, table.c.next_at > now_ms
    connection.execute(update(table).where(*later).values(next_at=now_ms))
    return True


def open_causes(connection: Connection, keys: Collection[WorksKey]) -> dict[WorksKey, set[str]]:
    """Causes of the unresolved incidents of these works."""
    found: dict[WorksKey, set[str]] = {}
    wanted = sorted(set(keys))
    for n in range(0, len(wanted), CHUNK):
        chunk = wanted[n : n + CHUNK]
        query = select(table.c.county, table.c.works, table.c.cause).where(
            table.c.open_key.is_not(None),
            table.c.drill_number.is_(None),
            tuple_(table.c.county, table.c.works).in_(chunk),
        )
        for row in connection.execute(query):
            found.setdefault((row.county, row.works), set()).add(row.cause)
    return found


def opened_since(
    connection: Connection, keys: Collection[WorksKey], from_ms: int
) -> dict[tuple[str, str, str], list[int]]:
    """When live incidents of these works were opened since a time, by county, works and cause."""
    found: dict[tuple[str, str, str], list[int]] = {}
    wanted = sorted(set(keys))
    for n in range(0, len(wanted), CHUNK):
        chunk = wanted[n : n + CHUNK]
        query = select(table.c.county, table.c.works, table.c.cause, table.c.opened_at).where(
            table.c.opened_at >= from_ms, table.c.late.is_(False), table.c.drill_number.is_(None),
            tuple_(table.c.county, table.c.works).in_(chunk),
        )  # fmt: skip
        for row in connection.execute(query):
            found.setdefault((row.county, row.works, row.cause), []).append(row.opened_at)
    return found


def open_of_cause(connection: Connection, county: str, cause: str) -> list[Incident]:
    """Unresolved live incidents of a cause in a county, oldest first, held until the transaction ends."""
    query = select(table).where(
        table.c.open_key.is_not(None), table.c.county == county, table.c.cause == cause, table.c.late.is_(False)
    )
    rows = connection.execute(query.order_by(table.c.id).with_for_update()).all()
    return [one for n in range(0, len(rows), CHUNK) for one in _incidents(connection, rows[n : n + CHUNK])]


def children_of(connection: Connection, parent_id: int) -> list[Incident]:
    """Incidents gathered under one, oldest first."""
    query = select(table).where(table.c.parent_id == parent_id).order_by(table.c.id)
    return _incidents(connection, connection.execute(query).all())


def set_parent(connection: Connection, ids: Collection[int], parent_id: int | None, next_at: int | None) -> None:
    """Put incidents under a parent, or free them of it."""
    wanted = sorted(ids)
    for n in range(0, len(wanted), CHUNK):
        changed = update(table).where(table.c.id.in_(wanted[n : n + CHUNK]))
        connection.execute(changed.values(parent_id=parent_id, next_at=next_at))


def waiting_messages(connection: Connection, incident_id: int) -> list[Message]:
    """Messages of an incident that nobody has been given yet."""
    query = select(outbox).where(
        outbox.c.incident_id == incident_id, outbox.c.state == MessageState.QUEUED.value, outbox.c.attempts == 0
    )
    return [_message(row) for row in connection.execute(query.with_for_update())]


def postpone(connection: Connection, ids: Collection[int], until_ms: int) -> None:
    """Let what waits for these incidents wait at least until then."""
    wanted = sorted(ids)
    for n in range(0, len(wanted), CHUNK):
        waiting = (
            outbox.c.incident_id.in_(wanted[n : n + CHUNK])
            & (outbox.c.state == MessageState.QUEUED.value)
            & (outbox.c.due_at < until_ms)
        )
        connection.execute(update(outbox).where(waiting).values(due_at=until_ms))


def reword(connection: Connection, message_id: int, body: str, params: dict[str, str]) -> None:
    """Give a message that still waits other words."""
    waiting = (outbox.c.id == message_id) & (outbox.c.state == MessageState.QUEUED.value)
    connection.execute(update(outbox).where(waiting).values(body=body, params=params))


def next_drill_number(connection: Connection) -> int:
    """Drills are numbered by themselves."""
    return (connection.scalar(select(func.max(table.c.drill_number))) or 0) + 1


def last_drilled(connection: Connection, county: str) -> dict[tuple[str, str], int]:
    """When each works of a county had its last drill [ms]; works without one are left out."""
    query = (
        select(table.c.county, table.c.works, func.max(table.c.opened_at))
        .where(table.c.county == county, table.c.drill_number.is_not(None))
        .group_by(table.c.county, table.c.works)
    )
    return {(code, works): at for code, works, at in connection.execute(query)}
