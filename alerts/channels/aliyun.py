"""Requests to Aliyun's RPC interfaces, signed with ACS3: parameters in the query of a POST without body."""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

from alerts.channels.acs3 import authorization, canonical_query, canonical_request
from alerts.channels.base import ErrorClass, Outcome, accepted, refused, throttled, unknown
from alerts.channels.http import Exchange, HttpPort
from qingquan.clock import from_ms, to_ms
from qingquan.domain.incidents import Message

__all__ = ["PROVIDER_ZONE", "AliyunPort", "aliyun_outcome", "out_id", "signed_headers"]

VERSION = "2017-05-25"
# The provider's days are Beijing days, wherever the works lies.
PROVIDER_ZONE = ZoneInfo("Asia/Shanghai")
THROTTLED_FOR_S = 60.0


class AliyunPort:
    """One account at one product. Signatures are dated by the provider's time: ``wall_ms`` is never a demo clock."""

    def __init__(
        self, base_url: str, key_id: str, key_secret: str, wall_ms: Callable[[], int], timeout_s: float
    ) -> None:
        self._http = HttpPort(base_url, timeout_s=timeout_s)
        self._key_id, self._key_secret, self._wall_ms = key_id, key_secret, wall_ms

    def call(self, action: str, params: Mapping[str, str]) -> Exchange:
        """One signed request."""
        signed = signed_headers(self._http.host, action, self._wall_ms(), secrets.token_hex(16))
        request = canonical_request("POST", "/", params, signed)
        headers = {**signed, "authorization": authorization(self._key_id, self._key_secret, request, signed)}
        return self._http.post(f"/?{canonical_query(params)}", headers=headers)

    def today(self) -> datetime:
        """The provider's local time."""
        return from_ms(self._wall_ms()).astimezone(PROVIDER_ZONE)

    def close(self) -> None:
        """Release the connection."""
        self._http.close()


def out_id(message: Message) -> str:
    """Our name for a message at the provider; the creation time keeps installations that share an account apart."""
    return f"qq-{message.id}-{to_ms(message.created_at):x}"


def signed_headers(host: str, action: str, wall_ms: int, nonce: str) -> dict[str, str]:
    """The headers that enter the signature. A nonce serves once, so every attempt has its own."""
    return {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": sha256(b"").hexdigest(),
        "x-acs-date": f"{from_ms(wall_ms):%Y-%m-%dT%H:%M:%SZ}",
        "x-acs-signature-nonce": nonce,
        "x-acs-version": VERSION,
    }


def aliyun_outcome(exchange: Exchange, classes: Mapping[str, ErrorClass], provider_id: str, setting: str) -> Outcome:
    """What an answer means. ``provider_id`` is the field that holds the provider's name for the message."""
    if not exchange.written:
        return refused(ErrorClass.TRANSIENT, detail=exchange.fault)
    document = exchange.document
    if exchange.status == 0 or exchange.status >= 500:
        # Whether the message got through before the failure is for the provider to say (`ask`).
        return unknown(exchange.fault or f"HTTP {exchange.status}")
    code = None if document is None else document.get("Code")
    if not isinstance(code, str) or document is None:
        if exchange.status == 200:
            return unknown("the answer is not the provider's")
        return refused(ErrorClass.ACCOUNT, code=f"HTTP {exchange.status}", detail=f"is {setting} right?")
    if exchange.status != 200 and code.startswith("Throttling"):
        return throttled(code, THROTTLED_FOR_S)
    if code == "SignatureNonceUsed":
        # Ours are used once, so somebody on the way has sent this request twice; the first may have been taken.
        return unknown(code)
    if exchange.status != 200:
        return refused(ErrorClass.ACCOUNT, code=code, detail=f"HTTP {exchange.status}")
    if code == "OK":
        return accepted(str(document.get(provider_id) or ""))
    return refused(classes.get(code, ErrorClass.OTHER), code=code)
