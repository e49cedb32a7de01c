"""WeChat (微信) official account: a template message to a follower, by open id.

Field types have hard limits, which test accounts do not enforce and real ones refuse with 47003: they are kept here. People can
unfollow (43004): this is a channel for notices, never the only one for duty staff.
"""

from collections.abc import Callable
from urllib.parse import quote

import msgspec

from alerts.channels.answers import Codes, numbered
from alerts.channels.base import ErrorClass, Outcome, unknown
from alerts.channels.http import JSON_HEADERS, TOTAL_TIMEOUT_S, WALL, HttpPort
from alerts.channels.tokens import MemoryTokens, TokenCache, TokenStore
from qingquan.domain.incidents import Message

__all__ = ["CODES", "FIELDS", "NAME", "WechatOfficial"]

NAME = "wechat_official"
# Field of the template -> variable of ours, most characters.
FIELDS = {"thing1": ("works", 20), "thing2": ("problem", 20), "time3": ("since", 32), "thing4": ("action", 20)}

CODES = Codes(
    "errcode", "wechat_url", stale_token=(40001, 40014, 42001), throttled={45009: 3600.0, 45011: 60.0},
    classes={
        -1: ErrorClass.TRANSIENT, 40003: ErrorClass.NUMBER, 43004: ErrorClass.NUMBER, 47003: ErrorClass.CONTENT,
        40037: ErrorClass.CONTENT, 40013: ErrorClass.ACCOUNT, 40125: ErrorClass.ACCOUNT, 40164: ErrorClass.ACCOUNT,
        48001: ErrorClass.ACCOUNT,
    },
)  # fmt: skip


class WechatOfficial:
    """Channel over one service account and one template with the fields of `FIELDS`."""

    name = NAME
    can_be_asked = False
    gives_receipts = False
    reaches = "person"

    def __init__(
        self, base_url: str, app_id: str, secret: str, template: str, *, public_url: str = "",
        tokens: TokenStore | None = None, wall_ms: Callable[[], int] = WALL.now_ms, timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._template, self._public_url = template, public_url
        target = f"/cgi-bin/token?grant_type=client_credential&appid={quote(app_id, safe='')}&secret={quote(secret, safe='')}"
        self._tokens = TokenCache(self._http, target, f"wechat:{app_id}", tokens or MemoryTokens(), wall_ms)

    def send(self, message: Message) -> Outcome:
        """Hand over one message, every field within its length; a token renewed elsewhere is tried once more."""
        outcome = self._send(message)
        if outcome.code in {str(code) for code in CODES.stale_token}:
            outcome = self._send(message)
        return outcome

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """There is one template and no plainer one."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """The provider offers no question."""
        return unknown("WeChat cannot be asked what it has shown")

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _send(self, message: Message) -> Outcome:
        token = self._tokens.token()
        if isinstance(token, Outcome):
            return token
        values = {
            field: {"value": message.params.get(name, "")[:most] or "-"} for field, (name, most) in FIELDS.items()
        }
        payload: dict[str, object] = {"touser": message.receiver, "template_id": self._template, "data": values}
        if link := message.params.get("link"):
            payload["url"] = link
        elif self._public_url:
            payload["url"] = f"{self._public_url.rstrip('/')}/incidents/{message.incident_id}"
        target = f"/cgi-bin/message/template/send?access_token={quote(token, safe='')}"
        outcome = numbered(
            self._http.post(target, headers=JSON_HEADERS, body=msgspec.json.encode(payload)), CODES, "msgid"
        )
        if outcome.code in {str(code) for code in CODES.stale_token}:
            self._tokens.forget(token)
        return outcome
