"""Answers of people and the links they come by."""

import secrets
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from qingquan.domain.answers import Answer, AnswerKind, AnswerOutcome, Link, Photo
from qingquan.domain.incidents import Message, MessageState
from qingquan.store.sql.answers_schema import answer, answer_link
from qingquan.store.sql.columns import bounded_key
from qingquan.store.sql.outbox import _message
from qingquan.store.sql.routing_schema import duty_person
from qingquan.store.sql.schema import contact, meta, outbox
from qingquan.store.sql.schema import incident as incident_table
from qingquan.store.sql.statements import Page, insert_ignoring, insert_unless_taken, page_of

__all__ = [
    "answer_of_key",
    "answers_of",
    "drop_links",
    "find_link",
    "has_photo",
    "insert_answer",
    "is_registered",
    "link_key",
    "list_answers",
    "messages_carried",
    "save_link",
    "settle_answer",
    "told_incidents",
    "was_told",
]

_KEY = "answer_link_key"
_TOLD = [
    state.value for state in (MessageState.SENDING, MessageState.ACCEPTED, MessageState.DELIVERED, MessageState.UNKNOWN)
]


def insert_answer(connection: Connection, new: Answer) -> int | None:
    """Store an answer (its ``id`` is ignored); its id, ``None`` where the same one is there already."""
    photo = new.photo
    row = {
        "incident_id": new.incident_id, "kind": new.kind or "", "channel": new.channel, "sender": new.sender,
        "person": new.person, "at": new.at, "outcome": new.outcome.value, "text": new.text, "until_at": new.until,
        "photo_digest": photo.digest if photo else "", "photo_type": photo.media_type if photo else "",
        "photo_bytes": photo.size if photo else 0, "repeat_key": bounded_key(new.repeat_key),
    }  # fmt: skip
    return insert_unless_taken(connection, answer, row, key=["repeat_key"])


def settle_answer(connection: Connection, answer_id: int, outcome: AnswerOutcome) -> None:
    """Note what became of an answer."""
    connection.execute(update(answer).where(answer.c.id == answer_id).values(outcome=outcome.value))


def answer_of_key(connection: Connection, repeat_key: str) -> Answer | None:
    """The answer stored under a name."""
    row = connection.execute(select(answer).where(answer.c.repeat_key == bounded_key(repeat_key))).one_or_none()
    return None if row is None else _answer(row)


def answers_of(connection: Connection, incident_id: int) -> list[Answer]:
    """Answers to an incident, oldest first."""
    query = select(answer).where(answer.c.incident_id == incident_id).order_by(answer.c.id)
    return [_answer(row) for row in connection.execute(query)]


def list_answers(
    connection: Connection, *, outcomes: Collection[AnswerOutcome] = (), limit: int = 100, offset: int = 0
) -> Page[Answer]:
    """Answers, newest first; of these outcomes where any are given."""
    query = select(answer)
    if outcomes:
        query = query.where(answer.c.outcome.in_([one.value for one in outcomes]))
    page = page_of(connection, query, (answer.c.at.desc(), answer.c.id.desc()), limit, offset)
    return Page([_answer(row) for row in page.items], page.total)


def has_photo(connection: Connection, incident_id: int, digest: str) -> str | None:
    """Media type of a photo that belongs to an incident; ``None`` if it does not."""
    query = select(answer.c.photo_type).where(answer.c.incident_id == incident_id, answer.c.photo_digest == digest)
    return connection.scalar(query.limit(1)) if digest else None


# --- links ------------------------------------------------------------------------------------------------------------


def link_key(connection: Connection) -> str | None:
    """The key links are signed with, in hex; made once per installation. ``None`` in a reading transaction before that."""
    query = select(meta.c.value).where(meta.c.key == _KEY)
    found = connection.scalar(query)
    options = connection.get_execution_options()
    if found is None and options.get("qingquan_mode") == "writing":
        insert_ignoring(connection, meta, [{"key": _KEY, "value": secrets.token_hex(32)}], key=["key"])
        found = connection.scalar(query)
    return None if found is None else str(found)


def save_link(connection: Connection, digest: str, link: Link) -> None:
    """Keep a link by the digest of its token; again changes nothing."""
    row = {
        "digest": digest, "incident_id": link.incident_id, "message_id": link.message_id, "channel": link.channel,
        "receiver": link.receiver, "person": link.person, "purpose": link.purpose, "expires_at": link.expires_at,
    }  # fmt: skip
    insert_ignoring(connection, answer_link, [row], key=["digest"])


def find_link(connection: Connection, digest: str) -> Link | None:
    """What a token stands for."""
    row = connection.execute(select(answer_link).where(answer_link.c.digest == digest)).one_or_none()
    if row is None:
        return None
    return Link(row.incident_id, row.message_id, row.channel, row.receiver, row.person, row.purpose, row.expires_at)


def drop_links(connection: Connection, before_ms: int) -> int:
    """Forget links that ended before then; how many there were."""
    return connection.execute(delete(answer_link).where(answer_link.c.expires_at < before_ms)).rowcount


# --- who may answer ---------------------------------------------------------------------------------------------------


def is_registered(connection: Connection, *, phone: str = "", wecom_id: str = "") -> str | None:
    """Name of a person on file with this number or WeCom id, at a works or on the roster; ``None`` for a stranger."""
    for table in (contact, duty_person):
        column, value = (table.c.phone, phone) if phone else (table.c.wecom_id, wecom_id)
        if value and (name := connection.scalar(select(table.c.name).where(column == value).limit(1))) is not None:
            return str(name)
    return None


def told_incidents(connection: Connection, receiver: str, channels: Collection[str]) -> list[int]:
    """Unresolved incidents of which this receiver was told over one of these channels, the last told first."""
    query = (
        select(outbox.c.incident_id)
        .join(incident_table, incident_table.c.id == outbox.c.incident_id)
        .where(
            outbox.c.receiver == receiver, outbox.c.channel.in_(channels), outbox.c.state.in_(_TOLD),
            incident_table.c.open_key.is_not(None),
        )
        .order_by(outbox.c.id.desc())
    )  # fmt: skip
    return list(dict.fromkeys(int(found) for found in connection.scalars(query)))


def was_told(connection: Connection, receiver: str, channels: Collection[str], incident_id: int) -> bool:
    """Whether this receiver was told of an incident over one of these channels."""
    query = select(outbox.c.id).where(
        outbox.c.receiver == receiver, outbox.c.channel.in_(channels), outbox.c.state.in_(_TOLD),
        outbox.c.incident_id == incident_id,
    )  # fmt: skip
    return connection.scalar(query.limit(1)) is not None


def messages_carried(connection: Connection, message_id: int) -> list[Message]:
    """A message and all it carried, it first; empty where there is none."""
    query = (
        select(outbox).where((outbox.c.id == message_id) | (outbox.c.carried_by == message_id)).order_by(outbox.c.id)
    )
    found = [_message(row) for row in connection.execute(query)]
    return sorted(found, key=lambda one: one.id != message_id) if any(one.id == message_id for one in found) else []


def _answer(row: Row[Any]) -> Answer:
    photo = Photo(row.photo_digest, row.photo_type, row.photo_bytes) if row.photo_digest else None
    return Answer(
        row.id, row.incident_id, AnswerKind(row.kind) if row.kind else None, row.channel, row.sender, row.person, row.at,
        AnswerOutcome(row.outcome), row.repeat_key, row.text, photo, row.until_at,
    )  # fmt: skip
