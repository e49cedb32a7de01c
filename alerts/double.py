"""DEVELOPMENT AND DEMONSTRATION ONLY: a local stand-in for the doors of WeCom, Aliyun and the others (`double_doors`).

It answers as the providers do: it verifies signatures, dates and nonces, checks templates and variables, counts limits,
and refuses with the providers' own codes. What it accepts it keeps, in the words a phone would show, under
``/double/messages``. Faults can be scripted (``/double/faults``), one per request, to see how the alerter bears them.
"""

import asyncio
import hashlib
import json
import re
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from alerts.channels.acs3 import ALGORITHM, canonical_request, signature
from alerts.double_answers import PhoneAnswers, WaysBack
from alerts.double_doors import OtherDoors
from alerts.double_shown import Marked, phones_page, pushed

__all__ = ["Account", "GatewayDouble", "Kept"]

ROBOT_PER_MINUTE = 20
MARKDOWN_BYTES = 4096
SMS_PER_DAY = 50
SMS_VARIABLE_LENGTH = 35
DATE_TOLERANCE_S = 15 * 60
KEPT = 10_000
SPANS_S = {"minute": 60, "hour": 3600, "day": 86_400}
CHANNELS = (
    "wecom_robot", "aliyun_sms", "aliyun_voice", "tencent_sms", "wecom_app", "wechat_official", "dingtalk", "feishu", "webhook",
)  # fmt: skip

_ACS_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^,]*),\s*SignedHeaders=([^,]*),\s*Signature=([0-9a-f]{{64}})"
)
_NEEDED_HEADERS = {
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
}
_ACTIONS = ("SendSms", "QuerySendDetails", "SingleCallByTts", "QueryCallDetailByCallId")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LINK = re.compile(r"(?i)https?:|www\.|\b[a-z0-9\-]+\.(com|cn|net|org)\b")
_FORBIDDEN_IN_SMS = re.compile(r"[【】#『』µμ≥≤→•★※①²³]")
_PHONE = re.compile(r"1\d{10}")


@dataclass(frozen=True, slots=True)
class Account:
    """What is registered at the providers: robots (key to group name), SMS account, signature and templates (code to text)."""

    robots: Mapping[str, str] = field(default_factory=dict)
    key_id: str = ""
    key_secret: str = ""
    sign_name: str = ""
    templates: Mapping[str, str] = field(default_factory=dict)
    voice_template: str = ""
    voice_text: str = ""
    corp_id: str = ""
    agent_id: str = ""
    app_secret: str = ""
    wechat_id: str = ""
    wechat_secret: str = ""
    wechat_template: str = ""
    tencent_id: str = ""
    tencent_key: str = ""
    tencent_app: str = ""
    tencent_sign: str = ""
    tencent_templates: Mapping[str, str] = field(default_factory=dict)
    dingtalk: tuple[str, str] = ("", "")
    feishu: tuple[str, str] = ("", "")
    webhook_secret: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """An accepted message: to whom, and the text as the receiver sees it. ``at`` is wall time [ms since epoch, UTC].

    ``receipt`` is what the provider will say of it (``delivered``, ``failed`` or ``""`` for never) from ``receipt_at`` on.
    """

    id: str
    channel: str
    to: str
    text: str
    at: int
    out_id: str = ""
    receipt: str = "delivered"
    receipt_at: int = 0


