"""Replies by SMS: 1 taken note, 2 fixed, 3 need help, with the incident's number as code. Parsing is pure.

Aliyun pushes them as it does receipts: an array of ``{phone_number, send_time, content, sign_name, dest_code, sequence_id}``;
its message queue carries one such object at a time. Tencent pushes one object ``{mobile, nationcode, text, sign, time,
extend}``, without a number of its own. Pushes are unsigned, so their path is unguessable; a reply counts only from a number on
file that was told of the incident.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection

from alerts.answers import Given, refuse_answer, take_answer
from alerts.ladder import Lookup
from alerts.messages import AlertSettings
from qingquan.domain.answers import AnswerKind, AnswerOutcome
from qingquan.store.sql.answers import is_registered, told_incidents, was_told

__all__ = ["CHANNELS", "Reply", "parse_reply", "replies_of", "take_reply"]

MOST = 1000
# A number is told of an incident by any of these; an answer by SMS may follow a call.
CHANNELS = ("aliyun_sms", "tencent_sms", "aliyun_voice")

_KINDS = {"1": AnswerKind.ACKNOWLEDGED, "2": AnswerKind.FIXED, "3": AnswerKind.HELP}
_WORDS = {
    "已知悉": "1", "知悉": "1", "收到": "1", "知道了": "1", "确认": "1", "已确认": "1", "已处理": "2", "处理好了": "2", "已修复": "2",
    "修好了": "2", "需支援": "3", "需要支援": "3", "求助": "3", "支援": "3", "ack": "1", "ok": "1", "fixed": "2", "done": "2", "help": "3",
}  # fmt: skip
_REPLY = re.compile(
    r"([123]|" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")(?:[^0-9a-z]+([0-9]{1,9}))?", re.I
)
_CODE_AFTER_WORD = re.compile(r"([^0-9]+?)\s*([0-9]{1,9})")


class Reply:
    """What a reply says: the kind, and the code where one was given."""

    __slots__ = ("code", "kind")

    def __init__(self, kind: AnswerKind, code: int | None) -> None:
        self.kind, self.code = kind, code


def parse_reply(content: str) -> Reply | None:
    """Read a reply; ``None`` for what says none of the three. Full-width digits and the words themselves are understood."""
    text = unicodedata.normalize("NFKC", content).strip().strip("。.!！“”\"' 【】[]").lower()
    match = _REPLY.fullmatch(text)
    if match is not None:
        return Reply(_KINDS[_WORDS.get(match[1], match[1])], int(match[2]) if match[2] else None)
    match = _CODE_AFTER_WORD.fullmatch(text)
    if match is not None and match[1] in _WORDS:
        return Reply(_KINDS[_WORDS[match[1]]], int(match[2]))
    return None


def replies_of(body: bytes, channel: str = "aliyun_sms") -> list[Mapping[str, Any]] | None:
    """The rows of a pushed body, all in Aliyun's form; ``None`` where it cannot be read."""
    try:
        read = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    rows = read if isinstance(read, list) else [read]
    if len(rows) > MOST or not all(isinstance(row, dict) for row in rows):
        return None
    return [_from_tencent(row) for row in rows] if channel == "tencent_sms" else rows


def take_reply(
    connection: Connection, row: Mapping[str, Any], lookup: Lookup, now_ms: int, settings: AlertSettings
) -> Counter[str]:
    """Put one pushed reply to the incidents it speaks of; counts by outcome, ``known`` for what came before."""
    sender = _number(row.get("phone_number"))
    content = str(row.get("content") or "")[:500]
    name = _name_of(row, sender, content)

    def refused(outcome: AnswerOutcome, incident_id: int | None = None) -> Counter[str]:
        is_new = refuse_answer(connection, outcome, "sms_reply", sender, content, name, now_ms, incident_id)
        return Counter({outcome.value if is_new else "known": 1})

    person = is_registered(connection, phone=sender) if sender else None
    if person is None:
        return refused(AnswerOutcome.UNKNOWN_SENDER)
    reply = parse_reply(content)
    if reply is None:
        return refused(AnswerOutcome.UNCLEAR)
    if reply.code is not None:
        if not was_told(connection, sender, CHANNELS, reply.code):
            return refused(AnswerOutcome.NO_INCIDENT)
        meant = [reply.code]
    else:
        meant = told_incidents(connection, sender, CHANNELS)
        if not meant:
            return refused(AnswerOutcome.NO_INCIDENT)
        # Which of several, nobody can tell; only a call for help is not left lying for that.
        if len(meant) > 1 and reply.kind is not AnswerKind.HELP:
            return refused(AnswerOutcome.UNCLEAR)
    counts: Counter[str] = Counter()
    for incident_id in meant:
        given = Given(incident_id, reply.kind, "sms_reply", sender, person, f"{name}:{incident_id}")
        taken = take_answer(connection, given, lookup, now_ms, settings)
        counts[taken.answer.outcome.value if taken.is_new else "known"] += 1
    return counts


def _from_tencent(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"phone_number": row.get("mobile"), "content": row.get("text"), "send_time": row.get("time")}


def _number(given: object) -> str:
    digits = re.sub(r"[^0-9]", "", str(given or ""))
    return digits[-11:] if len(digits) in (11, 13, 15) and digits[-11] == "1" else digits[:20]


def _name_of(row: Mapping[str, Any], sender: str, content: str) -> str:
    """The provider's own number of the reply, else all of it: pushes are repeated, and not made unique for us."""
    number = str(row.get("sequence_id") or "")
    said = f"{sender}|{number}" if number else f"{sender}|{row.get('send_time')}|{content}"
    return f"sms:{sha256(said.encode('utf-8', 'replace')).hexdigest()[:32]}"
