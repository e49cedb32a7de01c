"""The one place that reads a clock. Everything that decides takes `now` as an argument."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Clock", "from_ms", "to_ms"]


def to_ms(at: datetime) -> int:
    """Milliseconds since epoch of an aware datetime."""
    if at.tzinfo is None:
        raise ValueError(f"naive datetime {at!r}: give it a time zone")
    return round(at.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """Aware UTC datetime of milliseconds since epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall clock, or a demo clock that at wall time ``epoch_ms`` showed ``start_ms`` and runs ``speed`` times as fast.

    With a demo clock every service sees the same simulated time, so `for` times, staleness and lateness behave as
    in real life while a day passes in minutes. ``speed = 1`` is the wall clock itself.
    """

    speed: float = 1.0
    epoch_ms: int = 0
    start_ms: int = 0

    def at(self, wall_ms: int) -> int:
        """Our time [ms] at a given wall time [ms]."""
        if self.speed == 1.0 and self.start_ms == 0:
            return wall_ms
        return round((self.start_ms or self.epoch_ms) + (wall_ms - self.epoch_ms) * self.speed)

    def now_ms(self) -> int:
        """Our time now [ms since epoch]."""
        return self.at(time.time_ns() // 1_000_000)

    def now(self) -> datetime:
        """Our time now, aware UTC."""
        return from_ms(self.now_ms())