class GatewayDouble:
    """State of the double; `app` serves it. ``wall_ms`` is its clock [ms since epoch, UTC]."""

    def __init__(
        self, account: Account, *, wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000, ways: WaysBack | None = None
    ) -> None:  # fmt: skip
        self.account = account
        self.messages: deque[Kept] = deque(maxlen=KEPT)
        self.rejected: Counter[str] = Counter()
        self.faults: dict[str, deque[dict[str, Any]]] = {name: deque() for name in CHANNELS}
        # Stricter than the providers' own, for tests: most messages of a number within a minute, an hour, a day.
        self.quotas: dict[str, int] = {"minute": 0, "hour": 0, "day": SMS_PER_DAY}
        self.receipts_url = ""
        self._pushes: set[asyncio.Task[None]] = set()
        self._wall_ms = wall_ms
        self._receipt_fault: dict[str, Any] = {}
        self._nonces: dict[str, int] = {}
        self._robot_calls: dict[str, deque[int]] = {}
        self._sms_calls: dict[tuple[str, str], deque[int]] = {}
        self.doors = OtherDoors(self)
        self.answers = PhoneAnswers(ways or WaysBack(), response_codes=self.doors.response_codes)
        self.app = Starlette(
            routes=[
                Route("/cgi-bin/webhook/send", self._robot, methods=["POST"]),
                Route("/", self._aliyun, methods=["POST"]),
                Route("/double/messages", self._messages, methods=["GET"]),
                Route("/double/faults", self._script, methods=["POST"]),
                Route("/double/settings", self._set, methods=["POST"]),
                Route("/double/phones", self._phones, methods=["GET"]),
                *self.doors.routes,
                *self.answers.routes,
            ],
            middleware=[Middleware(Marked)],
        )

    # --- its own doors -----------------------------------------------------------------------------------------------

    async def _messages(self, request: Request) -> Response:
        """What was accepted last, oldest first, and how often each refusal was given."""
        channel = request.query_params.get("channel")
        limit = request.query_params.get("limit", "200")
        kept = [asdict(one) for one in self.messages if channel in (None, one.channel)]
        shown = kept[-_number(limit, KEPT) :]
        return JSONResponse(
            {
                "simulated": True,
                "messages": shown,
                "accepted": len(kept),
                "rejected": dict(self.rejected),
            }
        )

    async def _script(self, request: Request) -> Response:
        """Queue faults: ``{"channel": "aliyun_sms", "faults": [{"kind": "delay", "seconds": 2}, …]}``; one per request."""
        try:
            wanted = json.loads(await request.body())
            queue = self.faults[wanted["channel"]]
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": f"channel must be one of {sorted(self.faults)}"}, status_code=400)
        queue.extend(wanted.get("faults", []))
        return JSONResponse({"queued": len(queue)})

    async def _set(self, request: Request) -> Response:
        """Change what the doors do: ``{"quotas": {"minute": 1}, "receipts_url": "http://127.0.0.1:8080/…"}``."""
        try:
            wanted = json.loads(await request.body())
            quotas = {name: int(wanted.get("quotas", {}).get(name, most)) for name, most in self.quotas.items()}
            url = str(wanted.get("receipts_url", self.receipts_url))
        except (ValueError, AttributeError, TypeError):
            return JSONResponse({"error": "quotas: numbers for minute, hour, day; receipts_url: text"}, status_code=400)
        self.quotas, self.receipts_url = quotas, url
        return JSONResponse({"quotas": quotas, "receipts_url": url})

    async def _phones(self, _: Request) -> Response:
        """The last messages as the phones show them."""
        return HTMLResponse(phones_page([asdict(kept) for kept in list(self.messages)[-100:]], self.answers))

    # --- WeCom -------------------------------------------------------------------------------------------------------

    async def _robot(self, request: Request) -> Response:
        raw = await request.body()
        key = request.query_params.get("key", "")
        return await self._with_fault("wecom_robot", lambda forced: self._robot_answer(key, raw, forced))

    def _robot_answer(self, key: str, raw: bytes, forced: int | None) -> Response:
        code = self._robot_verdict(key, raw) if forced is None else forced
        if code == 0:
            content = json.loads(raw)["markdown"]["content"]
            self._keep("wecom_robot", self.account.robots[key], content)
        else:
            self.rejected[str(code)] += 1
        return JSONResponse(
            {"errcode": code, "errmsg": "ok" if code == 0 else "refused, Please refer to the documentation"}
        )

    def _robot_verdict(self, key: str, raw: bytes) -> int:
        if key not in self.account.robots:
            return 93000
        if re.search(rb"\\u[0-9a-fA-F]{4}", raw):
            return 40033
        try:
            body = json.loads(raw)
        except ValueError:
            return 40035
        if not isinstance(body, dict) or body.get("msgtype") != "markdown":
            return 40008
        content = (body.get("markdown") or {}).get("content")
        if not isinstance(content, str) or not content:
            return 44004
        if len(content.encode()) > MARKDOWN_BYTES:
            return 40058
        calls = _recent(self._robot_calls.setdefault(key, deque()), self._wall_ms(), 60_000)
        if len(calls) >= ROBOT_PER_MINUTE:
            return 45009
        calls.append(self._wall_ms())
        return 0

    # --- Aliyun ------------------------------------------------------------------------------------------------------

    async def _aliyun(self, request: Request) -> Response:
        raw = await request.body()
        if "x-tc-action" in request.headers:
            return await self.doors.tencent(request, raw)
        refusal = self._signature_fault(request, raw)
        if refusal is not None:
            status, code = refusal
            self.rejected[code] += 1
            return JSONResponse({"Code": code, "Message": code, "RequestId": _request_id()}, status_code=status)
        params = dict(request.query_params)
        if request.headers["x-acs-action"] == "QuerySendDetails":
            return JSONResponse(self._send_details(params))
        if request.headers["x-acs-action"] == "QueryCallDetailByCallId":
            return JSONResponse(self.doors.call_details(params))
        if request.headers["x-acs-action"] == "SingleCallByTts":
            return await self._with_fault("aliyun_voice", lambda forced: self.doors.call_answer(params, forced))
        return await self._with_fault("aliyun_sms", lambda forced: self._sms_answer(params, forced))

    def _signature_fault(self, request: Request, raw: bytes) -> tuple[int, str] | None:
        """HTTP status and code where the request's signature does not stand; ``None`` where it does."""
        match = _ACS_AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if match is None:
            return 400, "IncompleteSignature"
        key_id, names, given = match.groups()
        if key_id != self.account.key_id:
            return 404, "InvalidAccessKeyId.NotFound"
        signed = {name: request.headers.get(name, "") for name in names.split(";")}
        if not signed.keys() >= _NEEDED_HEADERS or signed["x-acs-content-sha256"] != hashlib.sha256(raw).hexdigest():
            return 400, "IncompleteSignature"
        expected = canonical_request("POST", request.url.path, dict(request.query_params), signed, raw)
        if not secrets.compare_digest(signature(self.account.key_secret, expected), given):
            return 400, "SignatureDoesNotMatch"
        return self._replay_fault(signed)

    def _replay_fault(self, signed: Mapping[str, str]) -> tuple[int, str] | None:
        now_ms = self._wall_ms()
        try:
            dated = datetime.strptime(signed["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            return 400, "InvalidTimeStamp.Format"
        if abs(dated.timestamp() * 1000 - now_ms) > DATE_TOLERANCE_S * 1000:
            return 400, "InvalidTimeStamp.Expired"
        self._nonces = {nonce: at for nonce, at in self._nonces.items() if now_ms - at < 2 * DATE_TOLERANCE_S * 1000}
        if signed["x-acs-signature-nonce"] in self._nonces:
            return 400, "SignatureNonceUsed"
        self._nonces[signed["x-acs-signature-nonce"]] = now_ms
        if signed["x-acs-action"] not in _ACTIONS or signed["x-acs-version"] != "2017-05-25":
            return 404, "InvalidAction.NotFound"
        return None

    def _sms_answer(self, params: Mapping[str, str], forced: str | None) -> Response:
        code = forced or self._sms_verdict(params)
        answer = {"Code": code, "Message": code, "RequestId": _request_id()}
        if code != "OK":
            self.rejected[code] += 1
            return JSONResponse(answer)
        text = _rendered(self.account.templates[params["TemplateCode"]], _variables(params) or {})
        kept = self._keep(
            "aliyun_sms", params["PhoneNumbers"], f"【{self.account.sign_name}】{text}", params.get("OutId", "")
        )
        return JSONResponse({**answer, "BizId": kept.id})

    def _sms_verdict(self, params: Mapping[str, str]) -> str:
        """The provider's code for a SendSms request, "OK" where it is taken."""
        phone, template = params.get("PhoneNumbers", ""), params.get("TemplateCode", "")
        if not _PHONE.fullmatch(phone):
            return "isv.MOBILE_NUMBER_ILLEGAL"
        if params.get("SignName") != self.account.sign_name:
            return "isv.SMS_SIGNATURE_ILLEGAL"
        if template not in self.account.templates:
            return "isv.SMS_TEMPLATE_ILLEGAL"
        variables = _variables(params)
        if variables is None:
            return "isv.INVALID_JSON_PARAM"
        if (fault := _variables_fault(self.account.templates[template], variables)) is not None:
            return fault
        return "OK" if self.counted(phone, template) else "isv.BUSINESS_LIMIT_CONTROL"

    def counted(self, phone: str, template: str) -> bool:
        """Count one more message of a template for a number; ``False`` where a quota is full."""
        now_ms = self._wall_ms()
        calls = _recent(self._sms_calls.setdefault((phone, template), deque()), now_ms, 86_400_000)
        for name, most in self.quotas.items():
            if most and sum(now_ms - at < SPANS_S[name] * 1000 for at in calls) >= most:
                return False
        calls.append(now_ms)
        return True

    def _send_details(self, params: Mapping[str, str]) -> dict[str, Any]:
        zone = ZoneInfo("Asia/Shanghai")
        rows = [
            {
                "PhoneNum": one.to, "OutId": one.out_id, "Content": one.text,
                **_status(one, self._wall_ms()),
                "SendDate": f"{datetime.fromtimestamp(one.at / 1000, zone):%Y-%m-%d %H:%M:%S}", "BizId": one.id,
            }
            for one in reversed(self.messages)
            if one.channel == "aliyun_sms"
            and one.to == params.get("PhoneNumber")
            and f"{datetime.fromtimestamp(one.at / 1000, zone):%Y%m%d}" == params.get("SendDate")
        ]  # fmt: skip
        size, page = _number(params.get("PageSize"), 10), _number(params.get("CurrentPage"), 1)
        shown = rows[(page - 1) * size : page * size]
        return {
            "Code": "OK", "Message": "OK", "RequestId": _request_id(), "TotalCount": len(rows),
            "SmsSendDetailDTOs": {"SmsSendDetailDTO": shown},
        }  # fmt: skip

    # --- both --------------------------------------------------------------------------------------------------------

    def _keep(self, channel: str, to: str, text: str, out_id: str = "") -> Kept:
        fault, now_ms = self._receipt_fault, self._wall_ms()
        receipt = {"no_receipt": "", "receipt_failed": "failed"}.get(fault.get("kind", ""), "delivered")
        late_s = float(fault.get("seconds", 0)) if fault.get("kind") == "receipt_late" else 0.0
        kept = Kept(secrets.token_hex(8), channel, to, text, now_ms, out_id, receipt, now_ms + round(late_s * 1000))
        self.messages.append(kept)
        if self.receipts_url and receipt and channel in ("aliyun_sms", "tencent_sms", "aliyun_voice"):
            task = asyncio.ensure_future(
                pushed(self.receipts_url, asdict(kept), late_s, 2 if fault.get("kind") == "receipt_twice" else 1)
            )
            self._pushes.add(task)
            task.add_done_callback(self._pushes.discard)
        return kept

    async def _with_fault(self, channel: str, answer: Callable[[Any], Response]) -> Response:
        """The answer, bent by the next scripted fault.

        ``delay`` (seconds) answers late; ``hang_up`` accepts and never answers; ``code`` (code) refuses; ``http``
        (status) fails without looking; ``garbage``, ``html`` and ``slow_body`` (seconds) accept and answer nonsense, a
        page, or drop by drop; ``wrong_type`` answers rightly but calls it text. ``no_receipt``, ``receipt_failed``,
        ``receipt_late`` (seconds) and ``receipt_twice`` accept and bend the receipt.
        """
        fault: dict[str, Any] = self.faults[channel].popleft() if self.faults[channel] else {"kind": "none"}
        kind, seconds = fault["kind"], float(fault.get("seconds", 0))
        if kind == "http":
            self.rejected[f"HTTP {fault['status']}"] += 1
            return PlainTextResponse("upstream failed", status_code=int(fault["status"]))
        self._receipt_fault = fault
        try:
            given = answer(fault["code"] if kind == "code" else None)
        finally:
            self._receipt_fault = {}
        if kind in ("delay", "hang_up"):
            await asyncio.sleep(seconds or 3600)
        if kind == "garbage":
            return Response(b"\x00\xff{", media_type="application/json")
        if kind == "html":
            return HTMLResponse("<html>please log in to this network</html>")
        if kind == "wrong_type":
            return PlainTextResponse(bytes(given.body))
        if kind == "slow_body":
            return StreamingResponse(_dripping(bytes(given.body), seconds), media_type="application/json")
        return given


def _recent(calls: deque[int], now_ms: int, span_ms: int) -> deque[int]:
    while calls and now_ms - calls[0] >= span_ms:
        calls.popleft()
    return calls


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isdecimal() else otherwise


def _variables(params: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        variables = json.loads(params.get("TemplateParam") or "{}")
    except ValueError:
        return None
    return variables if isinstance(variables, dict) else None


def _variables_fault(template: str, variables: Mapping[str, Any]) -> str | None:
    if not set(_VARIABLE.findall(template)) <= variables.keys():
        return "isv.TEMPLATE_MISSING_PARAMETERS"
    for value in variables.values():
        if not isinstance(value, str):
            return "isv.INVALID_JSON_PARAM"
        if len(value) > SMS_VARIABLE_LENGTH:
            return "isv.PARAM_LENGTH_LIMIT"
        if _LINK.search(value):
            return "isv.PARAM_NOT_SUPPORT_URL"
        if _FORBIDDEN_IN_SMS.search(value):
            return "isv.SMS_CONTENT_ILLEGAL"
    return None


def _rendered(template: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables[match[1]], template)


def _status(kept: Kept, now_ms: int) -> dict[str, Any]:
    if not kept.receipt or now_ms < kept.receipt_at:
        return {"SendStatus": 1, "ErrCode": ""}
    delivered = kept.receipt == "delivered"
    return {"SendStatus": 3 if delivered else 2, "ErrCode": "DELIVERED" if delivered else "MOBILE_SEND_LIMIT"}


def _request_id() -> str:
    return secrets.token_hex(16).upper()


async def _dripping(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    for offset in range(len(body)):
        yield body[offset : offset + 1]
        await asyncio.sleep(seconds)
