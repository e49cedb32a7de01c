"""WeCom (企业微信) self-built app: a card with buttons to one person, the channel for acknowledgement.

What is over asks for no answer and comes as text. A click comes back as an encrypted callback (`wecom_crypto`). ``errcode`` 0 with the receiver among ``invaliduser`` or
``unlicenseduser`` is a refusal. The provider drops what exceeds 30 a minute for a member without a word.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from alerts.channels.aliyun import out_id
from alerts.channels.answers import Codes, numbered
from alerts.channels.base import ErrorClass, Outcome, Verdict, refused, unknown
from alerts.channels.http import JSON_HEADERS, TOTAL_TIMEOUT_S, WALL, HttpPort
from alerts.channels.plain import cut, plain_lines
from alerts.channels.tokens import MemoryTokens, TokenCache, TokenStore
from qingquan.domain.incidents import Message

__all__ = ["CODES", "NAME", "WecomApp", "card", "text"]

NAME = "wecom_app"
OVER = ("recovered", "withdrawn")
_COLON = re.compile(r"：|: ")
TITLE_MOST = 26
TEXT_MOST = 112

CODES = Codes(
    "errcode", "wecom_url", stale_token=(40001, 40014, 42001), throttled={45009: 60.0, 45033: 10.0},
    classes={
        -1: ErrorClass.TRANSIENT, 60020: ErrorClass.ACCOUNT, 40013: ErrorClass.ACCOUNT, 40056: ErrorClass.ACCOUNT,
        48002: ErrorClass.ACCOUNT, 301002: ErrorClass.ACCOUNT, 81013: ErrorClass.NUMBER, 40003: ErrorClass.NUMBER,
        60111: ErrorClass.NUMBER, 40033: ErrorClass.CONTENT, 40035: ErrorClass.CONTENT, 40058: ErrorClass.CONTENT,
        42014: ErrorClass.CONTENT, 44004: ErrorClass.CONTENT,
    },
)  # fmt: skip

_WORDS = {
    "zh": {"ack": "已知悉", "fixed": "已处理", "help": "需要支援", "source": "清泉"},
    "en": {"ack": "Acknowledge", "fixed": "Fixed", "help": "Need help", "source": "Qingquan"},
}


class WecomApp:
    """Channel over one app. ``tokens`` keeps the access token where every worker finds it."""

    name = NAME
    can_be_asked = False
    gives_receipts = False
    reaches = "person"

    def __init__(
        self, base_url: str, corp_id: str, agent_id: str, secret: str, *, language: str = "zh", public_url: str = "",
        tokens: TokenStore | None = None, wall_ms: Callable[[], int] = WALL.now_ms, timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._agent_id, self._language, self._public_url = agent_id, language, public_url
        target = f"/cgi-bin/gettoken?corpid={quote(corp_id, safe='')}&corpsecret={quote(secret, safe='')}"
        name = f"wecom:{corp_id}:{agent_id}"
        self._tokens = TokenCache(self._http, target, name, tokens or MemoryTokens(), wall_ms)

    def send(self, message: Message) -> Outcome:
        """Hand over one message as a card with buttons; a token that was renewed elsewhere is renewed and tried once more."""
        content = text(message) if message.step in OVER else card(message, self._language, self._public_url)
        outcome = self._send(message, content)
        if outcome.code in {str(code) for code in CODES.stale_token}:
            outcome = self._send(message, content)
        return outcome

    def send_fallback(self, message: Message) -> Outcome | None:
        """The same as plain text."""
        return self._send(message, text(message))

    def update_card(self, user: str, response_code: str, words: str) -> Outcome:
        """Put words in the place of a card's buttons; a code serves once, within 72 h."""
        token = self._tokens.token()
        if isinstance(token, Outcome):
            return token
        payload = {
            "userids": [user], "agentid": self._agent_number(), "response_code": response_code, "button": {"replace_name": words},
        }  # fmt: skip
        target = f"/cgi-bin/message/update_template_card?access_token={quote(token, safe='')}"
        outcome = numbered(self._http.post(target, headers=JSON_HEADERS, body=msgspec.json.encode(payload)), CODES)
        if outcome.code in {str(code) for code in CODES.stale_token}:
            self._tokens.forget(token)
        return outcome

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """The provider offers no question."""
        return unknown("WeCom cannot be asked what it has shown")

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _send(self, message: Message, content: dict[str, object]) -> Outcome:
        token = self._tokens.token()
        if isinstance(token, Outcome):
            return token
        payload = {"touser": message.receiver, "agentid": self._agent_number(), "enable_duplicate_check": 0, **content}
        target = f"/cgi-bin/message/send?access_token={quote(token, safe='')}"
        exchange = self._http.post(target, headers=JSON_HEADERS, body=msgspec.json.encode(payload))
        outcome = numbered(exchange, CODES, "msgid")
        if outcome.code in {str(code) for code in CODES.stale_token}:
            self._tokens.forget(token)
        if outcome.verdict is Verdict.ACCEPTED:
            answer = exchange.document or {}
            if message.receiver in str(answer.get("invaliduser") or "").split("|"):
                return refused(ErrorClass.NUMBER, code="invaliduser")
            if message.receiver in str(answer.get("unlicenseduser") or "").split("|"):
                return refused(ErrorClass.ACCOUNT, code="unlicenseduser")
        return outcome

    def _agent_number(self) -> int | str:
        return int(self._agent_id) if self._agent_id.isdecimal() else self._agent_id


def card(message: Message, language: str, public_url: str = "") -> dict[str, object]:
    """A ``button_interaction`` card. ``task_id`` is our name for the message, the buttons carry the incident's number."""
    words = _WORDS[language]
    body = "\n".join(line for line in message.body.splitlines() if not line.startswith("["))
    title, *rows = plain_lines(body) or [""]
    if not rows and (parts := _COLON.split(title, 1))[1:]:
        title, *rows = parts  # the words of an SMS, when the card stands in for one
    shown: dict[str, object] = {
        "card_type": "button_interaction",
        "source": {"desc": words["source"]},
        "main_title": {"title": cut(title, TITLE_MOST)},
        "sub_title_text": cut("\n".join(rows) or title, TEXT_MOST),
        "task_id": out_id(message),
        "button_list": [
            {"text": words["ack"], "style": 1, "key": f"ack:{message.incident_id}"},
            {"text": words["fixed"], "style": 1, "key": f"fixed:{message.incident_id}"},
            {"text": words["help"], "style": 2, "key": f"help:{message.incident_id}"},
        ],
    }
    link = message.params.get("link") or (public_url and f"{public_url.rstrip('/')}/incidents/{message.incident_id}")
    if link:
        shown["card_action"] = {"type": 1, "url": link}
    return {"msgtype": "template_card", "template_card": shown}


def text(message: Message) -> dict[str, object]:
    """The whole message as plain text."""
    return {"msgtype": "text", "text": {"content": _bytes_cut("\n".join(plain_lines(message.body)), 2048)}}


def _bytes_cut(text: str, limit: int) -> str:
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
