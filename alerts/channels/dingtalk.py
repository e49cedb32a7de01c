"""DingTalk (钉钉) group robot: signed markdown to a group by webhook.

Twenty messages a minute; one more and the robot is silent for ten minutes, which is why our own budget stays below.
"""

from collections.abc import Callable
from urllib.parse import quote

import msgspec

from alerts.channels.answers import Codes, numbered
from alerts.channels.base import ErrorClass, Outcome, unknown
from alerts.channels.http import JSON_HEADERS, TOTAL_TIMEOUT_S, WALL, HttpPort
from alerts.channels.plain import uncoloured
from alerts.channels.robots import dingtalk_sign
from qingquan.domain.incidents import Message

__all__ = ["CODES", "NAME", "Dingtalk"]

NAME = "dingtalk"
BLOCKED_FOR_S = 600.0

CODES = Codes(
    "errcode", "dingtalk_url", stale_token=(),
    classes={-1: ErrorClass.TRANSIENT, 310000: ErrorClass.ACCOUNT, 300001: ErrorClass.ACCOUNT, 40035: ErrorClass.CONTENT,
             400013: ErrorClass.ACCOUNT, 400101: ErrorClass.ACCOUNT, 400102: ErrorClass.ACCOUNT, 460101: ErrorClass.CONTENT},
    throttled={130101: BLOCKED_FOR_S, 130102: BLOCKED_FOR_S},
)  # fmt: skip
# The provider shows a title in the list of conversations only.
TITLE = {"zh": "水质告警", "en": "Water alarm"}


class Dingtalk:
    """Channel over one robot; the receiver is its group whatever the message says."""

    name = NAME
    can_be_asked = False
    gives_receipts = False
    reaches = "group"

    def __init__(
        self, base_url: str, token: str, secret: str, *, language: str = "zh",
        wall_ms: Callable[[], int] = WALL.now_ms, timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._token, self._secret, self._language, self._wall_ms = token, secret, language, wall_ms

    def send(self, message: Message) -> Outcome:
        """Hand over one message to the group."""
        at = self._wall_ms()
        target = f"/robot/send?access_token={quote(self._token, safe='')}"
        if self._secret:
            target += f"&timestamp={at}&sign={quote(dingtalk_sign(self._secret, at), safe='')}"
        text = {"title": TITLE[self._language], "text": uncoloured(message.body)}
        body = msgspec.json.encode({"msgtype": "markdown", "markdown": text})
        return numbered(self._http.post(target, headers=JSON_HEADERS, body=body), CODES)

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """A robot has no templates, hence no plainer form."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """A webhook cannot be asked."""
        return unknown("a group robot cannot be asked what it has posted")

    def close(self) -> None:
        """Release the connection."""
        self._http.close()
