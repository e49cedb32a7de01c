"""DEVELOPMENT AND DEMONSTRATION ONLY: answers from the gateway double's phones.

A click on a card and a reply by SMS are pushed to the platform as WeCom and Aliyun push them: sealed and signed, and to the
unguessable path. Nothing but the double's own page asks for them.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import httpx2
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts.channels.wecom_crypto import CallbackCrypto

__all__ = ["Card", "PhoneAnswers", "WaysBack"]

PHONES = "/double/phones"
PUSH_S = 10.0


@dataclass(frozen=True, slots=True)
class WaysBack:
    """Where the platform takes answers; what is empty has no way back. ``console_url`` is the address of its web process."""

    console_url: str = ""
    crypto: CallbackCrypto | None = None
    receipts_token: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A card on somebody's phone: its buttons are ``(key, words)``."""

    user: str
    task_id: str
    buttons: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class PhoneAnswers:
    """Routes of the page's forms, and the cards that can be clicked, by the number of the kept message."""

    ways: WaysBack = field(default_factory=WaysBack)
    cards: dict[str, Card] = field(default_factory=dict)
    response_codes: set[str] = field(default_factory=set)
    """Where a click leaves the code that serves for one change of its card."""

    @property
    def routes(self) -> list[Route]:
        """Doors of the page's own forms."""
        return [
            Route("/double/click", self._click, methods=["POST"]),
            Route("/double/reply", self._reply, methods=["POST"]),
        ]

    @property
    def takes_replies(self) -> bool:
        """Whether a reply by SMS gets anywhere."""
        return bool(self.ways.console_url and self.ways.receipts_token)

    def keep(self, message_id: str, body: Mapping[str, Any]) -> None:
        """Remember the card of an accepted message."""
        shown = body.get("template_card")
        if not isinstance(shown, dict) or self.ways.crypto is None or not self.ways.console_url:
            return
        buttons = tuple((str(one.get("key")), str(one.get("text"))) for one in shown["button_list"])
        self.cards[message_id] = Card(str(body["touser"]), str(shown["task_id"]), buttons)

    async def _click(self, request: Request) -> Response:
        given = await _form(request)
        card, crypto = self.cards.get(given.get("id", "")), self.ways.crypto
        if card is None or crypto is None or given.get("key") not in dict(card.buttons):
            return Response("no such card or button", status_code=404)
        code, at, nonce = secrets.token_hex(8), str(int(time.time())), secrets.token_hex(5)
        self.response_codes.add(code)
        said = {
            "FromUserName": card.user, "CreateTime": at, "MsgType": "event", "Event": "template_card_event", "EventKey": given["key"],
            "TaskId": card.task_id, "ResponseCode": code,
        }  # fmt: skip
        sealed = crypto.sealed("<xml>" + "".join(f"<{k}>{escape(v)}</{k}>" for k, v in said.items()) + "</xml>")
        query = {"msg_signature": crypto.signature(at, nonce, sealed), "timestamp": at, "nonce": nonce}
        return await self._pushed("/callbacks/wecom", f"<xml><Encrypt>{sealed}</Encrypt></xml>".encode(), query)

    async def _reply(self, request: Request) -> Response:
        given = await _form(request)
        if not self.takes_replies or not given.get("from") or not given.get("content"):
            return Response("no way back, or nothing said", status_code=404)
        row = {
            "phone_number": given["from"], "content": given["content"], "send_time": time.strftime("%Y-%m-%d %H:%M:%S"),
            "sequence_id": secrets.token_hex(8),
        }  # fmt: skip
        return await self._pushed(f"/replies/{self.ways.receipts_token}/aliyun_sms", [row])

    async def _pushed(
        self, path: str, body: bytes | list[dict[str, str]], query: Mapping[str, str] | None = None
    ) -> Response:
        form: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        url = self.ways.console_url.rstrip("/") + path
        try:
            async with httpx2.AsyncClient(timeout=PUSH_S, trust_env=False) as client:
                answer = await client.post(url, params=dict(query or {}), **form)
        except httpx2.HTTPError as error:
            return Response(f"the platform does not answer: {type(error).__name__}", status_code=502)
        if answer.status_code != 200:
            return Response(f"the platform refuses the push: HTTP {answer.status_code}", status_code=502)
        return RedirectResponse(PHONES, 303)


async def _form(request: Request) -> dict[str, str]:
    raw = (await request.body())[:4096].decode(errors="replace")
    return {name: values[0].strip() for name, values in parse_qs(raw).items()}
