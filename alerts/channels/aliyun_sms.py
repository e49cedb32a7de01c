"""Aliyun SMS (Dysmsapi 2017-05-25): approved signature, approved template, variables.

Parameters travel in the query of a POST without body. Refusals for business reasons come as HTTP 200 with a ``Code``,
those for signature or permission as HTTP 4xx. Sending is not idempotent, but the ``OutId`` of ours comes back in
``QuerySendDetails``: that is how an attempt without an answer is settled.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from alerts.channels.acs3 import authorization, canonical_query, canonical_request
from alerts.channels.base import ErrorClass, Outcome, Verdict, accepted, refused, throttled, unknown
from alerts.channels.http import TOTAL_TIMEOUT_S, Exchange, HttpPort
from alerts.routing import SMS
from qingquan.clock import Clock, from_ms, to_ms
from qingquan.domain.incidents import Message

__all__ = ["ERROR_CLASSES", "AliyunSms", "out_id"]

VERSION = "2017-05-25"
# Signatures are dated by the provider's time, so a demo clock must not reach them.
WALL = Clock()
# The provider's days are Beijing days, wherever the works lies.
PROVIDER_ZONE = ZoneInfo("Asia/Shanghai")

THROTTLED_FOR_S = 60.0

# Parameters of a message that are no variables of its template.
NOT_VARIABLES = frozenset({"template", "severity", "line"})

ERROR_CLASSES: dict[str, ErrorClass] = {
    "isv.BUSINESS_LIMIT_CONTROL": ErrorClass.LIMIT,
    "isv.DAY_LIMIT_CONTROL": ErrorClass.LIMIT,
    "isv.MONTH_LIMIT_CONTROL": ErrorClass.LIMIT,
    "isv.OUT_OF_SERVICE": ErrorClass.ACCOUNT,
    "isv.AMOUNT_NOT_ENOUGH": ErrorClass.ACCOUNT,
    "isp.RAM_PERMISSION_DENY": ErrorClass.ACCOUNT,
    "isv.PRODUCT_UN_SUBSCRIPT": ErrorClass.ACCOUNT,
    "isv.DENY_IP_RANGE": ErrorClass.ACCOUNT,
    "isv.SMS_SIGNATURE_ILLEGAL": ErrorClass.CONTENT,
    "isv.SIGN_STATE_ILLEGAL": ErrorClass.CONTENT,
    "isv.SMS_TEMPLATE_ILLEGAL": ErrorClass.CONTENT,
    "isv.SMS_SIGNATURE_SCENE_ILLEGAL": ErrorClass.CONTENT,
    "isv.TEMPLATE_MISSING_PARAMETERS": ErrorClass.CONTENT,
    "isv.INVALID_JSON_PARAM": ErrorClass.CONTENT,
    "isv.PARAM_LENGTH_LIMIT": ErrorClass.CONTENT,
    "isv.PARAM_NOT_SUPPORT_URL": ErrorClass.CONTENT,
    "isv.BLACK_KEY_CONTROL_LIMIT": ErrorClass.CONTENT,
    "isv.SMS_CONTENT_ILLEGAL": ErrorClass.CONTENT,
    "isv.MOBILE_NUMBER_ILLEGAL": ErrorClass.NUMBER,
    "isv.MOBILE_COUNT_OVER_LIMIT": ErrorClass.NUMBER,
    "isp.SYSTEM_ERROR": ErrorClass.TRANSIENT,
}

# SendStatus of QuerySendDetails: handed to the carrier and waiting, failed, delivered.
_SEND_STATUS = {1: Verdict.ACCEPTED, 2: Verdict.REFUSED, 3: Verdict.DELIVERED}


class AliyunSms:
    """Channel over one account and signature. ``templates`` maps our names (alarm, recovery, plain) to approved codes."""

    name = SMS
    can_be_asked = True

    def __init__(
        self,
        base_url: str,
        key_id: str,
        key_secret: str,
        sign_name: str,
        templates: Mapping[str, str],
        *,
        wall_ms: Callable[[], int] = WALL.now_ms,
        timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._key_id, self._key_secret, self._sign_name = key_id, key_secret, sign_name
        self._templates = dict(templates)
        self._wall_ms = wall_ms

    def send(self, message: Message) -> Outcome:
        """Hand over one message; without a code for its template, in the form without variables."""
        template = message.params.get("template", "plain")
        if not self._templates.get(template):
            template = "plain"
        return self._send_as(message, template)

    def send_digest(self, body: str) -> Outcome:  # noqa: ARG002
        """Templates cannot hold a digest."""
        return refused(ErrorClass.CONTENT, detail="SMS has no digest")

    def send_fallback(self, message: Message) -> Outcome | None:
        """The template without variables, if there is one and it was not that one which was refused."""
        if message.params.get("template", "plain") == "plain" or not self._templates.get("plain"):
            return None
        return self._send_as(message, "plain")

    def ask(self, message: Message) -> Outcome:
        """Look for our ``OutId`` among what the provider has for this number, today and (around midnight) yesterday."""
        today = from_ms(self._wall_ms()).astimezone(PROVIDER_ZONE)
        for day in (today, today - timedelta(days=1)):
            found = self._found_on(message, day)
            if found.verdict is not Verdict.NOT_FOUND:
                return found
        return Outcome(Verdict.NOT_FOUND)

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _send_as(self, message: Message, template: str) -> Outcome:
        code = self._templates.get(template)
        if not code:
            return refused(ErrorClass.ACCOUNT, detail=f"no approved code for template {template!r}")
        params = {
            "PhoneNumbers": message.receiver,
            "SignName": self._sign_name,
            "TemplateCode": code,
            "OutId": out_id(message),
        }
        if template != "plain":
            variables = {name: value for name, value in message.params.items() if name not in NOT_VARIABLES}
            params["TemplateParam"] = json.dumps(variables, ensure_ascii=False, separators=(",", ":"))
        return _sent(self._call("SendSms", params))

    def _found_on(self, message: Message, day: datetime) -> Outcome:
        params = {"PhoneNumber": message.receiver, "SendDate": f"{day:%Y%m%d}", "PageSize": "50", "CurrentPage": "1"}
        exchange = self._call("QuerySendDetails", params)
        document = exchange.document or {}
        if exchange.status != 200 or document.get("Code") != "OK":
            return unknown(f"the provider did not say: {document.get('Code') or exchange.fault or exchange.status}")
        wanted = out_id(message)
        for row in _details(document):
            if row.get("OutId") == wanted:
                verdict = _SEND_STATUS.get(int(row.get("SendStatus") or 1), Verdict.ACCEPTED)
                error_class = ErrorClass.OTHER if verdict is Verdict.REFUSED else None
                return Outcome(verdict, str(row.get("BizId") or ""), error_class, str(row.get("ErrCode") or ""))
        return Outcome(Verdict.NOT_FOUND)

    def _call(self, action: str, params: Mapping[str, str]) -> Exchange:
        signed = signed_headers(self._http.host, action, self._wall_ms(), secrets.token_hex(16))
        request = canonical_request("POST", "/", params, signed)
        headers = {**signed, "authorization": authorization(self._key_id, self._key_secret, request, signed)}
        return self._http.post(f"/?{canonical_query(params)}", headers=headers)


def out_id(message: Message) -> str:
    """Our name for a message at the provider; the creation time keeps installations that share an account apart."""
    return f"qq-{message.id}-{to_ms(message.created_at):x}"


def signed_headers(host: str, action: str, wall_ms: int, nonce: str) -> dict[str, str]:
    """The headers that enter the signature. A nonce serves once, so every attempt has its own."""
    return {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        "x-acs-date": f"{from_ms(wall_ms):%Y-%m-%dT%H:%M:%SZ}",
        "x-acs-signature-nonce": nonce,
        "x-acs-version": VERSION,
    }


def _sent(exchange: Exchange) -> Outcome:
    if not exchange.written:
        return refused(ErrorClass.TRANSIENT, detail=exchange.fault)
    document = exchange.document
    if exchange.status == 0 or exchange.status >= 500:
        # Whether the message got through before the failure is for the provider to say (`ask`).
        return unknown(exchange.fault or f"HTTP {exchange.status}")
    code = None if document is None else document.get("Code")
    if not isinstance(code, str) or document is None:
        return unknown("the answer is not the provider's") if exchange.status == 200 else _misled(exchange)
    if exchange.status != 200 and code.startswith("Throttling"):
        return throttled(code, THROTTLED_FOR_S)
    if code == "SignatureNonceUsed":
        # Ours are used once, so somebody on the way has sent this request twice; the first may have been taken.
        return unknown(code)
    if exchange.status != 200:
        return refused(ErrorClass.ACCOUNT, code=code, detail=f"HTTP {exchange.status}")
    if code == "OK":
        return accepted(str(document.get("BizId") or ""))
    return refused(ERROR_CLASSES.get(code, ErrorClass.OTHER), code=code)


def _misled(exchange: Exchange) -> Outcome:
    return refused(ErrorClass.ACCOUNT, code=f"HTTP {exchange.status}", detail="is aliyun_sms_url right?")


def _details(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    inner = document.get("SmsSendDetailDTOs")
    rows = inner.get("SmsSendDetailDTO") if isinstance(inner, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
