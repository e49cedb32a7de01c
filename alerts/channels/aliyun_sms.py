"""Aliyun SMS (Dysmsapi 2017-05-25): approved signature, approved template, variables.

Parameters travel in the query of a POST without body. Refusals for business reasons come as HTTP 200 with a ``Code``,
those for signature or permission as HTTP 4xx. Sending is not idempotent, but the ``OutId`` of ours comes back in
``QuerySendDetails``: that is how an attempt without an answer is settled.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from alerts.channels.aliyun import AliyunPort, aliyun_outcome, out_id
from alerts.channels.base import ErrorClass, Outcome, Verdict, refused, unknown
from alerts.channels.http import TOTAL_TIMEOUT_S, WALL
from alerts.routing import SMS
from alerts.templates import load_templates
from qingquan.domain.incidents import Message

__all__ = ["ERROR_CLASSES", "AliyunSms", "out_id"]


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
    gives_receipts = True
    reaches = "person"

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
        self._port = AliyunPort(base_url, key_id, key_secret, wall_ms, timeout_s)
        self._sign_name = sign_name
        self._templates = dict(templates)

    def send(self, message: Message) -> Outcome:
        """Hand over one message; without a code for its template, in the form without variables."""
        template = message.params.get("template", "plain")
        if not self._templates.get(template):
            template = "plain"
        return self._send_as(message, template)

    def send_fallback(self, message: Message) -> Outcome | None:
        """The template without variables, if there is one and it was not that one which was refused."""
        if message.params.get("template", "plain") == "plain" or not self._templates.get("plain"):
            return None
        return self._send_as(message, "plain")

    def ask(self, message: Message) -> Outcome:
        """Look for our ``OutId`` among what the provider has for this number, today and (around midnight) yesterday."""
        today = self._port.today()
        for day in (today, today - timedelta(days=1)):
            found = self._found_on(message, day)
            if found.verdict is not Verdict.NOT_FOUND:
                return found
        return Outcome(Verdict.NOT_FOUND)

    def close(self) -> None:
        """Release the connection."""
        self._port.close()

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
            declared = load_templates()[template].lengths
            variables = {name: message.params[name] for name in declared if name in message.params}
            params["TemplateParam"] = json.dumps(variables, ensure_ascii=False, separators=(",", ":"))
        return aliyun_outcome(self._port.call("SendSms", params), ERROR_CLASSES, "BizId", "aliyun_sms_url")

    def _found_on(self, message: Message, day: datetime) -> Outcome:
        params = {"PhoneNumber": message.receiver, "SendDate": f"{day:%Y%m%d}", "PageSize": "50", "CurrentPage": "1"}
        exchange = self._port.call("QuerySendDetails", params)
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


def _details(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    inner = document.get("SmsSendDetailDTOs")
    rows = inner.get("SmsSendDetailDTO") if isinstance(inner, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
