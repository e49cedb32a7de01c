"""What a numbered answer of a provider means: HTTP 200 with a code in the body. Pure.

WeCom, WeChat, DingTalk and Feishu all refuse this way; the prose beside the code decides nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from alerts.channels.base import ErrorClass, Outcome, accepted, refused, throttled, unknown
from alerts.channels.http import Exchange

__all__ = ["Codes", "numbered"]


@dataclass(frozen=True, slots=True)
class Codes:
    """A provider's codes. ``name`` is the field that holds the code, ``setting`` the one to look at when the door is wrong.

    A code in none of the tables is a final refusal all the same. ``throttled`` maps a code to the pause it asks for [s].
    """

    name: str
    setting: str
    classes: Mapping[int, ErrorClass] = field(default_factory=dict)
    throttled: Mapping[int, float] = field(default_factory=dict)
    stale_token: Collection[int] = ()


def numbered(exchange: Exchange, codes: Codes, provider_id: str = "") -> Outcome:
    """The outcome of one exchange with a provider that numbers its answers.

    A server error is transient: such doors answer 5xx before they look at the message.
    """
    if not exchange.written:
        return refused(ErrorClass.TRANSIENT, detail=exchange.fault)
    if exchange.status >= 500:
        return refused(ErrorClass.TRANSIENT, code=f"HTTP {exchange.status}")
    if 300 <= exchange.status < 500:
        return refused(ErrorClass.ACCOUNT, code=f"HTTP {exchange.status}", detail=f"is {codes.setting} right?")
    if exchange.status == 0:
        return unknown(exchange.fault)
    document = exchange.document
    code = None if document is None else document.get(codes.name)
    if document is None or not isinstance(code, int) or isinstance(code, bool):
        return unknown("the answer is not the provider's")
    if code == 0:
        return accepted(str(document.get(provider_id) or "") if provider_id else "")
    if code in codes.throttled:
        return throttled(str(code), codes.throttled[code])
    if code in codes.stale_token:
        return refused(ErrorClass.TRANSIENT, code=str(code), detail="the token was renewed elsewhere")
    return refused(codes.classes.get(code, ErrorClass.OTHER), code=str(code))
