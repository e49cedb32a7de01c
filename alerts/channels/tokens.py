"""Access tokens of WeCom and WeChat: one per application, shared by all workers, renewed before it ends.

Too many requests for a token are refused like too many messages, so the store is the database where there are workers.
"""

import threading
from collections.abc import Callable
from random import Random
from typing import Protocol

from alerts.channels.base import ErrorClass, Outcome, refused, throttled
from alerts.channels.http import WALL, HttpPort

__all__ = ["MemoryTokens", "TokenCache", "TokenStore"]

# Renewed so long before the end [s], and at most so much earlier, lest all workers ask at the same moment.
EARLY_S = 300
JITTER_S = 60
TOO_MANY = 45009


class TokenStore(Protocol):
    """Keeps tokens where every worker finds them. Times are wall time [ms]."""

    def get(self, name: str) -> tuple[str, int] | None:
        """A token and when it ends."""
        ...

    def put(self, name: str, token: str, expires_at: int) -> None:
        """Keep a token; an empty one forgets it."""
        ...


class MemoryTokens:
    """Store of one process."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, int]] = {}

    def get(self, name: str) -> tuple[str, int] | None:
        """A token and when it ends."""
        return self._kept.get(name)

    def put(self, name: str, token: str, expires_at: int) -> None:
        """Keep a token; an empty one forgets it."""
        self._kept[name] = (token, expires_at)


class TokenCache:
    """The token of one application: ``target`` is the request that gives a new one."""

    def __init__(
        self, http: HttpPort, target: str, name: str, store: TokenStore, wall_ms: Callable[[], int] = WALL.now_ms
    ) -> None:
        self._http, self._target, self._name, self._store, self._wall_ms = http, target, name, store, wall_ms
        self._lock = threading.Lock()
        self._random = Random()  # noqa: S311 (jitter)

    def token(self) -> str | Outcome:
        """A token that still serves, or why there is none."""
        with self._lock:
            kept = self._store.get(self._name)
            early_ms = (EARLY_S + self._random.uniform(0, JITTER_S)) * 1000
            if kept is not None and kept[0] and kept[1] - early_ms > self._wall_ms():
                return kept[0]
            return self._renewed()

    def forget(self, token: str) -> None:
        """The provider no longer knows this token; the next one is fetched anew."""
        with self._lock:
            kept = self._store.get(self._name)
            if kept is not None and kept[0] == token:
                self._store.put(self._name, "", 0)

    def _renewed(self) -> str | Outcome:
        exchange = self._http.get(self._target)
        if exchange.status == 0 or exchange.status >= 500:
            return refused(ErrorClass.TRANSIENT, detail=f"no token: {exchange.fault or exchange.status}")
        document = exchange.document or {}
        token, lasts_s = document.get("access_token"), document.get("expires_in")
        if isinstance(token, str) and token and isinstance(lasts_s, int):
            self._store.put(self._name, token, self._wall_ms() + lasts_s * 1000)
            return token
        code = document.get("errcode")
        if code == TOO_MANY:
            return throttled(str(code), 60.0)
        if code == -1:
            return refused(ErrorClass.TRANSIENT, code="-1", detail="no token")
        return refused(ErrorClass.ACCOUNT, code=str(code), detail="no token")
