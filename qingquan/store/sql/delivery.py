"""What the alerter asks of the outbox beyond `outbox`: rows of one channel, attempts on hold, receipts, ways left."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, update

from qingquan.domain.delivery import MEANT, TRY_ANOTHER_WAY, NotSent
from qingquan.domain.findings import Severity
from qingquan.domain.incidents import IncidentState, Message, MessageState
from qingquan.store.sql.outbox import _message
from qingquan.store.sql.routing_schema import incident_rung
from qingquan.store.sql.schema import incident
from qingquan.store.sql.schema import outbox as table

__all__ = [
    "call_off_late",
    "claim",
    "due_messages",
    "has_due",
    "has_redundant",
    "has_work",
    "hold",
    "hold_stranded",
    "mark_stood_in",
    "note_receipt",
    "receipts_due",
    "set_aside",
    "settle",
    "stranded",
    "undelivered",
    "unheard_rungs",
    "with_provider_id",
    "withdraw_stood_in",
]

# A clock that was set back leaves times in the future that nobody meant. No lease and no question is ever set so far ahead;
# a message written in the future is due at once.
FURTHEST_MS = 3_600_000
SKEW_MS = 2_000
# Incidents asked for in one statement.
CHUNK = 5_000
# No rung waits longer for the next one.
LOOKED_BACK_MS = 2 * 86_400_000

_ARRIVED = (MessageState.ACCEPTED.value, MessageState.DELIVERED.value)
_LOST = (MessageState.REFUSED.value, MessageState.NOT_SENT.value, MessageState.UNKNOWN.value)


def due_messages(
    connection: Connection, channel: str, now_ms: int, limit: int, furthest_ms: int = FURTHEST_MS
) -> list[Message]:
    """Messages of a channel to act upon, the longest due first, held until the transaction ends.

    The state tells which: ``queued``, or ``sending`` where a lease has run out and nobody knows whether the provider has it.
    """
    due = _due(now_ms, furthest_ms)
    query = select(table).where(table.c.channel == channel, due).order_by(table.c.due_at, table.c.id).limit(limit)
    return [_message(row) for row in connection.execute(query.with_for_update(skip_locked=True))]


def has_work(connection: Connection, channels: Collection[str], now_ms: int, furthest_ms: int = FURTHEST_MS) -> bool:
    """Whether any of these channels has anything to do, at the cost of a look; for a transaction that only reads."""
    return _is_any(connection, channels, or_(_due(now_ms, furthest_ms), _receipt_due(now_ms)))


def has_due(connection: Connection, channels: Collection[str], now_ms: int) -> bool:
    """The same of messages alone, where nobody could be asked for a receipt."""
    return _is_any(connection, channels, _due(now_ms, FURTHEST_MS))


def _is_any(connection: Connection, channels: Collection[str], wanted: ColumnElement[bool]) -> bool:
    query = select(table.c.id).where(table.c.channel.in_(channels), wanted)
    return connection.execute(query.limit(1)).first() is not None


def _due(now_ms: int, furthest_ms: int) -> ColumnElement[bool]:
    return or_(
        and_(
            table.c.state == MessageState.QUEUED.value,
            or_(table.c.due_at <= now_ms, table.c.created_at > now_ms + SKEW_MS),
        ),
        and_(
            table.c.state == MessageState.SENDING.value,
            or_(table.c.leased_until <= now_ms, table.c.leased_until > now_ms + furthest_ms),
        ),
    )


def _receipt_due(now_ms: int) -> ColumnElement[bool]:
    return and_(
        table.c.state == MessageState.ACCEPTED.value,
        or_(table.c.ask_at <= now_ms, table.c.ask_at > now_ms + 24 * FURTHEST_MS),
        or_(table.c.carried_by.is_(None), table.c.carried_by == table.c.id),
    )


def claim(
    connection: Connection, message_ids: Collection[int], worker: str, until_ms: int, carried_by: int | None = None
) -> None:
    """Mark messages as about to be handed over by ``worker``, as part of ``carried_by``; commit before doing so."""
    taken: dict[str, object] = {"state": MessageState.SENDING.value, "leased_until": until_ms, "leased_by": worker}
    if carried_by is not None:
        taken["carried_by"] = carried_by
    connection.execute(update(table).where(table.c.id.in_(message_ids)).values(taken))


def hold(connection: Connection, message_ids: Collection[int], until_ms: int, error: str, worker: str) -> bool:
    """Keep an attempt of unknown outcome, made by ``worker``, to be asked about at ``until_ms``.

    ``False``, and nothing written, if that worker no longer holds the lease.
    """
    values = {"state": MessageState.SENDING.value, "leased_until": until_ms, "leased_by": "", "error": error}
    held = update(table).where(table.c.id.in_(message_ids), table.c.leased_by == worker).values(values)
    return connection.execute(held).rowcount > 0


def set_aside(connection: Connection, due: dict[int, int]) -> None:
    """Put messages that wait off until later: id to the time they are due again [ms]."""
    for message_id, due_ms in sorted(due.items()):
        waiting = table.c.id == message_id, table.c.state == MessageState.QUEUED.value
        connection.execute(update(table).where(*waiting).values(due_at=due_ms))


def settle(
    connection: Connection,
    message_ids: Collection[int],
    state: MessageState,
    worker: str,
    *,
    provider_id: str = "",
    error: str = "",
    why: str = "",
    attempts: int = 0,
    due_ms: int | None = None,
    sent_at_ms: int | None = None,
    ask_at_ms: int | None = None,
    receipt_at_ms: int | None = None,
) -> bool:
    """Note how an attempt of ``worker`` ended and give the lease back; ``False`` and nothing written if it holds it no longer.

    That a provider has the message is true whoever holds the lease by now: it wins over "unknown". ``attempts`` is added.
    """
    values: dict[str, object] = {
        "state": state.value, "error": error, "why": why, "attempts": table.c.attempts + attempts,
        "leased_until": None, "leased_by": "", "ask_at": ask_at_ms,
    }  # fmt: skip
    if provider_id:
        values["provider_id"] = provider_id
    if due_ms is not None:
        values["due_at"] = due_ms
    if state is MessageState.QUEUED:
        values["carried_by"] = None
    if sent_at_ms is not None:
        values["sent_at"] = sent_at_ms
    if receipt_at_ms is not None:
        values["receipt_at"] = receipt_at_ms
    rows = update(table).where(table.c.id.in_(message_ids))
    if connection.execute(rows.where(table.c.leased_by == worker).values(values)).rowcount:
        return True
    if state not in (MessageState.ACCEPTED, MessageState.DELIVERED):
        return False
    doubtful = table.c.state.in_((MessageState.SENDING.value, MessageState.UNKNOWN.value))
    return connection.execute(rows.where(doubtful).values(values)).rowcount > 0


def call_off_late(connection: Connection, messages: Sequence[Message]) -> set[int]:
    """Those of the messages whose incident was only found late (buffered data): nobody is rung up for what is past."""
    ids = {message.incident_id for message in messages}
    late = {row.id for row in connection.execute(select(incident.c.id).where(incident.c.id.in_(ids), incident.c.late))}
    called_off = {message.id for message in messages if message.incident_id in late}
    values = {
        "state": MessageState.NOT_SENT.value,
        "why": NotSent.LATE_FINDING.value,
        "error": "found late, in buffered data",
    }
    connection.execute(update(table).where(table.c.id.in_(called_off)).values(values))
    return called_off


# --- receipts ---------------------------------------------------------------------------------------------------------


def receipts_due(connection: Connection, channel: str, now_ms: int, until_ms: int, limit: int) -> list[Message]:
    """Accepted messages to ask the provider about; nobody else asks before ``until_ms``. Of a batch, the one that carried it."""
    query = (
        select(table)
        .where(table.c.channel == channel, _receipt_due(now_ms))
        .order_by(table.c.ask_at, table.c.id)
        .limit(limit)
    )  # fmt: skip
    found = [_message(row) for row in connection.execute(query.with_for_update(skip_locked=True))]
    if found:
        ids = [message.id for message in found]
        connection.execute(update(table).where(table.c.id.in_(ids)).values(ask_at=until_ms))
    return found


def with_provider_id(connection: Connection, channel: str, provider_id: str) -> Message | None:
    """The message that a provider knows by this name, of a batch the one that carried it."""
    query = (
        select(table)
        .where(
            table.c.channel == channel, table.c.provider_id == provider_id,
            or_(table.c.carried_by.is_(None), table.c.carried_by == table.c.id),
        )
        .order_by(table.c.id)
        .limit(1)
    )  # fmt: skip
    row = connection.execute(query).one_or_none() if provider_id else None
    return None if row is None else _message(row)


def note_receipt(
    connection: Connection,
    carrier_id: int,
    state: MessageState,
    *,
    error: str = "",
    why: str = "",
    due_ms: int | None = None,
    ask_at_ms: int | None = None,
    receipt_at_ms: int | None = None,
) -> int:
    """Write a provider's later word on a message and all it carried; how many rows had not had it yet."""
    waiting = table.c.state.in_((MessageState.ACCEPTED.value, MessageState.SENDING.value, MessageState.UNKNOWN.value))
    values: dict[str, object] = {"state": state.value, "error": error, "why": why, "ask_at": ask_at_ms}
    if state is not MessageState.ACCEPTED:
        values |= {"leased_until": None, "leased_by": ""}
    if due_ms is not None:
        values["due_at"] = due_ms
    if receipt_at_ms is not None:
        values["receipt_at"] = receipt_at_ms
    rows = or_(table.c.id == carrier_id, table.c.carried_by == carrier_id)
    return connection.execute(update(table).where(rows, waiting).values(values)).rowcount


