"""Profiles: what binds, evaluates or informs in a county on a day."""

from dataclasses import replace
from datetime import date

import pytest

from qingquan.domain.parameters import applicable_limits
from qingquan.domain.profiles import Profile, Relaxation, Standing, profile_at
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import CRITERIA_TABLE, PROFILES_TABLE, ProfileTables, load_profiles, profiles_from
from qingquan.standards.tables import packaged_table
from qingquan.testing.engine import make_works

GUIZHOU, BEIJING = "520425", "110101"
HEAD = packaged_table("limits_gb5749_2022.csv").splitlines()[0]


def with_override(rows: str, profile: str) -> ProfileTables:
    """The shipped profiles and a county's own, whose rows are given as CSV without header."""
    texts = {
        PROFILES_TABLE: packaged_table(PROFILES_TABLE) + profile + "\n",
        CRITERIA_TABLE: packaged_table(CRITERIA_TABLE),
        "limits_county.csv": HEAD + "\n" + rows + "\n",
    }
    return profiles_from(texts, load_standards())


def county_row(
    row_id: str = "c.turbidity",
    *,
    point: str = "any",
    high: str = "0.5",
    first: str = "2025-01-01",
    last: str = "2025-12-31",
) -> str:
    return f"{row_id},DB-county,turbidity,浑浊度,Turbidity,sensory,{point},any,,max,,{high},NTU,instant,1,{first},{last},high,test,"


COUNTY = "county,binding,县,County,520425,gb5749-2022,DB-county,limits_county.csv,small_limited,2025-01-01,2025-12-31,high,test,"


@pytest.mark.parametrize(
    ("county", "on", "standing", "expected"),
    [
        (GUIZHOU, date(2023, 3, 31), Standing.BINDING, "gb5749-2006"),
        (GUIZHOU, date(2023, 4, 1), Standing.BINDING, "gb5749-2022"),
        (GUIZHOU, date(2007, 6, 30), Standing.BINDING, None),
        (GUIZHOU, date(2021, 5, 1), Standing.EVALUATION, "guizhou-2020"),
        (BEIJING, date(2021, 5, 1), Standing.EVALUATION, "tches-18-2018"),
        ("620102", date(2021, 5, 1), Standing.EVALUATION, "gansu-2020"),
        (GUIZHOU, date(2010, 5, 1), Standing.EVALUATION, "mwr-2004-547"),
    ],
)
def test_county_and_day_choose_the_profile(county: str, on: date, standing: Standing, expected: str | None) -> None:
    found = load_profiles().at(county, on, standing)
    assert (found.id if found else None) == expected


def test_the_smallest_region_wins_whatever_the_order() -> None:
    base = load_profiles().profiles["tches-18-2018"]
    nested = [replace(base, id=region or "all", region=region) for region in ("", "52", "5204", "520425")]
    for profiles in (nested, nested[::-1]):
        assert profile_at(profiles, GUIZHOU, date(2024, 1, 1), Standing.EVALUATION) == nested[3]
        assert profile_at(profiles, "520402", date(2024, 1, 1), Standing.EVALUATION) == nested[2]


@pytest.mark.parametrize(
    ("relaxation", "capacity", "people", "limited", "expected"),
    [
        (Relaxation.SMALL_LIMITED, 200, 900, False, False),
        (Relaxation.SMALL_LIMITED, 200, 900, True, True),
        (Relaxation.SMALL_LIMITED, 1200, 12_000, True, False),
        (Relaxation.SMALL, 1200, 8_000, False, True),
        (Relaxation.BELOW_1000, 1200, 8_000, True, False),
        (Relaxation.BELOW_1000, 999, 9_999, False, True),
        (Relaxation.NONE, 200, 900, True, False),
    ],
)
def test_a_profile_says_to_whom_relaxed_rows_are_granted(
    relaxation: Relaxation, capacity: float, people: int, limited: bool, expected: bool
) -> None:
    profile: Profile = replace(load_profiles().profiles["gb5749-2022"], relaxation=relaxation)
    works = make_works(capacity_m3_d=capacity, population=people, source_limited=limited)
    assert profile.is_relaxed_for(works) is expected


def test_no_reference_row_can_be_taken_for_a_limit() -> None:
    tables = load_profiles()
    references = [
        row for one in tables.profiles.values() if one.standing is Standing.REFERENCE for row in tables.rows[one.id]
    ]
    assert len(references) == 55 + 16 + 14 + 13
    assert not {row.id for row in references} & {row.id for row in load_standards().limits}
    for row in references:
        assert applicable_limits(references, row.code, "outlet", small_limited=True) == []
    assert set(references).isdisjoint(tables.binding_rows(GUIZHOU))


@pytest.mark.parametrize(
    ("row_id", "as_nitrogen"),
    [
        ("who-gdwq-2022.nitrate_n.network_end.health_guideline", 50 / 4.427),
        ("who-gdwq-2022.nitrite_n.network_end.health_guideline", 3 / 3.285),
        ("eu-2020-2184.ammonia_n.network_end.indicator", 0.5 / 1.288),
        ("us-epa-40cfr141.nitrate_n.outlet.limit", 10.0),
    ],
)
def test_nitrogen_written_as_an_ion_becomes_nitrogen(row_id: str, as_nitrogen: float) -> None:
    (row,) = {row for rows in load_profiles().rows.values() for row in rows if row.id == row_id}
    assert row.max == pytest.approx(as_nitrogen, rel=2e-4)


