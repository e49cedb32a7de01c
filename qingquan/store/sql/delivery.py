"""What the alerter asks of the outbox beyond `outbox`: rows of one channel, what it has sent lately, attempts on hold."""

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection, and_, distinct, func, or_, select, update

from qingquan.domain.incidents import Message, MessageState
from qingquan.store.sql.outbox import _message
from qingquan.store.sql.schema import outbox as table

__all__ = ["claim", "due_messages", "hold", "posts_since", "sent_per_receiver", "set_aside"]

# Rows in these states may have cost the receiver a message.
_SPENT = (MessageState.ACCEPTED.value, MessageState.DELIVERED.value, MessageState.UNKNOWN.value)


def due_messages(connection: Connection, channel: str, now_ms: int, limit: int) -> list[Message]:
    """Messages of a channel to act upon, the longest due first, held until the transaction ends.

    The state tells which: ``queued``, or ``sending`` where a lease has run out and nobody knows whether the provider has it.
    """
    due = or_(
        and_(table.c.state == MessageState.QUEUED.value, table.c.due_at <= now_ms),
        and_(table.c.state == MessageState.SENDING.value, table.c.leased_until <= now_ms),
    )
    query = select(table).where(table.c.channel == channel, due).order_by(table.c.due_at, table.c.id).limit(limit)
    return [_message(row) for row in connection.execute(query.with_for_update(skip_locked=True))]


def claim(connection: Connection, message_ids: Collection[int], worker: str, until_ms: int) -> None:
    """Mark messages as about to be handed over by ``worker``; commit before doing so."""
    taken = {"state": MessageState.SENDING.value, "leased_until": until_ms, "leased_by": worker}
    connection.execute(update(table).where(table.c.id.in_(message_ids)).values(taken))


def hold(connection: Connection, message_id: int, until_ms: int, error: str, worker: str) -> bool:
    """Keep an attempt of unknown outcome, made by ``worker``, to be asked about at ``until_ms``.

    ``False``, and nothing written, if that worker no longer holds the lease.
    """
    values = {"state": MessageState.SENDING.value, "leased_until": until_ms, "leased_by": "", "error": error}
    held = update(table).where(table.c.id == message_id, table.c.leased_by == worker).values(values)
    return connection.execute(held).rowcount > 0


def set_aside(connection: Connection, due: dict[int, int], error: str = "") -> None:
    """Put messages that wait off until later: id to the time they are due again [ms]."""
    for message_id, due_ms in sorted(due.items()):
        values = {"due_at": due_ms, "error": error}
        connection.execute(
            update(table).where(table.c.id == message_id, table.c.state == MessageState.QUEUED.value).values(values)
        )


def posts_since(connection: Connection, channel: str, since_ms: int) -> int:
    """How many requests a channel made after ``since_ms``; the messages of one digest share their ``sent_at``."""
    done = select(func.count(distinct(table.c.sent_at))).where(table.c.channel == channel, table.c.sent_at > since_ms)
    under_way = select(func.count()).where(table.c.channel == channel, table.c.state == MessageState.SENDING.value)
    return (connection.scalar(done) or 0) + (connection.scalar(under_way) or 0)


def sent_per_receiver(connection: Connection, channel: str, receivers: Collection[str], since_ms: int) -> Counter[str]:
    """How many messages each receiver got, or may have got, over a channel after ``since_ms``."""
    spent = or_(
        and_(table.c.state.in_(_SPENT), table.c.sent_at > since_ms), table.c.state == MessageState.SENDING.value
    )
    query = (
        select(table.c.receiver, func.count())
        .where(table.c.channel == channel, table.c.receiver.in_(receivers), spent)
        .group_by(table.c.receiver)
    )
    return Counter({str(receiver): int(count) for receiver, count in connection.execute(query)})
