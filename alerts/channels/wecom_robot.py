"""WeCom (企业微信) group robot: markdown to a group by webhook.

Every refusal comes as HTTP 200 with an ``errcode``; the ``errmsg`` is prose and decides nothing. The webhook cannot be
asked what became of a message. The key is the credential: it stands in the URL and nowhere else.
"""

from urllib.parse import quote

import msgspec

from alerts.channels.answers import Codes, numbered
from alerts.channels.base import ErrorClass, Outcome, unknown
from alerts.channels.http import JSON_HEADERS, TOTAL_TIMEOUT_S, HttpPort
from alerts.routing import WECOM_ROBOT
from qingquan.domain.incidents import Message

__all__ = ["CODES", "WecomRobot"]

CODES = Codes(
    "errcode", "wecom_url", throttled={45009: 60.0},
    classes={
        -1: ErrorClass.TRANSIENT, 93000: ErrorClass.ACCOUNT, 93004: ErrorClass.ACCOUNT, 93008: ErrorClass.ACCOUNT,
        40008: ErrorClass.CONTENT, 40033: ErrorClass.CONTENT, 40035: ErrorClass.CONTENT, 40058: ErrorClass.CONTENT,
        44004: ErrorClass.CONTENT,
    },
)  # fmt: skip


class WecomRobot:
    """Channel over one robot's key."""

    name = WECOM_ROBOT
    can_be_asked = False
    gives_receipts = False
    reaches = "group"

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
        return numbered(self._http.post(target, headers=JSON_HEADERS, body=payload), CODES)

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """A robot has no templates, hence no plainer form."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """A webhook cannot be asked."""
        return unknown("a group robot cannot be asked what it has posted")

    def close(self) -> None:
        """Release the connection."""
        self._http.close()
