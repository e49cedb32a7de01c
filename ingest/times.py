"""Device times: whatever a device writes, as milliseconds since the epoch."""

import math
import re
from datetime import datetime
from zoneinfo import ZoneInfo

__all__ = ["ZoneClock"]

SECONDS_BELOW = 100_000_000_000
"""Epoch numbers below this are seconds (this many seconds is the year 5138), others milliseconds (March 1973)."""
LATEST_MS = 253_402_300_800_000
"""Year 10000: beyond it a number is neither seconds nor milliseconds."""
CACHE_SIZE = 16_384

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_DATE_AND_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}")


class ZoneClock:
    """Reads device times for works of one time zone.

    A time without offset is taken as that zone's. Where the zone repeats an hour (daylight saving), the first pass is
    meant, since nothing in the text tells them apart.
    """

    __slots__ = ("_cache", "_zone", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._cache: dict[str, int] = {}
        try:
            self._zone: ZoneInfo | None = ZoneInfo(name)
        except (ValueError, OSError, LookupError):
            self._zone = None

    def ms(self, raw: object) -> int | str:
        """Milliseconds since the epoch, or in words what is wrong with the time."""
        kind = raw.__class__
        if kind is str:
            return self._of_text(raw)  # type: ignore[arg-type]
        if kind is int or kind is float:
            return _of_number(raw)  # type: ignore[arg-type]
        if raw is None:
            return "no time given"
        return f"a time is ISO 8601 text or epoch seconds or milliseconds, not {kind.__name__}"

    def _of_text(self, text: str) -> int | str:
        known = self._cache.get(text)
        if known is not None:
            return known
        ms = self._parsed(text)
        if isinstance(ms, int) and len(text) <= 64:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[text] = ms
        return ms

    def _parsed(self, text: str) -> int | str:
        plain = text.strip()
        if _NUMBER.fullmatch(plain):
            return _of_number(float(plain))
        plain = plain.replace("/", "-")
        if not _DATE_AND_TIME.match(plain):
            return f"{text[:40]!r} is not a date and time in ISO 8601"
        try:
            at = datetime.fromisoformat(plain)
            if at.tzinfo is None:
                if self._zone is None:
                    return f"{text[:40]!r} has no offset, and the works' time zone {self.name[:40]!r} is not known"
                at = at.replace(tzinfo=self._zone)
            return round(at.timestamp() * 1000)
        except (ValueError, OverflowError):
            return f"{text[:40]!r} is not a date and time in ISO 8601"


def _of_number(number: float) -> int | str:
    if not math.isfinite(number):
        return "the time is not a finite number"
    ms = round(number) if abs(number) >= SECONDS_BELOW else round(number * 1000)
    if not -LATEST_MS <= ms <= LATEST_MS:
        return f"{number!r:.40} is neither epoch seconds nor milliseconds"
    return ms
