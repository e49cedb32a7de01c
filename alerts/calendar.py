"""Working days and holidays of China, from the notices of the State Council. Pure but for reading its table."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from alerts.policy_reading import Faults

__all__ = ["HolidayCalendar", "default_calendar", "load_calendar"]


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """Days off and working weekends; years without a notice go by weekdays."""

    years: frozenset[int]
    off: frozenset[date]
    work: frozenset[date]

    def is_working(self, day: date) -> bool:
        """Whether offices work that day."""
        if day in self.work:
            return True
        return day.weekday() < 5 and day not in self.off

    def knows(self, year: int) -> bool:
        """Whether the year's notice is in the table."""
        return year in self.years


@cache
def default_calendar() -> HolidayCalendar:
    """The table that ships."""
    text = files("alerts").joinpath("holidays.toml").read_text(encoding="utf-8")
    return _calendar(tomllib.loads(text), Faults("alerts/holidays.toml"))


def load_calendar(path: str = "") -> HolidayCalendar:
    """The table of a file, the default one for an empty path. Raises `ConfigurationError` with all faults."""
    if not path:
        return default_calendar()
    return _calendar(tomllib.loads(Path(path).read_text(encoding="utf-8")), Faults(path))


def _calendar(table: Mapping[str, Any], faults: Faults) -> HolidayCalendar:
    off: set[date] = set()
    work: set[date] = set()
    for year, row in table.items():
        if not (year.isdigit() and len(year) == 4 and isinstance(row, dict)):
            faults.add(year, row, "a table per year, [2026]")
            continue
        for name, days in (("off", off), ("work", work)):
            for text in row.get(name, []):
                found = _days(str(text))
                if not found or any(day.year != int(year) for day in found):
                    faults.add(f"{year}.{name}", text, "days YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD of that year")
                days.update(found)
    if off & work:
        faults.add("off and work", sorted(map(str, off & work)), "each day once")
    faults.end()
    return HolidayCalendar(frozenset(int(year) for year in table), frozenset(off), frozenset(work))


def _days(text: str) -> list[date]:
    first, _, last = text.partition("..")
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        return []
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]
