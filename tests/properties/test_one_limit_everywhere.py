"""One limit for one water: what judges readings, what judges a laboratory result, what is drawn and what is explained agree.

With a province and a county that have limits of their own, over whatever works, parameter and day.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboards.web.words import legal_limit
from qingquan.clock import to_ms
from qingquan.domain.lab import LabOperator, LabResult, LabSample
from qingquan.domain.parameters import Limit
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.errors import ConfigurationError
from qingquan.services.explain import explanation_of
from qingquan.services.lab_upload import _conversion, _place
from qingquan.standards.laboratory import load_laboratory
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles, use_own_profiles
from qingquan.standards.tables import packaged_table
from qingquan.testing.engine import Account, Row, default_ruleset, make_works
from rules.lab import judge
from rules.plan import compile_plan

PROFILES_HEAD = packaged_table("profiles.csv").splitlines()[0]
LIMITS_HEAD = packaged_table("limits_gb5749_2022.csv").splitlines()[0]
PROFILES = (
    "p-52,binding,省,Province,52,gb5749-2022,DB52/T 1,province.csv,small,2024-01-01,,high,test,",
    "p-520425,binding,县,County,520425,gb5749-2022,DB-county,county.csv,none,2025-03-01,2025-08-31,high,test,",
    "p-old,binding,省旧,Province before,52,gb5749-2006,DB52/T 0,old.csv,small_limited,2020-01-01,2021-12-31,high,test,",
)
ROWS = {
    "province.csv": (
        "p52.turbidity,DB52/T 1,turbidity,浑浊度,Turbidity,sensory,any,any,,max,,0.8,NTU,instant,4.1,2024-01-01,,high,test,",
        "p52.turbidity.small,DB52/T 1,turbidity,浑浊度,Turbidity,sensory,any,small_limited,,max,,2,NTU,instant,4.2,2024-01-01,,high,test,",
        "p52.cl.outlet,DB52/T 1,free_chlorine,游离氯,Free chlorine,disinfectant,outlet,any,,range,0.4,1.5,mg/L,instant,4.3,2024-01-01,,high,test,",
    ),
    "county.csv": (
        "c.turbidity,DB-county,turbidity,浑浊度,Turbidity,sensory,any,any,,max,,0.5,NTU,instant,1,2025-03-01,2025-08-31,high,test,",
        "c.ph,DB-county,ph,pH,pH,sensory,any,any,,range,6.8,8.2,pH unit,instant,2,2025-03-01,2025-08-31,high,test,",
    ),
    "old.csv": (
        "o.ph,DB52/T 0,ph,pH,pH,sensory,any,any,,range,6.6,8.4,pH unit,instant,2,2020-01-01,2021-12-31,high,test,",
    ),
}  # fmt: skip
COUNTIES = ("520425", "520402", "110101")
CODES = ("turbidity", "ph", "free_chlorine", "chlorine_dioxide", "total_chlorine", "ozone")
EDGES = [date(2023, 3, 31), date(2023, 4, 1), date(2024, 1, 1), date(2025, 3, 1), date(2025, 8, 31), date(2025, 9, 1), date(2020, 1, 1), date(2022, 1, 1)]  # fmt: skip
DAYS = st.dates(date(2019, 1, 1), date(2027, 1, 1)) | st.sampled_from(EDGES)


def write_profiles(folder: Path) -> None:
    (folder / "profiles.csv").write_text("\n".join((PROFILES_HEAD, *PROFILES)) + "\n", "utf-8")
    for name, rows in ROWS.items():
        (folder / name).write_text("\n".join((LIMITS_HEAD, *rows)) + "\n", "utf-8")


@pytest.fixture(scope="module", autouse=True)
def own_profiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("profiles")
    write_profiles(folder)
    use_own_profiles(str(folder))
    yield
    use_own_profiles("")


@st.composite
def entries(draw: st.DrawFn) -> Works:
    kind = draw(st.sampled_from([PointKind.OUTLET, PointKind.NETWORK, PointKind.NETWORK_END, PointKind.SOURCE]))
    return make_works(
        county=draw(st.sampled_from(COUNTIES)), points=(SamplingPoint("p", kind, "", CODES),),
        disinfectant=draw(st.sampled_from(list(Disinfectant))), capacity_m3_d=draw(st.sampled_from([50.0, 999.0, 1000.0, 5e4])),
        population=draw(st.sampled_from([900, 9999, 10_000, 90_000])), source_limited=draw(st.booleans()),
        treatment_limited=draw(st.booleans()), groundwater_limited=draw(st.booleans()),
        raw_permanganate_above_6=draw(st.booleans()),
        time_zone=draw(st.sampled_from(["Asia/Shanghai", "Asia/Urumqi"])),
    )  # fmt: skip


def noon(works: Works, on: date) -> int:
    return to_ms(datetime.combine(on, time(12), ZoneInfo(works.time_zone)))


def live_bounds(works: Works, code: str, at: int) -> set[tuple[str, float]]:
    """Row and bound of everything the compiled plan holds a parameter against at a time: timers of rules, and units."""
    tables = load_standards()
    plan = compile_plan([works], tables.parameters, load_profiles().binding, default_ruleset())
    found: set[tuple[str, float]] = set()
    for timer, meaning in enumerate(plan.meanings):
        facts = plan.timer_facts[timer]
        if meaning.key.parameter == code and meaning.limit_id and facts["valid_from"] <= at < facts["valid_to"]:
            found.add((meaning.limit_id, meaning.bound))
    for unit, facts in enumerate(plan.unit_facts):
        if plan.unit_points[unit].parameter != code:
            continue
        for number in range(facts["limit_first"], facts["limit_first"] + facts["limit_count"]):
            row = plan.unit_limits[number]
            if row["valid_from"] <= at < row["valid_to"]:
                limit = plan.unit_limit_rows[number]
                found |= {(limit.id, float(row[side])) for side in ("low", "high") if abs(row[side]) != float("inf")}
    return found


def compound_bounds(works: Works, code: str, at: int) -> set[float]:
    """Bounds a parameter is held against in rules over several signals."""
    plan = compile_plan([works], load_standards().parameters, load_profiles().binding, default_ruleset())
    leaves = plan.compounds.leaves
    in_force = (leaves["valid_from"] <= at) & (at < leaves["valid_to"])
    return {float(leaf["bound"]) for leaf in leaves[in_force] if plan.series[int(leaf["slot_a"])].parameter == code}


def bounds_of(limit: Limit | None) -> set[tuple[str, float]]:
    return set() if limit is None else {(limit.id, one) for one in (limit.min, limit.max) if one is not None}


def lab_row(works: Works, code: str, at: int) -> Limit | None:
    sample = LabSample(0, "1", works.county, works.id, "p", at, at, "", "", "")
    unit = load_laboratory().parameters[code].unit
    result = LabResult(code, LabOperator.EQUAL, 0.7, None, unit, 0.7)
    place = _place(sample, {(works.county, works.id): works})
    return judge(result, place, load_profiles().binding(works.county).rows, _conversion).limit


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(entries(), st.sampled_from(CODES), DAYS)
def test_readings_laboratory_page_and_explanation_go_by_one_row(works: Works, code: str, on: date) -> None:
    at = noon(works, on)
    told = explanation_of(works, code, at, load_profiles(), point="p").limit
    drawn = legal_limit(works, works.points[0], code, on)
    tested = lab_row(works, code, at)
    facts = (told and told.id, told and told.min, told and told.max)
    assert (drawn and drawn.id, drawn and drawn.min, drawn and drawn.max) == facts
    assert (tested and tested.id, tested and tested.min, tested and tested.max) == facts
    judged = live_bounds(works, code, at)
    kind = works.points[0].kind
    is_network = kind in (PointKind.NETWORK, PointKind.NETWORK_END)
    if works.disinfectant is Disinfectant.MIXED_CLO2_CL2 and code in works.disinfectant.residuals and is_network:
        # One residual suffices: a rule over both asks for the lower bounds.
        assert judged == {one for one in bounds_of(told) if told is not None and one[1] == told.max}
        assert compound_bounds(works, code, at) == ({told.min} if told is not None and told.min is not None else set())
    else:
        assert judged == bounds_of(told)


@pytest.mark.parametrize(
    ("county", "on", "fields", "row"),
    [
        ("520425", "2025-02-28", {}, "p52.turbidity.small"),
        ("520425", "2025-03-01", {}, "c.turbidity"),
        ("520425", "2025-08-31", {"source_limited": True}, "c.turbidity"),
        ("520425", "2025-09-01", {}, "p52.turbidity.small"),
        ("520402", "2025-05-01", {"capacity_m3_d": 5e4, "population": 90_000}, "p52.turbidity"),
        ("520402", "2023-12-31", {}, "gb5749-2022.turbidity"),
        ("110101", "2025-05-01", {}, "gb5749-2022.turbidity"),
        ("110101", "2020-05-01", {"source_limited": True, "treatment_limited": True}, "gb5749-2006.turbidity.small_second_step"),
    ],
)  # fmt: skip
def test_a_reading_beyond_the_limit_of_the_day_is_found_under_its_row(
    county: str, on: str, fields: dict[str, object], row: str
) -> None:
    """Readings run through the engine: just above the row's bound is found, on it is not, and the finding names the row."""
    works = make_works(county=county, parameters=("turbidity",), **fields)
    begin = to_ms(datetime.combine(date.fromisoformat(on), time(2), UTC))
    bound = next(one for one in load_profiles().binding(county).rows if one.id == row).max
    assert bound is not None
    tables = load_standards()
    plan = compile_plan([works], tables.parameters, load_profiles().binding, default_ruleset())
    said = []
    for value in (bound, bound + 0.01):
        account = Account(plan)
        account.feed([Row(0, begin + n * 60_000, value + 0.001 * (n % 2) * (value > bound)) for n in range(90)])
        said.append(
            {one.evidence["limit_id"]: one for one in account.said.values() if one.rule == "turbidity-above-limit"}
        )
    assert said[0] == {}
    assert list(said[1]) == [row]
    assert said[1][row].limit == bound