# --- other ways -------------------------------------------------------------------------------------------------------


def stranded(connection: Connection, limit: int, incidents: Collection[int] | None = None) -> list[Message]:
    """Messages with a way left that have not certainly arrived, of incidents nobody has answered for; oldest first.

    Of all of these incidents or of those named. A transaction that only reads will do.
    """
    query = _stranded().order_by(table.c.id).limit(limit)
    if incidents is not None:
        query = query.where(table.c.incident_id.in_(incidents))
    return [_message(row) for row in connection.execute(query)]


def hold_stranded(connection: Connection, ids: Collection[int]) -> list[Message]:
    """Those of these messages that are stranded still and that nobody else holds, oldest first, held until the transaction ends."""
    query = _stranded().where(table.c.id.in_(ids)).order_by(table.c.id)
    return [_message(row) for row in connection.execute(query.with_for_update(skip_locked=True, of=table))]


def _stranded() -> Select[Any]:
    # What waits in the queue of a slow provider is among them: whether it has waited too long is the caller's to say.
    return (
        select(table)
        .join(incident, incident.c.id == table.c.incident_id)
        .where(
            table.c.fallback != "", table.c.stood_in_at.is_(None), table.c.state != MessageState.DELIVERED.value,
            or_(
                table.c.state.not_in([MessageState.REFUSED.value, MessageState.NOT_SENT.value]),
                table.c.why.in_([why.value for why in TRY_ANOTHER_WAY]),
            ),
            incident.c.state == IncidentState.OPEN.value,
        )
    )  # fmt: skip


