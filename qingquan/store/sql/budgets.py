"""What was spent of the channels' budgets, the gates of the channels, and the tokens their workers share."""

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.outbox_schema import access_token, channel_gate, spending
from qingquan.store.sql.statements import insert_ignoring, insert_or_update

__all__ = ["SqlTokens", "close_gate", "enter_gate", "forget_spending", "refund", "spend", "spent"]

SKEW_MS = 2_000


def enter_gate(connection: Connection, channel: str, now_ms: int, furthest_ms: int) -> int:
    """Lock a channel for the rest of the transaction; when it opens again [ms], 0 where it is open.

    Spending that lies in the future was written before the clock was set back: it counts as of now, so that no budget is
    exceeded and none is blocked longer than its span.
    """
    insert_ignoring(connection, channel_gate, [{"channel": channel, "closed_until": 0, "why": ""}], key=["channel"])
    query = select(channel_gate.c.closed_until).where(channel_gate.c.channel == channel).with_for_update()
    closed_until = int(connection.scalar(query) or 0)
    ahead = spending.c.channel == channel, spending.c.at > now_ms + SKEW_MS
    connection.execute(update(spending).where(*ahead).values(at=now_ms))
    return closed_until if now_ms < closed_until <= now_ms + furthest_ms else 0


def close_gate(connection: Connection, channel: str, until_ms: int, why: str) -> None:
    """Leave a channel alone until then, all workers of it."""
    gate = update(channel_gate).where(channel_gate.c.channel == channel, channel_gate.c.closed_until < until_ms)
    connection.execute(gate.values(closed_until=until_ms, why=why))


def spent(
    connection: Connection, channel: str, since_ms: int, receivers: Collection[str] | None = None
) -> Counter[str]:
    """How many were handed over after ``since_ms`` to each receiver; without ``receivers`` the total, under ``""``."""
    where = [spending.c.channel == channel, spending.c.at > since_ms]
    if receivers is None:
        return Counter({"": int(connection.scalar(select(func.count()).select_from(spending).where(*where)) or 0)})
    query = (
        select(spending.c.receiver, func.count())
        .where(*where, spending.c.receiver.in_(receivers))
        .group_by(spending.c.receiver)
    )
    return Counter({str(receiver): int(count) for receiver, count in connection.execute(query)})


def spend(connection: Connection, channel: str, receiver: str, at_ms: int, message_id: int) -> None:
    """Note that a message is about to be handed over."""
    connection.execute(insert(spending).values(channel=channel, receiver=receiver, at=at_ms, message_id=message_id))


def refund(connection: Connection, message_id: int) -> None:
    """The last attempt at a message cost nothing: the provider certainly took nothing."""
    last = select(func.max(spending.c.id)).where(spending.c.message_id == message_id).scalar_subquery()
    connection.execute(delete(spending).where(spending.c.id == last))


def forget_spending(connection: Connection, before_ms: int) -> int:
    """Drop what no budget looks at any more; how many rows."""
    return connection.execute(delete(spending).where(spending.c.at < before_ms)).rowcount


class SqlTokens:
    """Access tokens in the database, for all workers. Errors of the database come out as `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, name: str) -> tuple[str, int] | None:
        """A token and when it ends [ms, wall time]."""
        query = select(access_token.c.token, access_token.c.expires_at).where(access_token.c.name == name)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (str(row.token), int(row.expires_at))

    def put(self, name: str, token: str, expires_at: int) -> None:
        """Keep a token; an empty one forgets it."""
        with writing(self._engine) as connection:
            insert_or_update(
                connection, access_token, [{"name": name, "token": token, "expires_at": expires_at}], key=["name"]
            )
