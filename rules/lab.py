"""What the standard says of a laboratory result. Pure: a result, the facts of the place and the rows in, a judgement out.

A result stands for a span of values: ``0.5`` for itself, ``<0.05`` for all below it, ``>200`` for all above. It complies
when the whole span does, exceeds when none of it complies, and is undecided otherwise. Numbers are compared exactly as
the laboratory wrote them (全数值比较法, GB/T 8170): 700 ug/L is 0.7 mg/L, not 0.7000000000000001.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction

from qingquan.domain.lab import LabOperator, LabResult, LabVerdict
from qingquan.domain.parameters import Limit, LimitKind, applicable_limits
from qingquan.domain.works import Disinfectant, PointKind

__all__ = [
    "CALCULATED",
    "FITTING_RESIDUALS",
    "Convert",
    "Judgement",
    "LabPlace",
    "Note",
    "Span",
    "Why",
    "exact",
    "judge",
    "span_of",
]

DISINFECTANTS = "disinfectant"
MICROBIAL = "microbial"
RADIOACTIVE = "radioactive"

CALCULATED = "计算值 (calculated)"
"""What stands as the method of a result that is ours and not the laboratory's."""

TUBES_ALL_NEGATIVE = 2
"""MPN/100 mL. GB/T 5750.12: with no tube positive the multiple-tube method reports ``<2`` and means not detected."""

Convert = Callable[[str, str, str], tuple[float, float] | None]
"""Parameter, unit as written, unit wanted -> (factor, offset), ``None`` where there is no way from one to the other."""

FITTING_RESIDUALS = {
    Disinfectant.FREE_CHLORINE: ("free_chlorine",),
    Disinfectant.CHLORAMINE: ("total_chlorine",),
    Disinfectant.CHLORINE_DIOXIDE: ("chlorine_dioxide",),
    Disinfectant.MIXED_CLO2_CL2: ("chlorine_dioxide", "free_chlorine"),
    Disinfectant.OZONE: ("ozone",),
    Disinfectant.UV: (),
    Disinfectant.NONE: (),
}
"""Rows of Table 2 that judge a works, by what it disinfects with."""


class Why(StrEnum):
    """Why a verdict is what it is; the same word serves sentence, metric and operator."""

    WITHIN = "within"
    NOT_FOUND = "not_found"
    OTHER_RESIDUAL_SUFFICES = "other_residual_suffices"
    WITHIN_WITHOUT_K40 = "within_without_k40"
    ABOVE = "above"
    BELOW = "below"
    FOUND = "found"
    DETECTION_LIMIT = "detection_limit"
    NO_DETECTION_LIMIT = "no_detection_limit"
    BEYOND_RANGE = "beyond_range"
    OTHER_RESIDUAL_UNKNOWN = "other_residual_unknown"
    K40_UNKNOWN = "k40_unknown"
    NO_NUMBER = "no_number"
    SOURCE_WATER = "source_water"
    TREATMENT_WATER = "treatment_water"
    OTHER_DISINFECTANT = "other_disinfectant"
    NO_LIMIT = "no_limit"
    NOT_IN_FORCE = "not_in_force"
    UNIT_MISMATCH = "unit_mismatch"


class Note(StrEnum):
    """What has to be said beside a verdict."""

    GUIDANCE = "guidance"
    GROSS_BETA = "gross_beta"
    TEST_E_COLI = "test_e_coli"
    CONTRADICTION = "contradiction"
    NON_DETECTS_AT_LIMIT = "non_detects_at_limit"
    NON_DETECTS_LEFT_OUT = "non_detects_left_out"


@dataclass(frozen=True, slots=True)
class LabPlace:
    """What of works and sample bears on the choice of a row. ``sampled_on`` is the day at the works.

    ``small_limited``: relaxed rows are granted; ``conditions``: those of rows that the register states of the works.
    """

    point_kind: PointKind
    small_limited: bool
    disinfectant: Disinfectant
    sampled_on: date
    conditions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the row it rests on (``None`` where no row applies), and why.

    ``value`` is the number held against the row, in its unit; ``bound`` the number of the row that was not met or, of
    several, the upper one. Both ``None`` where there is no number.
    """

    verdict: LabVerdict
    why: Why
    limit: Limit | None = None
    value: float | None = None
    bound: float | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Values from ``low`` to ``high``; ``None`` = without end. An open end is not part of it."""

    low: Fraction | None = None
    high: Fraction | None = None
    is_low_open: bool = False
    is_high_open: bool = False

    def is_within(self, other: "Span") -> bool:
        """Whether every value of it is one of the other's."""
        return _reaches_no_further(self.low, self.is_low_open, other.low, other.is_low_open, 1) and _reaches_no_further(
            self.high, self.is_high_open, other.high, other.is_high_open, -1
        )

    def is_above(self, other: "Span") -> bool:
        """Whether all of it lies beyond the other's upper end."""
        if self.low is None or other.high is None:
            return False
        return self.low > other.high or (self.low == other.high and (self.is_low_open or other.is_high_open))


def judge(result: LabResult, place: LabPlace, limits: Iterable[Limit], convert: Convert) -> Judgement:
    """The verdict on one result by itself.

    Rules that need the other results of the sample (mixed disinfectants, *E. coli* after coliforms, the sum of
    trihalomethanes) are those of `lab_sample`. Nothing a result holds raises: what cannot be judged says why.

    Parameters
    ----------
    result
        As the laboratory wrote it; ``canonical_value`` must agree with ``value`` and ``unit``.
    limits
        Rows of the standard. The one in force on the day of sampling is used.
    convert
        The unit as written to that of the row.
    """
    limit, why = _row(result.parameter, place, limits)
    if limit is None:
        return Judgement(LabVerdict.NOT_JUDGED, why)
    factors = convert(result.parameter, result.unit, limit.unit)
    if factors is None or not _agrees(result, factors):
        return Judgement(LabVerdict.NOT_JUDGED, Why.UNIT_MISMATCH, limit)
    span = span_of(result, limit, factors)
    if span is None:
        return Judgement(LabVerdict.UNDECIDED, Why.NO_NUMBER, limit)
    return _compared(result, limit, span, _converted(result.value, factors))


