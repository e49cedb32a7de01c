"""How long the log waits for the detector of events before it frees messages that the detector has not read.

Events are advice: the log must never fill up, and refuse readings, for their sake.
"""

__all__ = ["Laggard"]

PATIENCE_S = 3600.0
FULL_SHARE = 0.5
"""From this share of the log's size on nobody is waited for."""


class Laggard:
    """Follows a reader that others wait for as long as it moves."""

    def __init__(self) -> None:
        self._covered = 0
        self._moved_at = 0.0

    def holds_at(self, covered: int, now_s: float, used_share: float) -> int | None:
        """Sequence beyond which nothing may be freed, ``None`` if it is not waited for: it never began, stands still, or space is short.

        ``covered``: how far it is, 0 = it never began. ``now_s``: any clock that only grows [s]. ``used_share``: of the log's size.
        """
        if covered != self._covered or not self._moved_at:
            self._covered, self._moved_at = covered, now_s
        if not covered or now_s - self._moved_at > PATIENCE_S or used_share >= FULL_SHARE:
            return None
        return covered
