"""A laboratory sample as a whole: rules that need more than one of its results. Pure.

* Mixed chlorine dioxide and chlorine: each keeps its upper limit, at least one reaches its residual (GB 5749-2022 Table 2).
* *E. coli* is asked for once total coliforms are found (Table 1); found without them, the sheet contradicts itself.
* Gross beta is judged once potassium-40 is subtracted; without a result for that it is undecided (Table 1).
* The sum of trihalomethanes is judged wherever all four were reported, though the laboratory left the sum out (Table 1).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from qingquan.domain.lab import LabOperator, LabResult, LabVerdict
from qingquan.domain.parameters import Limit
from qingquan.domain.works import Disinfectant
from rules.lab import (
    CALCULATED,
    FITTING_RESIDUALS,
    Convert,
    Judgement,
    LabPlace,
    Note,
    Span,
    Why,
    exact,
    judge,
    span_of,
)

__all__ = ["TRIHALOMETHANES", "Judged", "judge_sample"]

TRIHALOMETHANES = ("trichloromethane", "dibromochloromethane", "bromodichloromethane", "tribromomethane")
RATIO = "trihalomethanes_ratio"
GROSS_BETA, POTASSIUM_40 = "gross_beta", "potassium_40"


@dataclass(frozen=True, slots=True)
class Judged:
    """A result and its judgement."""

    result: LabResult
    judgement: Judgement


def judge_sample(
    results: Sequence[LabResult], place: LabPlace, limits: Iterable[Limit], convert: Convert
) -> list[Judged]:
    """Judgements on all results of a sample, in their order, then on the sum of trihalomethanes where it can be formed."""
    rows = tuple(limits)
    judged = [Judged(result, judge(result, place, rows, convert)) for result in results]
    ratio = _trihalomethanes(judged, place, rows, convert)
    if ratio is not None:
        judged.append(ratio)
    by_code = {one.result.parameter: one.judgement for one in judged}
    settled = (_with_other_residual(one, by_code, place.disinfectant) for one in judged)
    k40 = next((one.result for one in judged if one.result.parameter == POTASSIUM_40), None)
    return [_with_coliform_note(_without_k40(one, k40), by_code) for one in settled]


def _with_other_residual(one: Judged, by_code: Mapping[str, Judgement], disinfectant: Disinfectant) -> Judged:
    """Of a residual too low, at a works with two disinfectants, the other one decides."""
    fitting = FITTING_RESIDUALS[disinfectant]
    if one.judgement.why is not Why.BELOW or one.result.parameter not in fitting or len(fitting) < 2:
        return one
    others = [by_code[code] for code in fitting if code != one.result.parameter and code in by_code]
    if any(_reaches_residual(other) for other in others):
        changed = replace(one.judgement, verdict=LabVerdict.COMPLIANT, why=Why.OTHER_RESIDUAL_SUFFICES)
    elif others and all(other.why is Why.BELOW for other in others):
        return one
    else:
        changed = replace(one.judgement, verdict=LabVerdict.UNDECIDED, why=Why.OTHER_RESIDUAL_UNKNOWN)
    return replace(one, judgement=changed)


def _reaches_residual(other: Judgement) -> bool:
    # A residual above its upper limit is an exceedance of its own, but there is disinfectant in the water.
    return other.why in (Why.WITHIN, Why.ABOVE)


def _without_k40(one: Judged, k40: LabResult | None) -> Judged:
    """Gross beta beyond its guidance value is judged without the activity of potassium-40, which a body keeps constant."""
    judgement, limit = one.judgement, one.judgement.limit
    if one.result.parameter != GROSS_BETA or judgement.why is not Why.ABOVE or limit is None or limit.max is None:
        return one
    least, most = _activity(k40)
    bound, measured = exact(limit.max), exact(judgement.value or 0.0)
    is_least = one.result.operator is LabOperator.GREATER
    if not is_least and least is not None and measured - least <= bound:
        changed = replace(judgement, verdict=LabVerdict.COMPLIANT, why=Why.WITHIN_WITHOUT_K40)
    elif most is not None and measured - most > bound:
        return one
    else:
        changed = replace(judgement, verdict=LabVerdict.UNDECIDED, why=Why.K40_UNKNOWN)
    return replace(one, judgement=changed)


def _activity(k40: LabResult | None) -> tuple[Fraction | None, Fraction | None]:
    """The least and the most potassium-40 there is [Bq/L]; ``None`` where a result does not say."""
    if k40 is None:
        return None, None
    detected = None if k40.canonical_value is None else max(exact(k40.canonical_value), Fraction(0))
    if k40.operator is LabOperator.EQUAL:
        return detected, detected
    if k40.operator is LabOperator.GREATER:
        return detected, None
    most = detected if k40.operator is LabOperator.LESS else k40.detection_limit
    return Fraction(0), None if most is None else exact(float(most))


def _with_coliform_note(one: Judged, by_code: Mapping[str, Judgement]) -> Judged:
    coliforms, e_coli = by_code.get("total_coliforms"), by_code.get("escherichia_coli")
    note = None
    if one.result.parameter == "total_coliforms" and one.judgement.why is Why.FOUND and e_coli is None:
        note = Note.TEST_E_COLI
    if one.result.parameter == "escherichia_coli" and one.judgement.why is Why.FOUND:
        note = Note.CONTRADICTION if coliforms is not None and coliforms.why is Why.NOT_FOUND else None
    if note is None:
        return one
    return replace(one, judgement=replace(one.judgement, notes=(*one.judgement.notes, note)))


def _trihalomethanes(
    judged: Sequence[Judged], place: LabPlace, limits: Sequence[Limit], convert: Convert
) -> Judged | None:
    parts = {one.result.parameter: one for one in judged if one.result.parameter in TRIHALOMETHANES}
    if len(parts) < len(TRIHALOMETHANES) or any(one.result.parameter == RATIO for one in judged):
        return None
    spans = [_share(part, convert) for part in parts.values()]
    if any(span is None for span in spans):
        return None
    low = sum((span.low or Fraction(0) for span in spans if span), Fraction(0))
    highs = [span.high for span in spans if span]
    high = None if any(end is None for end in highs) else sum((end for end in highs if end is not None), Fraction(0))
    result = _ratio_result(low, high, _row_max(limits, place))
    if result is None:
        return None
    judgement = judge(result, place, limits, convert)
    if low != high:
        is_least = result.operator is LabOperator.GREATER
        note = Note.NON_DETECTS_LEFT_OUT if is_least else Note.NON_DETECTS_AT_LIMIT
        judgement = replace(judgement, notes=(*judgement.notes, note))
    return Judged(result, judgement)


def _share(part: Judged, convert: Convert) -> Span | None:
    """Which part of its own limit a compound takes up."""
    limit = part.judgement.limit
    if limit is None or not limit.max or part.judgement.verdict is LabVerdict.NOT_JUDGED:
        return None
    factors = convert(part.result.parameter, part.result.unit, limit.unit)
    span = None if factors is None else span_of(part.result, limit, factors)
    if span is None:
        return None
    own = exact(limit.max)
    return Span(None if span.low is None else span.low / own, None if span.high is None else span.high / own)


def _row_max(limits: Sequence[Limit], place: LabPlace) -> Fraction:
    rows = (row for row in limits if row.code == RATIO and row.max is not None and row.is_in_force(place.sampled_on))
    return next((exact(row.max) for row in rows if row.max is not None), Fraction(1))


def _ratio_result(low: Fraction, high: Fraction | None, bound: Fraction) -> LabResult | None:
    """The sum as a result: a number, more than what was found for certain, or less than non-detects could add up to.

    ``None`` where non-detects without detection limit leave it open.
    """
    if low == high:
        operator, value = LabOperator.EQUAL, low
    elif low > bound:
        operator, value = LabOperator.GREATER, low
    elif high is not None:
        operator, value = LabOperator.LESS, high
    else:
        return None
    number = float(f"{float(value):.12g}")
    return LabResult(RATIO, operator, number, None, "ratio", number, CALCULATED)
