"""The next way to the same person, where the first has not certainly reached them.

At once for what was refused or not sent; for a critical alarm also after two minutes without a receipt, however the provider
excuses itself. What may have arrived and is not critical is left alone: a second message for one thing teaches its owner to look
away. An incident that somebody has answered for needs no other way.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from alerts.delivery import budget_class
from alerts.messages import BY_TEMPLATE
from alerts.templates import load_templates
from qingquan.clock import from_ms, to_ms
from qingquan.domain.delivery import TRY_ANOTHER_WAY
from qingquan.domain.incidents import Message, MessageState, NewMessage
from qingquan.store.sql.delivery import hold_stranded, mark_stood_in, stranded
from qingquan.store.sql.outbox import enqueue

__all__ = ["RECEIPT_S", "needing_another_way", "needs_another_way", "stand_in"]

RECEIPT_S = 120
LOOKED_AT = 2000
# A full budget puts a message off by seconds; what is due later than that is held back on purpose.
HELD_S = 10
# What the next way still needs to know of why the first one failed.
STOOD_IN = "stands_in"


def needing_another_way(
    connection: Connection, now_ms: int, scale: float = 1.0, incidents: Collection[int] | None = None
) -> list[int]:
    """Messages (of these incidents) that are to be told another way, by number, oldest first; a transaction that only reads will do.

    Where no channel is set up these are looked for among thousands: nobody else may have to wait for that.
    """
    found = stranded(connection, LOOKED_AT, incidents)
    return [message.id for message in found if needs_another_way(message, now_ms, scale)]


def stand_in(
    connection: Connection, message_ids: Collection[int], now_ms: int, scale: float = 1.0, language: str = "zh"
) -> int:
    """Queue a stand-in for each of these messages that still needs one; how many. Needs a writing transaction of the caller's."""
    found = [one for one in hold_stranded(connection, message_ids) if needs_another_way(one, now_ms, scale)]
    if not found:
        return 0
    count = enqueue(connection, [next_way(message, now_ms, language) for message in found])
    mark_stood_in(connection, [message.id for message in found], now_ms)
    return count


def needs_another_way(message: Message, now_ms: int, scale: float = 1.0) -> bool:
    """Whether this message is to be told another way by now."""
    if message.state in (MessageState.REFUSED, MessageState.NOT_SENT):
        return message.why in TRY_ANOTHER_WAY
    if budget_class(message) != "critical":
        return False
    if message.sent_at is None and not message.attempts and to_ms(message.due_at) > now_ms + HELD_S * 1000 * scale:
        return False
    # Retries and full budgets move the time it is due; what counts is how long the person has gone without it.
    since = to_ms(message.sent_at if message.sent_at is not None else message.created_at)
    return now_ms - since >= RECEIPT_S * 1000 * scale


def next_way(message: Message, now_ms: int, language: str = "zh") -> NewMessage:
    """The same words over the next channel; what is left of the ways goes with it."""
    channel, receiver = message.fallback[0]
    params: Mapping[str, str] = {
        **message.params,
        "fallback": "",
        STOOD_IN: f"{message.channel}: {message.why or message.state}",
    }
    body = message.body
    if channel in BY_TEMPLATE and (template := load_templates().get(params.get("template", ""))) is not None:
        body = template.rendered(params, language)
    new = NewMessage(
        incident_id=message.incident_id, step=message.step, channel=channel, receiver=receiver,
        receiver_name=message.receiver_name, body=body, created_at=from_ms(now_ms), params=dict(params),
    )  # fmt: skip
    return replace(new, fallback=message.fallback[1:], stands_in_for=message.id)
