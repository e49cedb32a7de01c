"""What is measured, and the legal bound on it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

__all__ = [
    "Limit",
    "LimitKind",
    "Parameter",
    "ParameterKind",
    "SupplyClass",
    "applicable_limits",
    "plain_number",
    "within",
]


# Points of raw water: not judged by the drinking-water standard, measured by instruments of wider range.
UNJUDGED_POINTS = ("source", "treatment")
DAY = timedelta(1)


class ParameterKind(StrEnum):
    """How a parameter is used: judged, explaining, or a switch contact (0/1)."""

    QUALITY = "quality"
    OPERATION = "operation"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An online parameter with its one canonical unit.

    ``range_min``/``range_max`` bound what the instrument can read (outside = flag 4); where raw water is measured,
    instruments reach up to ``raw_range_max``. Flat-line spans are
    in hours; 0 switches the test off. ``flat_tolerance`` and ``precision_floor`` are in ``unit``.
    """

    code: str
    kind: ParameterKind
    unit: str
    name_zh: str
    name_en: str
    short_zh: str
    decimals: int
    range_min: float
    range_max: float
    raw_range_max: float
    precision_floor: float
    flat_tolerance: float
    flat_suspect_h: float
    flat_fail_h: float
    source: str

    def span_at(self, point_kind: str) -> tuple[float, float]:
        """What the instrument at a kind of point can read, both ends included."""
        return self.range_min, self.raw_range_max if point_kind in UNJUDGED_POINTS else self.range_max


class LimitKind(StrEnum):
    """Shape of a bound. ``MAX`` and ``RANGE`` are inclusive, ``MAX_STRICT`` is not."""

    MAX = "max"
    MAX_STRICT = "max_strict"
    MIN = "min"
    RANGE = "range"
    ABSENT = "absent"


class SupplyClass(StrEnum):
    """To which supplies a limit row applies.

    ``SMALL_LIMITED``: small or dispersed supply whose source or treatment is limited
    (GB 5749-2022 Table 1 footnote); being small alone does not relax anything.
    """

    ANY = "any"
    SMALL_LIMITED = "small_limited"


@dataclass(frozen=True, slots=True)
class Limit:
    """One row of a standard. ``min``/``max`` are in ``unit``; ``None`` = no bound on that side.

    ``condition`` names a fact that must be known of the works for the row to apply (``""`` = none needed).
    """

    id: str
    standard: str
    code: str
    name_zh: str
    name_en: str
    group: str
    point: str
    supply: SupplyClass
    kind: LimitKind
    min: float | None
    max: float | None
    unit: str
    basis: str
    clause: str
    valid_from: date
    valid_to: date | None
    confidence: str
    source: str
    note_zh: str
    condition: str = ""

    def is_in_force(self, on: date) -> bool:
        """Whether the row was in force on that day (both ends inclusive)."""
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)

    def is_met_by(self, value: float) -> bool:
        """Whether a measured value complies. Limits are inclusive; 0 is the only value that meets ``ABSENT``."""
        if self.kind is LimitKind.ABSENT:
            return value == 0
        if self.kind is LimitKind.MAX_STRICT:
            return self.max is None or value < self.max
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


def plain_number(number: float | None) -> str:
    """A number to six digits as people write it, never with an exponent: 0.00008, not 8e-05; empty where there is none.

    >>> plain_number(8e-05), plain_number(0.5), plain_number(2000000.0)
    ('0.00008', '0.5', '2000000')
    """
    text = "" if number is None else f"{number:g}"
    return format(Decimal(text), "f") if "e" in text else text


def applicable_limits(
    limits: Iterable[Limit],
    code: str,
    point_kind: str,
    *,
    small_limited: bool,
    standard: str = "GB 5749",
    conditions: Collection[str] = (),
) -> list[Limit]:
    """The rows that judge a parameter at a kind of point, one per period of force, oldest first, no two on one day.

    A relaxed row wins over the general one of the same period, but only where ``small_limited`` (small or dispersed
    supply **and** source or treatment limited) holds; a row with a condition wins over those without, but only where
    ``conditions`` (facts known of the works) holds it; a row for the exact point kind wins over one for any point.
    Disinfectant rows name outlet and network end only: network points are judged like the end. A row that another goes
    before on some of its days comes back with the days that are left to it.
    """
    if point_kind in UNJUDGED_POINTS:
        return []
    place = "network_end" if point_kind == "network" else point_kind
    return _by_period(
        [
            limit
            for limit in limits
            if limit.code == code
            and limit.standard.startswith(standard)
            and limit.point in ("any", place)
            and (small_limited or limit.supply is not SupplyClass.SMALL_LIMITED)
            and (not limit.condition or limit.condition in conditions)
        ]
    )


def _by_period(rows: Sequence[Limit]) -> list[Limit]:
    """Of rows that may be in force together, the one that goes before the others, period by period."""
    ends = {row.valid_to for row in rows if row.valid_to not in (None, date.max)}
    starts = sorted({row.valid_from for row in rows} | {end + DAY for end in ends if end is not None})
    found: list[tuple[Limit, date, date | None]] = []
    for number, first in enumerate(starts):
        last = starts[number + 1] - DAY if number + 1 < len(starts) else None
        row = max((one for one in rows if one.is_in_force(first)), key=_precedence, default=None)
        if row is None:
            continue
        if found and found[-1][0] is row:
            found[-1] = (row, found[-1][1], last)
        else:
            found.append((row, first, last))
    return [within(row, first, last) for row, first, last in found]


def within(row: Limit, first: date, last: date | None) -> Limit:
    """The row with no other days of force than those from ``first`` to ``last`` (``None`` = without end)."""
    ends = [end for end in (row.valid_to, last) if end is not None]
    start, end = max(row.valid_from, first), min(ends, default=None)
    is_same = start == row.valid_from and (end == row.valid_to or (row.valid_to == date.max and end is None))
    return row if is_same else replace(row, valid_from=start, valid_to=end)


def _precedence(limit: Limit) -> tuple[bool, bool, bool]:
    return limit.supply is SupplyClass.SMALL_LIMITED, bool(limit.condition), limit.point != "any"
