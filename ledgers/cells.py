"""One cell at a time: what a person typed, into the value it stands for. Pure.

Every reader takes the cell and returns the value, or a `Wrong` that says why not. Empty cells do not come here.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from ledgers.refusals import RefusalReason
from qingquan.sheets import Cell

__all__ = [
    "AnyReader",
    "Reader",
    "Wrong",
    "cell_text",
    "code",
    "county_code",
    "day_in",
    "mobile",
    "number",
    "one_of",
    "short_text",
    "shown",
    "whole_number",
    "word_key",
]

T = TypeVar("T")
MAX_TEXT = 100

# First two digits of GB/T 2260: provinces, autonomous regions, municipalities, special regions.
_PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
    ]
)
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOBILE = re.compile(r"1[3-9]\d{9}")
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?|[+-]?\.\d+")
_DATE = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})(?:\s*[-/.月]\s*(\d{1,2})\s*日?|\s*月)?(?:[T ]00:00(:00)?)?")
_EXCEL_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"})


@dataclass(frozen=True, slots=True)
class Wrong:
    """A cell that does not stand for what its column needs."""

    reason: RefusalReason
    facts: Mapping[str, str] = field(default_factory=dict)


Reader = Callable[[Cell], T | Wrong]
AnyReader = Callable[[Cell], object]


def cell_text(cell: Cell) -> str:
    """The cell as text: whole numbers without ``.0``, full-width letters and digits as usual ones, blanks trimmed.

    Examples
    --------
    >>> [cell_text(cell) for cell in (520425.0, " Ｗ００７７ ", "水 厂\\n（新）", True)]
    ['520425', 'W0077', '水 厂 (新)', 'TRUE']
    """
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return " ".join(unicodedata.normalize("NFKC", str(cell)).split())


def word_key(text: str) -> str:
    """Words that differ in case, blanks, hyphens or a note in parentheses only are the same word."""
    return re.sub(r"[\s_-]|\(.*?\)", "", unicodedata.normalize("NFKC", text)).lower()


def short_text(cell: Cell) -> str | Wrong:
    """A name: up to `MAX_TEXT` characters."""
    text = cell_text(cell)
    if text in _EXCEL_ERRORS:
        return Wrong(RefusalReason.CELL_ERROR, {"found": text})
    if len(text) > MAX_TEXT:
        return Wrong(RefusalReason.TOO_LONG, {"found": str(len(text)), "allowed": str(MAX_TEXT)})
    return text


def county_code(cell: Cell) -> str | Wrong:
    """A 6-digit division code of GB/T 2260, down to the county."""
    text = _code_text(cell)
    if len(text) == 6 and text.isascii() and text.isdigit() and text[:2] in _PROVINCES and text[4:] != "00":
        return text
    return Wrong(RefusalReason.BAD_COUNTY, {"found": shown(cell)})


def code(cell: Cell) -> str | Wrong:
    """A code as it stands in topics: letters, digits, ``_`` and ``-``, 64 at most."""
    text = _code_text(cell)
    return text if _CODE.fullmatch(text) else Wrong(RefusalReason.BAD_CODE, {"found": shown(cell)})


def mobile(cell: Cell) -> str | Wrong:
    """A mobile number of the mainland, 11 digits; +86, blanks and hyphens are taken off."""
    text = re.sub(r"[\s-]", "", _code_text(cell)).removeprefix("+86")
    text = text.removeprefix("86") if len(text) == 13 else text
    return text if _MOBILE.fullmatch(text) else Wrong(RefusalReason.BAD_PHONE, {"found": shown(cell)})


def number(low: float, high: float, *, above: bool = False) -> Reader[float]:
    """Reader of a number from ``low`` (not itself when ``above``) to ``high``."""

    def read(cell: Cell) -> float | Wrong:
        value = _float(cell)
        if value is None:
            return _not_a_number(cell, "数")
        if not low <= value <= high or (above and value == low):
            allowed = f"{'>' if above else '≥'} {low:g}, ≤ {high:g}"
            return Wrong(RefusalReason.OUT_OF_RANGE, {"found": f"{value:g}", "allowed": allowed})
        return value

    return read


def whole_number(low: int, high: int) -> Reader[int]:
    """Reader of a whole number from ``low`` to ``high``."""

    def read(cell: Cell) -> int | Wrong:
        value = _float(cell)
        if value is None or not value.is_integer():
            return _not_a_number(cell, "整数")
        if not low <= value <= high:
            return Wrong(RefusalReason.OUT_OF_RANGE, {"found": f"{value:.0f}", "allowed": f"{low}–{high}"})
        return int(value)

    return read


def one_of(words: Mapping[T, tuple[str, ...]], *, suffix: str = "") -> Reader[T]:
    """Reader of a word out of a list; the value itself, as the interface names it, is taken too.

    ``suffix`` may follow every word (二氧化氯 = 二氧化氯消毒). The refusal lists the words allowed.
    """
    known = {word_key(name): value for value, names in words.items() for name in (*names, str(value))}
    allowed = "、".join(names[0] for names in words.values())

    def read(cell: Cell) -> T | Wrong:
        key = word_key(cell_text(cell))
        found = known.get(key, known.get(key.removesuffix(suffix)) if suffix else None)
        return Wrong(RefusalReason.UNKNOWN_WORD, {"found": shown(cell), "allowed": allowed}) if found is None else found

    return read


def day_in(time_zone: str) -> Reader[datetime]:
    """Reader of a day; its midnight in the time zone, as aware UTC. A month alone is its first day."""

    def read(cell: Cell) -> datetime | Wrong:
        day = _date(cell)
        if day is None or not 1950 <= day.year <= 2100:
            return Wrong(RefusalReason.BAD_DATE, {"found": shown(cell)})
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)

    return read


def shown(cell: Cell) -> str:
    """The cell for a message: shortened."""
    text = cell_text(cell)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _code_text(cell: Cell) -> str:
    """Text of a code; programs that took it for a number wrote ``520425.0`` into the CSV."""
    return re.sub(r"^(\d+)\.0$", r"\1", cell_text(cell))


def _float(cell: Cell) -> float | None:
    if isinstance(cell, bool | date | timedelta):
        return None
    if isinstance(cell, int | float):
        return float(cell) if cell == cell and abs(cell) != float("inf") else None
    text = cell_text(cell)
    return float(text.replace(",", "")) if len(text) <= 40 and _NUMBER.fullmatch(text) else None


def _not_a_number(cell: Cell, kind: str) -> Wrong:
    if cell_text(cell) in _EXCEL_ERRORS:
        return Wrong(RefusalReason.CELL_ERROR, {"found": cell_text(cell)})
    return Wrong(RefusalReason.NOT_A_NUMBER, {"found": shown(cell), "kind": kind})


def _date(cell: Cell) -> date | None:
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, date):
        return cell
    match = _DATE.fullmatch(cell_text(cell)) if isinstance(cell, str) else None
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3] or 1))
    except ValueError:
        return None
