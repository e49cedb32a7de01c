"""DEVELOPMENT AND DEMONSTRATION ONLY: the gateway double's doors of Tencent, WeCom's app, WeChat, DingTalk, Feishu, voice calls
and a webhook. Each checks what the provider checks, and refuses with the provider's own codes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alerts.channels.robots import dingtalk_sign, feishu_sign
from alerts.channels.tc3 import tc3_authorization
from alerts.channels.webhook import signed

if TYPE_CHECKING:
    from alerts.double import GatewayDouble

__all__ = ["OtherDoors"]

HOUR_MS = 3_600_000
TC3_TOLERANCE_S = 300
TOKEN_LASTS_S = 7200
APP_PER_MINUTE = 30
TEXT_BYTES = 2048
ROBOT_BYTES = 20_000
_TASK_ID = re.compile(r"[A-Za-z0-9_\-@]{1,128}")
_THING = re.compile(r"thing\d+")


class OtherDoors:
    """The doors, over the state of one `GatewayDouble`."""

    def __init__(self, double: GatewayDouble) -> None:
        self._double = double
        self.tokens: dict[str, int] = {}
        self._task_ids: set[str] = set()
        self.response_codes: set[str] = set()
        """Codes that serve for one change of a card; a click brings another."""
        self.changed_cards: list[tuple[str, str]] = []
        """User and words in the place of the buttons, in order."""
        self._calls: dict[str, deque[int]] = {}
        self.routes = [
            Route("/cgi-bin/gettoken", self._wecom_token, methods=["GET"]),
            Route("/cgi-bin/message/send", self._wecom_app, methods=["POST"]),
            Route("/cgi-bin/message/update_template_card", self._wecom_update, methods=["POST"]),
            Route("/cgi-bin/token", self._wechat_token, methods=["GET"]),
            Route("/cgi-bin/message/template/send", self._wechat, methods=["POST"]),
            Route("/robot/send", self._dingtalk, methods=["POST"]),
            Route("/open-apis/bot/v2/hook/{hook}", self._feishu, methods=["POST"]),
            Route("/webhook", self._webhook, methods=["POST"]),
        ]

    # --- WeCom app and WeChat ----------------------------------------------------------------------------------------

    async def _wecom_token(self, request: Request) -> Response:
        account, query = self._double.account, request.query_params
        known = query.get("corpid") == account.corp_id and query.get("corpsecret") == account.app_secret
        return self._token(40001 if not known or not account.corp_id else 0)

    async def _wechat_token(self, request: Request) -> Response:
        account, query = self._double.account, request.query_params
        known = query.get("appid") == account.wechat_id and query.get("secret") == account.wechat_secret
        return self._token(40125 if not known or not account.wechat_id else 0)

    def _token(self, code: int) -> Response:
        if code:
            self._double.rejected[str(code)] += 1
            return JSONResponse({"errcode": code, "errmsg": "invalid credential"})
        token = secrets.token_hex(16)
        self.tokens[token] = self._double._wall_ms() + TOKEN_LASTS_S * 1000
        return JSONResponse({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": TOKEN_LASTS_S})

    def _token_fault(self, token: str) -> int:
        if token not in self.tokens:
            return 40014
        return 0 if self.tokens[token] > self._double._wall_ms() else 42001

    async def _wecom_app(self, request: Request) -> Response:
        raw, token = await request.body(), request.query_params.get("access_token", "")
        return await self._double._with_fault("wecom_app", lambda forced: self._wecom_app_answer(token, raw, forced))

    def _wecom_app_answer(self, token: str, raw: bytes, forced: int | None) -> Response:
        body = _object(raw)
        code = self._wecom_app_verdict(token, body) if forced is None else forced
        user = str(body.get("touser") or "")
        if code or user.startswith("unknown"):
            self._double.rejected[str(code or "invaliduser")] += 1
            return JSONResponse({"errcode": code, "errmsg": "refused", **({} if code else {"invaliduser": user})})
        self._limited(f"app:{user}", APP_PER_MINUTE, 60_000, count=True)
        kept = self._double._keep("wecom_app", user, _card_text(body))
        self._double.answers.keep(kept.id, body)
        code_for_change = secrets.token_hex(8)
        self.response_codes.add(code_for_change)
        return JSONResponse({"errcode": 0, "errmsg": "ok", "msgid": kept.id, "response_code": code_for_change})

    async def _wecom_update(self, request: Request) -> Response:
        body, token = _object(await request.body()), request.query_params.get("access_token", "")
        code, given = str(body.get("response_code") or ""), body.get("userids")
        users = given if isinstance(given, list) else []
        fault = self._token_fault(token)
        if not fault and (code not in self.response_codes or not users):
            fault = 40058
        if fault:
            self._double.rejected[str(fault)] += 1
            return JSONResponse({"errcode": fault, "errmsg": "refused"})
        self.response_codes.discard(code)
        words = str((body.get("button") or {}).get("replace_name") or "")
        self.changed_cards += [(str(user), words) for user in users]
        return JSONResponse({"errcode": 0, "errmsg": "ok", "invaliduser": []})

    def _wecom_app_verdict(self, token: str, body: Mapping[str, Any]) -> int:
        if code := self._token_fault(token):
            return code
        user, kind = body.get("touser"), body.get("msgtype")
        if str(body.get("agentid")) != self._double.account.agent_id:
            return 40056
        if not isinstance(user, str) or not user or user == "nobody":
            return 81013
        if kind == "text":
            content = (body.get("text") or {}).get("content") or ""
            return 0 if content and len(content.encode()) <= TEXT_BYTES else 44004
        if kind != "template_card":
            return 40008
        shown = body.get("template_card") or {}
        task_id, buttons = str(shown.get("task_id") or ""), shown.get("button_list")
        if (
            shown.get("card_type") != "button_interaction"
            or not isinstance(buttons, list)
            or not 1 <= len(buttons) <= 6
        ):
            return 40035
        if not _TASK_ID.fullmatch(task_id) or task_id in self._task_ids:
            return 42014
        self._task_ids.add(task_id)
        return 0

    async def _wechat(self, request: Request) -> Response:
        raw, token = await request.body(), request.query_params.get("access_token", "")
        return await self._double._with_fault("wechat_official", lambda forced: self._wechat_answer(token, raw, forced))

    def _wechat_answer(self, token: str, raw: bytes, forced: int | None) -> Response:
        body = _object(raw)
        code = self._wechat_verdict(token, body) if forced is None else forced
        if code:
            return self._numbered("errcode", code)
        text = "\n".join(str(row.get("value")) for row in body["data"].values())
        kept = self._double._keep("wechat_official", str(body["touser"]), text)
        return JSONResponse({"errcode": 0, "errmsg": "ok", "msgid": kept.id})

    def _wechat_verdict(self, token: str, body: Mapping[str, Any]) -> int:
        if code := self._token_fault(token):
            return code
        if body.get("template_id") != self._double.account.wechat_template:
            return 40037
        user = str(body.get("touser") or "")
        if not user or user == "unfollowed":
            return 43004 if user else 40003
        data = body.get("data")
        if not isinstance(data, dict) or not data:
            return 47003
        for name, row in data.items():
            value = row.get("value") if isinstance(row, dict) else None
            if not isinstance(value, str) or not value or (_THING.fullmatch(name) and len(value) > 20):
                return 47003
        return 0

    # --- robots ------------------------------------------------------------------------------------------------------

    async def _dingtalk(self, request: Request) -> Response:
        raw, query = await request.body(), dict(request.query_params)
        return await self._double._with_fault("dingtalk", lambda forced: self._dingtalk_answer(query, raw, forced))

    def _dingtalk_answer(self, query: Mapping[str, str], raw: bytes, forced: int | None) -> Response:
        body = _object(raw)
        code = self._dingtalk_verdict(query, body) if forced is None else forced
        if code == 0:
            self._double._keep("dingtalk", "钉钉群", str(body["markdown"]["text"]))
        return self._numbered("errcode", code)

    def _dingtalk_verdict(self, query: Mapping[str, str], body: Mapping[str, Any]) -> int:
        token, secret = self._double.account.dingtalk
        if not token or query.get("access_token") != token:
            return 300001
        at = query.get("timestamp", "")
        if not at.isdecimal() or abs(int(at) - self._double._wall_ms()) > HOUR_MS:
            return 310000
        if not hmac.compare_digest(dingtalk_sign(secret, int(at)), query.get("sign", "")):
            return 310000
        text = (body.get("markdown") or {}).get("text") if body.get("msgtype") == "markdown" else None
        if not isinstance(text, str) or not text or len(text.encode()) > ROBOT_BYTES:
            return 460101
        if self._limited("dingtalk:blocked", 1, 600_000):
            return 130101
        if self._limited("dingtalk", 20, 60_000, count=True):
            # The robot is silent for ten minutes from now on, whatever comes.
            self._limited("dingtalk:blocked", 1, 600_000, count=True)
            return 130101
        return 0

    async def _feishu(self, request: Request) -> Response:
        raw, hook = await request.body(), request.path_params["hook"]
        return await self._double._with_fault("feishu", lambda forced: self._feishu_answer(hook, raw, forced))

    def _feishu_answer(self, hook: str, raw: bytes, forced: int | None) -> Response:
        body = _object(raw)
        code = self._feishu_verdict(hook, raw, body) if forced is None else forced
        if code == 0:
            self._double._keep("feishu", "飞书群", str(body["card"]["elements"][0]["content"]))
        return self._numbered("code", code)

    def _feishu_verdict(self, hook: str, raw: bytes, body: Mapping[str, Any]) -> int:
        known, secret = self._double.account.feishu
        if not known or hook != known:
            return 19001
        at, sign = str(body.get("timestamp") or ""), str(body.get("sign") or "")
        if not at.isdecimal() or abs(int(at) * 1000 - self._double._wall_ms()) > HOUR_MS:
            return 19021
        if not hmac.compare_digest(feishu_sign(secret, int(at)), sign):
            return 19021
        elements = (body.get("card") or {}).get("elements") if body.get("msg_type") == "interactive" else None
        if not isinstance(elements, list) or not elements or not elements[0].get("content") or len(raw) > ROBOT_BYTES:
            return 9499
        if self._limited("feishu", 100, 60_000) or self._limited("feishu:s", 5, 1000):
            return 11232
        self._limited("feishu", 100, 60_000, count=True)
        self._limited("feishu:s", 5, 1000, count=True)
        return 0

    async def _webhook(self, request: Request) -> Response:
        raw, given = await request.body(), request.headers.get("x-qingquan-signature", "")
        return await self._double._with_fault("webhook", lambda forced: self._webhook_answer(given, raw, forced))

    def _webhook_answer(self, given: str, raw: bytes, forced: int | None) -> Response:
        at = given.partition(",")[0].removeprefix("t=")
        secret = self._double.account.webhook_secret
        stands = at.isdecimal() and hmac.compare_digest(signed(secret, int(at), raw), given)
        status = forced or (
            200 if stands and secret and abs(int(at) * 1000 - self._double._wall_ms()) < HOUR_MS else 401
        )
        if status != 200:
            self._double.rejected[f"HTTP {status}"] += 1
            return JSONResponse({"ok": False}, status_code=status)
        body = _object(raw)
        self._double._keep("webhook", str(body.get("to")), str(body.get("text")), str(body.get("id")))
        return JSONResponse({"ok": True})

    # --- Aliyun voice ------------------------------------------------------------------------------------------------

    def call_answer(self, params: Mapping[str, str], forced: str | None) -> Response:
        """Answer to SingleCallByTts."""
        code = forced or self._call_verdict(params)
        answer = {"Code": code, "Message": code, "RequestId": secrets.token_hex(16).upper()}
        if code != "OK":
            self._double.rejected[code] += 1
            return JSONResponse(answer)
        text = self._double.account.voice_text
        for name, value in json.loads(params["TtsParam"]).items():
            text = text.replace("${" + name + "}", value)
        kept = self._double._keep("aliyun_voice", params["CalledNumber"], text, params.get("OutId", ""))
        return JSONResponse({**answer, "CallId": kept.id})

    def _call_verdict(self, params: Mapping[str, str]) -> str:
        number, account = params.get("CalledNumber", ""), self._double.account
        if not re.fullmatch(r"1\d{10}", number):
            return "isv.MOBILE_NUMBER_ILLEGAL"
        if not account.voice_template or params.get("TtsCode") != account.voice_template:
            return "isv.TTS_TEMPLATE_ILLEGAL"
        if not 1 <= len(params.get("OutId", "").encode()) <= 15 or len(params.get("TtsParam", "")) >= 250:
            return "isv.PARAM_LENGTH_LIMIT"
        variables = _object(params.get("TtsParam", "").encode())
        if not set(re.findall(r"\$\{(\w+)\}", account.voice_text)) <= variables.keys():
            return "isv.TEMPLATE_MISSING_PARAMETERS"
        for span_ms, most in ((60_000, 1), (3_600_000, 5), (86_400_000, 20)):
            if self._limited(f"voice:{span_ms}:{number}", most, span_ms):
                return "isv.BUSINESS_LIMIT_CONTROL"
        for span_ms, most in ((60_000, 1), (3_600_000, 5), (86_400_000, 20)):
            self._limited(f"voice:{span_ms}:{number}", most, span_ms, count=True)
        return "OK"

    def call_details(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Answer to QueryCallDetailByCallId: an empty one while the phone rings."""
        found = [
            one for one in self._double.messages if one.channel == "aliyun_voice" and one.id == params.get("CallId")
        ]
        if not found or not found[0].receipt or self._double._wall_ms() < found[0].receipt_at:
            return {"Code": "OK", "Message": "OK", "Data": "{}"}
        heard = found[0].receipt == "delivered"
        detail = {"state": "200000" if heard else "200010", "duration": 20 if heard else 0, "callee": found[0].to}
        return {"Code": "OK", "Message": "OK", "Data": json.dumps(detail)}

    # --- Tencent -----------------------------------------------------------------------------------------------------

    async def tencent(self, request: Request, raw: bytes) -> Response:
        """SendSms and PullSmsSendStatusByPhoneNumber."""
        at = request.headers.get("x-tc-timestamp", "")
        account, body = self._double.account, _object(raw)
        if not at.isdecimal() or abs(int(at) * 1000 - self._double._wall_ms()) > TC3_TOLERANCE_S * 1000:
            return self._tencent_error("AuthFailure.SignatureExpire")
        host = request.headers.get("host", "")
        wanted = tc3_authorization(account.tencent_id, account.tencent_key, "sms", host, int(at), raw)
        if not account.tencent_id or not hmac.compare_digest(wanted, request.headers.get("authorization", "")):
            return self._tencent_error("AuthFailure.SignatureFailure")
        action = request.headers["x-tc-action"]
        if request.headers.get("x-tc-version") != "2021-01-11" or not request.headers.get("x-tc-region"):
            return self._tencent_error("InvalidParameter")
        if action == "PullSmsSendStatusByPhoneNumber":
            return self._tencent_details(body)
        if action != "SendSms":
            return self._tencent_error("InvalidAction")
        return await self._double._with_fault("tencent_sms", lambda forced: self._tencent_answer(body, forced))

    def _tencent_answer(self, body: Mapping[str, Any], forced: str | None) -> Response:
        numbers = body.get("PhoneNumberSet")
        if not isinstance(numbers, list) or len(numbers) != 1:
            return self._tencent_error("InvalidParameterValue.ContentLengthLimit")
        code, kept = forced or self._tencent_verdict(body, str(numbers[0])), None
        if code == "Ok":
            text = self._double.account.tencent_templates[str(body["TemplateId"])]
            for position, value in enumerate(body.get("TemplateParamSet") or [], start=1):
                text = text.replace("{%d}" % position, value)  # noqa: UP031 (braces)
            shown = f"【{self._double.account.tencent_sign}】{text}"
            kept = self._double._keep("tencent_sms", str(numbers[0]), shown, str(body.get("SessionContext") or ""))
        else:
            self._double.rejected[code] += 1
        row = {"SerialNo": kept.id if kept else "", "PhoneNumber": numbers[0], "Fee": 1, "Code": code, "Message": code,
               "SessionContext": body.get("SessionContext"), "IsoCode": "CN"}  # fmt: skip
        return JSONResponse({"Response": {"SendStatusSet": [row], "RequestId": secrets.token_hex(16)}})

    def _tencent_verdict(self, body: Mapping[str, Any], number: str) -> str:
        account, template = self._double.account, str(body.get("TemplateId"))
        if not re.fullmatch(r"\+861\d{10}", number):
            return "InvalidParameterValue.IncorrectPhoneNumber"
        if body.get("SmsSdkAppId") != account.tencent_app:
            return "UnauthorizedOperation.SmsSdkAppIdVerifyFail"
        if body.get("SignName") != account.tencent_sign:
            return "FailedOperation.SignatureIncorrectOrUnapproved"
        if template not in account.tencent_templates:
            return "FailedOperation.TemplateIncorrectOrUnapproved"
        values = body.get("TemplateParamSet") or []
        if len(set(re.findall(r"\{\d+\}", account.tencent_templates[template]))) != len(values):
            return "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"
        if any("http" in str(value).lower() for value in values):
            return "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter"
        same = hashlib.sha256(json.dumps([template, values]).encode()).hexdigest()
        if self._limited(f"tencent:{number}:{same}", 1, 30_000):
            return "LimitExceeded.PhoneNumberThirtySecondLimit"
        if not self._double.counted(number, "tencent"):
            return "LimitExceeded.PhoneNumberDailyLimit"
        self._limited(f"tencent:{number}:{same}", 1, 30_000, count=True)
        return "Ok"

    def _tencent_details(self, body: Mapping[str, Any]) -> Response:
        now_ms = self._double._wall_ms()
        rows = [
            {"SerialNo": one.id, "PhoneNumber": one.to, "Description": one.receipt, "UserReceiveTime": one.receipt_at // 1000,
             "ReportStatus": "SUCCESS" if one.receipt == "delivered" else "FAIL"}
            for one in reversed(self._double.messages)
            if one.channel == "tencent_sms" and one.to == body.get("PhoneNumber") and one.receipt
            and one.receipt_at <= now_ms and one.at // 1000 >= int(body.get("BeginTime") or 0)
        ]  # fmt: skip
        return JSONResponse({"Response": {"PullSmsSendStatusSet": rows, "RequestId": secrets.token_hex(16)}})

    def _tencent_error(self, code: str) -> Response:
        self._double.rejected[code] += 1
        error = {"Code": code, "Message": code}
        return JSONResponse({"Response": {"Error": error, "RequestId": secrets.token_hex(16)}})

    # --- all ---------------------------------------------------------------------------------------------------------

    def _numbered(self, name: str, code: int) -> Response:
        if code:
            self._double.rejected[str(code)] += 1
        return JSONResponse(
            {name: code, "errmsg": "ok" if code == 0 else "refused", "msg": "success" if code == 0 else "refused"}
        )

    def _limited(self, key: str, most: int, span_ms: int, *, count: bool = False) -> bool:
        """Whether a window is full; counts one more where asked and not full."""
        calls, now_ms = self._calls.setdefault(key, deque()), self._double._wall_ms()
        while calls and now_ms - calls[0] >= span_ms:
            calls.popleft()
        if len(calls) >= most:
            return True
        if count:
            calls.append(now_ms)
        return False

    def forget(self) -> None:
        """Forget counts and card names, between tests."""
        self._calls.clear()
        self._task_ids.clear()


def _object(raw: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(raw)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _card_text(body: Mapping[str, Any]) -> str:
    if body.get("msgtype") == "text":
        return str(body["text"]["content"])
    shown = body["template_card"]
    buttons = " ".join(f"[{button.get('text')}]" for button in shown["button_list"])
    # A tap beside the buttons opens what the card leads to.
    url = str(shown.get("card_action", {}).get("url") or "")
    return f"{shown['main_title']['title']}\n{shown.get('sub_title_text', '')}\n{buttons}" + (
        f" [→]({url})" if url else ""
    )
