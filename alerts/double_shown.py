"""DEVELOPMENT AND DEMONSTRATION ONLY: how the gateway double shows itself, and the receipts it pushes."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alerts.channels.plain import plain_lines
from alerts.double_answers import PhoneAnswers

__all__ = ["MARK", "Marked", "phones_page", "pushed"]

MARK = "gateway-double; development and tests only; nothing is sent to anybody"
ZONE = ZoneInfo("Asia/Shanghai")


class Marked:
    """Middleware: every answer says that it comes from the double."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-qingquan-simulated", MARK.encode())]
            await send(message)

        await self._app(scope, receive, marked)


def phones_page(kept: Sequence[Mapping[str, Any]], answers: PhoneAnswers) -> str:
    """The messages, newest first, one phone for every receiver, with what can be answered from it."""
    phones: dict[str, list[Mapping[str, Any]]] = {}
    for one in reversed(kept):
        phones.setdefault(str(one["to"]), []).append(one)
    shown = "".join(
        f"<section><h2>{escape(to)}</h2>{_reply_form(to, rows, answers)}{''.join(_bubble(one, answers) for one in rows)}</section>"
        for to, rows in phones.items()
    )
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>模拟网关 · gateway double</title><style>{_STYLE}</style>"
        "<header>模拟网关，仅供开发和演示：没有任何消息真正发出 · Simulated gateway: nothing is sent to anybody</header>"
        f"<main>{shown or '<p>还没有消息 · no messages yet</p>'}</main></html>"
    )


async def pushed(url: str, kept: Mapping[str, Any], late_s: float, times: int) -> None:
    """Push a receipt as the provider would; a refusal is repeated once, as providers do (only sooner)."""
    await asyncio.sleep(late_s)
    body, path = _receipt(kept)
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        for _ in range(times):
            for pause_s in (0.5, 0.0):
                try:
                    answer = await client.post(f"{url.rstrip('/')}/{path}", json=body)
                except httpx2.HTTPError:
                    answer = None
                if answer is not None and answer.status_code == 200:
                    break
                await asyncio.sleep(pause_s)


def _receipt(kept: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    at, delivered = (
        f"{datetime.fromtimestamp(kept['at'] / 1000, ZONE):%Y-%m-%d %H:%M:%S}",
        kept["receipt"] == "delivered",
    )
    if kept["channel"] == "tencent_sms":
        row = {
            "user_receive_time": at, "nationcode": "86", "mobile": kept["to"], "sid": kept["id"],
            "report_status": "SUCCESS" if delivered else "FAIL", "errmsg": "DELIVRD" if delivered else "UNDELIV", "description": "",
        }  # fmt: skip
    elif kept["channel"] == "aliyun_voice":
        row = {
            "call_id": kept["id"], "status_code": "200000" if delivered else "200010", "duration": "20" if delivered else "0",
            "callee": kept["to"], "ring_time": at, "end_time": at, "out_id": kept["out_id"], "dtmf": "",
        }  # fmt: skip
    else:
        row = {
            "phone_number": kept["to"], "send_time": at, "report_time": at, "success": delivered, "sms_size": "1",
            "err_code": "DELIVERED" if delivered else "MOBILE_SEND_LIMIT", "err_msg": "", "biz_id": kept["id"],
            "out_id": kept["out_id"],
        }  # fmt: skip
    return [row], str(kept["channel"])


def _reply_form(to: str, rows: Sequence[Mapping[str, Any]], answers: PhoneAnswers) -> str:
    """A phone that has had an SMS can answer one."""
    if not answers.takes_replies or not any(one["channel"] == "aliyun_sms" for one in rows):
        return ""
    return (
        f'<form method="post" action="/double/reply"><input type="hidden" name="from" value="{escape(to)}">'
        '<input name="content" maxlength="70" required placeholder="1 11">'
        "<button>回复短信 · reply</button></form>"
    )


def _buttons(one: Mapping[str, Any], answers: PhoneAnswers) -> str:
    card = answers.cards.get(str(one["id"]))
    if card is None:
        return ""
    return (
        f'<form method="post" action="/double/click"><input type="hidden" name="id" value="{escape(str(one["id"]))}">'
        + (
            "".join(f'<button name="key" value="{escape(key)}">{escape(words)}</button>' for key, words in card.buttons)
            + "</form>"
        )
    )


def _bubble(one: Mapping[str, Any], answers: PhoneAnswers) -> str:
    at = datetime.fromtimestamp(int(one["at"]) / 1000, ZONE)
    said = "\n".join(plain_lines(str(one["text"])))
    return f"<article><small>{escape(str(one['channel']))} · {at:%m-%d %H:%M:%S}</small><p>{_linked(said)}</p>{_buttons(one, answers)}</article>"


def _linked(text: str) -> str:
    return _ADDRESS.sub(r'<a href="\1" target="_blank" rel="noreferrer">\1</a>', escape(text))


_ADDRESS = re.compile(r"(https?://[^\s()<>&\"']+)")
_STYLE = (
    "body{margin:0;font:16px/1.5 system-ui,sans-serif;background:#eef1f4;color:#1b2733}"
    "header{background:#8a5a00;color:#fff;padding:12px 16px;position:sticky;top:0}"
    "main{display:flex;flex-wrap:wrap;gap:16px;padding:16px}"
    "section{background:#fff;border-radius:24px;padding:16px;width:320px;max-width:100%;box-sizing:border-box}"
    "h2{font-size:16px;margin:0 0 8px}article{background:#e8f0f7;border-radius:12px;padding:8px 12px;margin:8px 0}"
    "p{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}small{color:#51606e}"
    "form{display:flex;gap:8px;margin:8px 0 0}input{flex:1;min-width:0;font:inherit;padding:6px 8px;border:1px solid #c6d1d7;border-radius:6px}"
    "button{font:inherit;padding:6px 10px;border:1px solid #0a6e91;border-radius:6px;background:#fff;color:#0a6e91;cursor:pointer}"
)
