"""Heartbeat to a watcher outside: a request now and then whose absence is the alarm.

Two forms, both understood by services of the kind of healthchecks and by another installation of ours (``/api/v1/heartbeats``):
GET or HEAD of a URL that names us, or POST of a small JSON document. With a secret the request is signed as webhooks are,
``X-Qingquan-Signature: t=<s>,v1=<HMAC-SHA256 of "t.body">``, and names the sender.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from alerts.channels.http import WALL, HttpPort
from alerts.channels.webhook import signed

__all__ = ["METHODS", "HeartbeatPort", "heartbeat_faults"]

METHODS = ("POST", "GET", "HEAD")


class HeartbeatPort:
    """One watcher. ``sender`` is our name there."""

    def __init__(
        self, url: str, *, method: str = "POST", secret: str = "", sender: str = "",
        wall_ms: Callable[[], int] = WALL.now_ms, timeout_s: float = 10.0,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        self._http = HttpPort(f"{parts.scheme}://{parts.netloc}", timeout_s=timeout_s)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._method, self._secret, self._sender, self._wall_ms = method, secret, sender, wall_ms

    def send(self, facts: Mapping[str, object]) -> str:
        """Send one; empty = it arrived, else why not."""
        body = msgspec.json.encode({"sender": self._sender, **facts}) if self._method == "POST" else b""
        headers: dict[str, str] = {}
        if self._method == "POST":
            headers["content-type"] = "application/json; charset=utf-8"
        if self._secret:
            headers["x-qingquan-sender"] = self._sender
            headers["x-qingquan-signature"] = signed(self._secret, self._wall_ms() // 1000, body)
        exchange = self._http.request(self._method, self._target, headers=headers, body=body)
        if exchange.status == 0:
            return exchange.fault
        return "" if 200 <= exchange.status < 300 else f"HTTP {exchange.status}"

    def close(self) -> None:
        """Release the connection."""
        self._http.close()


def heartbeat_faults(url: str, secret: str, sender: str) -> list[str]:
    """What stands against these settings, one line each."""
    faults = []
    if url and not (url.startswith(("http://", "https://")) and urlsplit(url).netloc):
        faults.append("heartbeat_url = ***: allowed: http:// or https:// with a host")
    if secret and len(secret) < 16:
        faults.append("heartbeat_secret = ***: allowed: 16 characters or more")
    if secret and not sender:
        faults.append("heartbeat_sender = '': allowed: the name by which the watcher knows this installation")
    return faults
