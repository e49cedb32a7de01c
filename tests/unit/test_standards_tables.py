"""Tables of standards are taken whole or refused whole, with every fault by file and line."""

import csv
import io
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from qingquan.domain.parameters import Limit, LimitKind, SupplyClass, applicable_limits
from qingquan.errors import ConfigurationError
from qingquan.standards.limit_rows import LIMIT_COLUMNS
from qingquan.standards.loader import LIMIT_TABLES, STANDARDS_TABLES, limit_for, load_standards, standards_from
from qingquan.standards.tables import packaged_table

NEW, OLD = LIMIT_TABLES
DAY_2006, LAST_2006, FIRST_2022 = date(2007, 7, 1), date(2023, 3, 31), date(2023, 4, 1)
Lines = list[list[str]]


def tables(**changed: str) -> dict[str, str]:
    texts = {name: packaged_table(name) for name in STANDARDS_TABLES}
    return texts | {name.replace("__", "."): text for name, text in changed.items()}


def edited(name: str, change: Callable[[Lines], None]) -> dict[str, str]:
    lines = list(csv.reader(io.StringIO(packaged_table(name))))
    change(lines)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return {**tables(), name: out.getvalue()}


def line_of(lines: Lines, row_id: str) -> int:
    return next(number for number, line in enumerate(lines) if line and line[0] == row_id)


def with_cell(row_id: str, column: str, value: str) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        lines[line_of(lines, row_id)][lines[0].index(column)] = value

    return change