def test_an_evaluation_holds_its_published_numbers() -> None:
    held = {one.id: (one.is_minimum, one.value, one.unit) for one in load_profiles().criteria}
    assert held["guizhou-2020.quantity.pass.litres_per_person_day"] == (True, 35, "L/person/day")
    assert held["guizhou-2020.convenience.pass.distance_level_m"] == (False, 1000, "m")
    assert held["tches-18-2018.convenience.basic.distance_level_m"] == (False, 800, "m")
    assert held["tches-18-2018.reliability.full.supply_guarantee_percent"] == (True, 95, "%")


def test_a_county_profile_replaces_a_row_for_its_days_and_in_its_county_alone() -> None:
    tables = with_override(county_row(), COUNTY)

    def bound(county: str, on: date) -> float | None:
        rows = applicable_limits(tables.binding_rows(county), "turbidity", "outlet", small_limited=False, standard="")
        (row,) = [row for row in rows if row.is_in_force(on)]
        return row.max

    days = [date(2024, 12, 31), date(2025, 1, 1), date(2025, 12, 31), date(2026, 1, 1)]
    assert [bound(GUIZHOU, day) for day in days] == [1, 0.5, 0.5, 1]
    assert [bound("520402", day) for day in days] == [1, 1, 1, 1]
    assert tables.at(GUIZHOU, days[1]) == tables.profiles["county"]


def test_what_a_county_profile_does_not_say_stays_with_its_base() -> None:
    tables = with_override(county_row(), COUNTY)
    assert {row.code for row in tables.binding_rows(GUIZHOU)} == {row.code for row in load_standards().limits}
    kept = [row for row in tables.rows_for(tables.profiles["county"]) if row.code == "lead"]
    assert [row.id for row in kept] == ["gb5749-2022.lead"]


@pytest.mark.parametrize(
    ("rows", "profile", "said"),
    [
        (county_row(), COUNTY.replace("gb5749-2022", "gb1"), "profiles.csv:12: unknown base 'gb1'"),
        (county_row(), COUNTY.replace(",gb5749-2022", ","), "binds in region 520425 alone and needs a base"),
        (county_row(), COUNTY.replace("520425", "5204a"), "profiles.csv:12: region '5204a': allowed:"),
        (county_row(), COUNTY.replace("limits_county", "nowhere"), "table 'nowhere.csv' does not exist"),
        (county_row(), COUNTY.replace("DB-county", "DB-other"), "standard 'DB-county': county holds 'DB-other'"),
        (county_row(point="outlet"), COUNTY, "gb5749-2022 has no row of turbidity at point 'outlet'"),
        (county_row(first="2024-06-01"), COUNTY, "outside the dates of county"),
        (county_row(high="x"), COUNTY, "limits_county.csv:2: max 'x' is not a number"),
        (county_row().replace("NTU", "mg/L"), COUNTY, "unit 'mg/L' of turbidity: the parameter's unit is 'NTU'"),
        (county_row(), COUNTY + "\n" + COUNTY.replace("county,", "again,", 1), "again is in force at the same time as county"),
        (county_row(), COUNTY + "\n" + COUNTY, "profile 'county' stands already at profiles.csv:12"),
        (county_row(), COUNTY.replace("2025-12-31", "2024-12-31"), "valid_to 2024-12-31 is before valid_from 2025-01-01"),
    ],
)  # fmt: skip
def test_a_wrong_profile_is_refused_by_file_and_line(rows: str, profile: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        with_override(rows, profile)
    assert any(said in fault for fault in refused.value.faults), refused.value.faults


def test_days_on_which_nothing_binds_are_refused() -> None:
    texts = {name: packaged_table(name) for name in (PROFILES_TABLE, CRITERIA_TABLE)}
    texts[PROFILES_TABLE] = texts[PROFILES_TABLE].replace("2007-07-01,2023-03-31", "2007-07-01,2023-02-28")
    with pytest.raises(ConfigurationError, match="nothing binds from 2023-03-01 to 2023-03-31"):
        profiles_from(texts, load_standards())
    texts[PROFILES_TABLE] = packaged_table(PROFILES_TABLE).replace(
        '2023-04-01,,high,"GB', '2023-04-01,2030-01-01,high,"GB'
    )
    with pytest.raises(ConfigurationError, match="nothing binds after 2030-01-01"):
        profiles_from(texts, load_standards())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("min,35,L/person/day,high,gz", "min,,L/person/day,high,gz", "limit_kind min does not fit value=''"),
        ("guizhou-2020,quantity,pass", "guizhou-2019,quantity,pass", "unknown profile 'guizhou-2019'"),
        ("guizhou-2020,quantity,pass", "guizhou-2020,money,pass", "criterion 'money': allowed:"),
    ],
)
def test_a_wrong_criterion_is_refused(old: str, new: str, said: str) -> None:
    texts = {name: packaged_table(name) for name in (PROFILES_TABLE, CRITERIA_TABLE)}
    assert old in texts[CRITERIA_TABLE]
    texts[CRITERIA_TABLE] = texts[CRITERIA_TABLE].replace(old, new)
    with pytest.raises(ConfigurationError, match=said):
        profiles_from(texts, load_standards())
