"""Whatever works, point and day: at most one row decides, relaxing never makes stricter, and the sentence names that row."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.clock import to_ms
from qingquan.domain.parameters import LimitKind, applicable_limits
from qingquan.domain.profiles import Standing
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint
from qingquan.errors import ConfigurationError
from qingquan.services.explain import explanation_of
from qingquan.standards.loader import STANDARDS_TABLES, limit_for, load_standards, standards_from
from qingquan.standards.profiles import load_profiles
from qingquan.standards.tables import packaged_table
from qingquan.testing.engine import make_works
from rules.lab import FITTING_RESIDUALS

LIMITS = load_standards().limits
CODES = sorted({row.code for row in LIMITS})
DAYS = st.dates(date(2007, 7, 1), date(2035, 1, 1)) | st.sampled_from([date(2023, 3, 31), date(2023, 4, 1)])
JUDGED = [PointKind.OUTLET, PointKind.NETWORK, PointKind.NETWORK_END]


@given(st.sampled_from(CODES), st.sampled_from(JUDGED), DAYS, st.booleans())
def test_on_any_day_at_most_one_row_is_in_force(code: str, point: PointKind, on: date, small_limited: bool) -> None:
    rows = applicable_limits(LIMITS, code, point, small_limited=small_limited)
    assert sum(row.is_in_force(on) for row in rows) <= 1


@given(st.sampled_from(CODES), st.sampled_from(JUDGED), DAYS, st.floats(0, 2000))
def test_a_relaxation_never_adds_an_exceedance(code: str, point: PointKind, on: date, value: float) -> None:
    strict = limit_for(LIMITS, code, point, on, small_limited=False)
    relaxed = limit_for(LIMITS, code, point, on, small_limited=True)
    assert (strict is None) is (relaxed is None)
    if strict is not None and relaxed is not None and strict.is_met_by(value):
        assert relaxed.is_met_by(value)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(CODES), st.sampled_from(list(PointKind)), DAYS, st.sampled_from(list(Disinfectant)),
    st.floats(1, 20_000), st.integers(1, 100_000), st.booleans(),
)  # fmt: skip
def test_the_explanation_names_the_row_that_the_engine_judges_by(
    code: str, kind: PointKind, on: date, disinfectant: Disinfectant, capacity: float, people: int, limited: bool
) -> None:
    works = make_works(
        points=(SamplingPoint("p", kind, ""),), disinfectant=disinfectant, capacity_m3_d=capacity, population=people,
        source_limited=limited,
    )  # fmt: skip
    at = to_ms(datetime.combine(on, time(4), UTC))
    found = explanation_of(works, code, at, load_profiles())
    expected = limit_for(LIMITS, code, kind, on, small_limited=works.is_small_supply and works.source_limited)
    if expected is not None and expected.group == "disinfectant" and code not in FITTING_RESIDUALS[disinfectant]:
        expected = None
    assert found.limit == expected
    assert found.profile.standing is Standing.BINDING
    if found.limit is not None:
        assert found.limit.id in found.zh
        assert found.limit.id in found.en


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_any_single_gap_or_overlap_of_days_is_refused(data: st.DataObject) -> None:
    """Moving the first day of one 2022 row, general at any point, tears a gap or makes an overlap."""
    rows = [row for row in LIMITS if row.standard == "GB 5749-2022" and row.point == "any" and row.supply == "any"]
    old = {row.code for row in LIMITS if row.standard == "GB 5749-2006"}
    row = data.draw(st.sampled_from([one for one in rows if one.code in old]))
    shift = data.draw(st.integers(-2000, 2000).filter(bool))
    name = "limits_gb5749_2022.csv"
    texts = {table: packaged_table(table) for table in STANDARDS_TABLES}
    lines = texts[name].splitlines(keepends=True)
    (number,) = [index for index, line in enumerate(lines) if line.startswith(row.id + ",")]
    lines[number] = lines[number].replace("2023-04-01,,", f"{row.valid_from + timedelta(shift)},,")
    texts[name] = "".join(lines)
    with pytest.raises(ConfigurationError) as refused:
        standards_from(texts)
    words = f"no row of {row.code} is in force" if shift > 0 else f"{row.id} is in force at the same time"
    assert any(fault.startswith(f"{name}:{number + 1}:") and words in fault for fault in refused.value.faults)


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=400))
def test_no_text_given_as_a_table_raises_anything_but_a_refusal(text: str) -> None:
    texts = {table: packaged_table(table) for table in STANDARDS_TABLES}
    texts["limits_gb5749_2022.csv"] = text
    with pytest.raises(ConfigurationError) as refused:
        standards_from(texts)
    assert refused.value.faults


def test_bounds_of_kind_are_those_the_judging_expects() -> None:
    assert all((row.kind is LimitKind.ABSENT) == (row.min is None and row.max is None) for row in LIMITS)
