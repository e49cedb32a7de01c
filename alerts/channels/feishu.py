"""Feishu (飞书) group robot: a signed card with markdown to a group by webhook; at most 20 KB, five a second."""

from collections.abc import Callable
from urllib.parse import quote

import msgspec

from alerts.channels.answers import Codes, numbered
from alerts.channels.base import ErrorClass, Outcome, unknown
from alerts.channels.http import JSON_HEADERS, TOTAL_TIMEOUT_S, WALL, HttpPort
from alerts.channels.plain import uncoloured
from alerts.channels.robots import feishu_sign
from qingquan.domain.incidents import Message

__all__ = ["CODES", "NAME", "Feishu"]

NAME = "feishu"

CODES = Codes(
    "code", "feishu_url",
    classes={19001: ErrorClass.ACCOUNT, 19021: ErrorClass.ACCOUNT, 19022: ErrorClass.ACCOUNT, 19024: ErrorClass.ACCOUNT,
             9499: ErrorClass.CONTENT, 19002: ErrorClass.CONTENT, 19036: ErrorClass.CONTENT},
    throttled={11232: 60.0, 9499099: 60.0},
)  # fmt: skip


class Feishu:
    """Channel over one robot; the receiver is its group whatever the message says."""

    name = NAME
    can_be_asked = False
    gives_receipts = False
    reaches = "group"

    def __init__(
        self, base_url: str, hook: str, secret: str, *, wall_ms: Callable[[], int] = WALL.now_ms,
        timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._hook, self._secret, self._wall_ms = hook, secret, wall_ms

    def send(self, message: Message) -> Outcome:
        """Hand over one message to the group."""
        card = {"elements": [{"tag": "markdown", "content": uncoloured(message.body)}]}
        payload: dict[str, object] = {"msg_type": "interactive", "card": card}
        if self._secret:
            at = self._wall_ms() // 1000
            payload = {"timestamp": str(at), "sign": feishu_sign(self._secret, at), **payload}
        target = f"/open-apis/bot/v2/hook/{quote(self._hook, safe='')}"
        return numbered(self._http.post(target, headers=JSON_HEADERS, body=msgspec.json.encode(payload)), CODES)

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """A robot has no templates, hence no plainer form."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """A webhook cannot be asked."""
        return unknown("a group robot cannot be asked what it has posted")

    def close(self) -> None:
        """Release the connection."""
        self._http.close()
