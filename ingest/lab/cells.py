"""One cell of a lab sheet at a time: results as laboratories write them, times, detection limits. Pure.

A result below a limit stays an operator and the number beside it: ``<0.05`` never becomes zero, half of it or 0.05 itself.
Written as below: ``<0.05``, ``≤0.05`` (the laboratory's own bound, kept in the cell's text), ``0.05L`` (water-industry sheets:
below a detection limit of 0.05), ``未检出(<0.05)``. Without a number: ``未检出``, ``ND``, ``-ND-``, ``无`` for what is judged by presence.
"""

import math
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingest.lab.wording import LabReason
from qingquan.domain.lab import LabOperator
from qingquan.sheets import Cell

__all__ = ["LabValue", "Wrong", "cell_text", "detection_limit_of", "moment_of", "value_of"]

EXCEL_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"})

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_POWER = r"(?:[eE]([+-]?[0-9]{1,5})|[x*×]10\^?([+-]?[0-9]{1,5}))?"
_VALUE = re.compile(rf"([<>]=?|[≤≥])?([+-]?)({_NUMBER}){_POWER}(L)?")
_NOT_DETECTED = re.compile(
    r"(?:未检出|未检测出|未测出|不得检出|低于检出限|小于检出限|n\.?d\.?|notdetected|bdl|<lod|<mdl|<dl|<检出限|阴性|negative)"
)
_BOUND_BESIDE = re.compile(r"(?:未检出|nd)\(?<?=?([0-9.]+)\)?")
_NOT_TESTED = frozenset(
    {"", "-", "--", "—", "——", "/", "\\", "n/a", "na", "未检", "未检测", "未测", "nottested", "不检测", "nt"}
)
_ABSENT = frozenset({"无", "无异臭异味", "无异臭和异味", "无异臭、异味", "未见", "无肉眼可见物", "none", "absent"})
_PRESENT = frozenset({"有", "轻微", "弱", "明显", "强", "可见", "present", "slight"})
_DATE_AND_TIME = re.compile(
    r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?"
    r"(?:[T ]*([0-9]{1,2})[:时]([0-9]{1,2})分?(?::?([0-9]{1,2})(?:\.[0-9]+)?秒?)?)?([+-][0-9]{2}:[0-9]{2}|Z)?"
)
# A date that lost its format comes as days since 1899-12-30; these are the years 2000 to 2100.
_SERIAL = (36526.0, 73051.0)


@dataclass(frozen=True, slots=True)
class LabValue:
    """A result. ``value`` is in the unit as written, ``None`` where the laboratory gave no number."""

    operator: LabOperator
    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """A cell that does not stand for what its column needs."""

    reason: LabReason
    facts: dict[str, str] = field(default_factory=dict)


def cell_text(cell: Cell) -> str:
    """The cell as text: whole numbers without ``.0``, full-width characters as usual ones, blanks trimmed."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        cell = int(cell)
    return " ".join(unicodedata.normalize("NFKC", str(cell)).split())


def value_of(cell: Cell, *, is_absence: bool = False) -> LabValue | Wrong:
    """The result in a cell. ``is_absence``: the parameter is judged by presence, so words will do."""
    if isinstance(cell, bool):
        return Wrong(LabReason.BAD_VALUE)
    if isinstance(cell, date | datetime | time | timedelta):
        return Wrong(LabReason.VALUE_IS_DATE)
    text = cell_text(cell)
    if isinstance(cell, int | float):
        return _number(float(cell), text)
    plain = text.replace(" ", "")
    if plain in EXCEL_ERRORS:
        return Wrong(LabReason.CELL_ERROR)
    if (word := _word(plain.casefold(), text, is_absence=is_absence)) is not None:
        return word
    match = _VALUE.fullmatch(plain)
    if match:
        return _written(match, text)
    if _VALUE.match(plain) and re.search(r"[A-Za-z/%度个]", plain):
        return Wrong(LabReason.UNIT_IN_VALUE)
    return Wrong(LabReason.BAD_VALUE)


def detection_limit_of(cell: Cell) -> float | Wrong:
    """A positive number; a ``<`` or ``≤`` before it is taken off."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell) if 0 < cell < math.inf else Wrong(LabReason.BAD_LIMIT)
    found = value_of(cell) if isinstance(cell, str) else None
    if isinstance(found, LabValue) and found.operator in (LabOperator.EQUAL, LabOperator.LESS) and found.value:
        return found.value
    return Wrong(LabReason.BAD_LIMIT)


def moment_of(cell: Cell, time_zone: str) -> int | Wrong:
    """Date and time [ms since epoch, UTC]; local to ``time_zone`` unless an offset is written. A date alone is its midnight."""
    at = _datetime(cell)
    if at is None:
        return Wrong(LabReason.BAD_TIME)
    if at.tzinfo is None:
        try:
            at = at.replace(tzinfo=ZoneInfo(time_zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return Wrong(LabReason.BAD_TIME)
    try:
        return round(at.timestamp() * 1000)
    except (OverflowError, ValueError):
        return Wrong(LabReason.BAD_TIME)


def _word(plain: str, text: str, *, is_absence: bool) -> LabValue | Wrong | None:
    """A result written in words; ``None`` if it is none."""
    if is_absence and plain in _ABSENT:
        return LabValue(LabOperator.NOT_DETECTED, None, text)
    if is_absence and plain in _PRESENT:
        return LabValue(LabOperator.GREATER, 0.0, text)
    if plain in _NOT_TESTED:
        return Wrong(LabReason.NOT_TESTED)
    if plain != "不得检出" and _NOT_DETECTED.fullmatch(plain.strip("-()")):
        return LabValue(LabOperator.NOT_DETECTED, None, text)
    beside = _BOUND_BESIDE.fullmatch(plain)
    if beside and beside[1].count(".") <= 1 and beside[1] != "." and float(beside[1]) > 0:
        return LabValue(LabOperator.LESS, float(beside[1]), text)
    return None


def _written(match: re.Match[str], text: str) -> LabValue | Wrong:
    sign, minus, digits, power, ten, below = match.groups()
    number = float(f"{minus}{digits.replace(',', '')}e{power or ten or 0}")
    if not math.isfinite(number):
        return Wrong(LabReason.BAD_VALUE)
    if sign in (">", ">=", "≥"):
        return Wrong(LabReason.BAD_VALUE) if below else LabValue(LabOperator.GREATER, number, text)
    if sign or below:
        # Below zero or nothing cannot be: such a cell holds no bound.
        return LabValue(LabOperator.LESS, number, text) if number > 0 else Wrong(LabReason.BAD_VALUE)
    return _number(number, text)


def _number(number: float, text: str) -> LabValue | Wrong:
    return LabValue(LabOperator.EQUAL, number, text) if math.isfinite(number) else Wrong(LabReason.BAD_VALUE)


def _datetime(cell: Cell) -> datetime | None:
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001 - local to the works, its zone is put on above
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        if not _SERIAL[0] <= cell < _SERIAL[1]:
            return None
        at = datetime(1899, 12, 30) + timedelta(days=float(cell))  # noqa: DTZ001 - as above
        return at.replace(microsecond=0) + timedelta(seconds=round(at.microsecond / 1e6))
    if not isinstance(cell, str):
        return None
    match = _DATE_AND_TIME.fullmatch(cell_text(cell))
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        at = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - as above
        offset = match[7]
        return at if not offset else datetime.fromisoformat(at.isoformat() + offset.replace("Z", "+00:00"))
    except ValueError:
        return None
