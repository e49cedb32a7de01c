"""How often an address may knock. In memory: one process serves the pages."""

import threading
from collections import deque

__all__ = ["Throttle"]

MOST_ADDRESSES = 10_000


class Throttle:
    """At most ``most`` knocks of a name within ``within_s``. Times are monotonic seconds, given by the caller."""

    def __init__(self, most: int, within_s: float) -> None:
        self._most, self._within_s = most, within_s
        self._knocks: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def is_full(self, name: str, now_s: float) -> bool:
        """Whether another knock would be too many."""
        with self._lock:
            return len(self._recent(name, now_s)) >= self._most

    def count(self, name: str, now_s: float) -> None:
        """A knock."""
        with self._lock:
            if len(self._knocks) >= MOST_ADDRESSES and name not in self._knocks:
                # The oldest goes: memory is bounded, whoever knocks under however many names.
                self._knocks.pop(next(iter(self._knocks)))
            recent = self._recent(name, now_s)
            recent.append(now_s)
            self._knocks[name] = recent

    def _recent(self, name: str, now_s: float) -> deque[float]:
        knocks = self._knocks.get(name, deque())
        while knocks and knocks[0] <= now_s - self._within_s:
            knocks.popleft()
        return knocks
