"""The outbox: messages to people, written in the same transaction as what they tell of, and sent by the alerter.

Life of a row: ``queued`` -> leased (``sending``) -> ``accepted`` | ``refused`` | ``unknown`` | back to ``queued`` with a
later ``due_at``. A lease that runs out makes the row due again: its holder died, perhaps after the provider had the message.
"""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from qingquan.clock import from_ms, to_ms
from qingquan.domain.delivery import NotSent
from qingquan.domain.incidents import Message, MessageState, NewMessage
from qingquan.store.sql.columns import as_time
from qingquan.store.sql.schema import incident
from qingquan.store.sql.schema import outbox as table
from qingquan.store.sql.statements import Page, insert_ignoring, page_of, region

__all__ = ["enqueue", "get_message", "lease_due", "list_messages", "messages_of", "record_result"]


def enqueue(connection: Connection, messages: Iterable[NewMessage]) -> int:
    """Put messages into the outbox; how many were new.

    A message for an (incident, step, receiver, channel) that has one already is left out: it was told before.
    """
    rows = [_row(message) for message in messages]
    return insert_ignoring(connection, table, rows, key=["incident_id", "step", "receiver", "channel"])


def lease_due(connection: Connection, now_ms: int, worker: str, limit: int, lease_ms: int) -> list[Message]:
    """Take up to ``limit`` due messages for ``worker`` until ``now_ms + lease_ms``, the longest due first.

    No two workers get the same row. Needs a writing transaction, committed *before* the messages are sent. The state of a
    message tells what was found: ``queued``, or ``sending`` where an earlier holder died with it and nobody knows
    whether the provider has it.
    """
    due = or_(
        and_(table.c.state == MessageState.QUEUED.value, table.c.due_at <= now_ms),
        and_(table.c.state == MessageState.SENDING.value, table.c.leased_until <= now_ms),
    )
    query = select(table).where(due).order_by(table.c.due_at, table.c.id).limit(limit)
    found = [_message(row) for row in connection.execute(query.with_for_update(skip_locked=True))]
    taken = {"state": MessageState.SENDING.value, "leased_until": now_ms + lease_ms, "leased_by": worker}
    connection.execute(update(table).where(table.c.id.in_([message.id for message in found])).values(taken))
    return found


def record_result(
    connection: Connection,
    message_id: int,
    state: MessageState,
    provider_id: str = "",
    error: str = "",
    attempts: int = 0,
    next_due_ms: int | None = None,
    *,
    sent_at_ms: int | None = None,
    worker: str | None = None,
) -> bool:
    """Note how an attempt ended and give the lease back; ``queued`` with ``next_due_ms`` asks for another try.

    With ``worker`` given, nothing is written if that worker no longer holds the lease; ``False`` then.
    """
    values: dict[str, Any] = {
        "state": state.value,
        "provider_id": provider_id,
        "error": error,
        "attempts": attempts,
        "leased_until": None,
        "leased_by": "",
    }
    if next_due_ms is not None:
        values["due_at"] = next_due_ms
    if sent_at_ms is not None:
        values["sent_at"] = sent_at_ms
    where = [table.c.id == message_id]
    if worker is not None:
        where.append(table.c.leased_by == worker)
    return connection.execute(update(table).where(*where).values(values)).rowcount > 0


def get_message(connection: Connection, message_id: int) -> Message | None:
    """One message; ``None`` if there is none."""
    row = connection.execute(select(table).where(table.c.id == message_id)).one_or_none()
    return None if row is None else _message(row)


def messages_of(connection: Connection, incident_id: int) -> list[Message]:
    """All messages of an incident, oldest first."""
    query = select(table).where(table.c.incident_id == incident_id).order_by(table.c.id)
    return [_message(row) for row in connection.execute(query)]


def list_messages(
    connection: Connection,
    *,
    county: str | None = None,
    works: str | None = None,
    incident_id: int | None = None,
    states: Collection[MessageState] | None = None,
    channels: Collection[str] | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int = 100,
    offset: int = 0,
) -> Page[Message]:
    """Messages that fit every filter given, newest first; an empty filter is no filter.

    ``county`` (may be a shorter division code) and ``works`` are those of the incident. ``from_ms`` <= created < ``to_ms``.
    """
    where: list[ColumnElement[bool]] = []
    if county:
        where.append(region(incident.c.county, county))
    if works:
        where.append(incident.c.works == works)
    if incident_id is not None:
        where.append(table.c.incident_id == incident_id)
    if states:
        where.append(table.c.state.in_([str(state) for state in states]))
    if channels:
        where.append(table.c.channel.in_(channels))
    if from_ms is not None:
        where.append(table.c.created_at >= from_ms)
    if to_ms is not None:
        where.append(table.c.created_at < to_ms)
    query = select(table).join(incident, incident.c.id == table.c.incident_id).where(*where)
    page = page_of(connection, query, (table.c.created_at.desc(), table.c.id.desc()), limit, offset)
    return Page([_message(row) for row in page.items], page.total)


def _row(message: NewMessage) -> dict[str, Any]:
    return {
        "incident_id": message.incident_id,
        "step": message.step,
        "channel": message.channel,
        "receiver": message.receiver,
        "receiver_name": message.receiver_name,
        "body": message.body,
        "params": message.params,
        "state": (MessageState.NOT_SENT if message.not_sent_because else MessageState.QUEUED).value,
        "attempts": 0,
        "created_at": to_ms(message.created_at),
        "due_at": to_ms(message.due_at or message.created_at),
        "leased_by": "",
        "provider_id": "",
        "error": message.not_sent_because,
        "why": NotSent.NOT_TOLD.value if message.not_sent_because else "",
        "fallback": "\n".join(":".join(way) for way in message.fallback or _listed(message.params)),
        "stands_in_for": message.stands_in_for,
    }


def _message(row: Row[Any]) -> Message:
    return Message(
        id=row.id,
        incident_id=row.incident_id,
        step=row.step,
        channel=row.channel,
        receiver=row.receiver,
        receiver_name=row.receiver_name,
        body=row.body,
        params=dict(row.params),
        state=MessageState(row.state),
        attempts=row.attempts,
        created_at=from_ms(row.created_at),
        due_at=from_ms(row.due_at),
        sent_at=as_time(row.sent_at),
        provider_id=row.provider_id,
        error=row.error,
        why=row.why,
        fallback=_ways(row.fallback),
        carried_by=row.carried_by,
        stands_in_for=row.stands_in_for,
    )


def _listed(params: dict[str, str]) -> list[tuple[str, str]]:
    """Ways as the ladder writes them among the parameters: ``channel=receiver;…``."""
    parts = (way.partition("=") for way in params.get("fallback", "").split(";"))
    return [(channel, receiver) for channel, _, receiver in parts if channel and receiver]


def _ways(lines: str) -> tuple[tuple[str, str], ...]:
    parts = (line.partition(":") for line in lines.splitlines())
    return tuple((channel, receiver) for channel, _, receiver in parts if channel and receiver)
