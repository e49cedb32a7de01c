"""Tencent Cloud SMS (version 2021-01-11): approved signature, approved template, variables by position.

Two levels of refusal, both HTTP 200: ``Response.Error`` for the request, ``SendStatusSet[0].Code`` for the number. The
``SessionContext`` of ours is not in the pull interface, so an attempt without an answer is looked for by number and time.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from alerts.channels.aliyun import out_id
from alerts.channels.base import ErrorClass, Outcome, Verdict, accepted, refused, throttled, unknown
from alerts.channels.http import TOTAL_TIMEOUT_S, WALL, Exchange, HttpPort
from alerts.channels.tc3 import CONTENT_TYPE, tc3_authorization
from alerts.templates import load_templates
from qingquan.clock import to_ms
from qingquan.domain.incidents import Message

__all__ = ["NAME", "TencentSms", "error_class"]

NAME = "tencent_sms"
VERSION = "2021-01-11"
THROTTLED_FOR_S = 30.0

# The longest beginning that fits decides.
ERROR_CLASSES: dict[str, ErrorClass] = {
    "LimitExceeded": ErrorClass.LIMIT,
    "FailedOperation.SignatureIncorrectOrUnapproved": ErrorClass.CONTENT,
    "FailedOperation.TemplateIncorrectOrUnapproved": ErrorClass.CONTENT,
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": ErrorClass.CONTENT,
    "FailedOperation.ContainSensitiveWord": ErrorClass.CONTENT,
    "FailedOperation.InsufficientBalanceInSmsPackage": ErrorClass.ACCOUNT,
    "FailedOperation.PhoneNumberInBlacklist": ErrorClass.NUMBER,
    "InvalidParameterValue.IncorrectPhoneNumber": ErrorClass.NUMBER,
    "InvalidParameterValue": ErrorClass.CONTENT,
    "UnauthorizedOperation": ErrorClass.ACCOUNT,
    "AuthFailure": ErrorClass.ACCOUNT,
    "InternalError": ErrorClass.TRANSIENT,
    "RequestLimitExceeded": ErrorClass.TRANSIENT,
}


class TencentSms:
    """Channel over one application. ``templates`` maps our names (alarm, recovery, plain, several) to template ids."""

    name = NAME
    can_be_asked = True
    gives_receipts = True
    reaches = "person"

    def __init__(
        self, base_url: str, secret_id: str, secret_key: str, app_id: str, sign_name: str, templates: Mapping[str, str], *,
        region: str = "ap-guangzhou", wall_ms: Callable[[], int] = WALL.now_ms, timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._secret_id, self._secret_key, self._app_id, self._region = secret_id, secret_key, app_id, region
        self._sign_name, self._templates, self._wall_ms = sign_name, dict(templates), wall_ms

    def send(self, message: Message) -> Outcome:
        """Hand over one message; without an id for its template, in the form without variables."""
        template = message.params.get("template", "plain")
        return self._send_as(message, template if self._templates.get(template) else "plain")

    def send_fallback(self, message: Message) -> Outcome | None:
        """The template without variables, if there is one and it was not that one which was refused."""
        if message.params.get("template", "plain") == "plain" or not self._templates.get("plain"):
            return None
        return self._send_as(message, "plain")

    def ask(self, message: Message) -> Outcome:
        """The carrier's word on this message: by its serial number, or else by number and time of the attempt.

        Without a serial number, one message to this number since ours was written counts as ours; the escalation, not this
        loop, decides what to do if that was another.
        """
        # A second of slack: the provider's clock and ours.
        since = to_ms(message.sent_at or message.created_at) // 1000 - 1
        until = self._wall_ms() // 1000 + 60
        begin = max(since, until - 7 * 86_400) if since < until else until - 3600
        document = self._response(
            self._call("PullSmsSendStatusByPhoneNumber", {
                "BeginTime": begin, "EndTime": until, "Offset": 0, "Limit": 100, "PhoneNumber": _phone(message),
                "SmsSdkAppId": self._app_id,
            })
        )  # fmt: skip
        if document is None or "Error" in document:
            return unknown(f"the provider did not say: {_error(document)}")
        rows = document.get("PullSmsSendStatusSet")
        for row in rows if isinstance(rows, list) else []:
            if not message.provider_id or row.get("SerialNo") == message.provider_id:
                delivered = row.get("ReportStatus") == "SUCCESS"
                verdict = Verdict.DELIVERED if delivered else Verdict.REFUSED
                why = None if delivered else ErrorClass.OTHER
                return Outcome(verdict, str(row.get("SerialNo") or ""), why, str(row.get("Description") or ""))
        return Outcome(Verdict.ACCEPTED, message.provider_id) if message.provider_id else Outcome(Verdict.NOT_FOUND)

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _send_as(self, message: Message, template: str) -> Outcome:
        if not self._templates.get(template):
            return refused(ErrorClass.ACCOUNT, detail=f"no template id for {template!r}")
        names = load_templates()[template].lengths
        exchange = self._call("SendSms", {
            "PhoneNumberSet": [_phone(message)], "SmsSdkAppId": self._app_id, "SignName": self._sign_name,
            "TemplateId": self._templates[template],
            "TemplateParamSet": [message.params.get(name, "") for name in names], "SessionContext": out_id(message),
        })  # fmt: skip
        return self._sent(exchange)

    def _sent(self, exchange: Exchange) -> Outcome:
        if not exchange.written:
            return refused(ErrorClass.TRANSIENT, detail=exchange.fault)
        if exchange.status == 0 or exchange.status >= 500:
            return unknown(exchange.fault or f"HTTP {exchange.status}")
        document = self._response(exchange)
        if document is None:
            if exchange.status == 200:
                return unknown("the answer is not the provider's")
            return refused(ErrorClass.ACCOUNT, code=f"HTTP {exchange.status}", detail="is tencent_sms_url right?")
        if "Error" in document:
            return _refusal(_error(document))
        rows = document.get("SendStatusSet")
        if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], dict):
            return unknown("the answer names no number")
        if rows[0].get("Code") == "Ok":
            return accepted(str(rows[0].get("SerialNo") or ""))
        return _refusal(str(rows[0].get("Code")))

    def _call(self, action: str, payload: Mapping[str, Any]) -> Exchange:
        body, at = msgspec.json.encode(payload), self._wall_ms() // 1000
        headers = {
            "content-type": CONTENT_TYPE, "x-tc-action": action, "x-tc-version": VERSION, "x-tc-region": self._region,
            "x-tc-timestamp": str(at),
            "authorization": tc3_authorization(self._secret_id, self._secret_key, "sms", self._http.host, at, body),
        }  # fmt: skip
        return self._http.post("/", headers=headers, body=body)

    @staticmethod
    def _response(exchange: Exchange) -> dict[str, Any] | None:
        inner = (exchange.document or {}).get("Response")
        return inner if isinstance(inner, dict) else None


def error_class(code: str) -> ErrorClass:
    """The class of a code, by the longest known beginning."""
    known = [name for name in ERROR_CLASSES if code.startswith(name)]
    return ERROR_CLASSES[max(known, key=len)] if known else ErrorClass.OTHER


def _refusal(code: str) -> Outcome:
    if code == "LimitExceeded.PhoneNumberThirtySecondLimit":
        return throttled(code, THROTTLED_FOR_S)
    return refused(error_class(code), code=code)


def _error(document: Mapping[str, Any] | None) -> str:
    error = (document or {}).get("Error")
    return str(error.get("Code")) if isinstance(error, dict) else "no answer"


def _phone(message: Message) -> str:
    return message.receiver if message.receiver.startswith("+") else f"+86{message.receiver}"
