"""Clicks on the card of a message: who clicked what, held against the message it belongs to."""

from dataclasses import dataclass

from sqlalchemy import Connection

from alerts.answers import Given, Taken, refuse_answer, take_answer
from alerts.channels.aliyun import out_id
from alerts.channels.wecom_app import NAME
from alerts.channels.wecom_crypto import CardEvent
from alerts.ladder import Lookup
from alerts.messages import AlertSettings
from qingquan.domain.answers import AnswerKind, AnswerOutcome
from qingquan.domain.incidents import Message
from qingquan.store.sql.answers import is_registered, messages_carried

__all__ = ["Clicked", "take_click"]

_KINDS = {"ack": AnswerKind.ACKNOWLEDGED, "fixed": AnswerKind.FIXED, "help": AnswerKind.HELP}


@dataclass(frozen=True, slots=True)
class Clicked:
    """What became of a click; ``taken`` is empty where it counted for nothing."""

    outcome: AnswerOutcome
    kind: AnswerKind | None = None
    person: str = ""
    taken: tuple[Taken, ...] = ()


def take_click(
    connection: Connection, event: CardEvent, lookup: Lookup, now_ms: int, settings: AlertSettings
) -> Clicked:
    """Put a click to the incidents of its card: a card that carries several messages answers for them all.

    The card must be one we made, sent to the very user who clicked, and that user must still be on file.
    """
    word, _, number = event.key.partition(":")
    kind = _KINDS.get(word)
    carried = _carried(connection, event)
    person = is_registered(connection, wecom_id=event.user) if event.user else None
    if person is None or not carried or carried[0].receiver != event.user:
        return _refused(connection, event, AnswerOutcome.UNKNOWN_SENDER, now_ms)
    if kind is None or number != str(carried[0].incident_id):
        return _refused(connection, event, AnswerOutcome.UNCLEAR, now_ms)
    incidents = dict.fromkeys(one.incident_id for one in carried)
    taken = tuple(
        take_answer(
            connection, Given(id_, kind, NAME, event.user, person, f"wecom:{event.repeat_key}:{id_}"), lookup, now_ms, settings
        )
        for id_ in incidents
    )  # fmt: skip
    return Clicked(taken[0].answer.outcome, kind, person, taken)


def _carried(connection: Connection, event: CardEvent) -> list[Message]:
    parts = event.task_id.split("-")
    if len(parts) != 3 or not parts[1].isdecimal() or len(parts[1]) > 15:
        return []
    carried = messages_carried(connection, int(parts[1]))
    return carried if carried and carried[0].channel == NAME and out_id(carried[0]) == event.task_id else []


def _refused(connection: Connection, event: CardEvent, outcome: AnswerOutcome, now_ms: int) -> Clicked:
    refuse_answer(connection, outcome, NAME, event.user, event.key, f"wecom:{event.repeat_key}", now_ms)
    return Clicked(outcome)
