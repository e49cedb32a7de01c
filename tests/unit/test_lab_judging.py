"""What the standard says of laboratory results: bounds, censored results, mixed disinfectants, sums."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from qingquan.domain.lab import LabOperator, LabResult, LabVerdict
from qingquan.domain.parameters import Limit
from qingquan.domain.works import Disinfectant, PointKind
from qingquan.standards.laboratory import load_laboratory
from qingquan.standards.loader import load_standards
from rules.lab import FITTING_RESIDUALS, Judgement, LabPlace, Note, Why, judge
from rules.lab_sample import TRIHALOMETHANES, judge_sample
from rules.lab_words import bound_text, reason

OUTLET = LabPlace(PointKind.OUTLET, False, Disinfectant.FREE_CHLORINE, date(2026, 5, 1))
END = replace(OUTLET, point_kind=PointKind.NETWORK_END)
SMALL = replace(OUTLET, small_limited=True)
MIXED = replace(OUTLET, disinfectant=Disinfectant.MIXED_CLO2_CL2)
LIMITS = load_standards().limits
OK, BAD, OPEN, NOT = LabVerdict.COMPLIANT, LabVerdict.EXCEEDED, LabVerdict.UNDECIDED, LabVerdict.NOT_JUDGED
OPERATORS = {"<": LabOperator.LESS, ">": LabOperator.GREATER, "≤": LabOperator.LESS, "≥": LabOperator.GREATER}


def convert(code: str, written: str, wanted: str) -> tuple[float, float] | None:
    tables = load_laboratory()
    unit = tables.unit(code, written) if code in tables.parameters else None
    return None if unit is None or tables.parameters[code].unit != wanted else (unit.factor, unit.offset)


def a_result(code: str, text: str, unit: str | None = None, detection_limit: float | None = None) -> LabResult:
    """A result as the door makes it from what a laboratory writes."""
    parameter = load_laboratory().parameters.get(code)
    unit = unit if unit is not None else ("" if parameter is None else parameter.unit)
    if text == "ND":
        return LabResult(code, LabOperator.NOT_DETECTED, None, detection_limit, unit, None, value_text=text)
    operator = OPERATORS.get(text[0], LabOperator.EQUAL)
    value = float(text.lstrip("<>≤≥"))
    known = load_laboratory().unit(code, unit) if parameter else None
    canonical = value * known.factor + known.offset if known else value
    return LabResult(code, operator, value, detection_limit, unit, canonical, value_text=text)


def judged(code: str, text: str, place: LabPlace = OUTLET, **fields: object) -> Judgement:
    return judge(a_result(code, text, **fields), place, LIMITS, convert)  # type: ignore[arg-type]


def sample(place: LabPlace, **results: str) -> dict[str, Judgement]:
    given = [a_result(code, text) for code, text in results.items()]
    return {one.result.parameter: one.judgement for one in judge_sample(given, place, LIMITS, convert)}


@pytest.mark.parametrize(
    ("code", "text", "place", "verdict", "row"),
    [
        ("turbidity", "1", OUTLET, OK, "gb5749-2022.turbidity"),
        ("turbidity", "1.02", OUTLET, BAD, "gb5749-2022.turbidity"),
        ("turbidity", "3", SMALL, OK, "gb5749-2022.turbidity.small"),
        ("turbidity", "3.1", SMALL, BAD, "gb5749-2022.turbidity.small"),
        ("nitrate_n", "15", OUTLET, BAD, "gb5749-2022.nitrate_n"),
        ("nitrate_n", "15", SMALL, OK, "gb5749-2022.nitrate_n.small"),
        ("fluoride", "1.1", SMALL, OK, "gb5749-2022.fluoride.small"),
        ("colony_count", "101", OUTLET, BAD, "gb5749-2022.colony_count"),
        ("ph", "6.5", OUTLET, OK, "gb5749-2022.ph"),
        ("ph", "8.5", OUTLET, OK, "gb5749-2022.ph"),
        ("ph", "6.49", OUTLET, BAD, "gb5749-2022.ph"),
        ("ph", "8.51", OUTLET, BAD, "gb5749-2022.ph"),
        ("free_chlorine", "0.3", OUTLET, OK, "gb5749-2022.free_chlorine.outlet"),
        ("free_chlorine", "0.29", OUTLET, BAD, "gb5749-2022.free_chlorine.outlet"),
        ("free_chlorine", "2.01", OUTLET, BAD, "gb5749-2022.free_chlorine.outlet"),
        ("free_chlorine", "0.05", END, OK, "gb5749-2022.free_chlorine.network_end"),
        ("free_chlorine", "0.04", END, BAD, "gb5749-2022.free_chlorine.network_end"),
        ("free_chlorine", "0.05", replace(END, point_kind=PointKind.NETWORK), OK, "gb5749-2022.free_chlorine.network_end"),
        ("free_chlorine", "3.5", replace(OUTLET, sampled_on=date(2023, 3, 31)), OK, "gb5749-2006.free_chlorine.outlet"),
        ("free_chlorine", "3.5", replace(OUTLET, sampled_on=date(2023, 4, 1)), BAD, "gb5749-2022.free_chlorine.outlet"),
        ("giardia", "0.9", OUTLET, OK, "gb5749-2022.giardia"),
        ("giardia", "1", OUTLET, BAD, "gb5749-2022.giardia"),
        ("cryptosporidium", "1", OUTLET, BAD, "gb5749-2022.cryptosporidium"),
        ("total_coliforms", "0", OUTLET, OK, "gb5749-2022.total_coliforms"),
        ("total_coliforms", "1", OUTLET, BAD, "gb5749-2022.total_coliforms"),
        ("odour_and_taste", "0", OUTLET, OK, "gb5749-2022.odour_and_taste"),
        ("odour_and_taste", "2", OUTLET, BAD, "gb5749-2022.odour_and_taste"),
        ("visible_matter", ">0", OUTLET, BAD, "gb5749-2022.visible_matter"),
    ],
)  # fmt: skip
def test_numbers_are_held_against_the_row_for_point_supply_and_day(
    code: str, text: str, place: LabPlace, verdict: LabVerdict, row: str
) -> None:
    found = judged(code, text, place)
    assert (found.verdict, found.limit.id if found.limit else "") == (verdict, row)


@pytest.mark.parametrize(
    ("code", "bound", "inwards"),
    [("arsenic", 0.01, -1), ("turbidity", 1.0, -1), ("ph", 6.5, 1), ("ph", 8.5, -1), ("free_chlorine", 0.3, 1)],
)
def test_a_limit_is_met_at_the_bound_and_missed_one_ulp_beyond(code: str, bound: float, inwards: int) -> None:
    inside, outside = math.nextafter(bound, inwards * math.inf), math.nextafter(bound, -inwards * math.inf)
    assert judged(code, repr(inside)).verdict is OK
    assert judged(code, repr(bound)).verdict is OK
    assert judged(code, repr(outside)).verdict is BAD


def test_a_strict_limit_is_missed_at_the_bound_and_met_one_ulp_below() -> None:
    assert judged("giardia", repr(math.nextafter(1.0, 0))).verdict is OK
    assert judged("giardia", "1").verdict is BAD


@pytest.mark.parametrize(
    ("code", "text", "unit", "verdict"),
    [
        ("chlorite", "700", "ug/L", OK),  # 700 * 0.001 is 0.7000000000000001 in floating point
        ("chlorite", "700.001", "ug/L", BAD),
        ("arsenic", "10", "ug/L", OK),
        ("nitrate_n", "44.27", "mg/L as NO3", BAD),
        ("nitrate_n", "44.26", "mg/L as NO3", OK),
        ("iron", "300", "μg/L", OK),
        ("geosmin", "10", "ng/L", OK),
        ("geosmin", "10.1", "ng/L", BAD),
    ],
)
def test_units_are_converted_exactly(code: str, text: str, unit: str, verdict: LabVerdict) -> None:
    assert judged(code, text, unit=unit).verdict is verdict


@pytest.mark.parametrize(
    ("code", "text", "detection_limit", "verdict", "why"),
    [
        ("arsenic", "<0.001", None, OK, Why.WITHIN),
        ("arsenic", "<0.01", None, OK, Why.WITHIN),
        ("arsenic", "≤0.01", None, OK, Why.WITHIN),
        ("arsenic", "<0.02", None, OPEN, Why.DETECTION_LIMIT),
        ("arsenic", "ND", 0.01, OK, Why.WITHIN),
        ("arsenic", "ND", 0.011, OPEN, Why.DETECTION_LIMIT),
        ("arsenic", "ND", None, OPEN, Why.NO_DETECTION_LIMIT),
        ("arsenic", ">0.01", None, BAD, Why.ABOVE),
        ("arsenic", "≥0.01", None, OPEN, Why.BEYOND_RANGE),
        ("arsenic", ">0.005", None, OPEN, Why.BEYOND_RANGE),
        ("ph", "<6.5", None, BAD, Why.BELOW),
        ("ph", ">7", None, OPEN, Why.BEYOND_RANGE),
        ("ph", ">8.5", None, BAD, Why.ABOVE),
        ("free_chlorine", "<0.02", None, BAD, Why.BELOW),
        ("free_chlorine", "<0.3", None, BAD, Why.BELOW),
        ("free_chlorine", "≤0.3", None, OPEN, Why.DETECTION_LIMIT),
        ("free_chlorine", "<0.5", None, OPEN, Why.DETECTION_LIMIT),
        ("free_chlorine", "ND", 0.02, BAD, Why.BELOW),
        ("giardia", "<1", None, OK, Why.WITHIN),
        ("giardia", "≤1", None, OPEN, Why.DETECTION_LIMIT),
        ("giardia", "ND", None, OK, Why.WITHIN),
        ("colony_count", "ND", None, OK, Why.WITHIN),
        ("colony_count", ">300", None, BAD, Why.ABOVE),
        ("total_coliforms", "ND", None, OK, Why.NOT_FOUND),
        ("total_coliforms", "ND", 10, OK, Why.NOT_FOUND),
        ("total_coliforms", "<1", None, OK, Why.NOT_FOUND),
        ("total_coliforms", "<2", None, OK, Why.NOT_FOUND),
        ("total_coliforms", "<10", None, OPEN, Why.DETECTION_LIMIT),
        ("total_coliforms", ">200.5", None, BAD, Why.FOUND),
    ],
)  # fmt: skip
def test_censored_results_decide_only_what_they_can(
    code: str, text: str, detection_limit: float | None, verdict: LabVerdict, why: Why
) -> None:
    found = judged(code, text, detection_limit=detection_limit)
    assert (found.verdict, found.why) == (verdict, why)


def test_a_detection_limit_is_converted_with_the_unit() -> None:
    assert judged("arsenic", "ND", unit="ug/L", detection_limit=5).verdict is OK
    assert judged("arsenic", "ND", unit="ug/L", detection_limit=20).verdict is OPEN


@pytest.mark.parametrize(
    ("code", "place", "why"),
    [
        ("turbidity", replace(OUTLET, point_kind=PointKind.SOURCE), Why.SOURCE_WATER),
        ("turbidity", replace(OUTLET, point_kind=PointKind.TREATMENT), Why.TREATMENT_WATER),
        ("temperature", OUTLET, Why.NO_LIMIT),
        ("radon", OUTLET, Why.NO_LIMIT),
        ("arsenic", replace(OUTLET, sampled_on=date(2005, 3, 31)), Why.NOT_IN_FORCE),
        ("chlorine_dioxide", OUTLET, Why.OTHER_DISINFECTANT),
        ("total_chlorine", OUTLET, Why.OTHER_DISINFECTANT),
        ("free_chlorine", replace(OUTLET, disinfectant=Disinfectant.UV), Why.OTHER_DISINFECTANT),
        ("free_chlorine", replace(OUTLET, disinfectant=Disinfectant.CHLORAMINE), Why.OTHER_DISINFECTANT),
    ],
)
def test_what_no_row_judges_says_why(code: str, place: LabPlace, why: Why) -> None:
    found = judged(code, "1", place)
    assert (found.verdict, found.why, found.limit) == (NOT, why, None)


@pytest.mark.parametrize(
    ("disinfectant", "code"), [(one, code) for one, codes in FITTING_RESIDUALS.items() for code in codes]
)
def test_every_fitting_residual_has_rows_at_outlet_and_end(disinfectant: Disinfectant, code: str) -> None:
    for kind in (PointKind.OUTLET, PointKind.NETWORK_END):
        assert judged(code, "0.1", replace(OUTLET, disinfectant=disinfectant, point_kind=kind)).limit is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "NTU"},
        {"unit": ""},
        {"unit": "mg/L as NO3"},
        {"canonical_value": 5.0},
        {"canonical_value": None},
        {"unit": "ug/L"},
    ],
)
def test_a_unit_that_does_not_fit_is_a_value_and_never_a_pass(changes: dict[str, object]) -> None:
    result = replace(a_result("arsenic", "0.005"), **changes)  # type: ignore[arg-type]
    found = judge(result, OUTLET, LIMITS, convert)
    assert (found.verdict, found.why) == (NOT, Why.UNIT_MISMATCH)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_undecided(value: float) -> None:
    result = replace(a_result("arsenic", "1"), value=value, canonical_value=value)
    assert judge(result, OUTLET, LIMITS, convert).verdict is OPEN


def test_a_mixed_works_needs_one_of_its_residuals() -> None:
    both = sample(MIXED, chlorine_dioxide="0.15", free_chlorine="0.1")
    assert [(one.verdict, one.why) for one in both.values()] == [(OK, Why.WITHIN), (OK, Why.OTHER_RESIDUAL_SUFFICES)]
    neither = sample(MIXED, chlorine_dioxide="0.05", free_chlorine="0.1")
    assert [one.verdict for one in neither.values()] == [BAD, BAD]
    too_much = sample(MIXED, chlorine_dioxide="0.9", free_chlorine="0.1")
    assert [one.verdict for one in too_much.values()] == [BAD, OK]
    (alone,) = sample(MIXED, free_chlorine="0.1").values()
    assert (alone.verdict, alone.why) == (OPEN, Why.OTHER_RESIDUAL_UNKNOWN)
    unsure = sample(MIXED, chlorine_dioxide="<0.2", free_chlorine="0.1")
    assert unsure["free_chlorine"].verdict is OPEN


def test_coliforms_ask_for_e_coli_only_when_found() -> None:
    assert Note.TEST_E_COLI in sample(OUTLET, total_coliforms="4")["total_coliforms"].notes
    assert sample(OUTLET, total_coliforms="ND")["total_coliforms"].notes == ()
    assert sample(OUTLET, total_coliforms="4", escherichia_coli="ND")["total_coliforms"].notes == ()
    contradicting = sample(OUTLET, total_coliforms="ND", escherichia_coli="1")["escherichia_coli"]
    assert (contradicting.verdict, contradicting.notes) == (BAD, (Note.CONTRADICTION,))


def ratio(*texts: str) -> Judgement | None:
    return sample(OUTLET, **dict(zip(TRIHALOMETHANES, texts, strict=False))).get("trihalomethanes_ratio")


def test_the_sum_of_trihalomethanes_is_that_of_the_shares_of_their_limits() -> None:
    # 0.03/0.06 + 0.02/0.1 + 0.012/0.06 + 0.01/0.1 = 0.5 + 0.2 + 0.2 + 0.1 = 1
    at_bound = ratio("0.03", "0.02", "0.012", "0.01")
    assert at_bound is not None
    assert (at_bound.verdict, at_bound.value, at_bound.notes) == (OK, 1.0, ())
    above = ratio("0.03", "0.02", "0.012", "0.0101")
    assert above is not None
    assert (above.verdict, above.bound) == (BAD, 1.0)


def test_each_alone_may_comply_and_their_sum_exceed() -> None:
    judgements = sample(OUTLET, **dict.fromkeys(TRIHALOMETHANES, "0.05"))
    assert [judgements[code].verdict for code in TRIHALOMETHANES] == [OK] * 4
    assert judgements["trihalomethanes_ratio"].verdict is BAD


def test_non_detects_bound_the_sum_from_both_sides() -> None:
    low = ratio("<0.006", "<0.01", "<0.006", "<0.01")  # at most 0.4
    assert low is not None
    assert (low.verdict, low.notes) == (OK, (Note.NON_DETECTS_AT_LIMIT,))
    high = ratio("0.06", "0.001", "<0.006", "<0.01")  # at least 1.01
    assert high is not None
    assert (high.verdict, high.notes) == (BAD, (Note.NON_DETECTS_LEFT_OUT,))
    between = ratio("0.054", "ND", "<0.006", "<0.01")
    assert between is None  # one of them has no detection limit: nothing can be said
    open_sum = ratio("0.054", "<0.01", "<0.006", "<0.01")  # 0.9 to 1.2
    assert open_sum is not None
    assert open_sum.verdict is OPEN


def test_the_sum_needs_all_four_and_yields_to_the_laboratorys_own() -> None:
    assert ratio("0.01", "0.01", "0.01") is None
    own = sample(OUTLET, **dict.fromkeys(TRIHALOMETHANES, "0.05"), trihalomethanes_ratio="0.4")
    assert own["trihalomethanes_ratio"].verdict is OK


def test_guidance_values_say_that_they_are() -> None:
    for code, text in (("gross_alpha", "0.6"), ("gross_beta", "1.1")):
        found = judged(code, text)
        assert found.verdict is BAD
        assert found.notes
        words = reason(a_result(code, text), found)
        assert "指导值" in words
        assert "核素分析" in words
        assert "限值" not in words


@pytest.mark.parametrize(
    ("beta", "k40", "verdict", "why"),
    [
        ("0.9", None, OK, Why.WITHIN),
        ("1.3", None, OPEN, Why.K40_UNKNOWN),
        ("1.3", "0.3", OK, Why.WITHIN_WITHOUT_K40),
        ("1.3", "0.29", BAD, Why.ABOVE),
        ("1.3", "<0.2", BAD, Why.ABOVE),
        ("1.3", "<0.3", OPEN, Why.K40_UNKNOWN),
        ("1.3", "ND", OPEN, Why.K40_UNKNOWN),
        ("1.3", ">0.3", OK, Why.WITHIN_WITHOUT_K40),
        (">1.3", "0.5", OPEN, Why.K40_UNKNOWN),
    ],
)
def test_gross_beta_is_judged_once_potassium_40_is_subtracted(
    beta: str, k40: str | None, verdict: LabVerdict, why: Why
) -> None:
    found = sample(OUTLET, gross_beta=beta, **({} if k40 is None else {"potassium_40": k40}))
    assert (found["gross_beta"].verdict, found["gross_beta"].why) == (verdict, why)
    if k40 is not None:
        assert found["potassium_40"].verdict is LabVerdict.NOT_JUDGED


def words_of(code: str, text: str, place: LabPlace = OUTLET, language: str = "zh", **fields: object) -> str:
    result: LabResult = a_result(code, text, **fields)  # type: ignore[arg-type]
    return reason(result, judge(result, place, LIMITS, convert), language)


@pytest.mark.parametrize(
    ("found", "zh"),
    [
        (lambda **k: words_of("arsenic", "0.012", **k), "0.012 mg/L，高于限值0.01 mg/L（GB 5749-2022 表1）"),
        (lambda **k: words_of("turbidity", "2", SMALL, **k), "2 NTU，符合限值 ≤ 3 NTU（GB 5749-2022 表1注）"),
        (lambda **k: words_of("ph", "6.2", **k), "6.2，低于限值6.5（GB 5749-2022 表1）"),
        (lambda **k: words_of("total_coliforms", "ND", **k), "未检出，符合要求（GB 5749-2022 表1）"),
        (lambda **k: words_of("total_coliforms", "12", unit="CFU/100mL", **k), "12 CFU/100mL，标准要求不得检出（GB 5749-2022 表1）"),
        (
            lambda **k: words_of("arsenic", "ND", detection_limit=0.02, **k),
            "未检出（<0.02 mg/L），检出限不能满足限值 ≤ 0.01 mg/L 的判定要求，请改用检出限更低的方法（GB 5749-2022 表1）",
        ),
    ],
)  # fmt: skip
def test_reasons_read_as_a_water_engineer_writes_them(found: Callable[..., str], zh: str) -> None:
    assert found() == zh
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in found(language="en"))


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("why", list(Why))
def test_every_reason_has_words(why: Why, language: str) -> None:
    limit = next(limit for limit in LIMITS if limit.id == "gb5749-2022.arsenic")
    for notes in ((), tuple(Note)):
        text = reason(a_result("arsenic", "1"), Judgement(BAD, why, limit, 1.0, 0.01, notes), language)
        assert "{" not in text


@pytest.mark.parametrize(
    ("row", "zh"),
    [
        ("turbidity", "≤ 1 NTU"),
        ("ph", "6.5–8.5"),
        ("free_chlorine.outlet", "0.3–2 mg/L"),
        ("giardia", "< 1 个/10L"),
        ("total_coliforms", "不得检出"),
        ("trihalomethanes_ratio", "≤ 1"),
        ("colony_count", "≤ 100 CFU/mL"),
    ],
)
def test_bounds_are_written_as_the_standard_writes_them(row: str, zh: str) -> None:
    limit: Limit = next(limit for limit in LIMITS if limit.id == f"gb5749-2022.{row}")
    assert bound_text(limit) == zh
