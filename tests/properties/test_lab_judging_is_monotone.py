"""Judging laboratory results, whatever the numbers."""

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from qingquan.domain.lab import LabOperator, LabResult, LabVerdict
from qingquan.domain.parameters import Limit, LimitKind
from qingquan.domain.works import Disinfectant, PointKind
from qingquan.standards.loader import load_standards
from rules.lab import Judgement, LabPlace, judge

PLACE = LabPlace(PointKind.OUTLET, False, Disinfectant.FREE_CHLORINE, date(2026, 5, 1))
ARSENIC = next(limit for limit in load_standards().limits if limit.id == "gb5749-2022.arsenic")
NUMBERS = st.floats(0, 20, allow_subnormal=False) | st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.0])
SIGNS = st.sampled_from(["", "≤", "≥"])


@st.composite
def results(draw: st.DrawFn) -> LabResult:
    operator = draw(st.sampled_from(list(LabOperator)))
    value = None if operator is LabOperator.NOT_DETECTED else draw(NUMBERS)
    return LabResult(
        "arsenic", operator, value, draw(st.none() | NUMBERS), "mg/L", value, value_text=draw(SIGNS)
    )  # fmt: skip


@st.composite
def limits(draw: st.DrawFn) -> Limit:
    kind = draw(st.sampled_from([LimitKind.MAX, LimitKind.MAX_STRICT, LimitKind.MIN, LimitKind.RANGE]))
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    return replace(
        ARSENIC, kind=kind, min=low if kind in (LimitKind.MIN, LimitKind.RANGE) else None,
        max=None if kind is LimitKind.MIN else high,
    )  # fmt: skip


def judged(result: LabResult, limit: Limit) -> Judgement:
    return judge(result, PLACE, [limit], lambda code, written, wanted: (1.0, 0.0))


@given(results(), limits(), NUMBERS, NUMBERS, st.booleans())
def test_relaxing_a_limit_never_adds_an_exceedance_nor_takes_a_pass(
    result: LabResult, limit: Limit, lower: float, higher: float, includes_bound: bool
) -> None:
    is_strict = limit.kind is LimitKind.MAX_STRICT
    relaxed = replace(
        limit,
        kind=LimitKind.MAX if is_strict and includes_bound else limit.kind,
        min=None if limit.min is None else max(0.0, limit.min - lower),
        max=None if limit.max is None else limit.max + higher,
    )
    before, after = judged(result, limit).verdict, judged(result, relaxed).verdict
    if before is not LabVerdict.EXCEEDED:
        assert after is not LabVerdict.EXCEEDED
    if before is LabVerdict.COMPLIANT:
        assert after is LabVerdict.COMPLIANT


@given(limits(), NUMBERS, st.sampled_from([LabOperator.LESS, LabOperator.GREATER]), NUMBERS)
def test_a_censored_result_says_nothing_that_one_of_its_values_denies(
    limit: Limit, bound: float, operator: LabOperator, away: float
) -> None:
    inside = bound - away if operator is LabOperator.LESS else bound + away
    if inside == bound:
        return
    censored = LabResult("arsenic", operator, bound, None, "mg/L", bound)
    number = LabResult("arsenic", LabOperator.EQUAL, inside, None, "mg/L", inside)
    verdict = judged(censored, limit).verdict
    if verdict in (LabVerdict.COMPLIANT, LabVerdict.EXCEEDED):
        assert judged(number, limit).verdict is verdict


@given(limits(), NUMBERS)
def test_a_number_is_judged_as_the_limit_itself_says(limit: Limit, value: float) -> None:
    verdict = judged(LabResult("arsenic", LabOperator.EQUAL, value, None, "mg/L", value), limit).verdict
    assert (verdict is LabVerdict.COMPLIANT) == limit.is_met_by(value)
    assert verdict in (LabVerdict.COMPLIANT, LabVerdict.EXCEEDED)