def test_a_wrong_folder_is_refused_with_every_fault_and_changes_nothing(tmp_path: Path) -> None:
    before = load_profiles()
    with pytest.raises(ConfigurationError, match=r"profiles_dir = .*nowhere.*cannot be read"):
        use_own_profiles(str(tmp_path / "nowhere"))
    write_profiles(tmp_path)
    county = tmp_path / "county.csv"
    text = county.read_text("utf-8").replace("0.5,NTU", "0.5,mg/L").replace("c.ph,", "gb5749-2022.ph,")
    county.write_text(text + "\n", "utf-8")
    with pytest.raises(ConfigurationError) as refused:
        use_own_profiles(str(tmp_path))
    said = "\n".join(refused.value.faults)
    assert "county.csv:4: empty row" in said
    assert "unit 'mg/L' of turbidity: the parameter's unit is 'NTU'" in said
    assert "id 'gb5749-2022.ph' is already that of a row" in said
    assert load_profiles() is before


def test_every_day_has_one_row_where_there_was_one() -> None:
    """An override leaves no day without a limit and none with two, where the national standard has one."""
    works = make_works(county="520425", points=(SamplingPoint("p", PointKind.OUTLET, "", CODES),))
    for code in ("turbidity", "ph", "free_chlorine"):
        rows = load_profiles().binding("520425").limits_at(works, "outlet", code)
        for before, after in pairwise(rows):
            assert before.valid_to is not None
            assert after.valid_from == before.valid_to + timedelta(1)
        assert rows[0].valid_from == date(2007, 7, 1)
        assert rows[-1].valid_to is None
