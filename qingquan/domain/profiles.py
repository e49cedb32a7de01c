"""Dated sets of rows by which water, or a village's supply, is judged; and which row of a set applies where.

Three standings never overwrite each other: what binds (the limit that decides an exceedance), what evaluates
(达标评价, a programme's own yardstick) and what only informs.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum

from qingquan.domain.parameters import UNJUDGED_POINTS, Limit, SupplyClass, applicable_limits, within
from qingquan.domain.works import Works

__all__ = [
    "Binding",
    "Criterion",
    "PassedOver",
    "Profile",
    "Relaxation",
    "Ruling",
    "Standing",
    "WhyNone",
    "WhyNot",
    "is_small_and_limited",
    "known_conditions",
    "profile_at",
    "ruling",
]

DAY = timedelta(1)


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
            return is_small_and_limited(works)
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
    """Conditions of rows that the register states of a works; what it does not state does not hold."""
    stated = {
        "source_limited": works.source_limited,
        "groundwater_limited": works.groundwater_limited,
        "raw_permanganate_above_6": works.raw_permanganate_above_6,
        "turbidity_second_step": works.source_limited and works.treatment_limited,
    }
    return frozenset(condition for condition, holds in stated.items() if holds)


@dataclass(frozen=True)
class Binding:
    """What binds in a county: dated profiles, and the rows of all of them through all years.

    The one place that chooses a row, for judging readings and laboratory results, for what is drawn and what is explained.
    Without profiles, relaxed rows are granted as by the national standard: to small supplies that are limited.
    """

    profiles: tuple[Profile, ...]
    rows: tuple[Limit, ...]
    _chosen: dict[tuple[object, ...], tuple[Limit, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def own_standards(self) -> frozenset[str]:
        """Standards of a region's own rows."""
        return frozenset(one.standard for one in self.profiles if one.region)

    def limits_at(self, works: Works, point_kind: str, code: str) -> tuple[Limit, ...]:
        """Rows that judge a parameter at a kind of point of a works, oldest first, no two on one day; () where none does."""
        key = (code, str(point_kind), self.traits(works))
        found = self._chosen.get(key)
        if found is None:
            found = self._chosen[key] = self._choose(works, point_kind, code)
        return found

    def traits(self, works: Works) -> tuple[object, ...]:
        """All of a works that decides which rows judge it: works of one county with the same traits are judged alike."""
        relaxed = tuple(one.is_relaxed_for(works) for one in self.profiles) or (is_small_and_limited(works),)
        return relaxed, known_conditions(works), works.disinfectant

    def limit_on(self, works: Works, point_kind: str, code: str, on: date) -> Limit | None:
        """The row that judges a parameter at a kind of point of a works on a day."""
        return next((row for row in self.limits_at(works, point_kind, code) if row.is_in_force(on)), None)

    def is_relaxed_on(self, works: Works, on: date) -> bool:
        """Whether the profile of the day grants a works the relaxed rows."""
        return self._is_relaxed(profile_at(self.profiles, works.county, on, Standing.BINDING), works)

    def _is_relaxed(self, profile: Profile | None, works: Works) -> bool:
        return is_small_and_limited(works) if profile is None else profile.is_relaxed_for(works)

    def _choose(self, works: Works, point_kind: str, code: str) -> tuple[Limit, ...]:
        rows = [row for row in self.rows if row.code == code]
        if not rows or (rows[0].group == "disinfectant" and code not in works.disinfectant.residuals):
            return ()
        conditions = known_conditions(works)
        found: list[Limit] = []
        for first, last, profile in self._periods(works.county):
            days = [
                within(row, first, last)
                for row in rows
                if (last is None or row.valid_from <= last) and (row.valid_to is None or row.valid_to >= first)
            ]
            is_relaxed = self._is_relaxed(profile, works)
            for row in applicable_limits(
                days, code, point_kind, small_limited=is_relaxed, standard="", conditions=conditions
            ):
                before = found[-1] if found else None
                if before is not None and before.id == row.id and before.valid_to == row.valid_from - DAY:
                    found[-1] = replace(before, valid_to=row.valid_to)
                else:
                    found.append(row)
        return tuple(found)

    def _periods(self, county: str) -> list[tuple[date, date | None, Profile | None]]:
        """Days from change to change of the profile in force; one span of all days where there are no profiles."""
        if not self.profiles:
            return [(date.min, None, None)]
        starts = {one.valid_from for one in self.profiles}
        starts |= {one.valid_to + DAY for one in self.profiles if one.valid_to and one.valid_to != date.max}
        ordered = sorted(starts)
        ends = [*(day - DAY for day in ordered[1:]), None]
        spans = [
            (first, last, profile_at(self.profiles, county, first, Standing.BINDING))
            for first, last in zip(ordered, ends, strict=True)
        ]
        return [span for span in spans if span[2] is not None]


def is_small_and_limited(works: Works) -> bool:
    """Small supply whose source or treatment is registered as limited: the footnote of GB 5749-2022 Table 1."""
    return works.is_small_supply and works.source_limited


def ruling(
    limits: Iterable[Limit],
    works: Works,
    point_kind: str,
    code: str,
    on: date,
    profile: Profile,
    residuals: Collection[str],
    conditions: Collection[str] | None = None,
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
        Conditions of rows taken to hold; without them, those the register states.
    """
    conditions = known_conditions(works) if conditions is None else conditions
    rows = [row for row in limits if row.code == code]
    if point_kind in UNJUDGED_POINTS:
        return Ruling(None, WhyNone.RAW_WATER, ())
    if not rows:
        return Ruling(None, WhyNone.NO_ROW, ())
    if rows[0].group == "disinfectant" and code not in residuals:
        return Ruling(None, WhyNone.OTHER_DISINFECTANT, ())
    is_relaxed = profile.is_relaxed_for(works)
    periods = applicable_limits(rows, code, point_kind, small_limited=is_relaxed, standard="", conditions=conditions)
    found = next((row.id for row in periods if row.is_in_force(on)), None)
    chosen = next((row for row in rows if row.id == found and row.is_in_force(on)), None)
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
        return WhyNot.NOT_LIMITED if row.condition == "source_limited" else WhyNot.CONDITION_UNKNOWN
    return WhyNot.YIELDS


def _not_relaxed(works: Works, profile: Profile) -> WhyNot:
    if profile.relaxation is Relaxation.NONE:
        return WhyNot.NOT_GRANTED
    if profile.relaxation is Relaxation.SMALL_LIMITED and works.is_small_supply:
        return WhyNot.NOT_LIMITED
    return WhyNot.NOT_SMALL
