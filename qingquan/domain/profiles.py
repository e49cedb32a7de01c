"""Dated sets of rows by which water, or a village's supply, is judged; and which row of a set applies where.

Three standings never overwrite each other: what binds (the limit that decides an exceedance), what evaluates
(达标评价, a programme's own yardstick) and what only informs.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from qingquan.domain.parameters import UNJUDGED_POINTS, Limit, SupplyClass, applicable_limits
from qingquan.domain.works import Works

__all__ = [
    "Criterion",
    "PassedOver",
    "Profile",
    "Relaxation",
    "Ruling",
    "Standing",
    "WhyNone",
    "WhyNot",
    "known_conditions",
    "profile_at",
    "ruling",
]

CONDITIONS_TAG = "limit_conditions"
"""Tag of a works that lists, separated by blanks, the conditions of rows that are known to hold there."""


class Standing(StrEnum):
    """What a profile is good for."""

    BINDING = "binding"
    EVALUATION = "evaluation"
    REFERENCE = "reference"


class Relaxation(StrEnum):
    """To which works a profile grants the relaxed rows for small supplies."""

    SMALL_LIMITED = "small_limited"
    SMALL = "small"
    BELOW_1000 = "below_1000"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Profile:
    """A dated yardstick of a region.

    ``region`` is the beginning of a division code (``""`` = everywhere). ``standard`` is that of its rows, ``""`` where it
    sets no numeric limit; a profile with ``base`` holds only what differs from that profile.
    """

    id: str
    standing: Standing
    name_zh: str
    name_en: str
    region: str
    base: str
    standard: str
    relaxation: Relaxation
    valid_from: date
    valid_to: date | None
    confidence: str
    source: str
    note_zh: str

    def is_in_force(self, on: date) -> bool:
        """Whether the profile was in force on that day (both ends inclusive)."""
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)

    def covers(self, county: str) -> bool:
        """Whether the county lies in its region."""
        return county.startswith(self.region)

    def is_relaxed_for(self, works: Works) -> bool:
        """Whether a works gets the relaxed rows for small supplies."""
        if self.relaxation is Relaxation.SMALL_LIMITED:
            return works.is_small_supply and works.source_limited
        if self.relaxation is Relaxation.SMALL:
            return works.is_small_supply
        if self.relaxation is Relaxation.BELOW_1000:
            return works.capacity_m3_d < 1000 and works.population < 10_000
        return False


@dataclass(frozen=True, slots=True)
class Criterion:
    """One number of an evaluation profile: ``measure`` of a kind of supply is to be at least or at most ``value``.

    ``value`` is ``None`` where the criterion is not a number; ``note_zh`` then says what is looked at.
    """

    id: str
    profile: str
    criterion: str
    grade: str
    supply: str
    condition: str
    measure: str
    is_minimum: bool
    value: float | None
    unit: str
    confidence: str
    source: str
    note_zh: str


class WhyNot(StrEnum):
    """Why a row does not apply."""

    NOT_YET = "not_yet"
    EXPIRED = "expired"
    OTHER_POINT = "other_point"
    NOT_SMALL = "not_small"
    NOT_LIMITED = "not_limited"
    NOT_GRANTED = "not_granted"
    CONDITION_UNKNOWN = "condition_unknown"
    RECORDED_ONLY = "recorded_only"
    YIELDS = "yields"


class WhyNone(StrEnum):
    """Why no row at all applies."""

    RAW_WATER = "raw_water"
    OTHER_DISINFECTANT = "other_disinfectant"
    NO_ROW = "no_row"
    NOT_IN_FORCE = "not_in_force"
    OTHER_POINT = "other_point"
    REFERENCE_ONLY = "reference_only"
    NOT_HELD = "not_held"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A row of the parameter that does not apply, and why."""

    limit: Limit
    why: WhyNot


