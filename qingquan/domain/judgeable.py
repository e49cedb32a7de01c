"""Which entries of the register can be judged at all. A wrong one is set aside by name and never stops the others."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from qingquan.domain.works import Works

__all__ = ["MOST_SERIES", "NotJudged", "is_time_zone", "judgeable", "series_count", "why_not_judged"]

MOST_SERIES = 1024
"""Series of one works that the order of readings can number."""


class NotJudged(StrEnum):
    """Why a works of the register cannot be judged."""

    TIME_ZONE = "time_zone"
    TOO_MANY_SERIES = "too_many_series"
    NO_CADENCE = "no_cadence"


@lru_cache(maxsize=1024)
def is_time_zone(name: str) -> bool:
    """Whether the name is that of a time zone (IANA)."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, or the name of a folder of zones
        return False
    return True


def series_count(works: Works) -> int:
    """How many series a works is expected to send."""
    return sum(len(set(point.parameters)) for point in works.points)


def why_not_judged(works: Works) -> NotJudged | None:
    """What keeps a works from being judged; ``None`` where nothing does."""
    if not is_time_zone(works.time_zone):
        return NotJudged.TIME_ZONE
    if series_count(works) > MOST_SERIES:
        return NotJudged.TOO_MANY_SERIES
    return NotJudged.NO_CADENCE if works.cadence_s < 1 or works.upload_interval_s < 1 else None


def judgeable(entries: Iterable[Works]) -> tuple[list[Works], Sequence[tuple[Works, NotJudged]]]:
    """Those that can be judged, and the others with the reason."""
    good: list[Works] = []
    wrong: list[tuple[Works, NotJudged]] = []
    for one in entries:
        why = why_not_judged(one)
        if why is None:
            good.append(one)
        else:
            wrong.append((one, why))
    return good, wrong