def faults_of(texts: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        standards_from(texts)
    return refused.value.faults


def rows(edition: str, **wanted: object) -> list[Limit]:
    limits = [one for one in load_standards().limits if one.standard == edition]
    return [one for one in limits if all(getattr(one, name) == value for name, value in wanted.items())]


# What is in the tables -------------------------------------------------------------------------------------------


def test_the_2022_edition_has_its_97_indicators_and_four_relaxations() -> None:
    assert len({row.code for row in rows("GB 5749-2022")}) == 97
    relaxed = rows("GB 5749-2022", supply=SupplyClass.SMALL_LIMITED)
    assert {row.code: row.max for row in relaxed} == {
        "colony_count": 500,
        "fluoride": 1.2,
        "nitrate_n": 20,
        "turbidity": 3,
    }


def test_the_2006_edition_has_what_both_editions_have_in_common() -> None:
    """106 indicators, of which 13 were deleted in 2022 (no number seen); 97 of which four were added in 2022."""
    codes = {row.code for row in rows("GB 5749-2006")}
    assert len(codes) == 106 - 13 == 97 - 4
    assert not codes & {"perchlorate", "acetochlor", "methylisoborneol_2", "geosmin"}


def test_exactly_the_eight_limits_named_in_the_foreword_differ_between_the_editions() -> None:
    """Three of the eight differ in their relaxations alone, free chlorine in its upper limit."""

    def bounds(edition: str) -> dict[tuple[str, str], tuple[object, ...]]:
        return {
            (row.code, row.point): (row.kind, row.min, row.max)
            for row in rows(edition, supply=SupplyClass.ANY, condition="")
            if row.group != "disinfectant" or row.point == "outlet"
        }

    old, new = bounds("GB 5749-2006"), bounds("GB 5749-2022")
    assert {code for code, point in old if old[code, point] != new[code, point]} == {
        "boron", "vinyl_chloride", "trichloroethene", "dimethoate", "free_chlorine",
    }  # fmt: skip
    assert {row.code for row in rows("GB 5749-2006") if row.condition} == {
        "nitrate_n",
        "turbidity",
        "permanganate_index",
    }


@pytest.mark.parametrize(
    ("code", "low", "high"),
    [
        ("colony_count", None, 500), ("arsenic", None, 0.05), ("fluoride", None, 1.2), ("nitrate_n", None, 20), ("colour", None, 20),
        ("turbidity", None, 3), ("ph", 6.5, 9.5), ("total_dissolved_solids", None, 1500), ("total_hardness", None, 550),
        ("permanganate_index", None, 5), ("iron", None, 0.5), ("manganese", None, 0.3), ("chloride", None, 300), ("sulfate", None, 300),
    ],
)  # fmt: skip
def test_table_4_of_2006_relaxes_a_small_limited_supply_until_its_last_day(code: str, low: float, high: float) -> None:
    limits = load_standards().limits
    row = limit_for(limits, code, "outlet", LAST_2006, small_limited=True)
    assert row is not None
    assert (row.clause, row.min, row.max) == ("Table 4", low, high)
    strict = limit_for(limits, code, "outlet", LAST_2006, small_limited=False)
    assert strict is not None
    assert strict.clause == "Table 1"
    after = limit_for(limits, code, "outlet", FIRST_2022, small_limited=True)
    assert after is not None
    assert after.standard == "GB 5749-2022"


def test_nothing_binds_before_the_2006_edition() -> None:
    assert limit_for(load_standards().limits, "lead", "outlet", DAY_2006 - timedelta(1), small_limited=False) is None


def test_a_row_with_a_condition_applies_only_where_the_condition_is_given() -> None:
    found = [
        applicable_limits(
            load_standards().limits, "permanganate_index", "outlet", small_limited=False, conditions=given
        )[0].max
        for given in ((), ("source_limited",), ("raw_permanganate_above_6",))
    ]
    assert found == [3, 3, 5]


def test_protozoa_are_strictly_below_one_in_both_editions() -> None:
    for edition in ("GB 5749-2006", "GB 5749-2022"):
        (row,) = rows(edition, code="giardia")
        assert row.kind is LimitKind.MAX_STRICT
        assert (row.is_met_by(0.999), row.is_met_by(1.0)) == (True, False)


# What is refused --------------------------------------------------------------------------------------------------

TURBIDITY = "gb5749-2022.turbidity"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("unit", "FTU", "unit 'FTU' of turbidity: the parameter's unit is 'NTU'"),
        ("max", "one", "max 'one' is not a number"),
        ("max", "nan", "max 'nan' is not finite"),
        ("max", "inf", "max 'inf' is not finite"),
        ("max", "-1", "a bound is below 0"),
        ("max", "", "limit_kind max does not fit min='' max=''"),
        ("min", "0.1", "limit_kind max does not fit"),
        ("limit_kind", "most", "limit_kind 'most': allowed: absent, max"),
        ("basis", "sometimes", "basis 'sometimes': allowed: "),
        ("point", "tap", "point 'tap': allowed: any, network, network_end, outlet"),
        ("supply", "big", "supply 'big': allowed: any, small_limited"),
        ("condition", "rain", "condition 'rain': allowed: (empty), "),
        ("group", "health", "group 'health': allowed: disinfectant"),
        ("confidence", "sure", "confidence 'sure': allowed: high, low, medium"),
        ("valid_from", "2023-13-01", "valid_from '2023-13-01' is not a day"),
        ("valid_from", "", "must be given: valid_from"),
        ("valid_to", "2023-01-01", "valid_to 2023-01-01 is before valid_from 2023-04-01"),
        ("source", "", "must be given: source"),
        ("clause", "", "must be given: clause"),
        ("code", " turbidity", "blanks around the cell of code"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_refused_by_file_line_and_words(column: str, value: str, said: str) -> None:
    texts = edited(NEW, with_cell(TURBIDITY, column, value))
    place = f"{NEW}:{line_of(list(csv.reader(io.StringIO(texts[NEW]))), TURBIDITY) + 1}: "
    assert any(fault.startswith(place + said) for fault in faults_of(texts)), faults_of(texts)


def test_a_limit_in_a_unit_of_no_quantity_is_refused() -> None:
    assert any(
        "unit 'mg/kg': allowed: mg/L, " in fault
        for fault in faults_of(edited(NEW, with_cell("gb5749-2022.lead", "unit", "mg/kg")))
    )


def test_editions_must_agree_on_the_unit_of_an_indicator() -> None:
    (fault,) = faults_of(edited(OLD, with_cell("gb5749-2006.colony_count.small", "unit", "CFU/100mL")))
    assert "unit 'CFU/100mL' of colony_count: " in fault


def test_a_gap_between_editions_is_refused_with_its_days() -> None:
    texts = edited(NEW, with_cell("gb5749-2022.lead", "valid_from", "2023-05-01"))
    assert any("no row of lead is in force from 2023-04-01 to 2023-04-30" in fault for fault in faults_of(texts))


def test_an_overlap_is_refused_naming_both_rows() -> None:
    (fault,) = faults_of(edited(NEW, with_cell("gb5749-2022.lead", "valid_from", "2023-03-31")))
    assert f"{NEW}:" in fault
    assert "gb5749-2022.lead is in force at the same time as gb5749-2006.lead" in fault
    assert f"({OLD}:" in fault


def test_a_doubled_id_names_both_places() -> None:
    faults = faults_of(edited(NEW, lambda lines: lines.append(list(lines[1]))))
    assert any(
        "id 'gb5749-2022.total_coliforms' stands already at limits_gb5749_2022.csv:2" in fault for fault in faults
    )


def test_a_relaxation_without_a_row_to_relax_or_stricter_than_it_is_refused() -> None:
    (fault,) = faults_of(edited(NEW, with_cell("gb5749-2022.turbidity.small", "max", "0.5")))
    assert "is no relaxation of gb5749-2022.turbidity: it is not wider" in fault
    texts = edited(NEW, with_cell("gb5749-2022.turbidity.small", "valid_from", "2023-06-01"))
    assert any("gb5749-2022.turbidity.small relaxes no row" in fault for fault in faults_of(texts))


def test_a_residual_bounded_at_one_end_alone_is_refused() -> None:
    def without_end(lines: Lines) -> None:
        del lines[line_of(lines, "gb5749-2022.ozone.network_end")]

    assert any("has no row beside it for the network_end" in fault for fault in faults_of(edited(NEW, without_end)))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (NEW, lambda lines: lines.insert(3, []), "limits_gb5749_2022.csv:4: empty row"),
        (NEW, lambda lines: lines.insert(3, [""] * 20), "limits_gb5749_2022.csv:4: empty row"),
        (NEW, lambda lines: lines[3].pop(), "limits_gb5749_2022.csv:4: 19 cells, the header has 20"),
        (NEW, lambda lines: lines[3].append("x"), "limits_gb5749_2022.csv:4: 21 cells, the header has 20"),
        (NEW, lambda lines: lines[0].__setitem__(2, "kode"), "limits_gb5749_2022.csv:1: unknown column 'kode'"),
        (NEW, lambda lines: lines[0].__setitem__(2, "kode"), "limits_gb5749_2022.csv:1: missing column 'code'"),
        (NEW, lambda lines: lines[0].__setitem__(2, "id"), "limits_gb5749_2022.csv:1: column given twice 'id'"),
        ("units.csv", lambda lines: lines[1].__setitem__(2, "0"), "units.csv:2: factor 0 is not above 0"),
        ("units.csv", lambda lines: lines[1].__setitem__(1, "stone"), "units.csv:2: no parameter has the unit 'stone'"),
        ("units.csv", lambda lines: lines.append(list(lines[1])), "unit 'mg/L' stands already at units.csv:2"),
        ("parameters.csv", lambda lines: lines.append(list(lines[1])), "parameter 'free_chlorine' stands already at parameters.csv:2"),
        ("parameters.csv", lambda lines: lines[1].__setitem__(7, "9"), "parameters.csv:2: range_min 9 is not below range_max 5"),
        ("parameters.csv", lambda lines: lines[1].__setitem__(11, "-1"), "parameters.csv:2: flat_tolerance -1 is below 0"),
        ("parameters.csv", lambda lines: lines[1].__setitem__(13, "1"), "parameters.csv:2: flat_fail_h 1 is below flat_suspect_h 3"),
    ],
)  # fmt: skip
def test_a_broken_table_is_refused_by_file_and_line(name: str, change: Callable[[Lines], None], said: str) -> None:
    assert any(said in fault for fault in faults_of(edited(name, change)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: the table is empty"),
        (",".join(LIMIT_COLUMNS) + "\n", ":1: the table has no rows"),
        ('id,"unclosed', "not valid CSV"),
        ("\ufeffid", "unknown column '\\ufeffid'"),
    ],
)
def test_what_is_no_table_at_all_is_refused(text: str, said: str) -> None:
    assert any(said in fault for fault in faults_of({**tables(), NEW: text}))


def test_a_missing_table_is_named() -> None:
    texts = tables()
    del texts["units.csv"]
    assert faults_of(texts) == ["units.csv: the table is missing"]


def test_faults_of_all_tables_come_at_once() -> None:
    texts = edited(NEW, with_cell(TURBIDITY, "max", "x"))
    texts[OLD] = edited(OLD, with_cell("gb5749-2006.lead", "source", ""))[OLD]
    texts["units.csv"] += "mg/L,mg/L,1,0\n"
    faults = faults_of(texts)
    assert [name for name in (NEW, OLD, "units.csv") if any(fault.startswith(name) for fault in faults)] == [
        NEW,
        OLD,
        "units.csv",
    ]


def test_the_tables_that_ship_are_what_the_loader_gives() -> None:
    assert standards_from(tables()) == load_standards()