def mark_stood_in(connection: Connection, message_ids: Collection[int], now_ms: int) -> None:
    """Another message stands in for each of these from now on."""
    connection.execute(update(table).where(table.c.id.in_(message_ids)).values(stood_in_at=now_ms))


def withdraw_stood_in(connection: Connection) -> int:
    """Call off messages that still wait although another one has reached the same person in their place; how many."""
    stand_in = table.alias("stand_in")
    arrived = select(stand_in.c.stands_in_for).where(
        stand_in.c.stands_in_for.is_not(None),
        or_(stand_in.c.state.in_(_ARRIVED), stand_in.c.why == NotSent.OTHER_WAY.value),
    )  # fmt: skip
    waiting = table.c.state == MessageState.QUEUED.value, table.c.stood_in_at.is_not(None), table.c.id.in_(arrived)
    values = {"state": MessageState.NOT_SENT.value, "why": NotSent.OTHER_WAY.value, "error": "arrived another way"}
    return connection.execute(update(table).where(*waiting).values(values)).rowcount


def has_redundant(connection: Connection) -> bool:
    """Whether anything waits that another message stands in for; for a transaction that only reads."""
    waiting = table.c.state == MessageState.QUEUED.value, table.c.stood_in_at.is_not(None)
    return connection.execute(select(table.c.id).where(*waiting).limit(1)).first() is not None