def exact(number: float) -> Fraction:
    """The number as it is written, shortest form: 0.1 is one tenth."""
    return Fraction(repr(float(number)))


def span_of(result: LabResult, limit: Limit, factors: tuple[float, float]) -> Span | None:
    """The values, in the unit of the limit, for which a result stands; ``None`` if it holds no usable number."""
    value = _converted(result.value, factors)
    if result.operator is LabOperator.NOT_DETECTED:
        return _not_detected(_converted(result.detection_limit, factors), limit)
    if value is None:
        return None
    includes_bound = result.value_text.lstrip().startswith(("≤", "<=", "≥", ">="))
    if result.operator is LabOperator.LESS:
        if limit.kind is LimitKind.ABSENT and value <= TUBES_ALL_NEGATIVE:
            return Span(Fraction(0), Fraction(0))
        return Span(high=value, is_high_open=not includes_bound)
    if result.operator is LabOperator.GREATER:
        return Span(low=value, is_low_open=not includes_bound)
    return Span(value, value)


def _row(code: str, place: LabPlace, limits: Iterable[Limit]) -> tuple[Limit | None, Why]:
    if place.point_kind is PointKind.SOURCE:
        return None, Why.SOURCE_WATER
    if place.point_kind is PointKind.TREATMENT:
        return None, Why.TREATMENT_WATER
    rows = applicable_limits(
        limits, code, place.point_kind, small_limited=place.small_limited, standard="", conditions=place.conditions
    )
    if not rows:
        return None, Why.NO_LIMIT
    if any(row.group == DISINFECTANTS for row in rows) and code not in FITTING_RESIDUALS[place.disinfectant]:
        return None, Why.OTHER_DISINFECTANT
    return next((row for row in rows if row.is_in_force(place.sampled_on)), None), Why.NOT_IN_FORCE


def _compared(result: LabResult, limit: Limit, span: Span, value: Fraction | None) -> Judgement:
    accepted = _accepted(limit)
    verdict, why = _verdict(result, limit, span, accepted)
    below = why is Why.BELOW
    bound = None if limit.kind is LimitKind.ABSENT else limit.min if below or limit.max is None else limit.max
    shown = None if value is None else float(value)
    return Judgement(verdict, why, limit, shown, bound, _notes(limit))


def _verdict(result: LabResult, limit: Limit, span: Span, accepted: Span) -> tuple[LabVerdict, Why]:
    is_absence = limit.kind is LimitKind.ABSENT
    if span.is_within(accepted):
        return LabVerdict.COMPLIANT, Why.NOT_FOUND if is_absence else Why.WITHIN
    if span.is_above(accepted):
        return LabVerdict.EXCEEDED, Why.FOUND if is_absence else Why.ABOVE
    if accepted.is_above(span):
        return LabVerdict.EXCEEDED, Why.BELOW
    if result.operator is LabOperator.GREATER:
        return LabVerdict.UNDECIDED, Why.BEYOND_RANGE
    if span.high is None:
        return LabVerdict.UNDECIDED, Why.NO_DETECTION_LIMIT
    return LabVerdict.UNDECIDED, Why.DETECTION_LIMIT


def _accepted(limit: Limit) -> Span:
    if limit.kind is LimitKind.ABSENT:
        return Span(Fraction(0), Fraction(0))
    low = None if limit.min is None else exact(limit.min)
    high = None if limit.max is None else exact(limit.max)
    return Span(low, high, is_high_open=limit.kind is LimitKind.MAX_STRICT)


def _not_detected(detection_limit: Fraction | None, limit: Limit) -> Span:
    # "Not detected" is the very word of the standard for these, and a count without detection limit found none.
    if limit.kind is LimitKind.ABSENT or (limit.group == MICROBIAL and detection_limit is None):
        return Span(Fraction(0), Fraction(0))
    return Span(high=detection_limit, is_high_open=True)


def _notes(limit: Limit) -> tuple[Note, ...]:
    if limit.group != RADIOACTIVE:
        return ()
    return (Note.GROSS_BETA,) if limit.code == "gross_beta" else (Note.GUIDANCE,)


def _converted(number: float | None, factors: tuple[float, float]) -> Fraction | None:
    if number is None or not math.isfinite(number):
        return None
    return exact(number) * exact(factors[0]) + exact(factors[1])


def _agrees(result: LabResult, factors: tuple[float, float]) -> bool:
    """Whether the canonical value is what value and unit say."""
    value, canonical = _converted(result.value, factors), result.canonical_value
    if result.value is not None and not math.isfinite(result.value):
        return True  # no number at all; that is said later
    if value is None or canonical is None:
        return value is None and canonical is None
    return math.isclose(value, canonical, rel_tol=1e-9, abs_tol=1e-15)


def _reaches_no_further(
    own: Fraction | None, is_own_open: bool, other: Fraction | None, is_other_open: bool, inwards: int
) -> bool:
    """Whether an end lies inside another or on it; ``inwards`` is +1 for lower ends, -1 for upper ones."""
    if other is None:
        return True
    if own is None:
        return False
    if own == other:
        return is_own_open or not is_other_open
    return (own - other) * inwards > 0
