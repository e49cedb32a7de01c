"""Generic webhook: every message as JSON, signed, to one URL of the bureau's own.

The signature is HMAC-SHA256 over ``<timestamp>.<body>`` in ``X-Qingquan-Signature: t=<s>,v1=<hex>``. The receiver answers
2xx once it has the message; ``Idempotency-Key`` names it, so that the receiver can
tell a repeated one from a new one.
"""

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from alerts.channels.base import ErrorClass, Outcome, accepted, refused, throttled, unknown
from alerts.channels.http import TOTAL_TIMEOUT_S, WALL, HttpPort
from qingquan.clock import to_ms
from qingquan.domain.incidents import Message

__all__ = ["NAME", "Webhook", "signed"]

NAME = "webhook"
THROTTLED_FOR_S = 60.0


def signed(secret: str, timestamp_s: int, body: bytes) -> str:
    """Value of ``X-Qingquan-Signature``."""
    digest = hmac.new(secret.encode(), f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp_s},v1={digest}"


class Webhook:
    """Channel to one URL."""

    name = NAME
    can_be_asked = False
    gives_receipts = False
    reaches = "anyone"

    def __init__(
        self, url: str, secret: str, *, wall_ms: Callable[[], int] = WALL.now_ms, timeout_s: float = TOTAL_TIMEOUT_S
    ) -> None:
        parts = urlsplit(url)
        self._http = HttpPort(f"{parts.scheme}://{parts.netloc}", timeout_s=timeout_s)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret, self._wall_ms = secret, wall_ms

    def send(self, message: Message) -> Outcome:
        """Hand over one message."""
        key = f"qq-{message.id}-{to_ms(message.created_at):x}"
        body = msgspec.json.encode(
            {"id": key, "incident": message.incident_id, "step": message.step, "to": message.receiver,
             "name": message.receiver_name, "text": message.body, "params": message.params, "created_at": message.created_at}
        )  # fmt: skip
        headers = {
            "content-type": "application/json; charset=utf-8", "idempotency-key": key,
            "x-qingquan-signature": signed(self._secret, self._wall_ms() // 1000, body),
        }  # fmt: skip
        exchange = self._http.post(self._target, headers=headers, body=body)
        code = f"HTTP {exchange.status}"
        if not exchange.written:
            return refused(ErrorClass.TRANSIENT, detail=exchange.fault)
        if exchange.status == 0:
            return unknown(exchange.fault)
        if exchange.status == 429:
            return throttled(code, THROTTLED_FOR_S)
        if exchange.status >= 500:
            return refused(ErrorClass.TRANSIENT, code=code)
        if exchange.status in (400, 413, 422):
            return refused(ErrorClass.CONTENT, code=code)
        if exchange.status >= 300:
            return refused(ErrorClass.ACCOUNT, code=code, detail="are webhook_url and webhook_secret right?")
        return accepted(key)

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """There is no plainer form."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """The receiver offers no question."""
        return unknown("a webhook cannot be asked")

    def close(self) -> None:
        """Release the connection."""
        self._http.close()