@dataclass(frozen=True, slots=True)
class Ruling:
    """The row that applies, or why none does; and the rows passed over."""

    limit: Limit | None
    why_none: WhyNone | None
    passed: tuple[PassedOver, ...]


def profile_at(profiles: Iterable[Profile], county: str, on: date, standing: Standing) -> Profile | None:
    """The profile of a standing that was in force in a county on a day; that of the smallest region wins."""
    fitting = [one for one in profiles if one.standing is standing and one.covers(county) and one.is_in_force(on)]
    return max(fitting, key=lambda one: (len(one.region), one.valid_from), default=None)


def known_conditions(works: Works) -> frozenset[str]:
    """Conditions of rows that the register knows to hold at a works: that its source is limited, and what a tag says."""
    said = frozenset(works.tags.get(CONDITIONS_TAG, "").split())
    return said | {"source_limited"} if works.source_limited else said


def ruling(
    limits: Iterable[Limit],
    works: Works,
    point_kind: str,
    code: str,
    on: date,
    profile: Profile,
    residuals: Collection[str],
    conditions: Collection[str] = (),
) -> Ruling:
    """Which of the rows judges a parameter at a kind of point of a works on a day, and why the others do not.

    Parameters
    ----------
    limits
        Rows of the profile.
    profile
        Says to whom relaxed rows are granted.
    residuals
        Rows of disinfectants that judge this works; those of others do not.
    conditions
        Conditions of rows that the judging takes into account. Without them it is strict: a row that depends on one is
        passed over even where the register says that it holds.
    """
    rows = [row for row in limits if row.code == code]
    if point_kind in UNJUDGED_POINTS:
        return Ruling(None, WhyNone.RAW_WATER, ())
    if not rows:
        return Ruling(None, WhyNone.NO_ROW, ())
    if rows[0].group == "disinfectant" and code not in residuals:
        return Ruling(None, WhyNone.OTHER_DISINFECTANT, ())
    is_relaxed = profile.is_relaxed_for(works)
    chosen = next(
        (
            row
            for row in applicable_limits(
                rows, code, point_kind, small_limited=is_relaxed, standard="", conditions=conditions
            )
            if row.is_in_force(on)
        ),
        None,
    )
    passed = tuple(
        PassedOver(row, _why_not(row, works, point_kind, on, is_relaxed, conditions, profile))
        for row in rows
        if row is not chosen
    )
    if chosen is not None:
        return Ruling(chosen, None, passed)
    lapsed = all(one.why in (WhyNot.NOT_YET, WhyNot.EXPIRED) for one in passed)
    return Ruling(None, WhyNone.NOT_IN_FORCE if lapsed else WhyNone.OTHER_POINT, passed)


def _why_not(
    row: Limit, works: Works, point_kind: str, on: date, is_relaxed: bool, conditions: Collection[str], profile: Profile
) -> WhyNot:
    if not row.is_in_force(on):
        return WhyNot.NOT_YET if on < row.valid_from else WhyNot.EXPIRED
    if row.point not in ("any", "network_end" if point_kind == "network" else point_kind):
        return WhyNot.OTHER_POINT
    if row.supply is SupplyClass.SMALL_LIMITED and not is_relaxed:
        return _not_relaxed(works, profile)
    if row.condition and row.condition not in conditions:
        return _condition_not_met(row.condition, works)
    return WhyNot.YIELDS


def _not_relaxed(works: Works, profile: Profile) -> WhyNot:
    if profile.relaxation is Relaxation.NONE:
        return WhyNot.NOT_GRANTED
    if profile.relaxation is Relaxation.SMALL_LIMITED and works.is_small_supply:
        return WhyNot.NOT_LIMITED
    return WhyNot.NOT_SMALL


def _condition_not_met(condition: str, works: Works) -> WhyNot:
    if condition in known_conditions(works):
        return WhyNot.RECORDED_ONLY
    return WhyNot.NOT_LIMITED if condition == "source_limited" else WhyNot.CONDITION_UNKNOWN
