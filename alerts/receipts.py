"""Receipts that providers push: read, matched to what we have sent, written down once however often they come.

The pushes are unsigned, so their path is unguessable, and a receipt counts only if the provider's name for the message and its
receiver are both ours.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
from sqlalchemy import Engine

from alerts.channels.aliyun_voice import call_outcome
from alerts.channels.base import ErrorClass, Outcome, Verdict
from alerts.delivery import after_receipt
from alerts.outbox import write_receipt
from qingquan.clock import to_ms
from qingquan.store.sql.delivery import with_provider_id
from qingquan.store.sql.engine import writing

__all__ = ["ANSWERS", "PARSERS", "Receipt", "record_receipts"]

MOST = 1000

# What each provider wants to hear, lest it push again.
ANSWERS: Mapping[str, dict[str, object]] = {
    "aliyun_sms": {"code": 0, "msg": "ok"},
    "aliyun_voice": {"code": 0, "msg": "ok"},
    "tencent_sms": {"result": 0, "errmsg": "OK"},
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's later word on one message."""

    provider_id: str
    receiver: str
    outcome: Outcome


def _aliyun_sms(row: Mapping[str, Any]) -> Receipt:
    id_, code = str(row.get("biz_id") or ""), str(row.get("err_code") or "")
    delivered = row.get("success") is True
    outcome = Outcome(Verdict.DELIVERED, id_) if delivered else Outcome(Verdict.REFUSED, id_, ErrorClass.OTHER, code)
    return Receipt(id_, str(row.get("phone_number") or ""), outcome)


def _tencent_sms(row: Mapping[str, Any]) -> Receipt:
    id_, code = str(row.get("sid") or ""), str(row.get("errmsg") or "")
    delivered = row.get("report_status") == "SUCCESS"
    outcome = Outcome(Verdict.DELIVERED, id_) if delivered else Outcome(Verdict.REFUSED, id_, ErrorClass.OTHER, code)
    return Receipt(id_, str(row.get("mobile") or ""), outcome)


def _aliyun_voice(row: Mapping[str, Any]) -> Receipt:
    id_ = str(row.get("call_id") or "")
    return Receipt(
        id_, str(row.get("callee") or ""), call_outcome(id_, str(row.get("status_code")), row.get("duration"))
    )


PARSERS: Mapping[str, Callable[[Mapping[str, Any]], Receipt]] = {
    "aliyun_sms": _aliyun_sms,
    "tencent_sms": _tencent_sms,
    "aliyun_voice": _aliyun_voice,
}


def record_receipts(engine: Engine, channel: str, body: bytes, now_ms: int, scale: float = 1.0) -> Counter[str]:
    """Write down the pushed rows of a body; counts of ``news``, ``known`` (came before), ``foreign`` and ``unreadable``."""
    counts: Counter[str] = Counter()
    try:
        listed = msgspec.json.decode(body, type=list[object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Counter({"unreadable": 1})
    if len(listed) > MOST:
        return Counter({"unreadable": 1})
    with writing(engine) as connection:
        for row in listed:
            if not isinstance(row, dict):
                counts["unreadable"] += 1
                continue
            receipt = PARSERS[channel](row)
            message = with_provider_id(connection, channel, receipt.provider_id)
            if message is None or receipt.receiver.removeprefix("+86") != message.receiver.removeprefix("+86"):
                counts["foreign"] += 1
                continue
            age_s = (now_ms - to_ms(message.sent_at or message.created_at)) / 1000 / scale
            following = after_receipt(receipt.outcome, message.attempts, age_s, Random())  # noqa: S311 (jitter)
            counts["news" if write_receipt(connection, message.id, following, now_ms, scale) else "known"] += 1
    return counts
