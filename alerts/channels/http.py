"""One HTTP exchange with a provider, as a value: what came back, or at which point it failed.

The point of failure decides everything: before the request was written nothing can have been sent; afterwards anything
can. URLs and headers carry credentials, so neither appears in a result, and the client's own request log is silenced.
"""

import ipaddress
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from qingquan.clock import Clock

__all__ = ["JSON_HEADERS", "WALL", "Exchange", "HttpPort", "is_loopback"]

# Requests are dated and signed by the provider's time, so a demo clock must not reach them.
WALL = Clock()
JSON_HEADERS = {"content-type": "application/json; charset=utf-8"}

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 10.0
MAX_BODY_BYTES = 65_536

_NOT_WRITTEN = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """``status`` 0 = no complete answer; ``written`` = the provider may have the request. ``fault`` names what failed."""

    status: int
    body: bytes
    written: bool
    fault: str = ""

    @property
    def document(self) -> dict[str, Any] | None:
        """The body as a JSON object, whatever content type it claims; ``None`` if it is none."""
        try:
            decoded = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return decoded if isinstance(decoded, dict) else None


@cache
def _authorities(trusts_environment: bool) -> ssl.SSLContext:
    """Whose certificates count. Reading them takes some 40 ms of processor time, as much for each of a dozen channels."""
    return httpx2.create_ssl_context(trust_env=trusts_environment)


class HttpPort:
    """Requests to one provider. Answers within ``timeout_s`` in all, however slowly the body drips."""

    def __init__(self, base_url: str, *, timeout_s: float = TOTAL_TIMEOUT_S) -> None:
        self.base_url = base_url.rstrip("/")
        self.host = urlsplit(base_url).netloc
        self._timeout_s = timeout_s
        for name in ("httpx2", "httpcore2", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        trusts_environment = not is_loopback(base_url)
        # No connection is kept: a request on one that the other side has just closed would end in an ambiguous error.
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            limits=httpx2.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=trusts_environment,
            verify=_authorities(trusts_environment),
        )

    def post(self, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Exchange:
        """One POST to ``target`` (path and query, already encoded)."""
        return self._exchange("POST", target, headers, body)

    def get(self, target: str) -> Exchange:
        """One GET of ``target`` (path and query, already encoded)."""
        return self._exchange("GET", target, {}, None)

    def request(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Exchange:
        """One request by a method of the caller's choice."""
        return self._exchange(method, target, headers, body if method == "POST" else None)

    def _exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Exchange:
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._client.stream(method, self.base_url + target, headers=dict(headers), content=body) as answer:
                received = bytearray()
                for chunk in answer.iter_bytes():
                    received += chunk
                    if len(received) > MAX_BODY_BYTES:
                        return Exchange(0, b"", True, "answer too long")
                    if time.monotonic() > deadline:
                        return Exchange(0, b"", True, "answer too slow")
                return Exchange(answer.status_code, bytes(received), True)
        except _NOT_WRITTEN as error:
            return Exchange(0, b"", False, type(error).__name__)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            return Exchange(0, b"", True, type(error).__name__)

    def close(self) -> None:
        """Release the client."""
        self._client.close()


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine; proxies of the environment are then left out."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
