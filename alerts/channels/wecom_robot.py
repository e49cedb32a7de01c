"""WeCom (企业微信) group robot: markdown to a group by webhook.

Every refusal comes as HTTP 200 with an ``errcode``; the ``errmsg`` is prose and decides nothing. The webhook cannot be
asked what became of a message. The key is the credential: it stands in the URL and nowhere else.
"""

from urllib.parse import quote

import msgspec

from alerts.channels.base import ErrorClass, Outcome, accepted, refused, throttled, unknown
from alerts.channels.http import TOTAL_TIMEOUT_S, Exchange, HttpPort
from alerts.routing import WECOM_ROBOT
from qingquan.domain.incidents import Message

__all__ = ["ERROR_CLASSES", "WecomRobot"]

THROTTLED = 45009
THROTTLED_FOR_S = 60.0

# Codes not listed are final refusals all the same.
ERROR_CLASSES: dict[int, ErrorClass] = {
    -1: ErrorClass.TRANSIENT,
    93000: ErrorClass.ACCOUNT,
    93004: ErrorClass.ACCOUNT,
    93008: ErrorClass.ACCOUNT,
    40008: ErrorClass.CONTENT,
    40033: ErrorClass.CONTENT,
    40035: ErrorClass.CONTENT,
    40058: ErrorClass.CONTENT,
    44004: ErrorClass.CONTENT,
}


class WecomRobot:
    """Channel over one robot's key."""

    name = WECOM_ROBOT
    can_be_asked = False

    def __init__(self, base_url: str, key: str, *, timeout_s: float = TOTAL_TIMEOUT_S) -> None:
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._key = key

    def send(self, message: Message) -> Outcome:
        """Hand over one message to the group."""
        return self.send_digest(message.body)

    def send_digest(self, body: str) -> Outcome:
        """Hand over markdown of at most 4,096 bytes."""
        # The provider refuses \\uxxxx escapes (40033): msgspec writes UTF-8 as it is.
        payload = msgspec.json.encode({"msgtype": "markdown", "markdown": {"content": body}})
        target = f"/cgi-bin/webhook/send?key={quote(self._key, safe='')}"
        headers = {"content-type": "application/json; charset=utf-8"}
        return _outcome(self._http.post(target, headers=headers, body=payload))

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """A robot has no templates, hence no plainer form."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """A webhook cannot be asked."""
        return unknown("a group robot cannot be asked what it has posted")

    def close(self) -> None:
        """Release the connection."""
        self._http.close()


def _outcome(exchange: Exchange) -> Outcome:
    if not exchange.written:
        return refused(ErrorClass.TRANSIENT, detail=exchange.fault)
    if exchange.status >= 500:
        return refused(ErrorClass.TRANSIENT, code=f"HTTP {exchange.status}")
    if 300 <= exchange.status < 500:
        return refused(ErrorClass.ACCOUNT, code=f"HTTP {exchange.status}", detail="is wecom_url right?")
    if exchange.status == 0:
        return unknown(exchange.fault)
    document = exchange.document
    code = None if document is None else document.get("errcode")
    if not isinstance(code, int):
        return unknown("the answer is not the provider's")
    if code == 0:
        return accepted()
    if code == THROTTLED:
        return throttled(str(code), THROTTLED_FOR_S)
    return refused(ERROR_CLASSES.get(code, ErrorClass.OTHER), code=str(code))
