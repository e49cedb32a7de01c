"""Times as recorded files write them.

`TIME_FORMATS` are found out by themselves; a file in another format names it in its mapping by a pattern of
`datetime.strptime`, such as ``%d/%m/%Y %H:%M``.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from ingest.times import LATEST_MS, SECONDS_BELOW

__all__ = ["TIME_FORMATS", "TimeReader", "detected_format", "time_format_fault", "time_reader"]

TimeReader = Callable[[str], int]
"""Text to ms since epoch, UTC; `ValueError` says in words what is wrong."""

TIME_FORMATS = ("iso", "mm/dd/yyyy", "epoch_s", "epoch_ms")

_YEAR_FIRST = re.compile(
    r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?:[T ]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,6})?)?)?"
)
_MONTH_FIRST = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?: +([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,6})?)?)?"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times are measured from a local epoch, then shifted by their offset
_MS = timedelta(milliseconds=1)


def time_reader(name: str, zone: tzinfo, origin_ms: int | None = None) -> TimeReader:
    """Reader of a format of `TIME_FORMATS` or of a strptime pattern.

    A time without offset is taken in ``zone``; where the zone repeats an hour, its first pass is meant, so two rows may get
    one time: a fixed offset never does that. With ``origin_ms``, texts are seconds since that moment.
    """
    if origin_ms is not None:
        return lambda text: origin_ms + round(_number(text) * 1000)
    if name == "iso":
        return lambda text: _to_ms(_iso(text), zone)
    if name == "mm/dd/yyyy":
        return lambda text: _to_ms(_month_first(text), zone)
    if name == "epoch_s":
        return lambda text: round(_number(text) * 1000)
    if name == "epoch_ms":
        return lambda text: round(_number(text))
    return lambda text: _to_ms(datetime.strptime(text, name), zone)  # noqa: DTZ007 - the zone is put on in _to_ms


def detected_format(texts: Sequence[str]) -> str | None:
    """The format of `TIME_FORMATS` that reads most of these texts; ``None`` if none reads any."""
    best, most = None, 0
    for name in ("iso", "mm/dd/yyyy", _epoch_unit(texts)):
        reader = time_reader(name, UTC)  # whether it reads at all does not depend on the zone
        read = sum(_reads(reader, text) for text in texts)
        if read > most:
            best, most = name, read
    return best


def time_format_fault(name: str) -> str | None:
    """What is wrong with a ``time_format``; ``None`` if nothing is."""
    if name in TIME_FORMATS:
        return None
    try:
        sample = datetime(2026, 5, 1, 13, 30, 15).strftime(name)  # noqa: DTZ001 - a sample, no moment
        same = datetime.strptime(sample, name)  # noqa: DTZ007
    except (ValueError, TypeError):
        same = None
    if same is None or (same.year, same.month, same.day) != (2026, 5, 1):
        return f"allowed: {', '.join(TIME_FORMATS)}, or a strptime pattern with year, month and day such as %d/%m/%Y %H:%M:%S"
    return None


def _reads(reader: TimeReader, text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True


def _epoch_unit(texts: Sequence[str]) -> str:
    numbers = [float(text) for text in texts if _reads(lambda text: round(_number(text)), text)]
    return "epoch_ms" if numbers and abs(numbers[0]) >= SECONDS_BELOW else "epoch_s"


def _number(text: str) -> float:
    if not text or text.strip("+-0123456789.eE"):
        raise ValueError(f"{text[:40]!r} is not a number of seconds or milliseconds")
    number = float(text)
    if not abs(number) <= LATEST_MS:
        raise ValueError(f"{text[:40]!r} is not a number of seconds or milliseconds")
    return number


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _of_parts(_YEAR_FIRST.fullmatch(text), (1, 2, 3), text)


def _month_first(text: str) -> datetime:
    return _of_parts(_MONTH_FIRST.fullmatch(text), (3, 1, 2), text)


def _of_parts(found: re.Match[str] | None, date: tuple[int, int, int], text: str) -> datetime:
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time in this format")
    year, month, day = (int(found[part]) for part in date)
    fraction = round(float(found[7] or 0) * 1_000_000)
    return datetime(year, month, day, int(found[4] or 0), int(found[5] or 0), int(found[6] or 0), fraction)  # noqa: DTZ001


def _to_ms(at: datetime, zone: tzinfo) -> int:
    if at.tzinfo is not None:
        return round(at.timestamp() * 1000)
    offset = at.replace(tzinfo=zone).utcoffset() or timedelta(0)
    return (at - _EPOCH - offset) // _MS