def undelivered(connection: Connection, incident_ids: Collection[int]) -> dict[int, list[Message]]:
    """By incident, messages that should have gone and are refused, not sent or unknown, without a stand-in; oldest first.

    An incident without any is left out.
    """
    should_have_gone = (
        table.c.state.in_(_LOST), table.c.stood_in_at.is_(None), table.c.why.not_in([why.value for why in MEANT]), table.c.channel != ""
    )  # fmt: skip
    found: dict[int, list[Message]] = {}
    wanted = sorted(incident_ids)
    for n in range(0, len(wanted), CHUNK):
        query = select(table).where(table.c.incident_id.in_(wanted[n : n + CHUNK]), *should_have_gone)
        for row in connection.execute(query.order_by(table.c.id)):
            found.setdefault(row.incident_id, []).append(_message(row))
    return found


def unheard_rungs(
    connection: Connection, now_ms: int, group_channel: str, incidents: Collection[int] | None = None
) -> list[tuple[int, int, str]]:
    """Rungs last climbed of open incidents (of those named) whose messages are all lost, as (incident, round, rung), where a next look
    is planned.

    What may still arrive, and what has a way left, is not lost; an uncertain one only counts as lost where it is critical. A post
    to the group of a county stands for nobody in particular, and counts only where nobody else was told.
    """
    last, lost = incident_rung.alias("last"), table.alias("lost")
    latest = select(func.max(last.c.at)).where(
        last.c.incident_id == incident_rung.c.incident_id, last.c.round == incident_rung.c.round
    )
    query = (
        select(incident_rung.c.incident_id, incident_rung.c.round, incident_rung.c.rung, table.c.channel, table.c.state,
               table.c.why, table.c.fallback, table.c.stood_in_at, incident.c.severity)
        .join(incident, incident.c.id == incident_rung.c.incident_id)
        .join(table, and_(table.c.incident_id == incident.c.id, table.c.created_at >= incident_rung.c.at))
        .where(
            incident.c.state == IncidentState.OPEN.value, incident.c.next_at > now_ms,
            incident_rung.c.round == incident.c.round, incident_rung.c.outcome == "told",
            incident_rung.c.at == latest.scalar_subquery(), table.c.channel != "",
            incident.c.id.in_(
                select(lost.c.incident_id).where(
                    lost.c.state.in_(_LOST), lost.c.stood_in_at.is_(None), lost.c.channel != "",
                    lost.c.created_at >= now_ms - LOOKED_BACK_MS,
                )
            ),
        )
        .order_by(incident_rung.c.incident_id, table.c.id)
    )  # fmt: skip
    if incidents is not None:
        query = query.where(incident.c.id.in_(incidents))
    rungs: dict[tuple[int, int, str], list[Any]] = {}
    for row in connection.execute(query):
        rungs.setdefault((row.incident_id, row.round, row.rung), []).append(row)
    return [key for key, rows in rungs.items() if _is_unheard(rows, group_channel)]


def _is_unheard(rows: Sequence[Any], group_channel: str) -> bool:
    people = [row for row in rows if row.channel != group_channel]
    # A message that another stands in for is judged by the other.
    counted = [row for row in people or rows if row.stood_in_at is None or row.state not in _LOST]
    counted = [row for row in counted if row.why not in MEANT]
    return bool(counted) and all(_is_lost(row) for row in counted)


def _is_lost(row: Any) -> bool:
    if row.state == MessageState.UNKNOWN.value:
        return bool(row.severity == int(Severity.CRITICAL)) and not row.fallback
    return row.state in _LOST and not (row.fallback and row.why in TRY_ANOTHER_WAY)
