"""Aliyun voice calls (Dyvmsapi 2017-05-25, SingleCallByTts): an approved text, read to one number.

An accepted call has rung nobody yet. What `ask` finds decides: answered long enough is *heard*, never acknowledged; not
answered is told as ``no_answer`` and dialled again by the outbox, as often as the table of retries allows. Failed calls count
against the called number's quota (1 a minute, 5 an hour, 20 in 24 h).
"""

import json
from collections.abc import Callable
from typing import Any

from alerts.channels.aliyun import AliyunPort, aliyun_outcome
from alerts.channels.base import ErrorClass, Outcome, Verdict, refused, unknown
from alerts.channels.http import TOTAL_TIMEOUT_S, WALL
from alerts.templates import load_templates
from qingquan.domain.incidents import Message

__all__ = ["HEARD_S", "NAME", "AliyunVoice", "call_outcome", "short_id"]

NAME = "aliyun_voice"
# Product code of TTS calls in the question about one.
TTS_PRODUCT = "11000000300006"
# Shorter than this nobody has heard which works it is.
HEARD_S = 8
ANSWERED = "200000"
# All variables together, the provider's limit; ours are cut long before.
VARIABLES_MOST = 249

ERROR_CLASSES: dict[str, ErrorClass] = {
    "isv.BUSINESS_LIMIT_CONTROL": ErrorClass.LIMIT,
    "isv.FREQUENCY_LIMIT": ErrorClass.LIMIT,
    "isv.OUT_OF_SERVICE": ErrorClass.ACCOUNT,
    "isv.AMOUNT_NOT_ENOUGH": ErrorClass.ACCOUNT,
    "isp.RAM_PERMISSION_DENY": ErrorClass.ACCOUNT,
    "isv.TTS_TEMPLATE_ILLEGAL": ErrorClass.CONTENT,
    "isv.TEMPLATE_MISSING_PARAMETERS": ErrorClass.CONTENT,
    "isv.INVALID_JSON_PARAM": ErrorClass.CONTENT,
    "isv.PARAM_LENGTH_LIMIT": ErrorClass.CONTENT,
    "isv.PARAM_NOT_SUPPORT_URL": ErrorClass.CONTENT,
    "isv.MOBILE_NUMBER_ILLEGAL": ErrorClass.NUMBER,
    "isp.SYSTEM_ERROR": ErrorClass.TRANSIENT,
}


class AliyunVoice:
    """Channel over one account and one TTS template with the variables works, problem, since."""

    name = NAME
    can_be_asked = False
    gives_receipts = True
    reaches = "person"

    def __init__(
        self, base_url: str, key_id: str, key_secret: str, template: str, *, show_number: str = "",
        wall_ms: Callable[[], int] = WALL.now_ms, timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._port = AliyunPort(base_url, key_id, key_secret, wall_ms, timeout_s)
        self._template, self._show_number = template, show_number

    def send(self, message: Message) -> Outcome:
        """Have one number called; the text is read twice."""
        names = load_templates()["voice"].lengths
        variables = json.dumps(
            {name: message.params.get(name, "")[: names[name]] for name in names},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        if not message.params.get("works") or len(variables) > VARIABLES_MOST:
            return refused(ErrorClass.CONTENT, detail="the call has no text: the works is not named")
        params = {
            "CalledNumber": message.receiver, "TtsCode": self._template, "TtsParam": variables, "PlayTimes": "2",
            "OutId": short_id(message),
        }  # fmt: skip
        if self._show_number:
            params["CalledShowNumber"] = self._show_number
        return aliyun_outcome(self._port.call("SingleCallByTts", params), ERROR_CLASSES, "CallId", "aliyun_voice_url")

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """A call without words says nothing."""
        return None

    def ask(self, message: Message) -> Outcome:
        """How a call ended; only its own id finds it, so one whose answer was lost cannot be asked about."""
        if not message.provider_id:
            return unknown("a call without an id cannot be asked about")
        params = {
            "CallId": message.provider_id,
            "ProdId": TTS_PRODUCT,
            "QueryDate": str(int(self._port.today().timestamp() * 1000)),
        }
        exchange = self._port.call("QueryCallDetailByCallId", params)
        document = exchange.document or {}
        if exchange.status != 200 or document.get("Code") != "OK":
            return unknown(f"the provider did not say: {document.get('Code') or exchange.fault or exchange.status}")
        data = document.get("Data")
        try:
            detail = json.loads(data) if isinstance(data, str) else data
        except ValueError:
            detail = None
        if not isinstance(detail, dict) or detail.get("state") is None:
            return Outcome(Verdict.ACCEPTED, message.provider_id)
        return call_outcome(message.provider_id, str(detail["state"]), detail.get("duration"))

    def close(self) -> None:
        """Release the connection."""
        self._port.close()


def call_outcome(call_id: str, status: str, duration: Any) -> Outcome:
    """Heard, or not answered. ``duration`` [s] as the provider writes it."""
    try:
        seconds = int(duration or 0)
    except (TypeError, ValueError):
        seconds = 0
    if status == ANSWERED and seconds >= HEARD_S:
        return Outcome(Verdict.DELIVERED, call_id)
    return Outcome(Verdict.REFUSED, call_id, ErrorClass.NO_ANSWER, status, f"{seconds} s")


def short_id(message: Message) -> str:
    """Our name for a call: 1 to 15 bytes, the provider's limit."""
    return f"q{message.id}"[:15]
