"""What the log keeps, and for whom, as its room gets short. Pure.

A reserve behind the slowest reader is kept for replays while there is room. The detector of events is waited for while it moves and the log is less
than half full: events are advice, and the log must never fill up, and refuse readings, for their sake.
"""

__all__ = ["HELD_SHARE", "Laggard", "reserve_now"]

PATIENCE_S = 3600.0
FULL_SHARE = 0.5
"""From this share of the log's size on nobody is waited for."""


HELD_SHARE, GONE_SHARE = 0.15, 0.08
"""Free share of the disk below which the reserve shrinks, and at which none is left; the log's own free share likewise, doubled."""


def reserve_now(reserve: int, used_share: float, free_share: float = 1.0) -> int:
    """Messages kept for replays when so much of the log's size is used, and so much of its disk is free.

    >>> [reserve_now(1000, used, 1.0) for used in (0.5, 0.77, 0.84)], reserve_now(1000, 0.1, 0.08)
    ([1000, 500, 0], 0)
    """
    log_room = (1 - used_share) / 2
    room = (min(log_room, free_share) - GONE_SHARE) / (HELD_SHARE - GONE_SHARE)
    return int(reserve * min(1.0, max(0.0, room)) + 1e-6)


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
